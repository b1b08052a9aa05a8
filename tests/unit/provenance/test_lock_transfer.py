# SPDX-License-Identifier: Apache-2.0
"""lock --export and --import: all that a lock names, from one cache into another, whole or not at all."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import lzma
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import goldsmith
from goldsmith.core import cache, paths
from goldsmith.errors import HostError, ProvenanceError
from goldsmith.provenance import build_inputs, lock_archive, lock_transfer, lockfile, spec_lock
from goldsmith.provenance.build_inputs import BuildInputs
from goldsmith.provenance.lockfile import Lock
from goldsmith.spec import load
from goldsmith.spec.load import LoadedSpec
from goldsmith.spec.model import BaseImage, ContainerSpec, VerifySpec
from tests.support import installed, samples

SPEC = "name: mine\ndistribution: debian\nrelease: trixie\ncontainers: []\nkubelet: null\n"
INDEX, DEB, KUBELET = b"an index", b"a package", b"a program"
BUILD = "20260301T120000Z-nogit"


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


ENTRIES = {
    ("debian", sha(INDEX)): {"content": INDEX}, ("debian", sha(DEB)): {"content": DEB},
    ("download", sha(KUBELET)): {"kubelet": KUBELET}, ("allowed", "a" * 64): {},
    ("kubelet", "k" * 32): {"kubelet": KUBELET, "kubelet.json": b"{}"},
}  # fmt: skip
Entries = Mapping[tuple[str, str], dict[str, bytes]]


def keep(kind: str, key: str, files: dict[str, bytes]) -> Path:
    def fill(folder: Path) -> None:
        for name, data in files.items():
            (folder / name).write_bytes(data)

    return cache.cached(kind, key, fill)


def held() -> set[tuple[str, str]]:
    """The entries of the cache, and whatever else is in it."""
    root = paths.cache_root()
    found = (path for path in root.glob("*/*") if not path.name.endswith(".lock"))
    return {(path.parent.name, path.name) for path in found}


@pytest.fixture
def loaded(tmp_path: Path) -> LoadedSpec:
    path = tmp_path / "specs" / "mine.yaml.j2"
    path.parent.mkdir()
    path.write_text(SPEC)
    return load.load(str(path), {})


@pytest.fixture
def locked(loaded: LoadedSpec) -> Lock:
    """The lock beside the spec."""
    data: dict[str, Any] = {
        "schema": "goldsmith.lock", "version": 1, "name": "mine", "distribution": "debian",
        "release": "trixie", "arch": "amd64", "build": {"id": BUILD, "commit": "nogit"},
        "index": {"debian/dists/trixie/InRelease": {"sha256": sha(INDEX), "date": "today"}},
        **spec_lock.checkout(loaded), "kubelet": {"version": "1.35.4", "sha256": sha(KUBELET)},
        "containers": {"images": []},
        "packages": [{"name": "a", "version": "1", "architecture": "amd64", "sha256": sha(DEB)}],
    }  # fmt: skip
    made = Lock.parse(data, "mine.lock.yaml")
    lockfile.write(spec_lock.path_of(loaded), made)
    return made


@pytest.fixture
def out(tmp_path: Path, locked: Lock) -> Path:
    """The folder of a verified build with this lock; the cache has its inputs, and an entry of another."""
    folder = tmp_path / "out" / "mine" / BUILD
    samples.build(folder, build_id=BUILD, verification=samples.verdict(), commit="nogit")
    lockfile.write(folder / spec_lock.FILE, locked)
    for (kind, key), files in ENTRIES.items():
        keep(kind, key, files)
    keep("debian", sha(b"else"), {"content": b"else"})
    used = [entry for entry in ENTRIES if entry != ("debian", sha(INDEX))]
    BuildInputs.of(before=(), image=used).write(folder / build_inputs.FILE)
    return tmp_path / "out"


@pytest.fixture
def archive(loaded: LoadedSpec, out: Path, tmp_path: Path) -> Path:
    """The archive of the lock; the cache is empty, and the lock is gone."""
    target = tmp_path / "a.tar"
    lock_transfer.export(loaded, out, target)
    shutil.rmtree(paths.cache_root())
    spec_lock.path_of(loaded).unlink()
    return target


def test_an_empty_cache_gets_exactly_what_the_lock_names(loaded: LoadedSpec, archive: Path) -> None:
    done = lock_transfer.take_in(loaded, archive)

    assert held() == set(ENTRIES)
    assert (done.added, done.present) == (len(ENTRIES), 0)
    assert done.sha256 == sha(archive.read_bytes())
    for (kind, key), files in ENTRIES.items():
        assert cache.sealed(kind, key) == {name: sha(data) for name, data in files.items()}
    assert lockfile.read(spec_lock.path_of(loaded)).build.id == BUILD
    assert lock_transfer.take_in(loaded, archive).present == len(ENTRIES)


def test_the_answer_tells_what_the_archive_cannot_hold(loaded: LoadedSpec, out: Path, tmp_path: Path) -> None:
    done = lock_transfer.export(loaded, out, tmp_path / "b.tar")

    assert done.missing == ("the checkout, which is not in git", str(loaded.path))
    assert done.as_text().count("not in the archive: ") == 2
    assert (done.build, done.entries) == (BUILD, len(ENTRIES))


def test_two_exports_are_the_same_file(loaded: LoadedSpec, out: Path, archive: Path, tmp_path: Path) -> None:
    lock_transfer.take_in(loaded, archive)
    done = lock_transfer.export(loaded, out, tmp_path / "b.tar")
    assert done.sha256 == sha(archive.read_bytes())


def test_entries_that_are_there_stay_and_broken_ones_are_replaced(loaded: LoadedSpec, archive: Path) -> None:
    mine = keep("kubelet", "k" * 32, {"kubelet": b"mine"})
    broken = keep("debian", sha(DEB), {"content": DEB})
    (broken / "content").write_bytes(b"broken")
    other = keep("debian", sha(b"else"), {"content": b"else"})

    done = lock_transfer.take_in(loaded, archive)

    assert (done.added, done.present) == (len(ENTRIES) - 1, 1)
    assert (mine / "kubelet").read_bytes() == b"mine"
    assert (broken / "content").read_bytes() == DEB
    assert other.exists()


@pytest.mark.parametrize("place", [700, -12000])
def test_nothing_is_written_of_a_damaged_archive(loaded: LoadedSpec, archive: Path, place: int) -> None:
    data = bytearray(archive.read_bytes())
    data[place] ^= 1
    archive.write_bytes(data)

    with pytest.raises(ProvenanceError):
        lock_transfer.take_in(loaded, archive)

    assert held() == set()
    assert not spec_lock.path_of(loaded).exists()


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt(), OSError(5, "bad")])
def test_a_failed_import_leaves_nothing_of_itself(
    loaded: LoadedSpec, archive: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    keep("debian", sha(b"else"), {"content": b"else"})
    unpack, calls = lock_archive.OpenedArchive.unpack, []

    def failing(*words: Any) -> None:
        calls.append(words)
        if len(calls) == 4:  # the lock, and two files of entries, went well
            raise failure
        unpack(*words)

    monkeypatch.setattr(lock_archive.OpenedArchive, "unpack", failing)
    with pytest.raises(HostError if failure.args[:1] == (errno.ENOSPC,) else type(failure)):
        lock_transfer.take_in(loaded, archive)

    assert held() == {("debian", sha(b"else"))}
    assert not spec_lock.path_of(loaded).exists()


def test_a_disk_without_room_is_named_before_anything_is_written(
    loaded: LoadedSpec, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(paths.cache_root().parent)._replace(free=1 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(HostError, match=r"needs 64.0 MiB in .*, which has 1.0 MiB"):
        lock_transfer.take_in(loaded, archive)
    assert held() == set()


def test_the_archive_of_another_spec_is_refused(loaded: LoadedSpec, archive: Path, tmp_path: Path) -> None:
    other = tmp_path / "specs" / "other.yaml.j2"
    other.write_text(SPEC.replace("mine", "other"))
    with pytest.raises(ProvenanceError, match="is the archive of mine, not of other") as e:
        lock_transfer.take_in(load.load(str(other), {}), archive)
    assert "lock mine --import" in (e.value.hint or "")


def test_another_checkout_is_refused_with_the_differences(loaded: LoadedSpec, archive: Path) -> None:
    loaded.path.write_text(SPEC + "packages: [vim]\n")
    with pytest.raises(ProvenanceError, match=r"(?s)the checkout differs from the lock in .*spec ") as e:
        lock_transfer.take_in(load.load(str(loaded.path), {}), archive)
    assert BUILD in (e.value.hint or "")
    assert held() == set()


def test_another_lock_beside_the_spec_stays(loaded: LoadedSpec, archive: Path) -> None:
    spec_lock.path_of(loaded).write_text("mine")
    with pytest.raises(ProvenanceError, match=r"mine.lock.yaml differs from the lock in"):
        lock_transfer.take_in(loaded, archive)
    assert spec_lock.path_of(loaded).read_text() == "mine"
    assert held() == set()


def forge(loaded: LoadedSpec, out: Path, target: Path, entries: Entries) -> None:
    """An archive with these entries, as a forger writes it: all of its sums are right."""
    for (kind, key), files in entries.items():
        keep(kind, key, files)
    BuildInputs.of(before=(), image=entries).write(out / "mine" / BUILD / build_inputs.FILE)
    lock_transfer.export(loaded, out, target)
    shutil.rmtree(paths.cache_root())


def refuse(loaded: LoadedSpec, archive: Path, message: str) -> None:
    """The import fails with this message, and the cache stays empty."""
    with pytest.raises(ProvenanceError, match=message):
        lock_transfer.take_in(loaded, archive)
    assert held() == set()


@pytest.mark.parametrize("kind", ["debian", "download", "registry", "registry-manifest", "kubelet"])
def test_content_under_the_hash_of_other_content_is_refused(
    loaded: LoadedSpec, out: Path, tmp_path: Path, kind: str
) -> None:
    name = {"debian": "content", "kubelet": "kubelet"}.get(kind, "manifest.json")
    forge(loaded, out, tmp_path / "a.tar", {(kind, "9" * 64): {name: b"forged"}})
    refuse(loaded, tmp_path / "a.tar", f"holds something else as {kind}/9999")


GOOD = b"good"


@pytest.mark.parametrize(
    ("kind", "files"),
    [
        ("download", {"z.qcow2": GOOD, "a.qcow2": b"evil"}), ("download", {}),
        ("debian", {}), ("debian", {"other": GOOD}), ("debian", {"content": GOOD, "more": b"evil"}),
        ("registry-manifest", {"content": GOOD}), ("registry-manifest", {"manifest.json": GOOD, "a": GOOD}),
        ("registry", {}), ("registry", {"manifest.json": GOOD, "b" * 64: b"evil"}),
        ("registry", {"manifest.json": GOOD, sha(GOOD): GOOD, "version": b"evil"}), ("kubelet", {}),
    ],
)  # fmt: skip
def test_an_entry_has_exactly_the_files_that_its_key_names(
    loaded: LoadedSpec, out: Path, tmp_path: Path, kind: str, files: dict[str, bytes]
) -> None:
    forge(loaded, out, tmp_path / "a.tar", {(kind, sha(GOOD)): files})
    refuse(loaded, tmp_path / "a.tar", f"holds something else as {kind}/{sha(GOOD)}")


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("download", "other.qcow2"), ("debian", "content"), ("registry", "manifest.json"),
        ("registry-manifest", "manifest.json"),
    ],
)  # fmt: skip
def test_an_entry_that_the_lock_does_not_name_is_refused(
    loaded: LoadedSpec, out: Path, tmp_path: Path, kind: str, name: str
) -> None:
    forge(loaded, out, tmp_path / "a.tar", {(kind, sha(GOOD)): {name: GOOD}})
    refuse(loaded, tmp_path / "a.tar", f"holds {kind}/{sha(GOOD)}, which its lock does not name")


def test_a_package_that_the_locked_index_lists_may_come(
    loaded: LoadedSpec, out: Path, locked: Lock, tmp_path: Path
) -> None:
    """Also one that the image no longer has; others not."""
    listed = lzma.compress(f"Package: a\nSHA256: {sha(GOOD)}\n".encode())
    index = f"SHA256:\n {sha(listed)} {len(listed)} main/binary-amd64/Packages.xz\n".encode()
    about = {"debian/dists/trixie/InRelease": {"sha256": sha(index), "date": "today"}}
    for path in (spec_lock.path_of(loaded), out / "mine" / BUILD / spec_lock.FILE):
        lockfile.write(path, dataclasses.replace(locked, index=about))
    mine = {("debian", sha(data)): {"content": data} for data in (index, listed, GOOD)}

    forge(loaded, out, tmp_path / "a.tar", mine)
    lock_transfer.take_in(loaded, tmp_path / "a.tar")

    assert held() == set(mine)
    forge(loaded, out, tmp_path / "b.tar", {**mine, ("debian", sha(b"evil")): {"content": b"evil"}})
    refuse(loaded, tmp_path / "b.tar", f"holds debian/{sha(b'evil')}, which its lock does not name")


def test_images_of_a_registry_come_whole_or_not_at_all(
    loaded: LoadedSpec, out: Path, locked: Lock, tmp_path: Path
) -> None:
    blobs = {sha(data): data for data in (b"a config", b"a layer")}
    config, layer = ({"digest": f"sha256:{digest}", "size": 9} for digest in blobs)
    image = json.dumps({"schemaVersion": 2, "config": config, "layers": [layer]}).encode()
    index = json.dumps({"schemaVersion": 2, "manifests": [{"digest": f"sha256:{sha(image)}"}]}).encode()
    pinned = ContainerSpec(ref="a.test/app:1", registry=f"a.test/app@sha256:{sha(index)}")
    loaded = dataclasses.replace(loaded, spec=dataclasses.replace(loaded.spec, containers=(pinned,)))
    changed = dataclasses.replace(locked, elements=spec_lock.checkout(loaded)["elements"])
    for path in (spec_lock.path_of(loaded), out / "mine" / BUILD / spec_lock.FILE):
        lockfile.write(path, changed)
    mine = {
        ("registry-manifest", sha(index)): {"manifest.json": index},
        ("registry", sha(image)): {"manifest.json": image, "signature-1": b"s", **blobs},
    }

    forge(loaded, out, tmp_path / "a.tar", mine)
    lock_transfer.take_in(loaded, tmp_path / "a.tar")

    assert held() == {*mine, ("debian", sha(INDEX))}
    shutil.rmtree(paths.cache_root())
    keep("debian", sha(INDEX), {"content": INDEX})
    del mine["registry", sha(image)][sha(b"a layer")]
    forge(loaded, out, tmp_path / "b.tar", mine)
    refuse(loaded, tmp_path / "b.tar", f"does not hold all of registry/{sha(image)}")


def test_without_a_build_that_has_its_inputs_an_export_says_what_to_run(
    loaded: LoadedSpec, out: Path, locked: Lock, tmp_path: Path
) -> None:
    (folder,) = (out / "mine").iterdir()
    moved = dataclasses.replace(locked, index={})
    for harm in ("index", "inputs", "verdict", "all"):
        if harm == "index":
            lockfile.write(folder / spec_lock.FILE, moved)
        elif harm == "inputs":
            lockfile.write(folder / spec_lock.FILE, locked)
            (folder / build_inputs.FILE).rename(folder / "kept")
        elif harm == "verdict":
            (folder / "kept").rename(folder / build_inputs.FILE)
            (folder / "manifest.json").write_text(
                json.dumps(samples.manifest(verification=samples.verdict(result="failed")))
            )
        else:
            shutil.rmtree(out)
        with pytest.raises(ProvenanceError, match=r"no verified build in .* has the inputs") as e:
            lock_transfer.export(loaded, out, tmp_path / "b.tar")
        assert "build-image mine --locked" in (e.value.hint or "")
    assert not (tmp_path / "b.tar").exists()


def test_an_entry_that_the_cache_lost_is_named(loaded: LoadedSpec, out: Path, tmp_path: Path) -> None:
    shutil.rmtree(paths.cache_root() / "download")
    with pytest.raises(ProvenanceError, match=f"the cache no longer has download/{sha(KUBELET)}"):
        lock_transfer.export(loaded, out, tmp_path / "b.tar")
    assert not (tmp_path / "b.tar").exists()


def test_images_of_an_engine_cannot_be_exported(loaded: LoadedSpec, out: Path, tmp_path: Path) -> None:
    spec = dataclasses.replace(loaded.spec, containers=(ContainerSpec(ref="a.test/app:1"),))
    with pytest.raises(ProvenanceError, match=r"images of this host's Docker engine: a\.test/app:1"):
        lock_transfer.export(dataclasses.replace(loaded, spec=spec), out, tmp_path / "b.tar")


@pytest.mark.parametrize("line", ["FROM debian:13", "COPY --from=debian:13 /a /b"])
def test_images_that_are_from_those_of_an_engine_cannot_be_exported(
    loaded: LoadedSpec, out: Path, tmp_path: Path, line: str
) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "Dockerfile").write_text(f"FROM a.test/b@sha256:{'1' * 64}\n{line}\n")
    spec = dataclasses.replace(
        loaded.spec, containers=(ContainerSpec(ref="a.test/app:1", build=str(tmp_path / "app")),)
    )
    with pytest.raises(ProvenanceError, match=r"engine: debian:13 \(.*/app/Dockerfile:2\)"):
        lock_transfer.export(dataclasses.replace(loaded, spec=spec), out, tmp_path / "b.tar")


def test_all_that_lies_outside_of_the_checkout_is_listed(
    loaded: LoadedSpec, out: Path, tmp_path: Path
) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "Dockerfile").write_text("FROM scratch\nCOPY a /\n")
    for name in ("a.pub", "ring.gpg"):
        (tmp_path / name).write_text("a key")
    (tmp_path / "policy.yaml").write_text("registries: {a.test: {sigstore-key: a.pub}}\n")
    spec = dataclasses.replace(
        loaded.spec, policy=str(tmp_path / "policy.yaml"),
        containers=(ContainerSpec(ref="a.test/app:1", build=str(tmp_path / "app")),),
        base_image=BaseImage(url="https://a.test/i", sha256="1" * 64, keyring=str(tmp_path / "ring.gpg")),
        verify=VerifySpec(tests=(str(tmp_path / "tests"),)),
    )  # fmt: skip

    done = lock_transfer.export(dataclasses.replace(loaded, spec=spec), out, tmp_path / "b.tar")

    named = [tmp_path / name for name in ("app", "policy.yaml", "a.pub", "ring.gpg", "tests")]
    assert done.missing[1:] == tuple(str(path) for path in (loaded.path, *named))


def test_an_installed_goldsmith_is_listed_instead_of_its_files(
    loaded: LoadedSpec, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed.pretend(tmp_path, monkeypatch)
    shipped = dataclasses.replace(loaded, elements=(paths.shipped("elements"),))

    done = lock_transfer.export(shipped, out, tmp_path / "b.tar")

    version = f"goldsmith {goldsmith.__version__}, which has to be installed where the archive goes"
    assert done.missing[1:] == (version, str(loaded.path))


def test_packages_count_for_the_image_stage_and_tools_for_none() -> None:
    before = [("debian", "of-a-container"), ("bundle", "b"), ("go", "g"), ("layer", "l"), ("kubelet", "k")]
    made = BuildInputs.of(before=before, image=[("debian", "of-the-image"), ("secret-scan", "s")])
    assert [(each.kind, each.key) for each in made.entries] == [
        ("bundle", "b"), ("debian", "of-the-image"), ("kubelet", "k"),
    ]  # fmt: skip
