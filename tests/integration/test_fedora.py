# SPDX-License-Identifier: Apache-2.0
"""Build a Fedora image on a stand-in for Fedora (tests/support/fedora_root.py), and test it offline."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import yaml

from goldsmith.containers.images_lock import ImagesLock
from goldsmith.core import download, files, paths, proc, reaper, runs
from goldsmith.core.runs import Run
from goldsmith.errors import BuildError, CommandError, HostError
from goldsmith.host import partitions
from goldsmith.image import build_info, dib, dib_plan, mount
from goldsmith.image.build_info import Identity
from goldsmith.kubernetes.kubelet import KubeletRecord
from goldsmith.scan import sbom, secret_scanner, secrets
from goldsmith.spec import load
from goldsmith.verify.expectations import Expectations
from tests.support import fedora_root, samples

pytestmark = pytest.mark.integration

PAUSE = "goldsmith.local/pause:1"
ROOT = paths.project_root()


@dataclass(frozen=True, kw_only=True, slots=True)
class StandIn:
    """A package repository, served from where `served` points, and a cloud image of its packages."""

    repository: fedora_root.Repository
    served: Path
    image: Path
    filesystem: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Built:
    image: Path
    log: str
    packages: dict[str, Any]
    expect: Path


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("GOLDSMITH_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    with runs.run() as made:
        yield made
        assert not reaper.mounts(made.folder)
        assert not reaper.loop_devices(made.folder)
        assert not reaper.processes(made.folder)


@pytest.fixture(scope="module")
def stand_in(run: Run) -> Iterator[StandIn]:
    folder = run.folder / "fedora"
    folder.mkdir()
    link = folder / "served"
    with fedora_root.served(link) as url:
        repository = fedora_root.Repository(folder, url)
        repository.make()
        link.symlink_to(repository.repo)
        root = folder / "root"
        root.mkdir()
        fedora_root.make_root(root, repository.log)
        repository.install(root)
        filesystem = "btrfs" if knows("btrfs") else "ext4"
        image = fedora_root.make_image(root, folder, repository.log, filesystem=filesystem)
        shutil.rmtree(root)
        yield StandIn(repository=repository, served=link, image=image, filesystem=filesystem)


def knows(filesystem: str) -> bool:
    """Whether this kernel can mount it. Fedora's images have btrfs, which not every kernel supports."""
    with contextlib.suppress(CommandError, HostError):
        proc.capture(["modprobe", "--quiet", filesystem])
    return filesystem in Path("/proc/filesystems").read_text().split()


@pytest.fixture(scope="module")
def bundle(run: Run) -> tuple[Path, Path]:
    """An OCI archive of one image with one layer, and its lock."""
    layer = BytesIO()
    tarfile.open(fileobj=layer, mode="w").close()
    blobs = {digest(data): data for data in (layer.getvalue(), b'{"os":"linux"}')}
    layers, config = list(blobs)
    parts = {"config": {"digest": config}, "layers": [{"digest": layers}]}
    manifest = json.dumps({"schemaVersion": 2, **parts}).encode()
    blobs[digest(manifest)] = manifest
    entry = {"digest": digest(manifest), "annotations": {"io.containerd.image.name": PAUSE}}
    archive = run.folder / "bundle.tar"
    with tarfile.open(archive, "w") as tar:
        files = {f"blobs/sha256/{name.removeprefix('sha256:')}": data for name, data in blobs.items()}
        for name, data in {**files, "index.json": json.dumps({"manifests": [entry]}).encode()}.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, BytesIO(data))
    image = samples.image(
        PAUSE, digest=digest(manifest), config_digest=config,
        layers=[{"digest": layers, "size": len(layer.getvalue()), "diff_id": layers}],
    )  # fmt: skip
    lock = run.folder / "images.lock.json"
    lock.write_text(json.dumps(samples.images_lock(image)))
    return archive, lock


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def build(name: str, stand_in: StandIn, bundle: tuple[Path, Path], run: Run) -> tuple[Path, Path]:
    """The image stage of the shipped spec, as the pipeline calls it; returns image and identity."""
    scratch = run.folder / name
    scratch.mkdir()
    variables = {
        "fedora_base_url": stand_in.image.as_uri(),
        "fedora_base_sha256": files.sha256_of(stand_in.image),
    }
    loaded = load.load("fedora-kubelet", variables)
    spec, log = loaded.spec, scratch / "build.log"
    assert spec.base_image is not None
    identified = Identity(name=spec.name, build_id="1", commit="c", dirty=False, spec_sha256=loaded.sha256)
    identity = scratch / "identity"
    kubelet = KubeletRecord(version="1.35", source="package", sha256=None)
    build_info.write(identity, build_info.of_spec(spec, identified, kubelet))
    elements = scratch / "elements"  # diskimage-builder takes no path with a space, as the checkout's may be
    shutil.copytree(ROOT / "elements", elements)
    inputs = dib_plan.Inputs(
        elements=elements, identity=identity, scratch=scratch, bundle=bundle[0], lock=bundle[1],
        base_image=download.fetch(spec.base_image.url, spec.base_image.sha256, log_path=log),
        blkpg=partitions.partition_mapper() == "blkpg",
    )  # fmt: skip
    return dib.build(dib_plan.plan(spec, inputs), log_path=log), identity


@pytest.fixture(scope="module")
def built(cache: Path, stand_in: StandIn, bundle: tuple[Path, Path], run: Run) -> Built:
    image, identity = build("good", stand_in, bundle, run)
    expect = run.folder / "expect.json"
    Expectations(
        phase="sealed", build=json.loads((identity / "build.json").read_text()), manifest=None,
        images=ImagesLock.read(bundle[1]).images, systemd=True, image_sha256=files.sha256_of(image),
        user="fedora", hostname="golden", nics=(), grow_mib=0, slowness=1.0,
    ).write(expect)  # fmt: skip
    packages = json.loads((identity / "packages.json").read_text())
    return Built(image=image, log=(image.parent / "build.log").read_text(), packages=packages, expect=expect)


@pytest.fixture(scope="module")
def root(built: Built, run: Run) -> Iterator[Path]:
    with mount.opened(built.image, format_="qcow2", scratch=run.folder) as opened:
        yield opened


def text(root: Path, path: str) -> str:
    return mount.resolve(root, path).read_text()


def link(root: Path, path: str) -> str | None:
    file = root / path.lstrip("/")
    return str(file.readlink()) if file.is_symlink() else None


def calls(root: Path) -> list[str]:
    return text(root, "/usr/share/stand-in/calls").splitlines()


def enabled(root: Path) -> set[str]:
    return {path.name for path in (root / "etc/systemd/system").glob("*.wants/*")}


# The work of each element


def test_every_script_of_the_branch_ran(built: Built) -> None:
    ours = [
        f"{hook.parent.name}/{hook.name}"
        for element in ("goldsmith-fedora", "goldsmith-guest", "goldsmith-identity", "goldsmith-seal",
                        "kubelet", "heat-config-kubelet")
        for hook in sorted((ROOT / "elements" / element).glob("*.d/[0-9]*"))
        if hook.parent.name != "environment.d"
    ]  # fmt: skip
    assert len(ours) > 8
    assert [hook for hook in ours if f"/{hook}\n" not in built.log] == []
    assert [hook for hook in ours if f" {hook.partition('/')[2]} completed" not in built.log] == []


def test_the_base_image_is_mounted_as_its_fstab_says(stand_in: StandIn, root: Path) -> None:
    assert "VARIANT_ID=cloud" in text(root, "/usr/lib/os-release")
    assert (root / "boot/loader/entries").is_dir(), "from a separate partition"
    assert text(root, "/var/lib/stand-in") == "on the subvolume var\n"
    assert "btrfs" not in text(root, "/etc/fstab")


def test_the_boot_entry_names_this_images_root_and_kernel(root: Path) -> None:
    entries = list((root / "boot/loader/entries").iterdir())
    lines = dict(line.split(" ", 1) for line in entries[0].read_text().splitlines())

    assert len(entries) == 1, "of the newest kernel alone"
    assert lines["linux"] == "/boot/vmlinuz-6.17.2-1.fc44.x86_64"
    assert lines["initrd"] == "/boot/initramfs-6.17.2-1.fc44.x86_64"
    assert lines["options"].startswith("root=LABEL=cloudimg-rootfs ro ")
    assert "console=ttyS0" in lines["options"]
    assert "rootflags" not in lines["options"]
    assert text(root, "/etc/kernel/cmdline").startswith("root=LABEL=cloudimg-rootfs ro console=tty0 ")


def test_grub_is_installed_for_a_bios(root: Path) -> None:
    assert any("grub2-install" in call and "--target=i386-pc" in call for call in calls(root))
    assert text(root, "/boot/grub2/grub.cfg") == "blscfg\n"


def test_network_and_clock_are_systemds(root: Path) -> None:
    expected = {"systemd-networkd.service", "systemd-resolved.service", "systemd-timesyncd.service"}
    assert expected | {"systemd-networkd-wait-online.service"} <= enabled(root)
    for unit in ("NetworkManager.service", "chronyd.service", "dnf-makecache.timer"):
        assert link(root, f"/etc/systemd/system/{unit}") == "/dev/null", unit
    assert link(root, "/etc/resolv.conf") == "../run/systemd/resolve/stub-resolv.conf"


def test_cloud_init_has_its_datasources_and_renderer(root: Path) -> None:
    found = [path.read_text() for path in (root / "etc/cloud/cloud.cfg.d").iterdir()]
    assert any("ConfigDrive, OpenStack" in config for config in found)
    assert any("renderers: ['networkd']" in config for config in found)
    assert "PasswordAuthentication no" in text(root, "/etc/ssh/sshd_config.d/10-goldsmith.conf")


def test_the_kubelet_is_the_packages_under_our_unit(root: Path) -> None:
    unit = "/etc/systemd/system/kubelet.service"
    assert "v1.35.4" in text(root, "/usr/bin/kubelet")
    assert "--config=/etc/kubernetes/kubelet.yaml" in text(root, unit)
    assert {"kubelet.service", "kubelet-certificates.service", "containerd.service"} <= enabled(root)
    assert link(root, "/etc/systemd/system/multi-user.target.wants/kubelet.service") == unit
    dropin = mount.resolve(root, "/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf")
    assert dropin.is_file(), "recommended by the package, so it comes along"
    assert link(root, f"{unit}.d/10-kubeadm.conf") == "/dev/null"


def test_containerd_is_configured_as_version_2_reads_it(root: Path) -> None:
    config = text(root, "/etc/containerd/config.toml")
    assert config.startswith("version = 3\n")
    assert 'bin_dirs = ["/usr/libexec/cni"]' in config
    assert f'sandbox = "{PAUSE}"' in config


def test_the_embedded_image_is_imported_and_pinned(root: Path) -> None:
    assert any("images import --no-unpack" in call for call in calls(root))
    assert f"ctr --namespace k8s.io images label {PAUSE} io.cri-containerd.pinned=pinned" in calls(root)


def test_the_root_is_labelled_for_selinux_after_all_else(built: Built, root: Path) -> None:
    assert calls(root)[-1].startswith("setfiles -F -m /etc/selinux/targeted/contexts/files/file_contexts /")
    sealed_at = built.log.index(" 90-goldsmith-seal completed")
    assert sealed_at < built.log.index(" 99-selinux-fixfiles-restore completed")


def test_every_package_is_listed_with_its_hash(built: Built, stand_in: StandIn) -> None:
    packages = {package["name"]: package for package in built.packages["packages"]}
    containerd, bash = packages["containerd"], packages["bash"]
    file = stand_in.repository.packages("containerd-2*")[0]

    assert containerd["version"] == "2.1.4-1.fc44"
    assert containerd["sha256"] == files.sha256_of(file)
    assert containerd["suite"] == "fedora"
    assert bash["sha256"] is None, "it came with the base image"
    assert len(bash["header_sha256"]) == 64
    assert "gpg-pubkey" not in packages
    assert built.packages["kernels"] == ["6.17.2-1.fc44.x86_64"]


def test_the_sbom_lists_the_packages_of_rpm(built: Built, root: Path, run: Run) -> None:
    (run.folder / sbom.FILE).write_text(sbom.make(root))

    billed = {package[:2] for package in sbom.read(run.folder / sbom.FILE).packages}

    assert billed == {(p["name"], p["version"]) for p in built.packages["packages"]}


def test_the_suite_of_the_offline_image_passes(built: Built, root: Path, run: Run) -> None:
    (run.folder / sbom.FILE).write_text(sbom.make(root))
    dataclasses.replace(
        Expectations.read(built.expect),
        sbom=sbom.read(run.folder / sbom.FILE),
        secrets=secrets.judge({"": secret_scanner.disk(root)}, ()),
    ).write(built.expect)
    suites = ROOT / "goldsmith/verify/suites"
    done = subprocess.run(
        [sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", suites / "pytest.ini",
         "--expect", built.expect, "--sealed-root", root, suites / "sealed"],
        cwd=ROOT, env=proc.environment({"PYTHONPATH": str(ROOT)}), timeout=120, text=True,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


# Refused inputs


def test_a_tampered_package_ends_the_build(
    cache: Path, stand_in: StandIn, bundle: tuple[Path, Path], run: Run
) -> None:
    tampered = run.folder / "tampered-repo"
    shutil.copytree(stand_in.repository.repo, tampered)
    package = next(tampered.glob("containerd-2*.rpm"))
    data = bytearray(package.read_bytes())
    data[-40] ^= 1
    package.write_bytes(data)
    stand_in.repository.index(tampered)  # so that its signature alone can tell
    stand_in.served.unlink()
    stand_in.served.symlink_to(tampered)
    try:
        with pytest.raises(BuildError) as e:
            build("tampered", stand_in, bundle, run)
    finally:
        stand_in.served.unlink()
        stand_in.served.symlink_to(stand_in.repository.repo)

    assert "diskimage-builder failed in install.d/" in str(e.value)
    assert "GPG check FAILED" in str(e.value)
    assert "containerd" in str(e.value)
    assert not list((run.folder / "tampered").glob("*.qcow2"))


@pytest.fixture(scope="module")
def unpack(stand_in: StandIn, run: Run) -> Callable[..., Path]:
    """Run only the hook that unpacks a base image. Raises CommandError if it fails."""

    def call(image: Path = stand_in.image, release: str = fedora_root.RELEASE, path: str = "") -> Path:
        folder = Path(tempfile.mkdtemp(dir=run.folder))
        (folder / "target").mkdir()
        env = proc.environment({
            "TARGET_ROOT": f"{folder}/target", "TMP_DIR": str(folder), "ARCH": "amd64",
            "DIB_LOCAL_IMAGE": str(image), "DIB_RELEASE": release,
        })  # fmt: skip
        env["PATH"] = f"{path}:{env['PATH']}"
        try:
            proc.capture([ROOT / "elements/goldsmith-fedora/root.d/10-goldsmith-fedora"], env=env)
        finally:
            assert not reaper.leftovers(folder)
            assert not list(folder.glob("base-image.*"))
        return folder / "target"

    return call


def test_another_release_than_the_specs_is_refused(unpack: Callable[..., Path]) -> None:
    with pytest.raises(CommandError, match="must be fedora 43, and its os-release says: 44 fedora"):
        unpack(release="43")


def test_a_disk_without_an_operating_system_is_refused(unpack: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(partitions.disk_with_one_partition())
    proc.capture(["qemu-img", "convert", "-O", "qcow2", tmp_path / "disk", tmp_path / "disk.qcow2"])

    with pytest.raises(CommandError, match=r"no partition of .*disk\.qcow2 holds a root file system"):
        unpack(image=tmp_path / "disk.qcow2")


def test_a_kernel_without_the_file_system_is_named(unpack: Callable[..., Path], tmp_path: Path) -> None:
    for name in ("grep", "modprobe"):  # /proc/filesystems has nothing, and nothing can be loaded
        (tmp_path / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / name).chmod(0o755)

    with pytest.raises(CommandError, match="file system, which this host's kernel does not know"):
        unpack(path=str(tmp_path))


def test_a_repository_that_checks_no_signature_is_refused(unpack: Callable[..., Path]) -> None:
    target = unpack()
    repo = target / "etc/yum.repos.d/mine.repo"
    repo.write_text("[mine]\nbaseurl=http://127.0.0.1:1/\nrepo_gpgcheck=0\ngpgcheck = 0\n")
    hook = ROOT / "elements/goldsmith-fedora/pre-install.d/10-goldsmith-fedora"
    shutil.copy(hook, target / "tmp/hook")

    with pytest.raises(CommandError, match="set gpgcheck=1 there"):
        proc.capture(["chroot", target, "/tmp/hook"])


def test_the_stand_in_packages_are_those_of_the_plan() -> None:
    """The stand-in has every package that the elements install, under Fedora's names."""
    stubs = {stub.name for stub in fedora_root.stubs({})}
    pkg_map = json.loads((ROOT / "elements/goldsmith-guest/pkg-map").read_text())
    names = pkg_map["family"]["redhat"]
    installed = yaml.safe_load((ROOT / "elements/goldsmith-guest/package-installs.yaml").read_text())
    asked = {word for name in installed for word in names.get(name, name).split()}
    assert asked <= stubs
