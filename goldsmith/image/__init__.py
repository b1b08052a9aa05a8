# SPDX-License-Identifier: Apache-2.0
"""The disk image: plan and call of diskimage-builder, and the manifest of a build.

Others use: base_image, dib, dib_plan, disk, finished_build, manifest, mount, prepare,
qemu_img.
"""
