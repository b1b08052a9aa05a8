# SPDX-License-Identifier: Apache-2.0
"""Container images: built, pulled, checked by policy, and exported into one OCI archive, the bundle.

Others use: build_context, bundler, images_lock, manifests, oci, policy, registry, rootfs.
"""
