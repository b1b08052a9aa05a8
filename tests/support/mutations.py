# SPDX-License-Identifier: Apache-2.0
"""Break an image in known ways, and check that its verification fails for the right reason."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from goldsmith.core import privilege, proc, runs
from goldsmith.errors import BootError
from goldsmith.image import qemu_img
from goldsmith.image.mount import LOCK_JSON, root_partition
from goldsmith.scan import contents
from goldsmith.verify import session

SPEC = "debian-kubelet"
_STORE, _LOCK = contents.STORE.lstrip("/"), LOCK_JSON.lstrip("/")
_UNIT = """[Unit]
Description=A mutation
After=containerd.service
[Service]
Type=oneshot
ExecStart=/bin/sh -c "{command}"
[Install]
WantedBy=multi-user.target
"""


def _at_boot(command: str) -> str:
    """A script that makes the image run a command (without quotes) at every boot."""
    unit = _UNIT.format(command=command)
    return (
        f"cat > etc/systemd/system/second.service << 'EOF'\n{unit}EOF\n"
        "ln -s ../second.service etc/systemd/system/multi-user.target.wants/second.service"
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Mutation:
    """A way to break an image. script: sh runs it in the root file system.

    reason: text that a finding, or the boot error, must contain. also: texts of further findings.
    """

    name: str
    script: str
    reason: str
    also: tuple[str, ...] = ()
    is_boot_error: bool = False


MUTATIONS = (
    Mutation(
        name="kubelet removed", script="rm usr/bin/kubelet",
        reason="sealed: test_kubelet_is_the_one_that_was_built",
        also=("sealed: test_the_kubelet_is_that_of_the_build",),
    ),
    Mutation(
        name="blob corrupted",
        script=f"blob={_STORE}/$(ls -S {_STORE} | head -n 1)\n"
        'printf X | dd of="$blob" bs=1 seek=1000 conv=notrunc status=none',
        reason="sealed: test_every_blob_is_whole",
        also=("sealed: test_there_is_a_bill", "sealed: test_the_disk_was_looked_at"),
    ),
    Mutation(
        name="host key left in", script="echo key > etc/ssh/ssh_host_ed25519_key",
        reason="sealed: test_no_ssh_host_keys",
    ),
    Mutation(
        name="credential left in",
        script="printf '[default]\\naws_access_key_id = AKIA%s\\n' ABCDEFGHIJKLMNOP > etc/site.conf",
        reason="sealed: test_there_is_no_secret",
    ),
    Mutation(
        name="lock of the container images changed",
        script="""sed -Ei '0,/"digest": "sha256:/s/("digest": "sha256:)[0-9a-f]{8}/\\100000000/' """ + _LOCK,
        reason="sealed: test_container_images_are_those_of_the_lock",
        also=("sealed: test_every_blob_is_whole",),
    ),
    Mutation(
        name="image removed from containerd at boot",
        script=_at_boot("ctr -n k8s.io images remove goldsmith.local/redis:1"),
        reason="booted: test_every_locked_digest_is_in_containerd",
        also=("booted: ",),
    ),
    Mutation(
        name="package removed at boot", script=_at_boot("dpkg --force-all --purge xclip"),
        reason="booted: test_packages_are_those_of_the_bill",
    ),
    Mutation(
        name="network file removed",
        script="rm usr/lib/systemd/systemd-networkd\n"
        "sed -i 's/\"boot_deadline_s\": [0-9]*/\"boot_deadline_s\": 40/' usr/lib/goldsmith/build.json",
        reason="no SSH banner", is_boot_error=True,
    ),
    Mutation(
        name="unit fails after the reboot",
        script=_at_boot("test ! -e /var/lib/first-boot-is-over && touch /var/lib/first-boot-is-over"),
        reason="rebooted: test_system_runs_without_a_failed_unit",
    ),
)  # fmt: skip


def mutated(image: Path, mutation: Mutation, target: Path) -> None:
    """Write image with the mutation to target, a qcow2. target's folder needs room for a raw copy."""
    raw = target.with_suffix(".raw")
    qemu_img.convert(image, raw, "raw")
    with _writable(raw, image, target.with_suffix(".root")) as root:
        proc.capture(privilege.as_root(["sh", "-euc", f"cd '{root}'\n{mutation.script}"]))
    qemu_img.convert(raw, target, "qcow2", format_="raw")
    raw.unlink()


def judge(image: Path, mutation: Mutation, out: Path, run: runs.Run) -> list[str]:
    """Verify a mutated image; return a line for each unexpected finding."""
    subject = session.Subject(image=image, out=out, fail_fast=True)
    try:
        verdict = session.verify(subject, run=run, log_path=out / "verify.log")
    except BootError as e:
        if mutation.is_boot_error and mutation.reason in str(e):
            return []
        return [f"{mutation.name}: {e}"]
    if mutation.is_boot_error or verdict.passed:
        return [f"{mutation.name}: the image booted, and its verdict is {verdict.result}"]
    found = _same_phase(verdict.failed)
    reasons = (mutation.reason, *mutation.also)
    if not all(any(reason in line for line in found) for reason in reasons) or not all(
        any(reason in line for reason in reasons) for line in found
    ):
        return [f"{mutation.name}: the image failed for another reason: {line}" for line in verdict.failed]
    return []


def _same_phase(failed: tuple[str, ...]) -> list[str]:
    """The findings of the first phase that has any; later ones may be their consequence."""
    first = failed[0].split(":")[0]
    return [line for line in failed if line.startswith(f"{first}:")]


@contextlib.contextmanager
def _writable(raw: Path, image: Path, mount: Path) -> Iterator[Path]:
    start, size = root_partition(raw, image)
    mount.mkdir()
    options = f"loop,offset={start},sizelimit={size}"
    proc.capture(privilege.as_root(["mount", "-t", "ext4", "-o", options, raw, mount]))
    try:
        yield mount
    finally:
        proc.capture(privilege.as_root(["umount", mount]))
