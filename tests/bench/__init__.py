# SPDX-License-Identifier: Apache-2.0
"""Benchmarks against the plain tools, in turns."""
