# SPDX-License-Identifier: Apache-2.0
"""The words of the command line: how they are read, explained and completed."""
