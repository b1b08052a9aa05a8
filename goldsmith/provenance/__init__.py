# SPDX-License-Identifier: Apache-2.0
"""Locks, signatures and statements about where a build is from, and the check of a release by them.

Others use: attestation, build_inputs, dsse, glance_signature, held_release, lock_transfer, lockfile,
named_entries, outdated, release_check, spec_lock.
"""
