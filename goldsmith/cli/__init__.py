# SPDX-License-Identifier: Apache-2.0
"""The tasks: parse, call, report. No logic.

Others use: build, collection, devcloud, development, heat, provenance, publish.
"""
