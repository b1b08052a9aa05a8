# SPDX-License-Identifier: Apache-2.0
"""A test cloud on this machine: real OpenStack services as processes in namespaces.

Others use: answers, lifecycle, services, start.
"""
