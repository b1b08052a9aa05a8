# SPDX-License-Identifier: Apache-2.0
"""Patch Heat 27 for updates that never end, seen on SQLite.

The clean-up check of a resource reads its row; meanwhile the update of the same resource replaces the row
of its properties; the lazy load of the old properties then fails with NotFound. Heat concludes that the
resource is gone, and drops the message that would have continued the stack. The patch loads a resource that
still exists again.
"""

import time

from heat.common import exception
from heat.db import api as database
from heat.engine import check_resource

_ATTEMPTS = 20
_PAUSE_S = 0.1


def install():
    """Replace check_resource.load_resource by one that distinguishes the two cases."""
    load_once = check_resource.load_resource

    def load_resource(context, resource_id, *words, **named):
        for _ in range(_ATTEMPTS):
            found = load_once(context, resource_id, *words, **named)
            if any(part is not None for part in found) or not _exists(context, resource_id):
                return found
            time.sleep(_PAUSE_S)
        return found

    check_resource.load_resource = load_resource


def _exists(context, resource_id):
    try:
        return database.resource_get(context, resource_id, refresh=True) is not None
    except exception.NotFound:
        return False
