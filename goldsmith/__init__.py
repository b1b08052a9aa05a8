# SPDX-License-Identifier: Apache-2.0
"""Golden images for OpenStack, with their containers inside."""

__version__ = "0.1.0"
