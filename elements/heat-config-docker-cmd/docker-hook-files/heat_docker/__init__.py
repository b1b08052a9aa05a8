# SPDX-License-Identifier: Apache-2.0
"""Deployments of the group docker-cmd: containers on the image's own Docker engine."""
