# SPDX-License-Identifier: Apache-2.0
"""The configuration of cfn-hup: the stack in cfn-hup.conf, and hooks in hooks.conf and hooks.d.

The form: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cfn-hup.html
"""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from heat_config import cfnmetadata
from heat_config.cfnmetadata import RefusedError

ADD, UPDATE, REMOVE, RESTARTED = "post.add", "post.update", "post.remove", "service.restarted"
_TRIGGERS = {name: name for name in (ADD, UPDATE, REMOVE, RESTARTED)} | {"post.delete": REMOVE}
_MAIN = "main"
_MAIN_KEYS = {"stack", "credential-file", "region", "interval", "verbose"}  # the first two are needed
_HOOK_KEYS = {"triggers", "path", "action", "runas"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Hook:
    """An action for changes below a key of a resource's metadata."""

    name: str
    triggers: frozenset[str]
    resource: str
    path: tuple[str, ...]  # keys in the metadata
    action: str  # for a shell
    run_as: str

    @property
    def key(self) -> str:
        """By which it is known across runs; another path makes another hook of it."""
        return "|".join((self.name, self.resource, *self.path))


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """hooks: at least one."""

    stack: str
    credentials: Path
    hooks: tuple[Hook, ...]
    is_verbose: bool


def read(folder: Path, hooks: Path) -> Config:
    """The configuration in /etc/cfn and the folder of hooks. Raises RefusedError."""
    main = _parsed(folder / "cfn-hup.conf")
    if main.sections() != [_MAIN]:
        raise RefusedError(f"{folder / 'cfn-hup.conf'} needs one section, [{_MAIN}]")
    values = _values(
        main, _MAIN, folder / "cfn-hup.conf", known=_MAIN_KEYS, needed={"stack", "credential-file"}
    )
    found = tuple(each for path in _files(folder / "hooks.conf", hooks) for each in _hooks(path))
    if not found:
        raise RefusedError(f"there is no hook in {folder / 'hooks.conf'} or {hooks}")
    keys = [each.key for each in found]
    twice = [each.name for each in found if keys.count(each.key) > 1]
    if twice:
        raise RefusedError(f"there are two hooks [{twice[0]}] of one path")
    return Config(
        stack=values["stack"], credentials=Path(values["credential-file"]), hooks=found,
        is_verbose=cfnmetadata.is_true(values.get("verbose", "")),
    )  # fmt: skip


def _files(single: Path, folder: Path) -> list[Path]:
    """The files with hooks, without those that editors leave."""
    listed = sorted(folder.iterdir()) if folder.is_dir() else []
    kept = [path for path in listed if path.is_file() and re.fullmatch(r"[\w][\w.-]*", path.name)]
    return [*([single] if single.exists() else []), *kept]


def _hooks(path: Path) -> Iterator[Hook]:
    parsed = _parsed(path)
    for name in parsed.sections():
        values = _values(parsed, name, path, known=_HOOK_KEYS, needed=_HOOK_KEYS)
        where = f"{path}: [{name}]"
        words = re.split(r"[,\s]+", values["triggers"].strip(", "))
        unknown = [word for word in words if word not in _TRIGGERS]
        if unknown:
            raise RefusedError(
                f"{where}: the trigger {unknown[0]!r} is not known here, only {', '.join(_TRIGGERS)}"
            )
        keys = cfnmetadata.split_key(values["path"])
        if len(keys) < 3 or (keys[0], keys[2]) != ("Resources", "Metadata"):
            raise RefusedError(f"{where}: the path must be Resources.NAME.Metadata, or a key below it")
        yield Hook(
            name=name, triggers=frozenset(_TRIGGERS[word] for word in words), resource=keys[1], path=keys[3:],
            action=values["action"], run_as=values["runas"],
        )  # fmt: skip


def _parsed(path: Path) -> configparser.ConfigParser:
    parsed = configparser.ConfigParser(interpolation=None)
    try:
        parsed.read_string(path.read_text(), source=str(path))
    except OSError as e:
        raise RefusedError(f"{path}: {e.strerror}") from None
    except (configparser.Error, UnicodeDecodeError) as e:
        raise RefusedError(f"{path}: {' '.join(str(e).split())}") from None
    return parsed


def _values(
    parsed: configparser.ConfigParser, section: str, path: Path, *, known: set[str], needed: set[str]
) -> dict[str, str]:
    """The values of a section; %% is one %, as it had to be written for heat-cfntools."""
    values = {name: value.replace("%%", "%") for name, value in parsed[section].items()}
    unknown = sorted(values.keys() - known)
    if unknown:
        raise RefusedError(
            f"{path}: [{section}]: {unknown[0]!r} is not known here, only {', '.join(sorted(known))}"
        )
    lacking = sorted(name for name in needed if not values.get(name))
    if lacking:
        raise RefusedError(f"{path}: [{section}] has no {lacking[0]}")
    return values
