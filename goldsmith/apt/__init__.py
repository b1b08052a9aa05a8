# SPDX-License-Identifier: Apache-2.0
"""Debian packages: mirrors, signed indexes, a package store, and a proxy that serves a build.

Others use: apt_warnings, build_files, gpgv, indexes, mirror, names, netns, packages, proxy, store.
"""
