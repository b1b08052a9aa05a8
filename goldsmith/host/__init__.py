# SPDX-License-Identifier: Apache-2.0
"""What this machine can do: preflight checks, tools, partitions, accelerator, Docker engine.

Others use: accelerator, docker_engine, partitions, preflight, tools.
"""
