# SPDX-License-Identifier: Apache-2.0
"""The timeline of a boot, by the guest's own clock: kernel, init system, units, and what waited for what.

Source of the properties, which `systemctl show` prints: org.freedesktop.systemd1(5).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from goldsmith.core import proc
from goldsmith.core.documents import Document, about
from goldsmith.errors import BootError, CommandError

FILE = "boot-timeline.json"
_MANAGER = ("InitRDTimestampMonotonic", "UserspaceTimestampMonotonic", "FinishTimestampMonotonic")
_UNIT = ("Id", "InactiveExitTimestampMonotonic", "ActiveEnterTimestampMonotonic", "After")
_ASK = (
    f"systemctl show --property={','.join(_MANAGER)} && systemctl get-default && "
    f"systemctl show --property={','.join(_UNIT)} '*'"
)
_DEADLINE_S = 120
_SLOWEST = 12  # units in the text


@dataclass(frozen=True, kw_only=True, slots=True)
class UnitStart:
    """A unit that was started."""

    name: Annotated[str, about("Name of the unit.")]
    begun_s: Annotated[float, about("When its start began, seconds after the kernel's.")]
    active_s: Annotated[float | None, about("When it was active, likewise; null if it was not yet.")]


@dataclass(frozen=True, kw_only=True, slots=True)
class BootTimeline(Document):
    """boot-timeline.json: when the parts of a boot began and ended, in seconds after the kernel's start."""

    SCHEMA: ClassVar[str] = "goldsmith.boot-timeline"

    userspace_s: Annotated[float, about("When the init system of the root file system started.")]
    initrd_s: Annotated[float | None, about("When that of the initramfs did; null where it has none.")]
    finished_s: Annotated[float | None, about("When all jobs of the boot were done; null if they were not.")]
    chain: Annotated[
        tuple[str, ...],
        about("From the default target backwards: the unit that each one waited for longest."),
    ]
    units: Annotated[tuple[UnitStart, ...], about("Units that the boot started, in their order.")]


def of_guest(ssh_config: Path, *, slowness: float) -> BootTimeline:
    """Ask a booted guest with systemd. Raises BootError."""
    argv: tuple[proc.Arg, ...] = ("ssh", "-F", ssh_config, "guest", _ASK)
    try:
        return parse(proc.capture(argv, timeout_s=_DEADLINE_S * slowness))
    except (CommandError, KeyError, ValueError) as e:
        raise BootError(
            f"the guest does not tell the timeline of its boot: {e}",
            hint="see what it has: scripts/inv boot IMAGE, then systemctl show",
        ) from e


def parse(text: str) -> BootTimeline:
    """The timeline in what the guest prints. Raises KeyError or ValueError where it is something else."""
    manager, target, rest = _parts(text)
    units = [_properties(part.splitlines()) for part in rest.split("\n\n") if part.strip()]
    finished_s = _seconds(manager.get("FinishTimestampMonotonic", ""))
    every = [start for unit in units if (start := _start(unit)) is not None]
    # later ones are of those who looked, or of containers
    starts = {each.name: each for each in every if finished_s is None or each.begun_s <= finished_s}
    after = {unit["Id"]: unit.get("After", "").split() for unit in units}
    return BootTimeline(
        userspace_s=_seconds(manager["UserspaceTimestampMonotonic"]) or 0.0,
        initrd_s=_seconds(manager.get("InitRDTimestampMonotonic", "")),
        finished_s=finished_s,
        chain=tuple(_chain(target, starts, after)),
        units=tuple(sorted(starts.values(), key=lambda start: (start.begun_s, start.name))),
    )


def as_text(timeline: BootTimeline, *, width: int) -> str:
    """The timeline for people: the phases, the chain, and the units that took longest."""
    starts = {unit.name: unit for unit in timeline.units}
    phases = [
        ("initramfs", timeline.initrd_s), ("init system", timeline.userspace_s),
        ("boot finished", timeline.finished_s),
    ]  # fmt: skip
    lines = [f"{seconds:8.2f} s  {name}" for name, seconds in phases if seconds is not None]
    lines += ["", "each of these waited for the next one:"]
    lines += [_row(starts[name]) for name in timeline.chain]
    slow = sorted(timeline.units, key=_took, reverse=True)[:_SLOWEST]
    lines += ["", "units whose start took longest:", *(_row(unit) for unit in slow)]
    return "\n".join(line[:width] for line in lines)


def _row(unit: UnitStart) -> str:
    return f"{unit.begun_s:8.2f} s  +{_took(unit):.2f} s  {unit.name}"


def _took(unit: UnitStart) -> float:
    return 0.0 if unit.active_s is None else max(0.0, unit.active_s - unit.begun_s)


def _parts(text: str) -> tuple[dict[str, str], str, str]:
    """The manager's properties, the default target, and the blocks of units."""
    head, found, rest = text.partition("Id=")
    *properties, target = head.split()
    if not found:
        raise ValueError("no unit is listed")
    return _properties(properties), target, found + rest


def _properties(lines: Sequence[str]) -> dict[str, str]:
    return dict(line.split("=", 1) for line in lines)


def _start(unit: Mapping[str, str]) -> UnitStart | None:
    begun = _seconds(unit["InactiveExitTimestampMonotonic"])
    active = _seconds(unit["ActiveEnterTimestampMonotonic"])
    return None if begun is None else UnitStart(name=unit["Id"], begun_s=begun, active_s=active)


def _seconds(microseconds: str) -> float | None:
    """None for 0: it has not happened."""
    number = int(microseconds or "0")
    return round(number / 1e6, 3) if number else None


def _chain(name: str, starts: Mapping[str, UnitStart], after: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """A unit, the one of those before it that was active last, and so on."""
    seen: set[str] = set()
    while name in starts and name not in seen:
        seen.add(name)
        yield name
        begun = starts[name].begun_s
        before = (starts[each] for each in after.get(name, ()) if each in starts and each not in seen)
        ready = [(unit.active_s, unit.name) for unit in before if unit.active_s is not None]
        ready = [each for each in ready if each[0] <= begun]
        name = max(ready)[1] if ready else ""
