# SPDX-License-Identifier: Apache-2.0
"""Soak tests: seeded, recorded trial by trial, resumable."""
