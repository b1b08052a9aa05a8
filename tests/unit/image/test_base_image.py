# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from goldsmith.core import paths, proc
from goldsmith.errors import BuildError, ProvenanceError
from goldsmith.image import base_image
from goldsmith.spec.model import BaseImage

pytestmark = [pytest.mark.programs("gpg", "gpgv"), pytest.mark.xdist_group("publishers")]

CONTENT = b"a disk image"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
FORMS = {"plain": f"{SHA256} *base.qcow2\n", "tagged": f"# base\nSHA256 (base.qcow2) = {SHA256.upper()}\n"}


class Publisher:
    """Has a key, and signs lists with it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder, folder / "home"
        self.home.mkdir(mode=0o700, parents=True)
        self.gpg("--quick-gen-key", "Images <images@test.invalid>", "ed25519", "sign", "0")
        self.gpg("--output", folder / "keys.gpg", "--export")

    def gpg(self, *words: str | Path) -> None:
        proc.capture(["gpg", "--homedir", self.home, "--batch", "--quiet", "--passphrase", "", *words])

    def sign(self, text: str) -> Path:
        (self.folder / "list").write_text(text)
        self.gpg("--yes", "--output", self.folder / "CHECKSUM", "--clearsign", self.folder / "list")
        return self.folder / "CHECKSUM"


@pytest.fixture(scope="module")
def publishers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Publisher]]:
    folder = tmp_path_factory.mktemp("p")
    made = {name: Publisher(folder / name) for name in ("theirs", "strangers")}
    yield made
    for publisher in made.values():
        proc.capture(["gpgconf", "--homedir", publisher.home, "--kill", "gpg-agent"])


@pytest.fixture
def fetch(
    publishers: dict[str, Publisher], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Path]:
    """fetch(LIST): the base image, by what the file LIST says of it."""
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
def test_a_signed_list_in_either_form_lets_the_image_in(
    fetch: Callable[..., Path], publishers: dict[str, Publisher], form: str, tmp_path: Path
) -> None:
    got = fetch(publishers["theirs"].sign(FORMS[form]))

    assert got.read_bytes() == CONTENT
    assert f"is signed, and lists base.qcow2 as {SHA256}" in (tmp_path / "log").read_text()


def test_what_was_found_right_once_needs_the_list_no_more(
    fetch: Callable[..., Path], publishers: dict[str, Publisher]
) -> None:
    listed = publishers["theirs"].sign(FORMS["plain"])
    fetch(listed)
    listed.unlink()

    assert fetch(listed).read_bytes() == CONTENT


def test_a_strangers_list_does_not(fetch: Callable[..., Path], publishers: dict[str, Publisher]) -> None:
    with pytest.raises(ProvenanceError, match=r"is not signed by a key of keys\.gpg"):
        fetch(publishers["strangers"].sign(FORMS["plain"]))


def test_nor_does_a_list_that_was_changed(
    fetch: Callable[..., Path], publishers: dict[str, Publisher]
) -> None:
    listed = publishers["theirs"].sign(FORMS["plain"])
    listed.write_text(listed.read_text().replace(SHA256[:8], "00000000"))

    with pytest.raises(ProvenanceError, match="is not signed"):
        fetch(listed)


def test_what_stands_around_the_signed_text_does_not_count(
    fetch: Callable[..., Path], publishers: dict[str, Publisher]
) -> None:
    listed = publishers["theirs"].sign(f"{'0' * 64}  another.qcow2\n")
    listed.write_text(f"{FORMS['plain']}\n{listed.read_text()}\n{FORMS['plain']}")

    with pytest.raises(ProvenanceError):
        fetch(listed)


@pytest.mark.parametrize(
    ("text", "said"),
    [(f"{'0' * 64}  base.qcow2\n", "0" * 64), (f"{SHA256}  other.qcow2\n", "not listed"), ("", "not listed")],
)
def test_the_list_has_to_name_this_very_file(
    fetch: Callable[..., Path], publishers: dict[str, Publisher], text: str, said: str
) -> None:
    with pytest.raises(ProvenanceError, match=f"is {SHA256} in the spec, and {said} in what was signed"):
        fetch(publishers["theirs"].sign(text))


def test_a_keyring_that_is_not_there_is_told(
    fetch: Callable[..., Path], publishers: dict[str, Publisher]
) -> None:
    with pytest.raises(BuildError, match=r"there is no keyring gone\.gpg"):
        fetch(publishers["theirs"].sign(FORMS["plain"]), keyring="gone.gpg")


def test_a_list_that_cannot_be_had_is_told(fetch: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="cannot fetch"):
        fetch(tmp_path / "nowhere")
