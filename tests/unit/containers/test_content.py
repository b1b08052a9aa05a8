# SPDX-License-Identifier: Apache-2.0
"""Digests of what a container sees of its image."""

from __future__ import annotations

import gzip
import io
import tarfile
from typing import Any

import pytest

from goldsmith.containers import content, oci
from goldsmith.containers.images_lock import ImagesLock
from goldsmith.containers.oci import Layer
from tests.support import samples

CONFIG: dict[str, Any] = {
    "architecture": "amd64", "os": "linux", "created": "2026-01-01T00:00:00Z",
    "config": {"Env": ["A=1"], "Cmd": ["run"], "Labels": None},
}  # fmt: skip


def member(name: str, **changes: Any) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    for key, value in {"mtime": 1, "mode": 0o644, **changes}.items():
        setattr(found, key, value)
    return found


def folder(name: str, **changes: Any) -> tarfile.TarInfo:
    return member(name, **{"type": tarfile.DIRTYPE, "mode": 0o755, **changes})


def layer(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, data in members:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return sink.getvalue()


def files(*layers: bytes) -> dict[str, str]:
    return content.merged([content.entries(each) for each in layers])


def digest(*layers: bytes, config: dict[str, Any] | None = None) -> str:
    return content.digest(config or CONFIG, [content.entries(each) for each in layers])


def test_times_names_of_owners_order_and_layers_do_not_count() -> None:
    built = layer((folder("etc"), b""), (member("etc/a", uname="root"), b"x"), (member("etc/b"), b"y"))
    elsewhere = layer((member("./etc/b", mtime=9), b"y"), (folder("./etc/", mtime=9), b""))
    above = layer((member("./etc/a", mtime=9, uname="0"), b"x"))
    again = {**CONFIG, "created": "2026-02-02T00:00:00Z", "config": {**CONFIG["config"], "Hostname": "h"}}

    assert digest(built) == digest(elsewhere, above, config=again)
    assert digest(gzip.compress(built)) == digest(built)


@pytest.mark.parametrize(
    ("info", "data"),
    [
        (member("a"), b"y"), (member("b"), b"x"), (member("a", mode=0o4755), b"x"),
        (member("a", uid=1), b"x"),
        (member("a", gid=1), b"x"), (member("a", type=tarfile.SYMTYPE, linkname="b"), b""),
        (folder("a"), b""), (member("a", type=tarfile.FIFOTYPE), b""),
        (member("a", pax_headers={"SCHILY.xattr.security.capability": "c"}), b"x"),
    ],
)  # fmt: skip
def test_what_a_container_sees_counts(info: tarfile.TarInfo, data: bytes) -> None:
    assert digest(layer((info, data))) != digest(layer((member("a"), b"x")))


@pytest.mark.parametrize(
    "change",
    [{"architecture": "arm64"}, {"config": {"Env": ["A=2"], "Cmd": ["run"]}},
     {"config": {"Env": ["A=1"], "Cmd": ["run"], "User": "nobody"}}, {"config": None}],
)  # fmt: skip
def test_settings_count(change: dict[str, Any]) -> None:
    one = layer((member("a"), b"x"))

    assert digest(one, config={**CONFIG, **change}) != digest(one)


def test_upper_layers_delete_and_replace() -> None:
    base = layer(
        (folder("d"), b""), (member("d/a"), b"1"), (folder("e"), b""), (member("e/a"), b"2"),
        (folder("f"), b""), (member("f/a"), b"3"), (member("da"), b"4"),
    )  # fmt: skip
    top = layer(
        (member(".wh.d"), b""), (member("e/new"), b"5"), (member("e/.wh..wh..opq"), b""),
        (member("f", type=tarfile.SYMTYPE, linkname="e"), b""),
    )  # fmt: skip

    assert sorted(files(base, top)) == ["da", "e", "e/new", "f"]
    assert files(base, layer((member(".wh..wh..opq"), b""))) == {}


def test_a_hard_link_is_the_file_that_it_names() -> None:
    one = layer((member("a"), b"x"), (member("b", type=tarfile.LNKTYPE, linkname="a"), b""))
    other = layer((member("b"), b"x"), (member("a", type=tarfile.LNKTYPE, linkname="./b"), b""))

    assert digest(one) == digest(other)


def lock_of(*images: tuple[str, bytes]) -> tuple[ImagesLock, dict[str, bytes]]:
    blobs, found = dict[str, bytes](), []
    for ref, data in images:
        config = oci.canonical(CONFIG)
        layers = [Layer(digest=oci.sha256(data), size=len(data), diff_id="sha256:" + "0" * 64)]
        blobs |= {oci.sha256(data): data, oci.sha256(config): config}
        found.append(
            samples.image(ref, config_digest=oci.sha256(config), layers=[
                {"digest": each.digest, "size": each.size, "diff_id": each.diff_id} for each in layers
            ])
        )  # fmt: skip
    return ImagesLock.parse(samples.images_lock(*found), "lock"), blobs


def test_a_lock_has_the_digest_of_each_image_that_can_be_read() -> None:
    """Two layers that claim one diff ID, which nobody has compared, are not mixed up."""
    plain = layer((member("a"), b"x"))
    lock, blobs = lock_of(("a:1", plain), ("b:1", layer((member("a"), b"y"))), ("c:1", b"\x28\xb5\x2f\xfd"))

    for _ in range(2):  # the second time from the cache
        first, second, unread = content.recorded(lock, blobs).images

        assert first.content_digest == digest(plain)
        assert second.content_digest not in {None, first.content_digest}
        assert unread.content_digest is None
