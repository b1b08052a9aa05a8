# SPDX-License-Identifier: Apache-2.0
"""Kubernetes: the kubelet's pinned Go module, the Go toolchain that compiles it, the schema of its pods.

Others use: kubelet, pin, pod_check.
"""
