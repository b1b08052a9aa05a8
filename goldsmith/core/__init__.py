# SPDX-License-Identifier: Apache-2.0
"""Independent of images: programs, privilege, progress, locks, files, paths, cache, scratch folders.

Others use: build_folders, cache, documents, download, files, isolation, locks, openstack, ownership, paths,
privilege, proc, progress, reaper, removal, runs, terminal, wait.
"""
