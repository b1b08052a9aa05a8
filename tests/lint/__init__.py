# SPDX-License-Identifier: Apache-2.0
"""Linters: style and types of Python, shell and YAML, rules for elements, spelling."""
