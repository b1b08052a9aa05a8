# SPDX-License-Identifier: Apache-2.0
"""Real keys and signatures: gpgv's exit code is 0 for half of those that do not count."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from goldsmith.apt import gpgv
from goldsmith.apt.gpgv import NoValidSignature
from goldsmith.errors import CommandError
from tests.support.gnupg import Gpg, gpg_home

pytestmark = [pytest.mark.programs("gpg", "gpgv", "gpgconf"), pytest.mark.xdist_group("publishers")]

_OURS, _THEIRS = "ours@test.invalid", "theirs@test.invalid"


@pytest.fixture
def gpg() -> Iterator[Gpg]:
    """gpg with two keys."""
    with gpg_home(f"Ours <{_OURS}>") as found:
        found("--quick-generate-key", f"Theirs <{_THEIRS}>", "ed25519", "sign", "never")
        yield found


@pytest.fixture
def sign(gpg: Gpg, tmp_path: Path) -> Callable[..., Path]:
    """sign(KEY, ..., words=OPTIONS): a text signed with these keys."""

    def call(*keys: str, words: tuple[str, ...] = ()) -> Path:
        (tmp_path / "text").write_text("a text\n")
        users = [word for key in keys for word in ("--local-user", key)]
        gpg("--yes", *users, *words, "--output", tmp_path / "signed", "--clearsign", tmp_path / "text")
        return tmp_path / "signed"

    return call


@pytest.fixture
def keyring(gpg: Gpg, tmp_path: Path) -> Callable[[str], Path]:
    """keyring(KEY): a file with it, as it is now."""

    def call(key: str) -> Path:
        gpg("--yes", "--output", tmp_path / "keys.gpg", "--export", key)
        return tmp_path / "keys.gpg"

    return call


def test_the_signed_text_is_given_out(
    sign: Callable[..., Path], keyring: Callable[[str], Path], tmp_path: Path
) -> None:
    gpgv.verify(sign(_OURS), keyring(_OURS), output=tmp_path / "out")

    assert (tmp_path / "out").read_text() == "a text\n"


def test_one_of_several_signatures_is_enough(
    sign: Callable[..., Path], keyring: Callable[[str], Path]
) -> None:
    """As a host's older keyring lacks the newest of Debian's keys."""
    gpgv.verify(sign(_THEIRS, _OURS), keyring(_OURS))


def test_a_signature_by_somebody_else(sign: Callable[..., Path], keyring: Callable[[str], Path]) -> None:
    with pytest.raises(NoValidSignature, match="no such key is in the keyring"):
        gpgv.verify(sign(_THEIRS), keyring(_OURS))


def test_a_text_that_was_changed(sign: Callable[..., Path], keyring: Callable[[str], Path]) -> None:
    signed = sign(_OURS)
    signed.write_text(signed.read_text().replace("a text", "another text"))

    with pytest.raises(NoValidSignature, match="the text is not what was signed"):
        gpgv.verify(signed, keyring(_OURS))


def test_no_signature_at_all(keyring: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("a text\n")

    with pytest.raises(NoValidSignature, match="it has no signature"):
        gpgv.verify(tmp_path / "plain", keyring(_OURS))


def test_a_weak_hash(sign: Callable[..., Path], keyring: Callable[[str], Path], gpg: Gpg) -> None:
    gpg("--quick-generate-key", "RSA <rsa@test.invalid>", "rsa2048", "sign", "never")
    weak = sign("rsa@test.invalid", words=("--digest-algo", "SHA1", "--allow-weak-digest-algos"))

    with pytest.raises(NoValidSignature, match="it is made with SHA-1"):
        gpgv.verify(weak, keyring("rsa@test.invalid"))


def test_a_key_that_has_expired_since(
    sign: Callable[..., Path], keyring: Callable[[str], Path], gpg: Gpg, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = ("--faked-system-time", "20200101T000000")
    gpg(*now, "--quick-generate-key", "Old <old@test.invalid>", "ed25519", "sign", "1d")
    signed = sign("old@test.invalid", words=now)

    with pytest.raises(NoValidSignature, match="the key has expired"):
        gpgv.verify(signed, keyring("old@test.invalid"))


def test_a_key_that_was_revoked(
    sign: Callable[..., Path], keyring: Callable[[str], Path], gpg: Gpg, tmp_path: Path
) -> None:
    signed = sign(_OURS)
    revocation = tmp_path / "revocation"
    text = gpg("--with-colons", "--fingerprint", _OURS)
    (kept,) = (path for path in gpg.home.glob("openpgp-revocs.d/*.rev") if path.stem in text)
    revocation.write_text(kept.read_text().replace("\n:-----BEGIN", "\n-----BEGIN"))
    gpg("--import", revocation)

    with pytest.raises(NoValidSignature, match="the key was revoked"):
        gpgv.verify(signed, keyring(_OURS))


def test_a_file_is_the_signed_text_and_nothing_else(
    sign: Callable[..., Path], keyring: Callable[[str], Path], tmp_path: Path
) -> None:
    whole = sign(_OURS).read_bytes()
    out = tmp_path / "out"
    gpgv.verify(tmp_path / "signed", keyring(_OURS), output=out)

    assert gpgv.is_framed(whole, out.read_bytes())
    assert not gpgv.is_framed(whole, b"another text\n")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"\n\na text", b"\nValid-Until: 2099\na text"),  # gpgv leaves it out, with exit code 2
        (b"\n\na text", b"\nComment: 1\n\na text"),
        (b"-----END PGP SIGNATURE-----", b"-----END PGP SIGNATURE----- \nmore\n-----END PGP SIGNATURE-----"),
        (b"-----END PGP SIGNATURE-----\n", b"-----END PGP SIGNATURE-----\nmore\n"),
        (b"-----BEGIN PGP SIGNED", b"more\n-----BEGIN PGP SIGNED"),
        (b"-----BEGIN PGP SIGNATURE-----\n", b"-----BEGIN PGP SIGNATURE-----\nMore: 1\n"),
        (b"-----BEGIN PGP SIGNATURE-----\n", b"-----BEGIN PGP SIGNATURE-----\nComment: \xff\n"),
    ],
)
def test_what_gpgv_passes_over_is_seen(sign: Callable[..., Path], old: bytes, new: bytes) -> None:
    whole = sign(_OURS).read_bytes()
    assert old in whole

    assert not gpgv.is_framed(whole.replace(old, new), b"a text\n")


def test_lines_with_a_dash_are_escaped_in_the_file(
    gpg: Gpg, keyring: Callable[[str], Path], tmp_path: Path
) -> None:
    text, signed, out = tmp_path / "dashes", tmp_path / "signed", tmp_path / "out"
    text.write_text("- one\n-----two\n\nthree  \n")
    gpg("--local-user", _OURS, "--output", signed, "--clearsign", text)
    gpgv.verify(signed, keyring(_OURS), output=out)

    assert gpgv.is_framed(signed.read_bytes(), out.read_bytes())


def test_a_gpgv_that_is_killed_is_no_verdict(fake: Callable[..., Path], tmp_path: Path) -> None:
    fake("gpgv", "echo '[GNUPG:] GOODSIG x'; echo '[GNUPG:] VALIDSIG x x x x x x x 10'; kill -9 $$")

    with pytest.raises(CommandError):
        gpgv.verify(tmp_path / "a", tmp_path / "b")


def test_a_signature_of_a_kind_that_gpgv_does_not_know(fake: Callable[..., Path], tmp_path: Path) -> None:
    fake("gpgv", "echo '[GNUPG:] NEWSIG'; echo '[GNUPG:] ERRSIG 92 1 10 01 17 4 86'; exit 2")

    with pytest.raises(NoValidSignature, match="does not take its kind"):
        gpgv.verify(tmp_path / "a", tmp_path / "b")
