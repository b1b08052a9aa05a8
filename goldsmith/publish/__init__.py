# SPDX-License-Identifier: Apache-2.0
"""Publish verified builds to Glance: observe, plan, apply, journal, roll back.

Others use: answers, inventory, journal, operations, publisher.
"""
