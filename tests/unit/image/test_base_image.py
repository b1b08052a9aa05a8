# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from goldsmith.core import paths
from goldsmith.errors import BuildError, ProvenanceError
from goldsmith.image import base_image
from goldsmith.spec.model import BaseImage
from tests.support.gnupg import Gpg, gpg_home

pytestmark = [pytest.mark.programs("gpg", "gpgv"), pytest.mark.xdist_group("publishers")]

CONTENT = b"a disk image"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
FORMS = {"plain": f"{SHA256} *base.qcow2\n", "tagged": f"# base\nSHA256 (base.qcow2) = {SHA256.upper()}\n"}


class Publisher:
    """A publisher with a key that signs lists."""

    def __init__(self, folder: Path, gpg: Gpg) -> None:
        folder.mkdir()
        self.folder, self.gpg = folder, gpg
        gpg("--output", folder / "keys.gpg", "--export")

    def sign(self, text: str) -> Path:
        (self.folder / "list").write_text(text)
        self.gpg("--yes", "--output", self.folder / "CHECKSUM", "--clearsign", self.folder / "list")
        return self.folder / "CHECKSUM"


@pytest.fixture(scope="module")
def publishers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Publisher]]:
    folder = tmp_path_factory.mktemp("p")
    with gpg_home("Images <images@test.invalid>") as ours, gpg_home("Others <others@test.invalid>") as others:
        yield {"theirs": Publisher(folder / "theirs", ours), "foreign": Publisher(folder / "foreign", others)}


@pytest.fixture
def fetch(
    publishers: dict[str, Publisher], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Path]:
    """fetch(LIST): the base image, checked against the file LIST."""
    monkeypatch.setattr(paths, "project_root", lambda: publishers["theirs"].folder)
    (tmp_path / "base.qcow2").write_bytes(CONTENT)

    def call(checksums: Path, *, sha256: str = SHA256, keyring: str = "keys.gpg") -> Path:
        base = BaseImage(
            url=(tmp_path / "base.qcow2").as_uri(), sha256=sha256, checksums=checksums.as_uri(),
            keyring=keyring,
        )  # fmt: skip
        return base_image.fetch(base, log_path=tmp_path / "log")

    return call


@pytest.mark.parametrize("form", FORMS)
def test_an_image_on_a_signed_list_in_either_format_is_accepted(
    fetch: Callable[..., Path], publishers: dict[str, Publisher], form: str, tmp_path: Path
) -> None:
    got = fetch(publishers["theirs"].sign(FORMS[form]))

    assert got.read_bytes() == CONTENT
    assert f"is signed, and lists base.qcow2 as {SHA256}" in (tmp_path / "log").read_text()


def test_the_result_of_a_check_is_cached(
    fetch: Callable[..., Path], publishers: dict[str, Publisher]
) -> None:
    listed = publishers["theirs"].sign(FORMS["plain"])
    fetch(listed)
    listed.unlink()

    assert fetch(listed).read_bytes() == CONTENT


def test_a_list_signed_by_another_key_is_refused(
    fetch: Callable[..., Path], publishers: dict[str, Publisher]
) -> None:
    with pytest.raises(ProvenanceError, match=r"is not signed by a key of keys\.gpg"):
        fetch(publishers["foreign"].sign(FORMS["plain"]))


def test_a_list_that_was_changed_is_refused(
    fetch: Callable[..., Path], publishers: dict[str, Publisher]
) -> None:
    listed = publishers["theirs"].sign(FORMS["plain"])
    listed.write_text(listed.read_text().replace(SHA256[:8], "00000000"))

    with pytest.raises(ProvenanceError, match="is not signed"):
        fetch(listed)


def test_text_around_the_signed_text_is_ignored(
    fetch: Callable[..., Path], publishers: dict[str, Publisher]
) -> None:
    listed = publishers["theirs"].sign(f"{'0' * 64}  another.qcow2\n")
    listed.write_text(f"{FORMS['plain']}\n{listed.read_text()}\n{FORMS['plain']}")

    with pytest.raises(ProvenanceError):
        fetch(listed)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"{'0' * 64}  base.qcow2\n", "0" * 64),
        (f"{SHA256}  other.qcow2\n", "no checksum"),
        ("", "no checksum"),
    ],
)
def test_the_list_must_have_the_checksum_of_the_image(
    fetch: Callable[..., Path], publishers: dict[str, Publisher], text: str, found: str
) -> None:
    with pytest.raises(ProvenanceError, match=f"CHECKSUM has {found} for base.qcow2, the spec has {SHA256}"):
        fetch(publishers["theirs"].sign(text))


def test_a_missing_keyring_is_an_error(fetch: Callable[..., Path], publishers: dict[str, Publisher]) -> None:
    with pytest.raises(BuildError, match=r"the keyring .*/gone\.gpg does not exist"):
        fetch(publishers["theirs"].sign(FORMS["plain"]), keyring="gone.gpg")


def test_a_list_that_cannot_be_downloaded_is_an_error(fetch: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="cannot fetch"):
        fetch(tmp_path / "nowhere")
