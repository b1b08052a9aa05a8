# SPDX-License-Identifier: Apache-2.0
"""A cure for updates of Heat's that cancel themselves, seen with Heat 27: `Stack UPDATE cancelled`.

Heat triggers the first resources of an update one a second. When an update overtakes another, the end of
the other's work on a resource triggers that once more, so that within the same update two calls may come
to a nested stack: the second finds it locked, takes the first for a call of the update before, and cancels
it. It is left alone where the one at work is of the same template.
"""

from heat.engine import check_resource

_at_work = {}  # resource's ID -> template's ID of the call that has its lock


def install():
    """Replace CheckResource's work on one resource by one that knows who else is at it."""
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
