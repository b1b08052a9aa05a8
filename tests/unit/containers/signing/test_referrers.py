# SPDX-License-Identifier: Apache-2.0
"""The referrers API of a registry, with its pages, logins and oddities."""

from __future__ import annotations

import base64
import json
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from goldsmith.containers import oci
from goldsmith.containers.signing import referrers
from goldsmith.containers.signing.referrers import NotListedError
from tests.support.sigstore_ca import Sigstore
from tests.support.small_registry import Answer, SmallRegistry, small_registry

DIGEST = f"sha256:{'a' * 64}"
PATH = f"/v2/team/app/referrers/{DIGEST}"
BASIC = base64.b64encode(b"ann:secret").decode()


@pytest.fixture
def registry() -> Iterator[SmallRegistry]:
    with small_registry() as made:
        yield made


@pytest.fixture(autouse=True)
def docker_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return tmp_path / "config.json"


def page(*digests: str, link: str = "") -> Answer:
    body = json.dumps({"schemaVersion": 2, "manifests": [{"digest": each} for each in digests]}).encode()
    return Answer(200, body, {"Content-Type": oci.OCI_INDEX, **({"Link": link} if link else {})})


def listed(registry: SmallRegistry) -> list[str]:
    return [each.digest for each in referrers.listed(f"{registry.host}/team/app", DIGEST)]


def test_what_refers_to_an_image_is_listed(registry: SmallRegistry) -> None:
    registry.answers[PATH] = page("sha256:1", "sha256:2")

    assert listed(registry) == ["sha256:1", "sha256:2"]
    assert referrers.tag(DIGEST) == f"sha256-{'a' * 64}"


@pytest.mark.parametrize(
    "link",
    [
        f'<{PATH}?n=2>; rel="next"',
        f"<{PATH}?n=2>; rel=next",
        '<?n=2>; rel="next"',
        f'<http://registry.internal:5000{PATH}?n=2>; rel="next"',
        f'<{PATH}?n=9>; rel="first", <{PATH}?n=2>; title="x"; rel="next"',
    ],
)
def test_further_pages_come_from_the_same_registry(registry: SmallRegistry, link: str) -> None:
    registry.answers[PATH] = page("sha256:1", link=link)
    registry.answers[f"{PATH}?n=2"] = page("sha256:2", link=f'<{PATH}>; rel="first"')

    assert listed(registry) == ["sha256:1", "sha256:2"]


@pytest.mark.parametrize(
    "target",
    ["http:@evil.test/x", "@evil.test/x", "//@evil.test/x", "http:////evil.test/x", "http:x", "http:.a.test"],
)
def test_a_next_page_that_could_lead_to_another_host_is_refused(registry: SmallRegistry, target: str) -> None:
    registry.answers[PATH] = page("sha256:1", link=f'<{target}>; rel="next"')
    found = referrers.listed(f"{registry.host}/team/app", DIGEST)

    assert next(found).digest == "sha256:1"
    with pytest.raises(NotListedError, match=r"names a next page that is no path|HTTP 404"):
        next(found)
    assert all(path.startswith("/") for path, _, _ in registry.asked)


def test_what_the_first_page_lists_is_known_before_a_later_page_fails(registry: SmallRegistry) -> None:
    registry.answers[PATH] = page("sha256:1", link=f'<{PATH}?n=2>; rel="next"')
    found = referrers.listed(f"{registry.host}/team/app", DIGEST)

    assert next(found).digest == "sha256:1"
    with pytest.raises(NotListedError, match="HTTP 404"):
        next(found)


def test_pages_without_end_are_refused(registry: SmallRegistry) -> None:
    registry.answers[PATH] = page(link=f'<{PATH}?n=2>; rel="next"')
    registry.answers[f"{PATH}?n=2"] = page(link=f'<{PATH}>; rel="next"')

    with pytest.raises(NotListedError, match="on more than 2 pages"):
        listed(registry)


@pytest.mark.parametrize("status", [400, 403, 404, 405, 406, 500, 501, 503])
def test_a_registry_without_the_api_is_named_with_its_answer(registry: SmallRegistry, status: int) -> None:
    registry.answers[PATH] = Answer(status, b"<html>")

    with pytest.raises(NotListedError, match=f"{registry.host} answers the referrers API with HTTP {status}"):
        listed(registry)


@pytest.mark.parametrize(
    "body",
    [b"<html>", b"", b"{}", b"null", b"[]", b'{"errors": []}', b'{"layers": []}', b"[" * 100_000],
    ids=range(8),
)
def test_another_document_is_no_list(registry: SmallRegistry, body: bytes) -> None:
    registry.answers[PATH] = Answer(200, body, {"Content-Type": oci.OCI_INDEX})

    with pytest.raises(NotListedError, match="with something else than an index"):
        listed(registry)


def test_an_endless_answer_is_not_read_to_its_end(
    registry: SmallRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(referrers, "_LARGEST", 1 << 20)
    registry.answers[PATH] = Answer(200, b" " * (1 << 20) + page("sha256:1").body)

    with pytest.raises(NotListedError, match="more than 1 MiB"):
        listed(registry)


def test_a_registry_that_is_not_there_is_named() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{probe.getsockname()[1]}"
        with pytest.raises(NotListedError, match=f"cannot ask {host} for referrers: .*refused"):
            list(referrers.listed(f"{host}/team/app", DIGEST))


def test_a_redirect_does_not_carry_the_login(registry: SmallRegistry, docker_config: Path) -> None:
    docker_config.write_text(json.dumps({"auths": {registry.host: {"auth": BASIC}}}))
    registry.needs.append(f"Basic {BASIC}")
    registry.challenge.append('Basic realm="x"')
    registry.answers[PATH] = Answer(307, headers={"Location": "/elsewhere"})
    registry.answers["/elsewhere"] = page("sha256:1")

    assert listed(registry) == ["sha256:1"]
    assert registry.asked[-2:] == [(PATH, f"Basic {BASIC}", ""), ("/elsewhere", "", "")]


def test_a_login_is_sent_only_to_who_asks_for_one(registry: SmallRegistry, docker_config: Path) -> None:
    docker_config.write_text(json.dumps({"auths": {registry.host: {"auth": BASIC}}}))
    registry.answers[PATH] = page("sha256:1")

    assert listed(registry) == ["sha256:1"]
    assert [authorization for _, authorization, _ in registry.asked] == [""]


@pytest.mark.parametrize("challenge", ['Basic realm="x"', 'Bearer realm="ftp://x"', "Negotiate", ""])
def test_a_registry_that_lets_nobody_in_is_named(registry: SmallRegistry, challenge: str) -> None:
    registry.needs.append("nothing")
    registry.challenge.append(challenge)

    with pytest.raises(
        NotListedError, match=r"denies access to its referrers API; run: docker login|not HTTPS"
    ):
        listed(registry)


@pytest.mark.parametrize("realm", ["http://tokens.test/token", "file:///etc/passwd", ""])
def test_a_login_never_goes_out_in_plain_text(
    registry: SmallRegistry, docker_config: Path, realm: str
) -> None:
    docker_config.write_text(json.dumps({"auths": {registry.host: {"auth": BASIC}}}))
    registry.needs.append("Bearer t")
    registry.challenge.append(f'Bearer realm="{realm}"')

    with pytest.raises(NotListedError, match="which is not HTTPS"):
        listed(registry)


SCOPE = "service=r&scope=repository%3Ateam%2Fapp%3Apull"


@pytest.fixture
def tokens(registry: SmallRegistry) -> SmallRegistry:
    """A registry that wants a token of a token server (here the same one)."""
    registry.needs.append("Bearer t0k")
    registry.challenge.append(
        f'Bearer realm="http://{registry.host}/token",service="r",scope="repository:team/app:pull"'
    )
    registry.answers[PATH] = page("sha256:1")
    return registry


@pytest.mark.parametrize("name", ["token", "access_token"])
def test_a_token_of_an_anonymous_user_is_enough(tokens: SmallRegistry, name: str) -> None:
    tokens.answers[f"/token?{SCOPE}"] = Answer(200, json.dumps({name: "t0k"}).encode())

    assert listed(tokens) == ["sha256:1"]


def test_a_token_is_asked_for_with_the_login(tokens: SmallRegistry, docker_config: Path) -> None:
    docker_config.write_text(json.dumps({"auths": {tokens.host: {"auth": BASIC}}}))
    tokens.answers[f"/token?{SCOPE}"] = Answer(200, b'{"token": "t0k"}')

    assert listed(tokens) == ["sha256:1"]
    assert (f"/token?{SCOPE}", f"Basic {BASIC}", "") in tokens.asked


def test_a_credential_helper_gives_the_login(
    tokens: SmallRegistry, docker_config: Path, fake: Callable[..., Path]
) -> None:
    docker_config.write_text(json.dumps({"credHelpers": {tokens.host: "vault"}}))
    fake("docker-credential-vault", """printf '{"Username": "ann", "Secret": "secret"}'""")
    tokens.answers[f"/token?{SCOPE}"] = Answer(200, b'{"token": "t0k"}')

    assert listed(tokens) == ["sha256:1"]
    assert (f"/token?{SCOPE}", f"Basic {BASIC}", "") in tokens.asked


@pytest.mark.parametrize("helped", [True, False])
def test_a_token_that_stands_for_the_login_is_exchanged(
    tokens: SmallRegistry, docker_config: Path, fake: Callable[..., Path], helped: bool
) -> None:
    stored = {"auths": {tokens.host: {"identitytoken": "long"}}}
    docker_config.write_text(json.dumps({"credHelpers": {tokens.host: "vault"}} if helped else stored))
    fake("docker-credential-vault", """printf '{"Username": "<token>", "Secret": "long"}'""")
    tokens.answers["/token"] = Answer(200, b'{"access_token": "t0k"}')

    assert listed(tokens) == ["sha256:1"]
    (form,) = [form for path, _, form in tokens.asked if path == "/token"]
    assert "grant_type=refresh_token" in form
    assert "refresh_token=long" in form


@pytest.mark.parametrize("body", [b"{}", b"<html>", b'{"token": 7}'])
def test_a_token_server_without_a_token_is_named(tokens: SmallRegistry, body: bytes) -> None:
    tokens.answers[f"/token?{SCOPE}"] = Answer(200, body)

    with pytest.raises(NotListedError, match="gives no token for its referrers API"):
        listed(tokens)


@pytest.mark.parametrize("script", ["exit 1", "echo nothing", """printf '{"Username": 7}'"""])
def test_a_credential_helper_that_fails_gives_no_login(
    registry: SmallRegistry, docker_config: Path, fake: Callable[..., Path], script: str
) -> None:
    docker_config.write_text(json.dumps({"credHelpers": {registry.host: "vault"}}))
    fake("docker-credential-vault", script)
    registry.needs.append("nothing")
    registry.challenge.append('Basic realm="x"')

    with pytest.raises(NotListedError, match="docker login"):
        listed(registry)


def test_only_a_registry_on_loopback_may_have_any_certificate() -> None:
    assert referrers.trust("127.0.0.1:5000").verify_mode == ssl.CERT_NONE
    assert referrers.trust("host.test").verify_mode == ssl.CERT_REQUIRED
    assert referrers.trust("127.0.0.1.evil.test").verify_mode == ssl.CERT_REQUIRED


def test_the_authority_that_docker_trusts_for_a_registry_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(referrers, "_CERTIFICATES", (tmp_path / "none", tmp_path))
    (tmp_path / "host.test:5000").mkdir()
    root = Sigstore()._root().public_bytes(Encoding.PEM)
    (tmp_path / "host.test:5000/ca.crt").write_bytes(root)

    def names(host: str) -> str:
        return str(referrers.trust(host).get_ca_certs())

    assert "(('commonName', 'test'),)" in names("host.test:5000")
    assert "(('commonName', 'test'),)" not in names("host.test")
