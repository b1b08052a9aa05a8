# SPDX-License-Identifier: Apache-2.0
"""The capabilities of this host: preflight checks, tools, Python packages, partitions, accelerator, engine.

Others use: accelerator, docker_engine, package_check, partitions, preflight, python_packages, tools.
"""
