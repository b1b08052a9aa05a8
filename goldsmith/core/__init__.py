# SPDX-License-Identifier: Apache-2.0
"""Independent of images: programs, privilege, progress, locks, files, paths, cache, scratch folders.

Others use: builds, cache, documents, download, files, locks, openstack, paths, privilege, proc, progress,
reaper, scratch, wait.
"""
