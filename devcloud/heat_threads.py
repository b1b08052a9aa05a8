# SPDX-License-Identifier: Apache-2.0
"""A cure for stacks that take no signal any more, seen with Heat 27.

Heat's engine counts each thread that ever worked for a stack, also those that have ended, and refuses the
1001st: "Maximum number of threads reached". Its group of threads adds them in its own way instead of
oslo.service's, and has lost that one which has ended is forgotten.
"""

from heat.engine import service


def install():
    """Have the engine forget threads that have ended."""
    add_once = service.ThreadGroup.add_thread

    def add_thread(self, function, *words, **named):
        thread = add_once(self, function, *words, **named)
        thread.link(self.thread_done)
        return thread

    service.ThreadGroup.add_thread = add_thread
