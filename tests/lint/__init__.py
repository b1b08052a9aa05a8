# SPDX-License-Identifier: Apache-2.0
"""Style and types of all code: Python, shell, YAML, elements, spelling."""
