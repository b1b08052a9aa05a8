# SPDX-License-Identifier: Apache-2.0
"""What changed between two builds, by what they recorded.

Others use: advisories, build_diff, contents, red_build, sections, spec_keys.
"""
