# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from goldsmith.core import proc
from goldsmith.errors import BootError, EmulatorError
from goldsmith.verify import qemu

pytestmark = pytest.mark.usefixtures("quick_polls")


@pytest.fixture
def vm(tmp_path: Path) -> qemu.VmPlan:
    return qemu.VmPlan(
        disk=tmp_path / "a,b.qcow2", seed=tmp_path / "seed.iso", console=tmp_path / "console.log",
        accelerator=("-accel", "tcg"), memory_mib=512, cpus=2,
    )  # fmt: skip


@contextmanager
def listening(banner: bytes) -> Iterator[int]:
    """A server on loopback that sends a banner to every client."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        done = threading.Event()

        def serve() -> None:
            while not done.is_set():
                try:
                    peer, _ = server.accept()
                except TimeoutError:
                    continue
                with peer:
                    peer.sendall(banner)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        done.set()
        thread.join()


@contextmanager
def running(
    vm: qemu.VmPlan, tmp_path: Path, *, port: int, script: str = "exec sleep 60", emulated: bool = True
) -> Iterator[qemu.Vm]:
    log = tmp_path / "qemu.log"
    with proc.background(("sh", "-c", script), log_path=log) as process:
        yield qemu.Vm(process=process, port=port, console=vm.console, log=log, emulated=emulated)


def test_the_network_is_cut_and_ssh_listens_on_loopback_alone(vm: qemu.VmPlan) -> None:
    netdevs = [word for word in qemu.plan(vm, port=2222) if word.startswith("user,")]

    assert netdevs == [
        "user,id=net0,restrict=on,hostfwd=tcp:127.0.0.1:2222-10.0.2.77:22",
        "user,id=net1,restrict=on",
    ]


def test_a_port_of_the_guest_is_forwarded_to_loopback_besides(vm: qemu.VmPlan) -> None:
    serving = dataclasses.replace(vm, served_port=18080)

    [first, _] = [word for word in qemu.plan(serving, port=2222, served_at=3333) if word.startswith("user,")]

    assert first.endswith(",hostfwd=tcp:127.0.0.1:3333-10.0.2.77:18080")


def test_every_card_is_restricted_however_many_there_are(vm: qemu.VmPlan) -> None:
    many = dataclasses.replace(vm, nics=[qemu.GUEST[1]] * 4)

    argv = qemu.plan(many, port=2222)

    assert sum("restrict=on" in word for word in argv) == argv.count("-netdev") == 4


def test_the_machine_has_only_the_devices_of_the_plan(vm: qemu.VmPlan) -> None:
    argv = qemu.plan(vm, port=2222)

    assert {"-nodefaults", "-no-user-config"} <= set(argv)
    assert argv[argv.index("-m") : argv.index("-m") + 2] == ("-m", "512")
    assert argv[argv.index("-accel") : argv.index("-accel") + 2] == ("-accel", "tcg")


def test_commas_in_paths_are_escaped_and_the_config_drive_is_read_only(
    vm: qemu.VmPlan, tmp_path: Path
) -> None:
    drives = [word for word in qemu.plan(vm, port=2222) if word.startswith("file=")]

    assert drives[0].startswith(f"file={tmp_path}/a,,b.qcow2,if=none,id=disk0,format=qcow2")
    assert drives[1].endswith("seed.iso,if=none,id=disk1,format=raw,readonly=on")


def test_the_config_drive_describes_the_cards_of_the_vm(vm: qemu.VmPlan) -> None:
    argv = qemu.plan(vm, port=2222)

    for nic in qemu.instance("ssh-ed25519 AAAA").nics:
        assert any(f"mac={nic.mac}" in word for word in argv)


def test_ssh_is_ready_when_it_sends_its_banner(vm: qemu.VmPlan, tmp_path: Path) -> None:
    with listening(b"SSH-2.0-x\r\n") as port, running(vm, tmp_path, port=port) as machine:
        machine.wait_for_ssh(timeout_s=5)


def test_an_open_port_without_a_banner_is_not_ssh(vm: qemu.VmPlan, tmp_path: Path) -> None:
    vm.console.write_text("Booting\nlogin:\n")
    with (
        listening(b"HTTP") as port,
        running(vm, tmp_path, port=port) as machine,
        pytest.raises(BootError, match=r"no SSH banner after 0 s[\s\S]*\| Booting\n  \| login:"),
    ):
        machine.wait_for_ssh(timeout_s=0.1)


@pytest.mark.parametrize(
    "last_words",
    [
        "[    1.0] Kernel panic - not syncing: VFS: Unable to mount root fs",
        "ALERT!\n(initramfs) ",
        "You are in emergency mode. After logging in",
        "error: unknown filesystem.\ngrub rescue> ",
        "\x1b[0mNo bootable device.",
        "Gave up waiting for root file system device.",
    ],
)
def test_a_fatal_error_on_the_console_is_noticed_at_once(
    vm: qemu.VmPlan, tmp_path: Path, last_words: str
) -> None:
    vm.console.write_text(f"earlier\n{last_words}")
    with running(vm, tmp_path, port=1) as machine:
        assert not machine.is_alive()
        with pytest.raises(BootError, match="lost before its SSH server answered") as e:
            machine.wait_for_ssh(timeout_s=600)

    assert e.value.exit_code == 5
    assert last_words.splitlines()[-1].strip("\x1b[0m ") in str(e.value)


@pytest.mark.parametrize(
    ("line", "emulated", "kind"),
    [
        ("[    5.0] Oops: int3: 0000 [#2] PREEMPT SMP NOPTI", True, EmulatorError),
        ("[    3.093098] int3: 0000 [#1] PREEMPT SMP NOPTI", True, EmulatorError),
        ("[    5.0] Oops: int3: 0000 [#2] PREEMPT SMP NOPTI", False, BootError),
        ("[    5.0] BUG: unable to handle page fault", True, BootError),
    ],
)
def test_only_known_faults_are_errors_of_the_emulator(
    vm: qemu.VmPlan, tmp_path: Path, line: str, emulated: bool, kind: type[BootError]
) -> None:
    vm.console.write_text(f"{line}\n[    5.1] Kernel panic - not syncing: Fatal exception\n")
    with running(vm, tmp_path, port=1, emulated=emulated) as machine:
        assert type(machine.lost("gone")) is kind


def test_a_guest_whose_console_only_mentions_panic_is_alive(vm: qemu.VmPlan, tmp_path: Path) -> None:
    vm.console.write_text("sysctl: kernel.panic = 10\nrunning as (initramfs) hook\n")
    with running(vm, tmp_path, port=1) as machine:
        assert machine.is_alive()


def test_the_error_shows_the_output_of_a_qemu_that_ended(vm: qemu.VmPlan, tmp_path: Path) -> None:
    script = "echo qemu: out of memory; exit 1"
    with (
        running(vm, tmp_path, port=1, script=script) as machine,
        pytest.raises(BootError, match="qemu: out of memory"),
    ):
        machine.wait_for_ssh(timeout_s=600)


def test_the_error_mentions_an_empty_console(vm: qemu.VmPlan, tmp_path: Path) -> None:
    with running(vm, tmp_path, port=1) as machine:
        assert "(console empty)" in str(machine.lost("gone"))


def test_only_the_end_of_a_console_is_shown(vm: qemu.VmPlan, tmp_path: Path) -> None:
    vm.console.write_text("".join(f"line {i}\n" for i in range(100)))
    with running(vm, tmp_path, port=1) as machine:
        shown = str(machine.lost("gone"))

    assert shown.count("\n") == qemu.CONSOLE_LINES
    assert shown.endswith("| line 99")


def test_escape_sequences_are_removed_from_consoles(tmp_path: Path) -> None:
    console = tmp_path / "console.log"
    console.write_bytes(b"\x1b[1;31mred\x1b[0m\r\n\x1b(B\x07ok \xff\n")

    assert qemu.read_console(console) == "red\nok \ufffd\n"


def test_a_missing_console_is_empty(tmp_path: Path) -> None:
    assert qemu.read_console(tmp_path / "console.log") == ""


def test_a_vm_lives_as_long_as_its_block(vm: qemu.VmPlan, tmp_path: Path, fake: Callable[..., Path]) -> None:
    calls = fake("qemu-system-x86_64", "exec sleep 60")

    with qemu.running(vm, log=tmp_path / "qemu.log") as machine:
        assert machine.is_alive()
        assert f"127.0.0.1:{machine.port}-" in calls.read_text()

    assert not machine.is_alive()


def test_a_port_that_another_process_took_is_replaced(
    vm: qemu.VmPlan, tmp_path: Path, fake: Callable[..., Path]
) -> None:
    once = tmp_path / "once"
    script = (
        f"[ -e {once} ] && exec sleep 60; touch {once}; echo Could not set up host forwarding rule; exit 1"
    )
    calls = fake("qemu-system-x86_64", script)

    with qemu.running(vm, log=tmp_path / "qemu.log") as machine:
        assert machine.is_alive()

    assert len(calls.read_text().splitlines()) == 2


def test_the_error_shows_why_qemu_did_not_start(
    vm: qemu.VmPlan, tmp_path: Path, fake: Callable[..., Path]
) -> None:
    calls = fake("qemu-system-x86_64", "echo no such machine; exit 1")

    with pytest.raises(BootError, match="no such machine"), qemu.running(vm, log=tmp_path / "qemu.log"):
        pass

    assert len(calls.read_text().splitlines()) == 1


def test_three_ports_are_tried(vm: qemu.VmPlan, tmp_path: Path, fake: Callable[..., Path]) -> None:
    calls = fake("qemu-system-x86_64", "echo host forwarding rule; exit 1")

    with pytest.raises(BootError), qemu.running(vm, log=tmp_path / "qemu.log"):
        pass

    assert len(calls.read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("bus", "words"),
    [
        (qemu.Bus.virtio_blk, ["virtio-blk-pci,drive=disk0,bootindex=0", "virtio-blk-pci,drive=disk1"]),
        (qemu.Bus.virtio_scsi, ["virtio-scsi-pci", "scsi-hd,drive=disk0,bootindex=0"]),
        (qemu.Bus.sata, ["ahci,id=sata", "ide-cd,drive=disk1,bus=sata.1"]),
        (qemu.Bus.nvme, ["nvme,drive=disk0,bootindex=0,serial=0", "ide-cd,drive=disk1,bus=sata.0"]),
    ],
)
def test_disks_and_cards_are_as_asked_for(vm: qemu.VmPlan, bus: qemu.Bus, words: list[str]) -> None:
    devices = qemu.Devices(machine="q35", disks=bus, cards="e1000")

    argv = qemu.plan(dataclasses.replace(vm, devices=devices), port=2222)

    assert "q35,graphics=off" in argv
    assert set(words) <= set(argv)
    assert len([word for word in argv if word.startswith("e1000,netdev=")]) == len(vm.nics)
