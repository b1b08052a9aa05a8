# SPDX-License-Identifier: Apache-2.0
"""The disk image: plan and run diskimage-builder, take in the disks, write the manifest of a build.

Others use: base_image, build_info, checkout, dib, dib_plan, disk, element_hashes, finished_build, manifest,
mount, packages, prepare, qemu_img, timings, verdict.
"""
