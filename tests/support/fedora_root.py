# SPDX-License-Identifier: Apache-2.0
"""A stand-in for Fedora, where Fedora itself cannot be had: a repository of signed stub packages, and a
cloud image made from it by dnf and rpm.

The packages have Fedora's names and such files as the elements rely on (fedora/packages.yaml); the programs
below them (bash, dnf, python3, systemctl ...) are this host's own, from its Debian packages.
"""

from __future__ import annotations

import contextlib
import functools
import http.server
import os
import shutil
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from goldsmith.core import proc

HERE = Path(__file__).parent / "fedora"
RELEASE = "44"
KEY_NAME = "Stand-in for Fedora <stand-in@example.org>"
UUIDS = {
    "@ROOT_UUID@": "11111111-2222-3333-4444-555555555555",
    "@BOOT_UUID@": "66666666-7777-8888-9999-000000000000",
}
# laid out as Fedora's cloud images are: a place for GRUB, an EFI partition, /boot, and btrfs with subvolumes
FSTAB = """
UUID=@ROOT_UUID@ / btrfs subvol=root,compress=zstd:1 0 0
UUID=@BOOT_UUID@ /boot ext4 defaults 0 0
UUID=ABCD-1234 /boot/efi vfat defaults,umask=0077,shortname=winnt 0 0
UUID=@ROOT_UUID@ /home btrfs subvol=home,compress=zstd:1 0 0
UUID=@ROOT_UUID@ /var btrfs subvol=/var,compress=zstd:1 0 0
"""
PARTITIONS = """label: gpt
size=1MiB, type=21686148-6449-6E6F-744E-656564454649
size=34MiB, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B
size=64MiB, type=BC13C2FF-59E6-4262-A352-B275FD6F7172
size=700MiB, type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709
"""
# Debian packages whose files make the root run; what they depend on comes with them
_HOST_PACKAGES = (
    "bash", "coreutils", "diffutils", "dnf", "findutils", "gawk", "grep", "gzip", "hostname", "mawk", "mount",
    "openssl", "python3", "rpm", "sed", "sudo", "tar", "util-linux",
)  # fmt: skip
_HOST_FILES = ("/bin/systemctl", "/bin/systemd-machine-id-setup")  # systemd as a whole would bring its units
_NOT_NEEDED = ("/usr/share/doc", "/usr/share/man", "/usr/share/locale", "/usr/share/info", "/usr/lib/systemd",
               "/usr/share/bash-completion", "/usr/share/perl", "/usr/lib/x86_64-linux-gnu/perl")  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Stub:
    name: str
    version: str = "1.0"
    requires: tuple[str, ...] = ()
    recommends: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()
    files: Mapping[str, Any] = field(default_factory=dict)
    post: str = ""
    base: bool = False

    @property
    def nvr(self) -> str:
        """VERSION-RELEASE.ARCH, as kernels are called by."""
        return f"{self.version}-1.fc{RELEASE}.x86_64"


def stubs(values: Mapping[str, str]) -> list[Stub]:
    """packages.yaml, with the words between @ replaced."""
    found = []
    for key, raw in yaml.safe_load((HERE / "packages.yaml").read_text()).items():
        stub = Stub(**{"name": key, **{k: tuple(v) if isinstance(v, list) else v for k, v in raw.items()}})
        words = {"@NVR@": stub.nvr, **values}
        files = {_filled(path, words): _filled(content, words) for path, content in stub.files.items()}
        found.append(Stub(**{**{f: getattr(stub, f) for f in Stub.__slots__}, "files": files}))
    return found


def _filled(text: Any, words: Mapping[str, str]) -> Any:
    if isinstance(text, str):
        for word, value in words.items():
            text = text.replace(word, value)
    return text


class Repository:
    """Signed packages below folder/repo, and the throw-away key they are signed with."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.repo, self.home = folder, folder / "repo", folder / "home"
        self.log = folder / "standin.log"
        self.home.mkdir(mode=0o700)
        self.repo.mkdir()
        # where Fedora keeps its database; on Debian rpm has it in the home of whoever calls
        (self.home / ".rpmmacros").write_text("%_dbpath /usr/lib/sysimage/rpm\n%__gpg /usr/bin/gpg\n")
        self.env = proc.environment({"HOME": str(self.home), "GNUPGHOME": str(self.home)})
        self.key = self._make_key()
        values = {"@URL@": url, "@KEY@": self.key.read_text(), "@FSTAB@": FSTAB, **UUIDS}
        self.stubs = stubs(values)

    def make(self) -> None:
        """Build, sign and index all packages; two with one name cannot be in one spec file."""
        names = {stub.name for stub in self.stubs}
        first = {name: next(stub for stub in self.stubs if stub.name == name) for name in names}
        self._build("first", [stub for stub in self.stubs if first[stub.name] is stub])
        self._build("second", [stub for stub in self.stubs if first[stub.name] is not stub])
        self._run("rpmsign", "--define", f"_gpg_name {KEY_NAME}", "--addsign", *self.packages("*"))
        self.index(self.repo)
        self._run("gpgconf", "--kill", "gpg-agent")

    def packages(self, pattern: str) -> list[Path]:
        """Package files whose name fits; at least one."""
        found = sorted(self.repo.glob(f"{pattern}.rpm"))
        assert found, f"no {pattern}.rpm in {self.repo}"
        return found

    def index(self, repo: Path) -> None:
        """Metadata that fit the packages as they are."""
        self._run("createrepo_c", "--quiet", "--no-database", repo)

    def install(self, root: Path) -> None:
        """The packages of the base image, by dnf, each with its signature checked."""
        conf = self.folder / "dnf.conf"
        conf.write_text(
            f"[main]\nplugins=0\nreposdir=/nonexistent\ncachedir=/var/cache/dnf\n[fedora]\nname=f\n"
            f"baseurl=file://{self.repo}\ngpgcheck=1\ngpgkey=file://{self.key}\n"
        )
        names = [f"{stub.name}-{stub.version}" for stub in self.stubs if stub.base]
        dnf = ("dnf", "-y", "-c", conf, "--installroot", root, "--releasever", RELEASE)
        self._run(*dnf, "install", *names)
        shutil.rmtree(root / "var/cache/dnf")

    def _make_key(self) -> Path:
        words = ("--batch", "--pinentry-mode", "loopback", "--passphrase", "")
        self._run("gpg", *words, "--quick-generate-key", KEY_NAME, "rsa2048", "sign", "never")
        key = self.folder / "key.asc"
        self._run("gpg", "--batch", "--armor", "--output", key, "--export", KEY_NAME)
        return key

    def _build(self, name: str, packages: list[Stub]) -> None:
        source = self.folder / f"source-{name}"
        for stub in packages:
            for path, content in stub.files.items():
                _write(source / path.lstrip("/"), content)
        spec = self.folder / f"{name}.spec"
        spec.write_text(_spec(name, source, packages))
        file_name = "%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm"  # for rpm to fill in, a package at a time
        self._run(
            "rpmbuild", "-bb", "--quiet", "--define", f"_topdir {self.folder}/rpmbuild-{name}",
            "--define", f"_rpmdir {self.repo}", "--define", f"_rpmfilename {file_name}",
            "--define", "debug_package %{nil}", "--define", "__os_install_post %{nil}", spec,
        )  # fmt: skip

    def _run(self, *argv: str | Path) -> None:
        proc.run(argv, log_path=self.log, env=self.env, timeout_s=120)


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, str):
        path.write_text(content)
        path.chmod(0o644)
    elif "link" in content:
        path.symlink_to(content["link"])
    else:
        shutil.copy(HERE / "bin" / content["bin"], path)


def _spec(name: str, source: Path, packages: list[Stub]) -> str:
    lines = [f"Name: {name}", "Version: 1", "Release: 1", "Summary: stand-in", "License: Apache-2.0"]
    lines += ["%description", "stand-in", "%install", f"cp -a {source}/. %{{buildroot}}"]
    for stub in packages:
        lines += [f"%package -n {stub.name}", f"Version: {stub.version}", f"Release: 1.fc{RELEASE}"]
        lines += ["Summary: stand-in", "AutoReqProv: no"]
        lines += [f"Requires: {word}" for word in stub.requires]
        lines += [f"Recommends: {word}" for word in stub.recommends]
        lines += [f"Provides: {word}" for word in stub.provides]
        lines += [f"%description -n {stub.name}", "stand-in"]
        if stub.post:
            lines += [f"%post -n {stub.name}", stub.post]
        lines += [f"%files -n {stub.name}", *stub.files]
    return "\n".join(lines) + "\n"


def make_root(root: Path, log: Path) -> None:
    """A root in which programs of this host run, without any package in rpm's database."""
    for folder in ("dev", "home", "proc", "root", "sys", "tmp", "var", "usr/bin", "usr/sbin", "usr/lib",
                   "usr/lib64", "usr/share/stand-in", "etc/rpm", "etc/dnf", "etc/sysconfig",
                   "usr/local/bin", "var/log"):  # fmt: skip
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "tmp").chmod(0o1777)
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    listed = root.parent / "host-files"
    listed.write_text("".join(f"{path}\n" for path in _host_files()))
    archive = root.parent / "host-files.tar"
    proc.run(["tar", "-C", "/", "--no-recursion", "-T", listed, "-cf", archive], log_path=log)
    proc.run(["tar", "-C", root, "-xpf", archive], log_path=log)
    archive.unlink()
    (root / "usr/bin/sh").symlink_to("bash")  # Debian makes these two links when it configures
    (root / "usr/bin/awk").symlink_to(Path("/usr/bin/awk").resolve().name)
    os.mknod(root / "dev/null", 0o020666, os.makedev(1, 3))
    for name, text in {
        "etc/passwd": "root:x:0:0:root:/root:/bin/bash\n",
        "etc/group": "root:x:0:\n",
        "etc/shadow": "root:!locked::0:99999:7:::\n",
        "etc/rpm/macros.stand-in": "%_dbpath /usr/lib/sysimage/rpm\n",
        "etc/dnf/dnf.conf": "[main]\n",
        "etc/machine-id": "",
    }.items():
        (root / name).write_text(text)


def _host_files() -> Iterator[str]:
    """Files of the packages, relative to /, under the names they have where /bin is /usr/bin."""
    packages = proc.capture(
        ["dpkg-query", "-W", "-f", "${Package}\t${Pre-Depends},${Depends}\t${Provides}\n"]
    )
    rows = [line.split("\t") for line in packages.splitlines()]
    needs = {name: _names(depends) for name, depends, _ in rows}
    real = {virtual: name for name, _, provides in rows for virtual in _names(provides)}
    todo, wanted = [*_HOST_PACKAGES, "libsystemd-shared"], set()
    while todo:
        name = todo.pop()
        name = name if name in needs else real.get(name, "")
        if name and name not in wanted and name != "systemd":
            wanted.add(name)
            todo += needs[name]
    files = [*_HOST_FILES, *proc.capture(["dpkg-query", "-L", *sorted(wanted)]).splitlines()]
    for path in dict.fromkeys(files):
        merged = path if path.startswith(("/usr/", "/etc/")) else f"/usr{path}"
        if path.startswith("/") and not merged.startswith(_NOT_NEEDED) and Path(path).is_file():
            yield merged.lstrip("/")


def _names(depends: str) -> list[str]:
    """'a (>= 1) | b, c:any' -> [a, b, c] (deb-control(5))."""
    words = (word for group in depends.split(",") for word in group.split("|"))
    return [word.split()[0].split(":")[0] for word in words if word.strip()]


def make_image(root: Path, folder: Path, log: Path, *, filesystem: str) -> Path:
    """A qcow2 of root; filesystem is btrfs, with subvolumes as Fedora has them, or ext4."""

    def run(*argv: str | Path, stdin: str | None = None) -> None:
        if stdin is not None:
            proc.capture(argv, stdin=stdin.encode())
        else:
            proc.run(argv, log_path=log)

    sizes = {"efi": 34, "boot": 64, "root": 700}
    for name, mib in sizes.items():
        with (folder / f"part-{name}").open("wb") as file:
            file.truncate(mib << 20)
    run("mkfs.vfat", "-i", "ABCD1234", folder / "part-efi")
    (root / "boot/efi").mkdir(exist_ok=True)
    run("mkfs.ext4", "-q", "-U", UUIDS["@BOOT_UUID@"], "-d", root / "boot", folder / "part-boot")
    kept = root.parent / "boot"
    (root / "boot").rename(kept)
    (root / "boot").mkdir()
    if filesystem == "btrfs":
        _fill_btrfs(root, folder, run)
    else:
        fstab = root / "etc/fstab"
        lines = fstab.read_text().splitlines(keepends=True)
        fstab.write_text("".join(line for line in lines if "btrfs" not in line))
        run("mkfs.ext4", "-q", "-U", UUIDS["@ROOT_UUID@"], "-d", root, folder / "part-root")
    disk = folder / "disk.raw"
    with disk.open("wb") as file:
        file.truncate((sum(sizes.values()) + 4) << 20)
    run("sfdisk", "--quiet", disk, stdin=PARTITIONS)
    seek = 2
    for name, mib in sizes.items():
        run("dd", f"if={folder}/part-{name}", f"of={disk}", "bs=1M", f"seek={seek}", "conv=notrunc,sparse")
        (folder / f"part-{name}").unlink()
        seek += mib
    image = folder / "base.qcow2"
    run("qemu-img", "convert", "-O", "qcow2", disk, image)
    disk.unlink()
    return image


def _fill_btrfs(root: Path, folder: Path, run: Any) -> None:
    run("mkfs.btrfs", "-q", "-U", UUIDS["@ROOT_UUID@"], "-L", "fedora", folder / "part-root")
    mount = folder / "mount"
    mount.mkdir()
    run("mount", "-o", "loop,compress=zstd:1", folder / "part-root", mount)
    try:
        for name in ("root", "home", "var"):
            run("btrfs", "subvolume", "create", mount / name)
        for name in ("home", "var"):
            run("cp", "-a", f"{root / name}/.", mount / name)
            shutil.rmtree(root / name)
            (root / name).mkdir()
        run("cp", "-a", f"{root}/.", mount / "root")
    finally:
        run("umount", mount)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on the terminal."""


@contextlib.contextmanager
def served(link: Path) -> Iterator[str]:
    """The folder that link points at, at the moment of a request, by HTTP on loopback; gives its URL."""
    handler = functools.partial(_Quiet, directory=str(link))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()
