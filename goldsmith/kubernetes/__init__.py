# SPDX-License-Identifier: Apache-2.0
"""The kubelet: its pinned Go module, the Go toolchain that compiles it, and the schema of its pods.

Others use: kubelet, pin.
"""
