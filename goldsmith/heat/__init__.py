# SPDX-License-Identifier: Apache-2.0
"""Acceptance test of an image by Heat: launch, deployments, update, failure, rollback, reboot, delete.

Others use: acceptance, client, procedure, verify.
"""
