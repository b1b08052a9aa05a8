# SPDX-License-Identifier: Apache-2.0
"""A test cloud on this machine: real OpenStack services, each one a process in namespaces.

Others use: lifecycle, services, start.
"""
