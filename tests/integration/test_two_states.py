# SPDX-License-Identifier: Apache-2.0
"""Build from a lock after a signed repository has changed: packages from the cache, and missing ones.

Real gpg, gpgv, dpkg-deb and apt; the repository is on loopback, its packages are stubs.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from goldsmith.apt import indexes, proxy, store
from goldsmith.apt.indexes import IndexState
from goldsmith.apt.mirror import Mirrors
from goldsmith.core import cache, paths, proc
from goldsmith.errors import BuildError, CommandError
from goldsmith.image import dib_plan
from goldsmith.image.dib_plan import Inputs
from goldsmith.provenance import build_inputs, lock_transfer, lockfile, outdated, spec_lock
from goldsmith.provenance.build_inputs import BuildInputs
from goldsmith.provenance.lockfile import Lock, LockedBuild, LockedContainers, LockedPackage
from goldsmith.spec import load
from goldsmith.spec.load import LoadedSpec
from goldsmith.spec.model import Distribution, ImageSpec
from tests.support import samples
from tests.support.apt_repository import SUITE, Repository
from tests.support.gnupg import Gpg, gpg_home

pytestmark = pytest.mark.integration

FIRST = {"goes": "1.0+u1", "moves": "1.0+u1~2", "stays": "1.0+b1"}
SECOND = {"moves": "2.0", "stays": "1.0+b1"}
SPEC = f"name: locked\ndistribution: debian\nrelease: {SUITE}\ncontainers: []\nkubelet: null\n"

Apt = Callable[..., Path]


@pytest.fixture
def gpg() -> Iterator[Gpg]:
    with gpg_home("Archive of a test <archive@test.invalid>") as gpg:
        yield gpg


@pytest.fixture
def repository(gpg: Gpg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """A repository in its first state."""
    made = Repository(tmp_path / "r", gpg)
    made.publish(FIRST)
    monkeypatch.setattr(indexes, "KEYRING", made.keyring)
    monkeypatch.setenv("GOLDSMITH_CACHE", str(tmp_path / "cache"))
    return made


@pytest.fixture
def mirrors(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirrors]:
    with repository.served() as served:
        monkeypatch.setenv("GOLDSMITH_DEBIAN_MIRROR", served.debian)
        monkeypatch.setenv("GOLDSMITH_DEBIAN_SECURITY_MIRROR", served.security)
        yield served


@pytest.fixture
def apt(repository: Repository, tmp_path: Path) -> Apt:
    """apt(ADDRESS, NAME, ...): download packages as a build does; return their folder."""

    def download(address: str, *names: str) -> Path:
        root = tmp_path / "apt"
        shutil.rmtree(root, ignore_errors=True)
        for folder in ("etc/apt/preferences.d", "var/lib/apt/lists/partial", "var/cache/apt/archives/partial",
                       "var/lib/dpkg", "got"):  # fmt: skip
            (root / folder).mkdir(parents=True)
        (root / "var/lib/dpkg/status").touch()
        signed = f"[arch=amd64 signed-by={repository.keyring}]"
        (root / "etc/apt/sources.list").write_text(f"deb {signed} {address}/debian {SUITE} main\n")
        options = ("-o", f"Dir={root}", "-o", f"Dir::State::status={root}/var/lib/dpkg/status",
                   "-o", "APT::Sandbox::User=root")  # fmt: skip
        env = proc.environment({"no_proxy": "127.0.0.1", "PATH": os.environ["PATH"]})
        log = tmp_path / "apt.log"
        proc.run(["apt-get", *options, "update"], log_path=log, env=env, timeout_s=60)
        proc.run(
            ["apt-get", *options, "download", *names], log_path=log, env=env, cwd=root / "got", timeout_s=60
        )
        return root / "got"

    return download


@pytest.fixture
def loaded(tmp_path: Path) -> LoadedSpec:
    path = tmp_path / "locked.yaml.j2"
    path.write_text(SPEC)
    return load.load(str(path), {})


def lock(loaded: LoadedSpec, state: IndexState, repository: Repository) -> Lock:
    """The lock of a build with every package of the first state."""
    parts = spec_lock.checkout(loaded)
    made = Lock(
        name="locked", distribution="debian", release=SUITE, arch="amd64",
        build=LockedBuild(id="one", commit="nogit"),
        index={path: indexes.about(text, path) for path, text in state.releases.items()},
        spec=parts["spec"], python=parts["python"], elements=parts["elements"], base_image=None,
        contexts=parts["contexts"], kubelet=None, containers=LockedContainers.of(None),
        packages=tuple(
            LockedPackage(
                name=name, version=version, architecture="amd64", sha256=repository.sha256(name, version)
            )
            for name, version in FIRST.items()
        ),
    )  # fmt: skip
    lockfile.write(spec_lock.path_of(loaded), made)
    return lockfile.read(spec_lock.path_of(loaded))


def test_locked_packages_come_from_the_cache(
    repository: Repository, mirrors: Mirrors, loaded: LoadedSpec, apt: Apt
) -> None:
    state = spec_lock.index_states(loaded.spec, None)[SUITE]
    with proxy.serve(mirrors, state, "amd64") as address:
        apt(address, *FIRST)
    locked = lock(loaded, state, repository)
    assert outdated.find(loaded).moved == ()
    repository.publish(SECOND)

    moved = {(move.what, move.locked, move.found) for move in outdated.find(loaded).moved}
    before, today = (spec_lock.index_states(loaded.spec, which)[SUITE] for which in (locked, None))
    with proxy.serve(mirrors, before, "amd64") as address:
        kept = sorted(path.name for path in apt(address, *FIRST).iterdir())
    with proxy.serve(mirrors, today, "amd64") as address:
        news = sorted(path.name for path in apt(address, *SECOND).iterdir())

    assert moved == {
        ("goes:amd64", "1.0+u1", outdated.GONE),
        ("moves:amd64", "1.0+u1~2", f"2.0 ({outdated.GONE})"),
    }
    assert kept == ["goes_1.0+u1_amd64.deb", "moves_1.0+u1~2_amd64.deb", "stays_1.0+b1_amd64.deb"]
    assert news == ["moves_2.0_amd64.deb", "stays_1.0+b1_amd64.deb"]


def test_another_machine_installs_what_was_exported_without_a_mirror(
    repository: Repository,
    mirrors: Mirrors,
    loaded: LoadedSpec,
    apt: Apt,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state = spec_lock.index_states(loaded.spec, None)[SUITE]
    with cache.recorded() as used, proxy.serve(mirrors, state, "amd64") as address:
        apt(address, *FIRST)
    folder = tmp_path / "out" / "locked" / samples.BUILD_ID
    samples.build(folder, verification=samples.verdict())
    lockfile.write(folder / spec_lock.FILE, lock(loaded, state, repository))
    BuildInputs.of(before=(), image=used).write(folder / build_inputs.FILE)

    lock_transfer.export(loaded, tmp_path / "out", tmp_path / "locked.tar")
    spec_lock.path_of(loaded).unlink()
    monkeypatch.setenv("GOLDSMITH_CACHE", str(tmp_path / "other"))
    lock_transfer.take_in(loaded, tmp_path / "locked.tar")
    locked = lockfile.read(spec_lock.path_of(loaded))
    nowhere = Mirrors(debian="http://mirror.invalid", security="http://mirror.invalid")
    with proxy.serve(nowhere, spec_lock.index_states(loaded.spec, locked)[SUITE], "amd64") as address:
        kept = sorted(path.name for path in apt(address, *FIRST).iterdir())

    assert kept == ["goes_1.0+u1_amd64.deb", "moves_1.0+u1~2_amd64.deb", "stays_1.0+b1_amd64.deb"]


def test_locked_packages_that_are_nowhere_are_named(
    repository: Repository, mirrors: Mirrors, loaded: LoadedSpec, apt: Apt
) -> None:
    state = spec_lock.index_states(loaded.spec, None)[SUITE]
    locked = lock(loaded, state, repository)
    with proxy.serve(mirrors, state, "amd64") as address:
        apt(address, "stays")
    repository.publish(SECOND)
    before = spec_lock.index_states(loaded.spec, locked)[SUITE]

    with (
        pytest.raises(BuildError, match="2 files of the package index are neither on the mirror") as e,
        proxy.serve(mirrors, before, "amd64") as address,
    ):
        apt(address, *FIRST)

    assert "goes_1.0+u1_amd64.deb" in str(e.value)
    assert "stays_1.0+b1_amd64.deb" not in str(e.value)


@pytest.fixture
def bootstrap(repository: Repository, tmp_path: Path) -> Callable[[str, IndexState], Path]:
    """bootstrap(ADDRESS, STATE): unpack a package into a root as diskimage-builder does."""

    def unpack(address: str, state: IndexState) -> Path:
        spec = ImageSpec(name="a", distribution=Distribution.debian, release=SUITE, containers=())
        inputs = Inputs(
            elements=tmp_path, identity=tmp_path, scratch=tmp_path, debian_mirror=f"{address}/debian",
            pinned_index=state.pinned,
        )  # fmt: skip
        extra = dib_plan.plan(spec, inputs).env.get("DIB_MMDEBSTRAP_EXTRA_ARGS", "")
        root = tmp_path / "root"
        words = f"--variant=extract --keyring={repository.keyring} {extra} --include=stays --format=directory"
        line = f"mmdebstrap --quiet --mode=root {words} {SUITE} {root} {address}/debian"
        proc.run(["sh", "-c", line], log_path=tmp_path / "log", timeout_s=60)
        return root

    return unpack


def test_an_index_that_has_expired_since_it_was_locked_installs_and_no_other(
    repository: Repository,
    mirrors: Mirrors,
    loaded: LoadedSpec,
    bootstrap: Callable[[str, IndexState], Path],
    tmp_path: Path,
) -> None:
    repository.publish(FIRST, valid_s=-60)
    expired = IndexState(
        releases={path: (repository.folder / path).read_bytes() for path in indexes.paths_of(SUITE)}
    )
    store.keep(expired)  # as it was done when it was valid

    locked = spec_lock.index_states(loaded.spec, lock(loaded, expired, repository))[SUITE]
    with proxy.serve(mirrors, locked, "amd64") as address:
        root = bootstrap(address, locked)
        source = f"deb [signed-by={repository.keyring}] {address}/debian {SUITE} main\n"
        (root / "etc/apt/sources.list").write_text(source)
        (tmp_path / "apt.conf").write_text(f'Dir "{root}"; APT::Sandbox::User "root";')
        env = proc.environment({"APT_CONFIG": str(tmp_path / "apt.conf")})
        proc.run(["apt-get", "update"], log_path=tmp_path / "log", env=env, timeout_s=60)
        with pytest.raises(CommandError, match="expired"):
            bootstrap(address, expired)
    with pytest.raises(BuildError, match=f"Debian's index debian/dists/{SUITE}/InRelease expired on"):
        spec_lock.index_states(loaded.spec, None)


def test_an_index_signed_by_another_key_is_refused(
    repository: Repository, mirrors: Mirrors, loaded: LoadedSpec, tmp_path: Path
) -> None:
    with gpg_home("Another archive <another@test.invalid>") as another:
        foreign = Repository(tmp_path / "foreign", another)
        foreign.publish(FIRST)
    shutil.copytree(foreign.folder, repository.folder, dirs_exist_ok=True)

    with pytest.raises(BuildError, match=r"the signature of .* is not valid"):
        spec_lock.index_states(loaded.spec, None)
    assert not (paths.cache_root() / "debian").exists()


def test_without_the_locked_index_the_current_one_is_used(
    repository: Repository, mirrors: Mirrors, loaded: LoadedSpec
) -> None:
    state = spec_lock.index_states(loaded.spec, None)[SUITE]
    locked = lock(loaded, state, repository)
    shutil.rmtree(paths.cache_root())
    repository.publish(SECOND)

    now = spec_lock.index_states(loaded.spec, locked)[SUITE]

    assert now.releases != state.releases
