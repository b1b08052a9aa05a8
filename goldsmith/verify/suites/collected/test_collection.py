# SPDX-License-Identifier: Apache-2.0
"""The kubelet's image garbage collection removes other images and keeps the embedded ones. Runs last."""

from __future__ import annotations

import pytest
from guest import images, wait_for
from testinfra.host import Host

from goldsmith.spec.model import Into
from goldsmith.verify.expectations import Expectations

EXTRA = "goldsmith.invalid/collect-me:1"
CONFIG = "/etc/kubernetes/kubelet.yaml"
# Every disk has less than 99 % free: the kubelet is short of space and collects all that it may. The
# percentages alone would do it too, but only when it next looks, which is five minutes after it started.
EAGER = """imageGCHighThresholdPercent: 1
imageGCLowThresholdPercent: 0
imageMinimumGCAge: 1s
evictionHard:
  nodefs.available: "99%"
"""

# An image of one empty layer, as an OCI archive (https://github.com/opencontainers/image-spec).
_ARCHIVE = r"""
import hashlib, io, json, sys, tarfile
out = tarfile.open("/run/extra.tar", "w")
media = "application/vnd.oci.image."
def put(name, data):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    out.addfile(info, io.BytesIO(data))
def blob(data, kind):
    digest = hashlib.sha256(data).hexdigest()
    put("blobs/sha256/" + digest, data)
    return {"mediaType": media + kind, "digest": "sha256:" + digest, "size": len(data)}
empty = io.BytesIO()
tarfile.open(fileobj=empty, mode="w").close()
layer = blob(empty.getvalue(), "layer.v1.tar")
config = {"architecture": "amd64", "os": "linux", "config": {"Labels": {"for": "collection"}}}
config["rootfs"] = {"type": "layers", "diff_ids": [layer["digest"]]}
manifest = {"schemaVersion": 2, "mediaType": media + "manifest.v1+json", "layers": [layer]}
manifest["config"] = blob(json.dumps(config).encode(), "config.v1+json")
entry = blob(json.dumps(manifest).encode(), "manifest.v1+json")
entry["annotations"] = {"io.containerd.image.name": sys.argv[1]}
put("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
put("index.json", json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode())
out.close()
"""

pytestmark = pytest.mark.needs("kubelet", "containers")


@pytest.fixture(scope="module")
def collecting(host: Host) -> None:
    """Bring in an image that is not embedded, stop the pods, and make the kubelet collect at once."""
    host.check_output("rm -f /etc/kubernetes/manifests/*")
    host.check_output("python3 -c %s %s", _ARCHIVE, EXTRA)
    host.check_output("ctr -n k8s.io images import --no-unpack /run/extra.tar")
    assert EXTRA in images(host)
    host.check_output("printf %%s %s >> %s", EAGER, CONFIG)
    host.check_output("systemctl restart kubelet")


def test_another_image_goes_and_the_bundle_stays(
    host: Host, expected: Expectations, collecting: None
) -> None:
    def gone() -> bool:
        return EXTRA not in images(host)

    assert wait_for(gone, 420, every_s=5), host.check_output(
        "journalctl -b -u kubelet --no-pager -n 60 -o cat"
    )
    stored = {name: image.digest for name, image in images(host).items()}
    locked = {i.ref: i.digest for i in expected.images if i.into is Into.containerd}
    assert {ref: stored.get(ref) for ref in locked} == locked
