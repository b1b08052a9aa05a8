# SPDX-License-Identifier: Apache-2.0
"""What operators ask about releases: answered from the clouds and their records, without build folders.

Others use: asking, bills, history, production, release_diff,
release_notes, servers, signatures.
"""
