# SPDX-License-Identifier: Apache-2.0
"""Read an image that is not booted: contents, bill of materials, secrets, known vulnerabilities.

Others use: osv, purls, sbom, secrets, vulnerabilities.
"""
