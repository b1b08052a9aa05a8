# SPDX-License-Identifier: Apache-2.0
"""Debian mirrors: signed indexes, packages that are kept, and a proxy that serves them to a build.

Others use: indexes, mirror, netns, packages, proxy, store.
"""
