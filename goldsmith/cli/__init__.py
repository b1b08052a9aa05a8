# SPDX-License-Identifier: Apache-2.0
"""The tasks: they parse options, call a room and print the answer. No logic.

Others use: tasks.
"""
