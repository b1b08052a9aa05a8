# SPDX-License-Identifier: Apache-2.0
"""The lines at the bottom of a terminal that show what is under way; core/progress.py alone uses them."""
