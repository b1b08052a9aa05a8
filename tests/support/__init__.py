# SPDX-License-Identifier: Apache-2.0
"""What tests, soak tests and benchmarks share: tiny builds, mutations, stand-ins of services."""
