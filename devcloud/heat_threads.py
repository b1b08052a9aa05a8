# SPDX-License-Identifier: Apache-2.0
"""Patch Heat 27 for stacks that stop taking signals.

Heat's engine counts each thread that ever worked for a stack, also those that ended, and rejects the 1001st:
"Maximum number of threads reached". Its thread group adds threads itself instead of using oslo.service's
method, and does not remove those that ended.
"""

from heat.engine import service


def install():
    """Make the engine forget threads that ended."""
    add_once = service.ThreadGroup.add_thread

    def add_thread(self, function, *words, **named):
        thread = add_once(self, function, *words, **named)
        thread.link(self.thread_done)
        return thread

    service.ThreadGroup.add_thread = add_thread
