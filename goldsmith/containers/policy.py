# SPDX-License-Identifier: Apache-2.0
"""Which container images may come in, and by whose signature: image-specs/policy.yaml.

Strict where nothing is written: an image that no rule speaks of does not come in.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from goldsmith.core import paths
from goldsmith.errors import ProvenanceError, SpecError
from goldsmith.spec import problem
from goldsmith.spec.document import Document, KeyPath, parse_document
from goldsmith.spec.model import ImageSpec

FILE = Path("image-specs/policy.yaml")
_KINDS = ("sigstore-key", "sigstore-identity", "gpg-key", "accept-unsigned")
_MORE = {"gpg-key": ("lookaside",), "sigstore-identity": ("issuer", "trusted-root")}
_OFFICIAL = "docker.io/library/"
_DOCS = "see docs/provenance.md"


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """Of a registry, a namespace or a repository (prefix). One of the keys is set.

    sigstore_key: PEM file, of cosign's signatures in the registry. identity: whose keyless signature counts;
    issuer: by whose word; trusted_root: file with the authorities and logs of that Sigstore. gpg_key: file
    with public keys; lookaside: URL where simple signatures lie (containers-registries.d(5)). accepted:
    why no signature is asked for.
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
        """Hex sha256 of all that decides; another key in the same file is another rule."""
        files = (self.sigstore_key, self.trusted_root, self.gpg_key)
        keys = [path.read_bytes().hex() for path in files if path]
        said = [self.prefix, self.lookaside, self.accepted, self.identity, self.issuer, *keys]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """origin: what a person is to edit. engine: why images count that an engine has, of whatever origin."""

    origin: str = str(FILE)
    rules: tuple[Rule, ...] = ()
    engine: str = ""
    used: dict[str, str] = field(default_factory=dict)  # image -> reason, of those accepted unsigned

    def rule(self, reference: str) -> Rule:
        """The rule with the longest prefix of NAME@DIGEST. Raises ProvenanceError where there is none."""
        name = reference.partition("@")[0]
        fitting = [rule for rule in self.rules if _is_below(name, rule.prefix)]
        if not fitting:
            raise ProvenanceError(
                f"the policy does not allow {reference}",
                hint=f"add a rule for {name} to {self.origin}: {_DOCS}",
            )
        found = max(fitting, key=lambda rule: len(rule.prefix))
        if found.accepted:
            self.used[reference] = found.accepted
        return found

    def allow_engine(self, image: str) -> None:
        """Raise ProvenanceError unless images count that an engine has."""
        if not self.engine:
            raise ProvenanceError(
                f"{image} is an image of the Docker engine, and nobody knows where it is from",
                hint="name it by registry and digest, or give its build context; else "
                f"engine: {{accept-unsigned: REASON}} in {self.origin}",
            )
        self.used[image] = self.engine


def load(path: Path | None = None) -> Policy:
    """The policy of a file, by default the project's; the strict one where there is no file.

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
        raise SpecError(f"cannot read the policy {shown}: {e}") from e
    document = parse_document(text, lambda line: (shown, line))
    made = Policy() if document.broken else _parse(document, shown, root)
    if document.problems:
        lines = problem.indented(document.problems)
        raise SpecError(f"the policy {named.name} is wrong{lines}", hint=_DOCS, problems=document.problems)
    return made


def of_spec(spec: ImageSpec) -> Policy:
    """The policy that a spec names, else the project's. Raises SpecError."""
    return load(None if spec.policy is None else Path(spec.policy))


def _parse(document: Document, shown: str, root: Path) -> Policy:
    """What the policy says; what is wrong with it goes to the document's problems."""
    if document.data is not None and not isinstance(document.data, dict):
        _wrong(document, (), "it has to be a mapping")
        return Policy()
    data = document.data or {}
    for key in data:
        if key not in _TOP:
            _wrong(document, (key,), f"unknown key {key!r}; known: engine, registries")
    engine = data.get("engine") or {}
    if not isinstance(engine, dict) or set(engine) - {"accept-unsigned"}:
        _wrong(document, ("engine",), "engine takes accept-unsigned alone")
        engine = {}
    reason = engine.get("accept-unsigned", "")
    if "accept-unsigned" in engine and not _is_text(reason):
        at = ("engine", "accept-unsigned")
        _wrong(document, at, f"engine: accept-unsigned has to be a reason, got {reason!r}")
        reason = ""
    registries = data.get("registries") or {}
    if not isinstance(registries, dict):
        message = "registries has to be a mapping from a registry or repository to its rule"
        _wrong(document, ("registries",), message)
        registries = {}
    rules = [_rule(document, prefix, said, root) for prefix, said in registries.items()]
    return Policy(origin=shown, rules=tuple(rule for rule in rules if rule), engine=reason)


_TOP = ("engine", "registries")


def _wrong(document: Document, path: KeyPath, message: str) -> None:
    document.problems.append(document.problem(path, message))


def _rule(document: Document, prefix: str, said: Any, root: Path) -> Rule | None:  # noqa: ANN401 - YAML
    at = ("registries", prefix)
    if (wrong := _wrong_prefix(prefix)) is not None:
        _wrong(document, at, f"{prefix}: {wrong}")
        return None
    kinds = [kind for kind in _KINDS if isinstance(said, dict) and kind in said]
    if len(kinds) != 1:
        _wrong(document, at, f"{prefix}: needs one of {', '.join(_KINDS)}")
        return None
    (kind,) = kinds
    unknown = set(said) - {kind, *_MORE.get(kind, ())}
    if unknown:
        _wrong(document, at, f"{prefix}: {kind} does not go with {', '.join(sorted(unknown))}")
        return None
    values = {key: said[key] for key in said if not _is_text(said[key])}
    for key, value in values.items():
        _wrong(document, (*at, key), f"{prefix}: {key} has to be text, got {value!r}")
    if values:
        return None
    if kind == "accept-unsigned":
        return Rule(prefix=prefix, accepted=str(said[kind]))
    if kind == "sigstore-identity":
        return _keyless(document, prefix, said, root)
    key = root / str(said[kind])
    if not key.is_file():
        _wrong(document, (*at, kind), f"{prefix}: there is no key {said[kind]}")
        return None
    if kind == "sigstore-key":
        return Rule(prefix=prefix, sigstore_key=key)
    return Rule(prefix=prefix, gpg_key=key, lookaside=str(said.get("lookaside", "")))


def _keyless(document: Document, prefix: str, said: Mapping[str, Any], root: Path) -> Rule | None:
    at = ("registries", prefix)
    missing = [key for key in _MORE["sigstore-identity"] if not said.get(key)]
    if missing:
        _wrong(document, at, f"{prefix}: sigstore-identity needs {' and '.join(missing)} too")
        return None
    trusted_root = root / str(said["trusted-root"])
    if not trusted_root.is_file():
        _wrong(document, (*at, "trusted-root"), f"{prefix}: there is no trusted root {said['trusted-root']}")
        return None
    return Rule(
        prefix=prefix, identity=str(said["sigstore-identity"]), issuer=str(said["issuer"]),
        trusted_root=trusted_root,
    )  # fmt: skip


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _wrong_prefix(prefix: str) -> str | None:
    """Why a rule of this prefix would never count, None where it would."""
    path = prefix.partition("/")[2]
    if prefix.endswith("/") or "@" in path or ":" in path:
        return "a rule is for a registry, a namespace or a repository: no tag, no digest, no slash at the end"
    return None


def _is_below(name: str, prefix: str) -> bool:
    """Docker's own images go by docker.io/NAME too."""
    short = name.replace(_OFFICIAL, "docker.io/", 1) if name.startswith(_OFFICIAL) else name
    return any(each == prefix or each.startswith(f"{prefix}/") for each in (name, short))


def skopeo_files(rule: Rule, folder: Path) -> tuple[str, ...]:
    """The words for skopeo by which it asks for the rule's GPG signature; files of theirs go in folder.

    Formats: containers-policy.json(5), containers-registries.d(5).
    """
    wanted: Mapping[str, Any] = {
        "type": "signedBy", "keyType": "GPGKeys", "keyPath": str(rule.gpg_key),
        "signedIdentity": {"type": "matchRepository"},
    }  # fmt: skip
    document = {"default": [{"type": "reject"}], "transports": {"docker": {rule.prefix: [wanted]}}}
    (folder / "policy.json").write_text(json.dumps(document))
    registries = folder / "registries.d"
    registries.mkdir()
    place = {"lookaside": rule.lookaside} if rule.lookaside else {}
    (registries / "rule.yaml").write_text(yaml.safe_dump({"docker": {rule.prefix: place}}))
    return ("--policy", str(folder / "policy.json"), "--registries.d", str(registries))
