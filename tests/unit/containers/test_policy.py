# SPDX-License-Identifier: Apache-2.0
"""Which images the policy allows."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from goldsmith.containers import policy
from goldsmith.containers.policy import Policy, Rule
from goldsmith.core.paths import project_root
from goldsmith.errors import ProvenanceError, SpecError

DIGEST = f"sha256:{'a' * 64}"
REPOSITORY = "host.test/team/app"


@pytest.fixture
def write(tmp_path: Path) -> Callable[[object], Path]:
    def write(content: object) -> Path:
        path = tmp_path / "policy.yaml"
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return path

    return write


def test_without_a_policy_no_image_is_allowed(tmp_path: Path) -> None:
    with pytest.raises(ProvenanceError, match=f"does not allow {REPOSITORY}@{DIGEST}") as e:
        Policy().rule(f"{REPOSITORY}@{DIGEST}")
    assert "image-specs/policy.yaml" in str(e.value.hint)
    with pytest.raises(ProvenanceError, match="its origin is unknown"):
        Policy().allow_engine("debian:12")


def test_an_image_in_a_dockerfile_without_a_digest_is_named_with_its_line() -> None:
    with pytest.raises(ProvenanceError, match=r"^web/Dockerfile:1: debian:13 is not pinned") as e:
        Policy().allow_engine("debian:13", used_in="web/Dockerfile:1")

    assert "write debian:13@sha256:" in str(e.value.hint)


def test_the_longest_prefix_that_ends_at_a_border_decides(write: Callable[[object], Path]) -> None:
    made = policy.load(
        write(
            {
                "registries": {
                    "host.test": {"accept-unsigned": "all of it"},
                    "host.test/team": {"accept-unsigned": "the team's"},
                    "host.test:5000/team": {"accept-unsigned": "another"},
                }
            }
        )
    )

    assert made.rule(f"{REPOSITORY}@{DIGEST}").accepted == "the team's"
    assert made.rule(f"host.test/teammate/app@{DIGEST}").accepted == "all of it"
    for stranger in ("host.test.evil/team", "host.test:443/app"):
        with pytest.raises(ProvenanceError):
            made.rule(f"{stranger}@{DIGEST}")
    assert made.used == {
        f"{REPOSITORY}@{DIGEST}": "the team's", f"host.test/teammate/app@{DIGEST}": "all of it",
    }  # fmt: skip


def test_dockers_official_images_have_a_short_name_too(write: Callable[[object], Path]) -> None:
    rules = {"docker.io": {"accept-unsigned": "all"}, "docker.io/debian": {"accept-unsigned": "Debian's"}}

    made = policy.load(write({"registries": rules}))

    assert made.rule(f"docker.io/library/debian@{DIGEST}").accepted == "Debian's"
    assert made.rule(f"docker.io/library/redis@{DIGEST}").accepted == "all"


@pytest.mark.parametrize("prefix", ["docker.io/debian", "docker.io/library/debian", "index.docker.io/debian"])
def test_a_rule_may_call_an_official_image_as_its_reference_or_otherwise(
    write: Callable[[object], Path], prefix: str
) -> None:
    made = policy.load(write({"registries": {prefix: {"accept-unsigned": "Debian's"}}}))

    assert made.rule(f"docker.io/library/debian@{DIGEST}").accepted == "Debian's"
    with pytest.raises(ProvenanceError):
        made.rule(f"docker.io/library/debian-slim@{DIGEST}")


def test_a_longer_name_of_docker_hub_is_no_narrower_rule(write: Callable[[object], Path]) -> None:
    rules = {"index.docker.io": {"accept-unsigned": "all"}, "docker.io/me": {"accept-unsigned": "mine"}}
    assert policy.load(write({"registries": rules})).rule(f"docker.io/me/x@{DIGEST}").accepted == "mine"

    rules = {"docker.io/library": {"accept-unsigned": "all"}, "docker.io/nginx": {"accept-unsigned": "mine"}}
    made = policy.load(write({"registries": rules}))
    assert made.rule(f"docker.io/library/nginx@{DIGEST}").accepted == "mine"
    assert made.rule(f"docker.io/library/redis@{DIGEST}").accepted == "all"

    twice = {"index.docker.io/me": {"accept-unsigned": "all"}, "docker.io/me": {"accept-unsigned": "mine"}}
    with pytest.raises(SpecError, match=r"index\.docker\.io/me: means the same as docker.io/me"):
        policy.load(write({"registries": twice}))


def test_images_of_an_engine_need_a_reason(write: Callable[[object], Path]) -> None:
    made = policy.load(write({"engine": {"accept-unsigned": "built by hand"}}))

    made.allow_engine("mine:1")

    assert made.used == {"mine:1": "built by hand"}


def test_another_key_in_the_same_file_changes_the_fingerprint(tmp_path: Path) -> None:
    key = tmp_path / "key.pub"
    key.write_text("one")
    rule = Rule(prefix="a", sigstore_key=key)
    before = rule.fingerprint()
    key.write_text("two")

    assert rule.fingerprint() != before


def test_a_keyless_rule_names_identity_issuer_and_trusted_root(
    write: Callable[[object], Path], tmp_path: Path
) -> None:
    root = tmp_path / "trusted_root.json"
    root.write_text("{}")
    said = {"sigstore-identity": "me@example.org", "issuer": "https://issuer.test", "trusted-root": str(root)}

    rule = policy.load(write({"registries": {"a": said}})).rule(f"a@{DIGEST}")
    before = rule.fingerprint()
    root.write_text('{"other": 1}')

    assert (rule.identity, rule.issuer, rule.trusted_root) == ("me@example.org", "https://issuer.test", root)
    assert rule.fingerprint() != before


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"registry": {}}, "unknown key 'registry'"),
        ({"engine": {"accept": 1}}, "engine: the only key is accept-unsigned"),
        ({"engine": {"accept-unsigned": False}}, "accept-unsigned must be a reason .text., got False"),
        ({"engine": {"accept-unsigned": None}}, "accept-unsigned must be a reason .text., got None"),
        ({"engine": {"accept-unsigned": " "}}, "accept-unsigned must be a reason"),
        ({"registries": {"a": {"accept-unsigned": True}}}, "a: accept-unsigned must be text, got True"),
        ({"registries": {"a": {"accept-unsigned": ""}}}, "a: accept-unsigned must be text"),
        ({"registries": {"a/b/": {"accept-unsigned": "x"}}}, "a/b/: must be a registry"),
        ({"registries": {"a/b:1": {"accept-unsigned": "x"}}}, "a/b:1: must be a registry"),
        ({"registries": ["host.test"]}, "registries must be a mapping"),
        (
            {"registries": {"a": {}}},
            "a: needs one of sigstore-key, sigstore-identity",
        ),
        ({"registries": {"a": {"gpg-key": "k", "accept-unsigned": "x"}}}, "a: needs one of"),
        (
            {"registries": {"a": {"accept-unsigned": "x", "lookaside": "y"}}},
            "be combined with lookaside",
        ),
        ({"registries": {"a": {"sigstore-key": "nobody.pub"}}}, "a: there is no key nobody.pub"),
        ({"registries": {"a": {"sigstore-identity": "x", "issuer": "y"}}}, "also needs trusted-root"),
        (
            {"registries": {"a": {"sigstore-identity": "x", "issuer": "y", "trusted-root": "none.json"}}},
            "a: there is no trusted root none.json",
        ),
        ([], "must be a mapping"),
        ("a: [", "policy.yaml:1: not valid YAML"),
        (
            "engine: {accept-unsigned: first}\nengine: {accept-unsigned: second}\n",
            r"policy.yaml:2: duplicate key 'engine' \(first in policy.yaml:1\)",
        ),
        (
            "registries:\n  a: {accept-unsigned: x}\n  b: {accept-unsigned: x}\n  a: {gpg-key: k}\n",
            "policy.yaml:4: duplicate key 'a'",
        ),
        ("registries:\n  10: {accept-unsigned: x}\n", "policy.yaml:2: a key must be text, got 10"),
        (
            "# ours\nregistries:\n  a:\n    accept-unsigned: 1\n",
            "policy.yaml:4: a: accept-unsigned must be",
        ),
    ],
)
def test_a_problem_of_a_policy_is_reported(
    write: Callable[[object], Path], content: object, problem: str
) -> None:
    if content == []:
        content = "- a"
    with pytest.raises(SpecError, match=problem):
        policy.load(write(content))


def test_all_problems_are_reported_together(write: Callable[[object], Path]) -> None:
    with pytest.raises(SpecError, match=r"(?s)a: needs one of.*b: needs one of"):
        policy.load(write({"registries": {"a": {}, "b": {}}}))


def test_a_policy_that_a_spec_names_must_exist(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="there is no policy"):
        policy.load(tmp_path / "none.yaml")
    assert policy.load().rules == ()


def test_the_sample_of_the_documentation_is_a_policy_with_every_kind_of_rule(
    write: Callable[[object], Path],
) -> None:
    page = (project_root() / "docs/containers.md").read_text(encoding="utf-8")
    (sample,) = re.findall(r"```yaml\n(# policy\.yaml.*?)```", page, re.DOTALL)
    path = write(sample)
    with pytest.raises(SpecError, match=r"there is no key keys/team\.pub"):
        policy.load(path)
    (path.parent / "keys").mkdir()
    for name in re.findall(r"keys/([\w.]+)", sample):
        (path.parent / "keys" / name).write_text("key")

    made = policy.load(path)

    def rule(name: str) -> Rule:
        return made.rule(f"{name}@{DIGEST}")

    assert rule("registry.example.org/team/agent").sigstore_key == path.parent / "keys/team.pub"
    assert rule("ghcr.example.org/upstream/app").issuer == "https://token.actions.example.org"
    assert rule("quay.example.org/any/app").gpg_key == path.parent / "keys/quay.gpg"
    assert "reviewed by digest" in rule("docker.io/library/debian").accepted
    assert made.engine == "built by hand on the release machine"
    with pytest.raises(ProvenanceError):
        rule("registry.example.org/other/agent")


def test_the_first_image_of_a_registry_in_the_page_on_specs_is_allowed_by_the_sample() -> None:
    pages = {
        name: (project_root() / f"docs/{name}.md").read_text(encoding="utf-8")
        for name in ("write-a-spec", "containers")
    }
    first = next(line for line in pages["write-a-spec"].splitlines() if "registry:" in line)
    found = re.search(r"registry: (\S+)/[\w-]+:[\w.]+@sha256:", first)

    assert found
    assert "policy" in first
    assert f"\n  {found[1]}: {{sigstore-key:" in pages["containers"]
