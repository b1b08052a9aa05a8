# SPDX-License-Identifier: Apache-2.0
"""The policy for container images (image-specs/policy.yaml): which are allowed, with which signature.

An image that matches no rule is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from goldsmith.containers import oci
from goldsmith.core import paths
from goldsmith.errors import ProvenanceError, SpecError
from goldsmith.spec import problem
from goldsmith.spec.document import KeyPath, YamlDocument, parse_document
from goldsmith.spec.model import ImageSpec

FILE = Path("image-specs/policy.yaml")
_KINDS = ("sigstore-key", "sigstore-identity", "gpg-key", "accept-unsigned")
_MORE = {"gpg-key": ("lookaside",), "sigstore-identity": ("issuer", "trusted-root")}
_TOP = ("engine", "registries")
_DOCS = "see docs/provenance.md"


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """The rule for a registry, a namespace or a repository (prefix); one of its kinds is set.

    sigstore_key: PEM file with the key of cosign signatures in the registry. identity, issuer: signer of a
    keyless signature, and who confirmed it; trusted_root: file with the authorities and logs of that
    Sigstore. gpg_key: file with public keys; lookaside: URL of simple signatures
    (containers-registries.d(5)). accepted: the reason why no signature is required.
    """

    prefix: str
    sigstore_key: Path | None = None
    identity: str = ""
    issuer: str = ""
    trusted_root: Path | None = None
    gpg_key: Path | None = None
    lookaside: str = ""
    accepted: str = ""

    def fingerprint(self) -> str:
        """Hex sha256 of the rule and its keys: another key in the same file gives another fingerprint."""
        files = (self.sigstore_key, self.trusted_root, self.gpg_key)
        keys = [path.read_bytes().hex() for path in files if path]
        values = [self.prefix, self.lookaside, self.accepted, self.identity, self.issuer, *keys]
        return hashlib.sha256(json.dumps(values).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """origin: the file to edit. engine: the reason why any image of the Docker engine is accepted."""

    origin: str = str(FILE)
    rules: tuple[Rule, ...] = ()
    engine: str = ""
    used: dict[str, str] = field(default_factory=dict)  # image -> reason, of images accepted unsigned

    def rule(self, reference: str) -> Rule:
        """The rule with the longest prefix of NAME@DIGEST. Raises ProvenanceError if there is none."""
        name = reference.partition("@")[0]
        matching = [rule for rule in self.rules if _matched(name, rule.prefix)]
        if not matching:
            raise ProvenanceError(
                f"the policy does not allow {reference}",
                hint=f"add a rule for {name} to {self.origin}: {_DOCS}",
            )
        found = max(matching, key=lambda rule: (_matched(name, rule.prefix), len(_normal(rule.prefix))))
        if found.accepted:
            self.used[reference] = found.accepted
        return found

    def allow_engine(self, image: str, *, used_in: str = "") -> None:
        """Raise ProvenanceError unless images of the engine are accepted. used_in: Dockerfile and line."""
        if not self.engine and used_in:
            raise ProvenanceError(
                f"{used_in}: {image} is not pinned by a digest",
                hint=f"write {image}@sha256:... and allow its repository in {self.origin} "
                "(docs/provenance.md)",
            )
        if not self.engine:
            raise ProvenanceError(
                f"the container {image} is an image of the Docker engine, so its origin is unknown",
                hint="give it a registry and digest, or a build context; or accept it with "
                f"engine: {{accept-unsigned: REASON}} in {self.origin}",
            )
        self.used[image] = self.engine


def load(path: Path | None = None) -> Policy:
    """The policy in a file, by default the project's; one without rules if that does not exist.

    Raises SpecError, which lists every problem.
    """
    root = paths.project_root()
    named = root / (path or FILE)
    if not named.exists():
        if path is not None:
            raise SpecError(f"there is no policy {path}", hint="correct the key 'policy' of the spec")
        return Policy()
    shown = str(named.relative_to(root) if named.is_relative_to(root) else named.name)
    try:
        text = named.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise SpecError(f"cannot read the policy {shown}: {e}", hint="make it a readable UTF-8 file") from e
    document = parse_document(text, lambda line: (shown, line))
    found = Policy() if document.broken else _parse(document, shown, (named.parent, root))
    if document.problems:
        lines = problem.indented(document.problems)
        raise SpecError(
            f"the policy {named.name} is not valid{lines}", hint=_DOCS, problems=document.problems
        )
    return found


def of_spec(spec: ImageSpec) -> Policy:
    """The policy that a spec names, by default the project's. Raises SpecError."""
    return load(None if spec.policy is None else Path(spec.policy))


def _parse(document: YamlDocument, shown: str, folders: tuple[Path, ...]) -> Policy:
    """The policy in a document; its problems are added to the document's."""
    if document.data is not None and not isinstance(document.data, dict):
        _wrong(document, (), "must be a mapping")
        return Policy()
    data = document.data or {}
    for key in data:
        if key not in _TOP:
            _wrong(document, (key,), f"unknown key {key!r}; known: engine, registries")
    engine = data.get("engine") or {}
    if not isinstance(engine, dict) or set(engine) - {"accept-unsigned"}:
        _wrong(document, ("engine",), "engine: the only key is accept-unsigned")
        engine = {}
    reason = engine.get("accept-unsigned", "")
    if "accept-unsigned" in engine and not _is_text(reason):
        at = ("engine", "accept-unsigned")
        _wrong(document, at, f"engine: accept-unsigned must be a reason (text), got {reason!r}")
        reason = ""
    registries = data.get("registries") or {}
    if not isinstance(registries, dict):
        message = "registries must be a mapping from a registry or repository to its rule"
        _wrong(document, ("registries",), message)
        registries = {}
    for prefix in map(str, registries):
        if prefix != _normal(prefix) and _normal(prefix) in registries:
            _wrong(document, ("registries", prefix), f"{prefix}: means the same as {_normal(prefix)}")
    rules = [_rule(document, prefix, value, folders) for prefix, value in registries.items()]
    return Policy(origin=shown, rules=tuple(rule for rule in rules if rule), engine=reason)


def _wrong(document: YamlDocument, path: KeyPath, message: str) -> None:
    document.problems.append(document.problem(path, message))


def _rule(document: YamlDocument, prefix: str, value: Any, folders: tuple[Path, ...]) -> Rule | None:  # noqa: ANN401 - YAML
    at = ("registries", prefix)
    if (wrong := _wrong_prefix(prefix)) is not None:
        _wrong(document, at, f"{prefix}: {wrong}")
        return None
    kinds = [kind for kind in _KINDS if isinstance(value, dict) and kind in value]
    if len(kinds) != 1:
        _wrong(document, at, f"{prefix}: needs one of {', '.join(_KINDS)}")
        return None
    (kind,) = kinds
    unknown = set(value) - {kind, *_MORE.get(kind, ())}
    if unknown:
        _wrong(document, at, f"{prefix}: {kind} cannot be combined with {', '.join(sorted(unknown))}")
        return None
    not_text = {key: each for key, each in value.items() if not _is_text(each)}
    for key, each in not_text.items():
        _wrong(document, (*at, key), f"{prefix}: {key} must be text, got {each!r}")
    if not_text:
        return None
    if kind == "accept-unsigned":
        return Rule(prefix=prefix, accepted=str(value[kind]))
    if kind == "sigstore-identity":
        return _keyless(document, prefix, value, folders)
    key = _file(folders, str(value[kind]))
    if not key.is_file():
        _wrong(document, (*at, kind), f"{prefix}: there is no key {value[kind]}")
        return None
    if kind == "sigstore-key":
        return Rule(prefix=prefix, sigstore_key=key)
    return Rule(prefix=prefix, gpg_key=key, lookaside=str(value.get("lookaside", "")))


def _keyless(
    document: YamlDocument, prefix: str, value: Mapping[str, Any], folders: tuple[Path, ...]
) -> Rule | None:
    at = ("registries", prefix)
    missing = [key for key in _MORE["sigstore-identity"] if not value.get(key)]
    if missing:
        _wrong(document, at, f"{prefix}: sigstore-identity also needs {' and '.join(missing)}")
        return None
    trusted_root = _file(folders, str(value["trusted-root"]))
    if not trusted_root.is_file():
        _wrong(document, (*at, "trusted-root"), f"{prefix}: there is no trusted root {value['trusted-root']}")
        return None
    return Rule(
        prefix=prefix, identity=str(value["sigstore-identity"]), issuer=str(value["issuer"]),
        trusted_root=trusted_root,
    )  # fmt: skip


def _file(folders: Iterable[Path], name: str) -> Path:
    """A file that the policy names: beside it, else in the checkout."""
    *first, last = (folder / name for folder in folders)
    return next((path for path in first if path.is_file()), last)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _wrong_prefix(prefix: str) -> str | None:
    """Why a rule of this prefix would never match; None if it can."""
    path = prefix.partition("/")[2]
    if prefix.endswith("/") or "@" in path or ":" in path:
        return "must be a registry, a namespace or a repository, without tag, digest or slash at the end"
    return None


def _matched(name: str, prefix: str) -> int:
    """How much of a repository's full name a prefix says, in characters; 0 if it is another's.

    docker.io/NAME is an official image, docker.io/library/NAME, and a namespace.
    """
    normal = _normal(prefix)
    official = oci.repository(normal) if "/" in normal else normal
    return max(len(each) if name == each or name.startswith(f"{each}/") else 0 for each in (normal, official))


def _normal(prefix: str) -> str:
    """Docker Hub has two names."""
    registry, slash, path = prefix.partition("/")
    return f"docker.io{slash}{path}" if registry == "index.docker.io" else prefix
