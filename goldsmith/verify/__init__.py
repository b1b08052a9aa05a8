# SPDX-License-Identifier: Apache-2.0
"""Test an image: offline, then in a throw-away VM with the network cut; the verdict.

Others use: guest, session.
"""
