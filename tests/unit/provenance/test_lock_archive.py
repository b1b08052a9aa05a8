# SPDX-License-Identifier: Apache-2.0
"""The archive of a lock: the same bytes each time, and only a whole one that nobody changed is read."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from goldsmith.core import locks
from goldsmith.errors import HostError, ProvenanceError, SpecError
from goldsmith.provenance import lock_archive
from goldsmith.provenance.lock_archive import ArchivedEntry, ArchivedFile, LockArchive

CONTENT = {
    "lock.yaml": b"a lock\n",
    "checkout.bundle": b"# v2 git bundle\n" * 100,
    f"cache/debian/{'a' * 64}/content": b"x" * 5000,
    f"cache/registry/{'b' * 64}/{'c' * 64}": b"",  # a name of more than 100 characters
    f"cache/download/{'d' * 64}/{'e' * 120}": b"y" * 512,
}


def file(data: bytes) -> ArchivedFile:
    return ArchivedFile(size=len(data), sha256=hashlib.sha256(data).hexdigest())


def listed(*more: ArchivedEntry) -> LockArchive:
    found = [name.split("/")[1:] for name in CONTENT if name.startswith("cache/")]
    entries = [
        ArchivedEntry(kind=kind, key=key, files={path: file(CONTENT[f"cache/{kind}/{key}/{path}"])})
        for kind, key, path in found
    ]
    return LockArchive(
        lock=file(CONTENT["lock.yaml"]), checkout=file(CONTENT["checkout.bundle"]),
        entries=(ArchivedEntry(kind="allowed", key="f" * 64, files={}), *entries, *more),
    )  # fmt: skip


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, Path]:
    found = {}
    for number, (name, data) in enumerate(CONTENT.items()):
        found[name] = tmp_path / "sources" / str(number)
        found[name].parent.mkdir(exist_ok=True)
        found[name].write_bytes(data)
    return found


@pytest.fixture
def archive(tmp_path: Path, sources: dict[str, Path]) -> Path:
    lock_archive.write(tmp_path / "a.tar", listed(), sources)
    return tmp_path / "a.tar"


def test_only_what_a_killed_export_of_the_same_file_left_is_removed(
    archive: Path, tmp_path: Path, sources: dict[str, Path]
) -> None:
    begun = archive.read_bytes()[:2000]
    names = (".b.tar.killed_1", ".b.tar.living_1", ".b.tar.empty__1", ".b.tar.keep", ".c.tar.killed_1")
    for name in names:
        (tmp_path / name).write_bytes(b"" if "empty" in name else begun)
    (tmp_path / ".b.tar.linked_1").symlink_to(archive)

    with locks.locked(tmp_path / ".b.tar.living_1"):
        lock_archive.write(tmp_path / "b.tar", listed(), sources)

    left = {path.name for path in tmp_path.glob(".*")}
    assert left == {*names[1:], ".b.tar.linked_1"}
    assert (tmp_path / "b.tar").read_bytes() == archive.read_bytes()


def test_an_export_holds_a_lock_while_it_writes(
    tmp_path: Path, sources: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[bool] = []

    def write_members(*_: object) -> None:
        held.extend(locks.is_held(path) for path in tmp_path.glob(".a.tar.*"))

    monkeypatch.setattr(lock_archive, "_write_members", write_members)
    lock_archive.write(tmp_path / "a.tar", listed(), sources)
    assert held == [True]


def test_what_was_written_is_read_and_its_hash_is_given(
    archive: Path, tmp_path: Path, sources: dict[str, Path]
) -> None:
    opened = lock_archive.read(archive)

    assert opened.listed == listed()
    assert opened.sha256 == hashlib.sha256(archive.read_bytes()).hexdigest()
    for name, member in opened.listed.members():
        opened.unpack(name, member, tmp_path / "out")
        assert (tmp_path / "out").read_bytes() == CONTENT[name]
        (tmp_path / "out").unlink()


def test_the_same_content_gives_the_same_bytes(archive: Path, sources: dict[str, Path]) -> None:
    again = archive.with_name("b.tar")
    for path in sources.values():
        os.utime(path, (1, 1))
        path.chmod(0o600)

    assert lock_archive.write(again, listed(), sources) == hashlib.sha256(archive.read_bytes()).hexdigest()
    assert again.read_bytes() == archive.read_bytes()


def test_plain_tar_unpacks_it(archive: Path) -> None:
    with tarfile.open(archive) as plain:
        found = {each.name: plain.extractfile(each).read() for each in plain}  # type: ignore[union-attr]

    sum_, name = found.pop("archive.json.sha256").decode().split()
    assert (sum_, name) == (hashlib.sha256(found.pop("archive.json")).hexdigest(), "archive.json")
    assert found == CONTENT


def test_a_change_of_any_byte_is_found(archive: Path) -> None:
    """Every 37th byte, the first ones, and those at the end: headers, list, content and padding."""
    data = archive.read_bytes()
    places = [*range(0, len(data), 37), *range(300), *range(len(data) - 600, len(data), 7)]
    for place in places:
        changed = bytearray(data)
        changed[place] ^= 0x41
        archive.write_bytes(changed)
        with pytest.raises(ProvenanceError):
            lock_archive.read(archive)


def test_an_archive_that_is_cut_off_or_longer_is_refused(archive: Path) -> None:
    data = archive.read_bytes()
    for size in (*range(1, 2000, 211), *range(2000, len(data), 1009), len(data) - 1):
        archive.write_bytes(data[:size])
        with pytest.raises(ProvenanceError, match=r"is cut off|is no archive"):
            lock_archive.read(archive)
    archive.write_bytes(data + b"\0")
    with pytest.raises(ProvenanceError, match="at its end"):
        lock_archive.read(archive)


def _tar(*members: tarfile.TarInfo) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as made:
        for each in members:
            made.addfile(each, io.BytesIO(bytes(each.size)))
    return target.getvalue()


def _member(name: str, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname = kind, "/etc/passwd" if kind != tarfile.REGTYPE else ""
    return found


@pytest.mark.parametrize(
    "data",
    [
        b"", b"hello", bytes(10240), b"\x1f\x8b" + bytes(1000), _tar(_member("lock.yaml")),
        _tar(_member("archive.json", tarfile.SYMTYPE)), _tar(_member("/archive.json")),
        _tar(_member("archive.json", tarfile.CHRTYPE)),
    ],
)  # fmt: skip
def test_a_foreign_file_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "f").write_bytes(data)
    with pytest.raises(ProvenanceError, match="is no archive of a lock"):
        lock_archive.read(tmp_path / "f")


@pytest.mark.parametrize("name", ["absent", "folder"])
def test_what_is_no_file_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(SpecError, match=f"cannot read .*{name}: "):
        lock_archive.read(tmp_path / name)


def rewritten(archive: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the list and make its sum right again, as a forger would."""
    with tarfile.open(archive) as plain:
        found = [(each.name, plain.extractfile(each).read()) for each in plain]  # type: ignore[union-attr]
    data = json.loads(found[0][1])
    change(data)
    text = json.dumps(data).encode()
    found[0:2] = [("archive.json", text), ("archive.json.sha256", lock_archive._sum(text))]
    body = b"".join(
        lock_archive._header(name, len(each)) + each + lock_archive._padding(len(each))
        for name, each in found
    )
    archive.write_bytes(body + lock_archive._end(len(body)))


def test_the_forgers_tool_of_these_tests_writes_what_is_read(archive: Path) -> None:
    rewritten(archive, lambda _: None)
    assert lock_archive.read(archive).listed == listed()


def test_an_archive_of_a_newer_version_is_refused_with_what_to_do(archive: Path) -> None:
    rewritten(archive, lambda data: data.update(version=2))
    with pytest.raises(ProvenanceError, match="has version 2") as e:
        lock_archive.read(archive)
    assert "newer" in (e.value.hint or "")


NAMES = (
    "../x", "a/../../x", "/etc/x", "", ".", "..", "a//b", ".files.json", "a/.hidden", "a\nb", "a\0b", "a\\b",
    "x" * 256,
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("field", ["path", "key", "kind"])
def test_names_that_leave_the_cache_are_refused_though_the_sums_are_right(
    archive: Path, name: str, field: str
) -> None:
    def change(data: dict[str, Any]) -> None:
        entry = {"kind": "allowed", "key": "e" * 64, "files": {}}
        if field == "path":
            entry["files"] = {name: {"size": 0, "sha256": hashlib.sha256(b"").hexdigest()}}
        else:
            entry[field] = name
        data["entries"].append(entry)

    rewritten(archive, change)

    with pytest.raises(ProvenanceError, match="that no cache has"):
        lock_archive.read(archive)


@pytest.mark.parametrize(
    ("kind", "key"), [("environments", "e"), ("accelerator", "e"), ("allowed", "f" * 64)]
)
def test_kinds_that_no_export_writes_and_doubles_are_refused(archive: Path, kind: str, key: str) -> None:
    rewritten(archive, lambda data: data["entries"].append({"kind": kind, "key": key, "files": {}}))
    with pytest.raises(ProvenanceError, match="that no cache has"):
        lock_archive.read(archive)


def test_an_existing_file_stays(archive: Path, sources: dict[str, Path]) -> None:
    before = archive.read_bytes()
    with pytest.raises(SpecError, match="exists already"):
        lock_archive.write(archive, listed(), sources)
    assert archive.read_bytes() == before


def _interrupt(*_: object) -> Iterator[None]:
    raise KeyboardInterrupt


def test_an_interrupted_export_leaves_no_file(
    tmp_path: Path, sources: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", _interrupt)
    (tmp_path / "to").mkdir()
    with pytest.raises(KeyboardInterrupt):
        lock_archive.write(tmp_path / "to/a.tar", listed(), sources)
    assert list((tmp_path / "to").iterdir()) == []


def test_a_full_disk_is_named_and_no_file_is_left(
    tmp_path: Path, sources: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    (tmp_path / "to").mkdir()
    with pytest.raises(HostError, match=f"the disk of {tmp_path}/to is full") as e:
        lock_archive.write(tmp_path / "to/a.tar", listed(), sources)
    assert "--export" in (e.value.hint or "")
    assert list((tmp_path / "to").iterdir()) == []


def test_a_source_that_changes_meanwhile_is_noticed(tmp_path: Path, sources: dict[str, Path]) -> None:
    sources["lock.yaml"].write_bytes(b"a LOCK\n")
    with pytest.raises(ProvenanceError, match="changed while it was written"):
        lock_archive.write(tmp_path / "a.tar", listed(), sources)
    assert not (tmp_path / "a.tar").exists()


def test_a_folder_that_is_missing_is_named(tmp_path: Path, sources: dict[str, Path]) -> None:
    with pytest.raises(HostError, match=f"cannot write to {tmp_path}/no"):
        lock_archive.write(tmp_path / "no/a.tar", listed(), sources)
