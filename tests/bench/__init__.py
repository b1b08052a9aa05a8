# SPDX-License-Identifier: Apache-2.0
"""Benchmarks: our work and that of the plain tools, in turns."""
