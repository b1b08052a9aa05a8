# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from goldsmith.errors import CommandError, VerificationError
from goldsmith.image import mount

TABLE = {
    "partitiontable": {
        "partitions": [
            {"start": 2048, "size": 16384},
            {"start": 18432, "size": 4000000},
            {"start": 1, "size": 9},
        ]
    }
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root/usr/lib").mkdir(parents=True)
    (tmp_path / "root/etc").mkdir()
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/secret").write_text("the host's")
    return tmp_path / "root"


def make_tools(fake: Callable[..., Path], table: object = TABLE) -> dict[str, Path]:
    """A qemu-img that copies, an sfdisk that prints table, mount and umount that do nothing."""
    return {
        "qemu-img": fake("qemu-img", 'shift 6; cp "$1" "$2"'),
        "sfdisk": fake("sfdisk", f"echo '{json.dumps(table)}'"),
        "mount": fake("mount"),
        "umount": fake("umount"),
        "sudo": fake("sudo", 'shift; exec "$@"'),
    }


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "my image.qcow2"
    path.write_text("disk")
    return path


def test_the_largest_partition_is_mounted_read_only_without_its_journal(
    fake: Callable[..., Path], image: Path, tmp_path: Path
) -> None:
    calls = make_tools(fake)
    raw = tmp_path / "offline.raw"

    with mount.opened(image, format_="qcow2", scratch=tmp_path) as root:
        assert root == tmp_path / "offline"
        assert raw.exists()
        assert not calls["umount"].read_text()

    options = f"ro,noload,loop,offset={18432 * 512},sizelimit={4000000 * 512}"
    assert calls["mount"].read_text() == f"-t ext4 -o {options} {raw} {root}\n"
    assert calls["umount"].read_text() == f"{root}\n"
    assert not raw.exists()
    assert image.read_text() == "disk"


def test_the_image_is_unmounted_also_after_a_failure(
    fake: Callable[..., Path], image: Path, tmp_path: Path
) -> None:
    calls = make_tools(fake)

    with pytest.raises(KeyError), mount.opened(image, format_="raw", scratch=tmp_path):
        raise KeyError

    assert calls["umount"].read_text()
    assert not (tmp_path / "offline.raw").exists()


@pytest.mark.parametrize("table", [{"partitiontable": {}}, {"partitiontable": {"partitions": []}}])
def test_an_empty_partition_table_is_an_error(
    fake: Callable[..., Path], image: Path, tmp_path: Path, table: object
) -> None:
    make_tools(fake, table)

    with (
        pytest.raises(VerificationError, match=r"the partition table of my image\.qcow2 is empty"),
        mount.opened(image, format_="raw", scratch=tmp_path),
    ):
        pass


def test_no_partition_table_is_an_error(fake: Callable[..., Path], image: Path, tmp_path: Path) -> None:
    make_tools(fake)
    fake("sfdisk", "exit 1")

    with (
        pytest.raises(VerificationError, match="has no partition table"),
        mount.opened(image, format_="raw", scratch=tmp_path),
    ):
        pass


def test_another_file_system_is_an_error(fake: Callable[..., Path], image: Path, tmp_path: Path) -> None:
    calls = make_tools(fake)
    fake("mount", "echo wrong fs type >&2; exit 32")

    with (
        pytest.raises(VerificationError, match=r"no ext4 file system: wrong fs type"),
        mount.opened(image, format_="raw", scratch=tmp_path),
    ):
        pass

    assert not calls["umount"].read_text()


def test_a_failed_conversion_is_an_error(fake: Callable[..., Path], image: Path, tmp_path: Path) -> None:
    make_tools(fake)
    fake("qemu-img", "echo corrupt >&2; exit 1")

    with (
        pytest.raises(CommandError, match="corrupt"),
        mount.opened(image, format_="raw", scratch=tmp_path),
    ):
        pass


@pytest.mark.parametrize("format_", ["qcow2", "raw"])
def test_formats_that_can_be_verified(fake: Callable[..., Path], image: Path, format_: str) -> None:
    fake("qemu-img", f"""echo '{{"format": "{format_}"}}'""")

    assert mount.format_of(image) == format_


@pytest.mark.parametrize("info", [{"format": "vmdk"}, {"format": "qcow2", "backing-filename": "/etc/shadow"}])
def test_an_overlay_or_another_format_is_refused(
    fake: Callable[..., Path], image: Path, info: object
) -> None:
    fake("qemu-img", f"echo '{json.dumps(info)}'")

    with pytest.raises(
        VerificationError, match=r"is no standalone qcow2 or raw image but (vmdk|an overlay of /etc/shadow)$"
    ):
        mount.format_of(image)


def test_a_file_that_is_no_image_is_refused(fake: Callable[..., Path], image: Path) -> None:
    fake("qemu-img", "echo no such image >&2; exit 1")

    with pytest.raises(VerificationError, match="no such image"):
        mount.format_of(image)


def test_links_are_followed_as_the_guest_would(root: Path) -> None:
    (root / "usr/lib/os-release").write_text("ID=debian\n")
    (root / "etc/os-release").symlink_to("../usr/lib/os-release")
    (root / "etc/absolute").symlink_to("/usr/lib/os-release")
    (root / "lib").symlink_to("usr/lib")

    for path in ("/etc/os-release", "etc/absolute", "/lib/os-release", "/lib/../lib/./os-release"):
        assert mount.resolve(root, path) == root / "usr/lib/os-release", path


@pytest.mark.parametrize("link", ["/etc/secret", "../../../../etc/secret", "../../etc/secret"])
def test_no_link_leads_out_of_the_image(root: Path, link: str) -> None:
    (root / "etc/mine").symlink_to(link)

    found = mount.resolve(root, "/etc/mine")

    assert found == root / "etc/secret"
    assert not found.exists()


def test_dots_do_not_lead_out_either(root: Path) -> None:
    assert mount.resolve(root, "/../../etc/secret") == root / "etc/secret"


def test_a_missing_file_has_a_path_too(root: Path) -> None:
    assert mount.resolve(root, "/etc/machine-id") == root / "etc/machine-id"


def test_a_loop_of_links_leads_to_no_file(root: Path) -> None:
    (root / "etc/a").symlink_to("b")
    (root / "etc/b").symlink_to("a")

    assert not mount.resolve(root, "/etc/a").exists()
    assert not mount.resolve(root, "/etc/a/deeper").exists()


@pytest.mark.parametrize("content", ["{", "[1]", "\xff", None])
def test_missing_or_broken_json_is_none(root: Path, content: str | None) -> None:
    if content is not None:
        (root / "etc/build.json").write_bytes(content.encode("latin-1"))

    assert mount.read_json(root, "/etc/build.json") is None


def test_json_is_read(root: Path) -> None:
    (root / "etc/build.json").write_text('{"name": "x"}')

    assert mount.read_json(root, "/etc/build.json") == {"name": "x"}
