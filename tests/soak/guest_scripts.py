# SPDX-License-Identifier: Apache-2.0
"""Scripts and pods that soak tests run on a server."""

from __future__ import annotations

from typing import Any

_IMAGE = "goldsmith.local/redis:1"

# Answers with its input `reason`.
SAY = 'printf %s "$reason" > "$heat_outputs_path.result"\n'
_BEGUN = 'echo "begun $reason" > /dev/console\n'
SLOW = "#!/bin/sh\n" + _BEGUN + "sleep {}\n" + SAY
# Runs again if its first run was cut short; answers how often it began.
COUNTED = (
    f"#!/bin/sh\n{_BEGUN}"
    + """
echo begun >> /var/lib/{name}
[ "$(wc -l < /var/lib/{name})" -gt 1 ] || {{ {first}; sleep 60; }}
wc -l < /var/lib/{name} > "$heat_outputs_path.result"
"""
)
# Fills the disk for so many seconds.
FILL = """#!/bin/sh
systemd-run --on-active={} rm -rf /var/fill
mkdir /var/fill
for size in 4G 1G 256M 64M 16M 4M 1M 256K 64K 4K; do
    while fallocate -l "$size" "/var/fill/$size.$(ls /var/fill | wc -l)"; do :; done
done 2> /dev/null
echo begun > /var/fill/full
exit 0
"""
# Truncates the agent's metadata, leaves half a manifest, and kills the agent a moment later.
DAMAGE = """#!/bin/sh
for file in /var/lib/os-collect-config/cache/*; do truncate -s 20 "$file"; done
printf '{"apiVersion": "v1", "kind": "Po' > /etc/kubernetes/manifests/half.json
systemd-run --on-active=3 sh -c 'systemctl kill --signal=KILL os-collect-config'
"""
UNDO_DAMAGE = "#!/bin/sh\nrm /etc/kubernetes/manifests/half.json\n" + SAY


def pod(name: str, **container: object) -> dict[str, Any]:
    """A pod of one container, which sleeps by default; restartPolicy: of the pod."""
    policy = container.pop("restartPolicy", "Always")
    main = {
        "name": "main",
        "image": _IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sleep", "infinity"],
    }
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {
            "terminationGracePeriodSeconds": 1, "restartPolicy": policy,
            "containers": [{**main, **container}],
        },
    }  # fmt: skip


LAST_WORDS = "last words"
CRASH = ["sh", "-c", f"echo {LAST_WORDS}; exit 1"]
