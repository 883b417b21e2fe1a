# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What became of systemd's units in an activation. Private to the collection.

Decides it by what they were before it and what they are after it, because systemd starts, stops and
restarts more than switch-to-configuration says.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

# What people configure; the others come and go with sessions and devices.
KINDS = ("service", "socket", "timer", "path", "mount", "automount", "swap", "target")


@dataclasses.dataclass(frozen=True)
class State:
    """A unit before the activation, as ``units_listed`` in ``units.sh`` prints it.

    :param configured: whether a file describes it
    """

    name: str
    load: str
    active: str
    sub: str
    configured: bool

    @property
    def kind(self) -> str:
        """The end of its name."""
        return self.name.rpartition(".")[2]

    @property
    def is_active(self) -> bool:
        """Whether it runs."""
        return self.active in ("active", "reloading")

    @property
    def is_configured(self) -> bool:
        """Whether people configure it."""
        return self.configured and self.kind in KINDS


@dataclasses.dataclass(frozen=True)
class Picture(State):
    """A unit after it, as ``picture_of`` in ``units.sh`` prints it; "-" for nothing.

    Times are in microseconds as systemd counts them, 0 for never.

    :param state_changed: when its state was set last, :param main_exit: when its main process ended
    :param began: when it ceased to be inactive, or became active; systemd restarts some units
        without the former
    :param active_exit: when it ceased to be active
    :param checked: when its conditions were looked at, :param condition: whether they held
    :param triggered_by: units that start it when somebody needs it
    """

    state_changed: int
    began: int
    active_exit: int
    main_exit: int
    checked: int
    condition: bool
    unneeded: bool
    bus_name: str
    triggered_by: tuple[str, ...]

    @property
    def is_there(self) -> bool:
        """Whether the system that runs has it."""
        return self.load == "loaded"


@dataclasses.dataclass(frozen=True)
class UnitChanges:
    """The units that acted in an activation.

    :param lost: those that ran, that the new system has as well, and that do not run any more,
        though nothing starts them when they are needed
    """

    started: tuple[str, ...] = ()
    stopped: tuple[str, ...] = ()
    restarted: tuple[str, ...] = ()
    reloaded: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()

    @property
    def acted(self) -> frozenset[str]:
        """All of them."""
        return frozenset(unit for units in vars(self).values() for unit in units)


def parse_changes(lines: Iterable[tuple[str, str]]) -> UnitChanges | None:
    """Read the lines of ``units_changed``; None where there are none.

    A line that cannot be read is none.
    """
    since = 0
    before: dict[str, State] = {}
    after: dict[str, Picture] = {}
    for name, value in lines:
        if name == "units_since":
            since = _time(value)
        elif name == "unit_before" and (state := _parse_state(value.split(" "))):
            before[state.name] = state
        elif name == "unit_after" and (picture := parse_picture(value)):
            after[picture.name] = picture
    return compare(before, after, since) if since else None


def _parse_state(words: list[str]) -> State | None:
    if len(words) != 5:
        return None
    name, load, active, sub, configured = words
    return State(name, load, active, sub, configured == "yes")


def parse_picture(line: str) -> Picture | None:
    """Read a line of ``picture_of``; None for one that cannot be read."""
    words = line.split(" ")
    if len(words) < 16 or not words[0]:
        return None
    name, load, active, sub = words[:4]
    changed, inactive_exit, active_enter, active_exit, main_exit, checked = map(_time, words[4:10])
    condition, transient, unneeded = (word == "yes" for word in words[10:13])
    return Picture(
        name=name,
        load=load,
        active=active,
        sub=sub,
        configured=words[14] != "-" and not transient,
        state_changed=changed,
        began=max(inactive_exit, active_enter),
        active_exit=active_exit,
        main_exit=main_exit,
        checked=checked,
        condition=condition,
        unneeded=unneeded,
        bus_name=words[13],
        triggered_by=tuple(word for word in words[15:] if word != "-"),
    )


def _time(word: str) -> int:
    return int(word) if word.isdigit() else 0


def compare(before: Mapping[str, State], after: Mapping[str, Picture], since: int) -> UnitChanges:
    """Tell what became of units that have acted.

    :param since: when the activation began, in microseconds as systemd counts them
    """
    found: dict[str, list[str]] = {}
    for name in sorted(before.keys() | after.keys()):
        verb = _verb(before.get(name), after.get(name), after, since)
        if verb:
            found.setdefault(verb, []).append(name)
    return UnitChanges(**{verb: tuple(names) for verb, names in found.items()})


def _verb(
    old: State | None, new: Picture | None, after: Mapping[str, Picture], since: int
) -> str | None:
    """Return the field of :class:`UnitChanges` that a unit belongs to."""
    if not any(it and it.is_configured for it in (old, new)):
        return None
    ran, runs = bool(old and old.is_active), bool(new and new.is_active)
    again = bool(new and new.began > since)
    if new and new.active == "failed":
        return "failed" if again or not old or old.active != "failed" else None
    if ran and runs and old and new:
        return "restarted" if again else "reloaded" if _was_reloaded(old, new, since) else None
    if ran and old:
        return "lost" if new and _is_lost(old, new, after) else "stopped"
    # A service without RemainAfterExit has run and ended.
    return "started" if runs or (again and new and new.active == "inactive") else None


def _was_reloaded(old: State, new: Picture, since: int) -> bool:
    """A reload sets the state anew and leaves the run as it is."""
    return (old.kind, old.sub) == ("service", new.sub) and new.state_changed > since


def _is_lost(old: State, new: Picture, after: Mapping[str, Picture]) -> bool:
    if new.kind == "target" or not new.is_there or new.active != "inactive":
        return False
    # systemd does not start what is not to run, and starts what waits when somebody needs it. A
    # trigger of which there is no picture is as it was.
    waits = any(it not in after or after[it].is_active for it in new.triggered_by)
    skipped = new.checked and not new.condition
    return not (waits or skipped or new.unneeded or _ended_by_itself(old, new))


# logind stops these when a user has left.
_OF_USERS = ("user@", "user-runtime-dir@")


def _ended_by_itself(old: State, new: Picture) -> bool:
    """Its main process ended first, and nobody had asked systemd to stop it.

    Where systemd has forgotten the unit meanwhile, only those are known that end by themselves as a
    rule: instances, as of a connection, and what the bus starts.
    """
    if new.name.startswith(_OF_USERS):
        return True
    if new.active_exit == 0:
        return "@" in new.name or new.bus_name != "-"
    return old.sub == "running" and 0 < new.main_exit <= new.active_exit
