# SPDX-License-Identifier: Apache-2.0
"""What trials run on a server: scripts that do harm or take their time, and pods."""

from __future__ import annotations

from typing import Any

_IMAGE = "goldsmith.local/redis:1"

# Answers with what it was given.
SAY = 'printf %s "$reason" > "$heat_outputs_path.result"\n'
_BEGUN = 'echo "begun $reason" > /dev/console\n'
SLOW = "#!/bin/sh\n" + _BEGUN + "sleep {}\n" + SAY
# Runs twice or more where its first run was cut short: the answer is how often it was begun.
COUNTED = (
    f"#!/bin/sh\n{_BEGUN}"
    + """
echo begun >> /var/lib/{name}
[ "$(wc -l < /var/lib/{name})" -gt 1 ] || {{ {first}; sleep 60; }}
wc -l < /var/lib/{name} > "$heat_outputs_path.result"
"""
)
# Leaves no byte of the disk for 45 s.
FILL = """#!/bin/sh
systemd-run --on-active=45 rm -rf /var/fill
mkdir /var/fill
for size in 4G 1G 256M 64M 16M 4M 1M 256K 64K 4K; do
    while fallocate -l "$size" "/var/fill/$size.$(ls /var/fill | wc -l)"; do :; done
done 2> /dev/null
echo begun > /var/fill/full
exit 0
"""
# Cuts the agent's metadata short, leaves half a manifest, and kills the agent a moment later.
SPOIL = """#!/bin/sh
for file in /var/lib/os-collect-config/cache/*; do truncate -s 20 "$file"; done
printf '{"apiVersion": "v1", "kind": "Po' > /etc/kubernetes/manifests/half.json
systemd-run --on-active=3 sh -c 'systemctl kill --signal=KILL os-collect-config'
"""
UNSPOIL = "#!/bin/sh\nrm /etc/kubernetes/manifests/half.json\n" + SAY


def pod(name: str, **container: object) -> dict[str, Any]:
    """A pod of one container, which sleeps unless it is told otherwise; restartPolicy is the pod's."""
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


CRASH = ["sh", "-c", "echo last words; exit 1"]
