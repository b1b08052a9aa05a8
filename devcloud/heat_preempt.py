# SPDX-License-Identifier: Apache-2.0
"""A cure for updates of Heat's that cancel themselves, seen with Heat 27: `Stack UPDATE cancelled`.

Heat triggers the first resources of an update one a second. When an update overtakes another, the end of
the other's work on a resource triggers that once more, so that within the same update two calls may come
to a nested stack: the second finds it locked, takes the first for a call of the update before, and cancels
it. It is left alone where the one at work has the same template.
"""

import collections
import threading

from heat.engine import check_resource

_at_work = collections.Counter()
_lock = threading.Lock()


def install():
    """Replace CheckResource's work on one resource by one that knows who else is at it."""
    work_once = check_resource.CheckResource._do_check_resource

    def work(self, context, traversal, template, data, is_update, resource, *words):
        key = (resource.id, template.id)
        preempt = resource.handle_preempt

        def preempt_others():
            with _lock:
                is_the_same = _at_work[key] > 1
            if not is_the_same:
                preempt()

        resource.handle_preempt = preempt_others
        with _lock:
            _at_work[key] += 1
        try:
            return work_once(self, context, traversal, template, data, is_update, resource, *words)
        finally:
            with _lock:
                _at_work[key] -= 1
                if not _at_work[key]:
                    del _at_work[key]

    check_resource.CheckResource._do_check_resource = work
