# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from goldsmith.apt import build_files
from goldsmith.containers import oci, reproducible
from goldsmith.containers.reproducible import Rules
from goldsmith.errors import BuildError

EPOCH = 1_700_000_000
DAY = EPOCH // 86400
ADDRESS = "127.0.0.1:40001"
RULES = Rules(ref="a.test/app:1", epoch=EPOCH, discarded=("root/.cache",), addresses=(ADDRESS,))

SYMLINK = "-> "
Entry = tuple[str, bytes | str | None]  # path; content, target of a link ("-> ": symbolic), or a folder


def tar(path: Path, entries: list[Entry], *, now: int = EPOCH + 99, user: str = "builder") -> Path:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in entries:
            entry = tarfile.TarInfo(name)
            entry.mtime, entry.uname, entry.gname, entry.mode = now, user, user, 0o4755
            entry.pax_headers = {"atime": str(now), "SCHILY.xattr.security.capability": "\x01\udcff\x00"}
            if content is None:
                entry.type = tarfile.DIRTYPE
            elif isinstance(content, str):
                entry.type = tarfile.SYMTYPE if content.startswith(SYMLINK) else tarfile.LNKTYPE
                entry.linkname = content.removeprefix(SYMLINK)
            else:
                entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content) if isinstance(content, bytes) else None)
    return path


@pytest.fixture
def layer(tmp_path: Path) -> Callable[..., tuple[str, dict[str, bytes | str | None]]]:
    """The diff ID and the entries of a layer that was made reproducible."""

    def make(entries: list[Entry], **how: Any) -> tuple[str, dict[str, bytes | str | None]]:
        diff_id = reproducible.layer(tar(tmp_path / "in", entries, **how), tmp_path / "out", RULES)
        with tarfile.open(tmp_path / "out") as archive:
            found: dict[str, bytes | str | None] = {}
            for entry in archive:
                content = archive.extractfile(entry) if entry.isreg() else None
                found[entry.name] = content.read() if content else entry.linkname or None
        return diff_id, found

    return make


def test_times_owners_and_order_of_the_build_make_no_difference(layer: Any, tmp_path: Path) -> None:
    entries: list[Entry] = [("a", None), ("a/b", b"1"), ("a/c", "a/b"), ("a-b", b"2"), ("a/.wh.gone", b"")]
    otherwise: list[Entry] = [
        ("a-b", b"2"), ("a", None), ("a/.wh.gone", b""), ("a/c", b"1"), ("a/b", "a/c"),
    ]  # fmt: skip

    one, found = layer(entries)
    other, same = layer(otherwise, now=EPOCH + 12345, user="root")

    assert one == other == oci.sha256((tmp_path / "out").read_bytes())
    assert found == same == {"a": None, "a/.wh.gone": b"", "a/b": b"1", "a/c": "a/b", "a-b": b"2"}
    assert list(found) == list(same) == ["a", "a/.wh.gone", "a/b", "a/c", "a-b"]


def test_modes_attributes_and_earlier_times_stay(layer: Any, tmp_path: Path) -> None:
    layer([("a", b"1")], now=5)

    with tarfile.open(tmp_path / "out") as archive:
        (entry,) = archive.getmembers()
    assert (entry.mtime, entry.mode, entry.uname) == (5, 0o4755, "")
    assert entry.pax_headers["SCHILY.xattr.security.capability"] == "\x01\udcff\x00"


def test_traces_of_package_managers_and_of_caches_are_not_kept(layer: Any) -> None:
    _, found = layer([
        ("./var/log/dpkg.log", b"x"), ("var/log/apt/term.log", b"x"), ("var/log/nginx/access.log", b"x"),
        ("var/lib/apt/lists", None), ("var/lib/apt/lists/127.0.0.1:40001_debian_InRelease", b"x"),
        ("var/cache/ldconfig/aux-cache", b"x"), ("var/cache/apt/archives/a.deb", b"x"),
        ("var/lib/dpkg/status-old", b"x"), ("var/lib/dpkg/status", b"x"), ("var/log/.wh.dpkg.log", b""),
        ("root/.cache", None), ("root/.cache/pip/a", b"x"), ("etc/machine-id", b"0123456789abcdef\n"),
        ("usr/lib/dpkg.log", b"x"),
    ])  # fmt: skip

    assert sorted(found) == [
        "etc/machine-id", "root/.cache", "usr/lib/dpkg.log", "var/lib/apt/lists", "var/lib/dpkg/status",
        "var/log/.wh.dpkg.log", "var/log/nginx/access.log",
    ]  # fmt: skip
    assert found["etc/machine-id"] == b""


def test_a_link_to_a_trace_keeps_its_content(layer: Any) -> None:
    assert layer([("var/log/dpkg.log", b"x"), ("kept", "var/log/dpkg.log")])[1] == {"kept": b"x"}


def test_links_in_the_place_of_a_trace_are_kept(layer: Any) -> None:
    links: list[Entry] = [
        ("var/lib/dbus/machine-id", "-> /etc/machine-id"), ("var/log/apt/term.log", "-> /dev/null"),
        ("var/log/dpkg.log", "-> /dev/null"),
    ]  # fmt: skip

    assert list(layer(links)[1]) == [name for name, _ in links]


def test_files_of_the_user_that_have_a_name_of_ours_are_kept(layer: Any) -> None:
    entries: list[Entry] = [
        ("etc/apt/sources.list.d/goldsmith-build.list", b"deb http://x.test a main"),
        ("srv/.wh.goldsmith-build.list", b""), ("srv/zz-goldsmith-build", b"mine" * 10_000),
        ("srv/zz-goldsmith-build.d", None), ("usr/share/goldsmith-build.list", "-> other"),
    ]  # fmt: skip

    assert list(layer(entries)[1]) == [name for name, _ in entries[1:]]


def test_a_link_that_keeps_the_address_of_the_build_is_refused(layer: Any) -> None:
    with pytest.raises(BuildError, match=r"keeps the address .* in /etc/mirror"):
        layer([("etc/mirror", f"-> http://{ADDRESS}/debian")])


def test_files_of_the_build_are_not_kept_wherever_they_were_copied(layer: Any) -> None:
    _, found = layer([
        (build_files.CONFIGURATION, ADDRESS.encode()), ("copy/zz-goldsmith-build", ADDRESS.encode()),
        (f"rootfs/{build_files.SOURCES}", f"deb http://{ADDRESS}/debian".encode()),
        (build_files.POLICY, build_files.POLICY_TEXT), (f"rootfs/{build_files.POLICY}", b"#!/bin/sh\n"),
        ("etc/apt/apt.conf.d/.wh.zz-goldsmith-build", b""), ("etc/apt/apt.conf.d/50other", b"x"),
    ])  # fmt: skip

    assert sorted(found) == ["etc/apt/apt.conf.d/50other", f"rootfs/{build_files.POLICY}"]


def test_dates_inside_files_are_not_later_than_those_of_files(layer: Any) -> None:
    late, early = (EPOCH + 5).to_bytes(4, "little"), (7).to_bytes(4, "little")
    magic, size = b"\xcb\r\r\n", b"\x01\0\0\0"

    _, found = layer([
        ("etc/shadow", f"redis:!:{DAY + 40}::::::\nroot:*:{DAY - 1}:0:99999:7:::\nold:*::\n".encode()),
        ("a.pyc", magic + bytes(4) + late + size + b"code"), ("b.pyc", magic + bytes(4) + early + size),
        ("hashed.pyc", magic + b"\x01\0\0\0" + late + late), ("short.pyc", b"x"),
    ])  # fmt: skip

    assert found == {
        "etc/shadow": f"redis:!:{DAY}::::::\nroot:*:{DAY - 1}:0:99999:7:::\nold:*::\n".encode(),
        "a.pyc": magic + bytes(4) + EPOCH.to_bytes(4, "little") + size + b"code",
        "b.pyc": magic + bytes(4) + early + size,
        "hashed.pyc": magic + b"\x01\0\0\0" + late + late, "short.pyc": b"x",
    }  # fmt: skip


@pytest.mark.parametrize(("epoch", "day"), [(0, DAY), (1, 1), (86400, 1), (3 * 86400, 3)])
def test_no_date_of_an_image_asks_for_a_new_password(epoch: int, day: int, tmp_path: Path) -> None:
    source = tar(tmp_path / "in", [("etc/shadow", f"root:*:{DAY}:0:::::\nnew:!:0:0:::::\n".encode())])

    reproducible.layer(source, tmp_path / "out", Rules(ref="a", epoch=epoch))

    with tarfile.open(tmp_path / "out") as archive:
        content = archive.extractfile("etc/shadow")
        assert content is not None
        assert content.read().decode() == f"root:*:{day}:0:::::\nnew:!:0:0:::::\n"


@pytest.mark.parametrize("before", [0, (1 << 14) - 7, 100_000])
def test_an_image_that_keeps_the_address_of_the_build_is_refused(layer: Any, before: int) -> None:
    with pytest.raises(BuildError, match=r"a\.test/app:1 keeps the address .* in /etc/environment"):
        layer([("etc/environment", bytes(before) + f"ftp_proxy=http://{ADDRESS}\n".encode())])


def configuration(layers: list[str], **changes: Any) -> bytes:
    at = "2026-11-29T10:00:00.123456789Z"
    history = [
        {"created": "2020-01-01T00:00:00Z", "created_by": "base"},
        {"created": at, "created_by": f"/bin/sh -c #(nop) ADD file:{'0' * 64} in / "},
        {"created": at, "created_by": "/bin/sh -c #(nop)  USER 1", "empty_layer": True},
        {"created": at, "created_by": f"/bin/sh -c #(nop) COPY --chown=33:33multi:{'1' * 64} in /a "},
    ]
    settings = {"Hostname": "4f1", "Image": "sha256:00", "User": "1", "Cmd": ["a"], "Env": None}
    return oci.canonical({
        "architecture": "amd64", "os": "linux", "created": at, "container": "4f1", "docker_version": "20",
        "container_config": {"Hostname": "4f1"}, "config": settings | changes, "history": history,
        "rootfs": {"type": "layers", "diff_ids": layers},
    })  # fmt: skip


def test_the_configuration_names_nothing_of_the_builder_and_no_dropped_layer(tmp_path: Path) -> None:
    base, own, top = (tar(tmp_path / name, [(name, b"x")]) for name in ("base", "own", "top"))

    config, files = reproducible.image(
        configuration(["base", "own", "top"]), [("base", base), ("own", own), ("top", top)], RULES, tmp_path,
        kept={"base"}, dropped={"own"},
    )  # fmt: skip

    (_, made) = files.items()
    assert files["base"] == base
    assert made[0] == oci.sha256(made[1].read_bytes())
    assert json.loads(config) == {
        "architecture": "amd64", "os": "linux", "created": "2023-11-14T22:13:20Z",
        "config": {"User": "1", "Cmd": ["a"]}, "rootfs": {"type": "layers", "diff_ids": ["base", made[0]]},
        "history": [
            {"created": "2020-01-01T00:00:00Z", "created_by": "base"},
            {"created": "2023-11-14T22:13:20Z", "created_by": "/bin/sh -c #(nop)  USER 1",
             "empty_layer": True},
            {"created": "2023-11-14T22:13:20Z",
             "created_by": "/bin/sh -c #(nop) COPY --chown=33:33multi in /a "},
        ],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("command", "entries"),
    [
        ("/bin/sh -c npm ci", []),
        ("|1 A=1 /bin/bash -c npm ci", []),
        ("/bin/sh -c #(nop) COPY dir:0 in /root/.cache ", ["root/.cache/a"]),
        ("/bin/bash -ec #(nop) WORKDIR /root/.cache/a", ["root/.cache/a"]),
    ],
)
def test_only_layers_of_run_lose_the_content_of_mounted_folders(
    command: str, entries: list[str], tmp_path: Path
) -> None:
    own = tar(tmp_path / "own", [("root/.cache/a", b"x")])
    history = [
        {"created_by": "ADD base.tar / # buildkit"}, {"created_by": "ENV A=1", "empty_layer": True},
        {"created_by": command}, {"created_by": "/bin/sh -c true", "empty_layer": True},
    ]  # fmt: skip
    config = oci.canonical({"history": history})

    _, files = reproducible.image(
        config, [("base", own), ("own", own)], RULES, tmp_path, kept={"base"}, dropped=()
    )

    (_, made) = files.values()
    with tarfile.open(made) as archive:
        assert archive.getnames() == entries


def test_a_configuration_that_keeps_the_address_of_the_build_is_refused(tmp_path: Path) -> None:
    config = configuration([], Env=[f"A=http://{ADDRESS}"])

    with pytest.raises(BuildError, match="in its configuration"):
        reproducible.image(config, [], RULES, tmp_path, kept=(), dropped=())


def test_the_paths_that_differ_are_named(tmp_path: Path) -> None:
    one = tar(tmp_path / "1", [("a", b"1"), ("b", b"1"), ("c", b"1")])
    other = tar(tmp_path / "2", [("a", b"1"), ("b", b"2"), ("d", b"1")])

    assert reproducible.differing([one], [other]) == ["/b", "/c", "/d"]


@pytest.mark.parametrize(
    ("created", "epoch"),
    [
        ("2023-11-14T22:13:20.123456789Z", EPOCH),
        ("2023-11-14T23:13:20+01:00", EPOCH),
        ("", 0),
        ("0001-01-01T00:00:00Z", 0),
    ],
)
def test_the_date_of_an_image_is_read(created: str, epoch: int) -> None:
    assert reproducible.epoch_of(created) == epoch
