# SPDX-License-Identifier: Apache-2.0
"""Verify an image: offline, then in a throw-away VM without network; the result is a verdict.

Others use: guest, session, timeline.
"""
