# SPDX-License-Identifier: Apache-2.0
"""A cure for updates of Heat's that never end, seen with Heat 27 on SQLite.

The clean-up check of a resource reads its row; meanwhile the update of the same resource replaces the row
of its properties; the lazy load of the old properties then fails with NotFound, which Heat takes for
"the resource is gone" and drops the message that would have gone on with the stack. A resource that is
still there is loaded again instead.
"""

import time

from heat.common import exception
from heat.db import api as database
from heat.engine import check_resource

_ATTEMPTS = 20
_PAUSE_S = 0.1


def install():
    """Replace check_resource.load_resource by one that tells the two cases apart."""
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
