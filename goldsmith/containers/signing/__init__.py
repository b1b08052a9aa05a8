# SPDX-License-Identifier: Apache-2.0
"""Signatures of container images: found in the registry, and checked as the policy requires."""
