# SPDX-License-Identifier: Apache-2.0
"""The capabilities of this host: preflight checks, tools, partitions, accelerator, Docker engine.

Others use: accelerator, docker_engine, package_check, partitions, preflight, tools.
"""
