# SPDX-License-Identifier: Apache-2.0
"""Patch Heat 27 for updates that cancel themselves: `Stack UPDATE cancelled`.

Heat triggers the first resources of an update at one per second. When an update overtakes another, the end
of the other's work on a resource triggers that resource once more. So two calls of the same update may come
to a nested stack: the second finds it locked, takes the first for a call of the previous update, and cancels
it. The patch does not cancel a call of the same template.
"""

from heat.engine import check_resource

_at_work = {}  # resource's ID -> template's ID of the call that has its lock


def install():
    """Replace CheckResource's work on one resource by one that knows which call works on it."""
    work_once = check_resource.CheckResource._do_check_resource

    def work(self, context, traversal, template, data, is_update, resource, *words):
        preempt, act = resource.handle_preempt, resource.action_handler_task

        def act_as_known(*arguments, **named):
            _at_work[resource.id] = template.id
            try:
                return (yield from act(*arguments, **named))
            finally:
                _at_work.pop(resource.id, None)

        def preempt_others():
            if _at_work.get(resource.id) != template.id:
                preempt()

        resource.action_handler_task, resource.handle_preempt = act_as_known, preempt_others
        return work_once(self, context, traversal, template, data, is_update, resource, *words)

    check_resource.CheckResource._do_check_resource = work
