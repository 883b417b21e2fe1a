# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What systemd will do by dependencies in an activation. Private to the collection.

switch-to-configuration stops, restarts and starts what it plans, and then starts all targets that
run (nixpkgs, switch-to-configuration-ng). systemd adds what depends on those: systemd.unit(5), and
the table in its src/core/unit-dependency-atom.c.
"""

from __future__ import annotations

import dataclasses
import typing as t
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Set

from ansible_collections.closure.nixos.plugins.module_utils._activate.report import (
    REACTIVATED,
    Expected,
    UnitPlan,
)
from ansible_collections.closure.nixos.plugins.module_utils._activate.units import (
    KINDS,
    Picture,
    parse_picture,
)

# A file, below its directory of units, and where it leads when it is a link.
Source = tuple[str, str]

# A unit -> a key in small letters -> the units, or other words, that it says.
_Settings = Mapping[str, Mapping[str, Set[str]]]

# What a start of the unit starts.
_PULLS = ("wants", "requires", "bindsto", "upholds", "sockets")
# What stops with the unit that runs.
_STOPS = ("requiredby", "requisiteof", "boundby", "consistsof", "propagatesstopto")
# With whose restart the unit is restarted.
_FOLLOWS = ("requires", "requisite", "bindsto", "partof")
_TRUE = {"1", "yes", "true", "on", "y", "t"}


@dataclasses.dataclass(frozen=True)
class Outlook:
    """The units that run, and those of the system to come, as ``units_to_come`` prints them.

    :param now: the pictures of what is loaded
    :param bound: what is stopped and restarted with the units that run
    :param comes: what the files of the system to come say
    :param begins: what it starts for the users who are there
    """

    now: Mapping[str, Picture]
    bound: _Settings
    comes: _Settings
    begins: frozenset[str] = frozenset()

    @property
    def active(self) -> frozenset[str]:
        """The units that run."""
        ran = ("active", "reloading", "activating")
        return frozenset(name for name, it in self.now.items() if it.active in ran)

    @property
    def targets(self) -> frozenset[str]:
        """The targets that run, and that are started anew."""
        refuses = ("refusemanualstart", "x-onlymanualstart")
        return frozenset(unit for unit in self._active_targets() if not self._says(unit, *refuses))

    @property
    def stopped_targets(self) -> frozenset[str]:
        """The targets that are stopped before, each time."""
        stops = "x-stoponreconfiguration"
        return frozenset(unit for unit in self._active_targets() if self._says(unit, stops))

    @property
    def reactivated(self) -> frozenset[str]:
        """The target that is restarted each time, if there is one."""
        return frozenset({REACTIVATED} & self.comes.keys())

    def pulled_in(self, roots: Iterable[str]) -> frozenset[str]:
        """Return what systemd starts with some units, and those, as far as they are there."""
        return frozenset(_spread(roots, self._pulls))

    def may_start(self, unit: str) -> bool:
        """Whether a unit does not run, and not because its conditions did not hold."""
        it = self.now.get(unit)
        return unit not in self.active and not (it and it.checked and not it.condition)

    def is_served(self, socket: str, stopped: Collection[str]) -> bool:
        """Whether the service of a socket runs already, so that the socket cannot start."""
        service = next(self.of(socket, "service"), socket.removesuffix("socket") + "service")
        return service in self.active and service not in stopped

    def of(self, unit: str, *keys: str) -> Iterator[str]:
        """Return the units that a unit to come names."""
        for at in (unit, _template(unit)):
            for word in _words(self.comes, at, keys):
                yield self.real(word if at == unit else _instantiate(word, unit))

    def real(self, unit: str) -> str:
        """Return the name of a unit that may be called by another one."""
        seen: set[str] = set()
        while unit not in seen:
            seen.add(unit)
            names = self.comes.get(unit, {}).get("alias", ())
            unit = next((name for name in names if "@." not in name), unit)
        return unit

    def _pulls(self, unit: str) -> Iterator[str]:
        return (it for it in self.of(unit, *_PULLS) if self._is_there(it))

    def _is_there(self, unit: str) -> bool:
        return unit in self.comes or _template(unit) in self.comes

    def _active_targets(self) -> list[str]:
        return [it for it in self.active if it.endswith(".target") and self._is_there(it)]

    def _says(self, unit: str, *keys: str) -> bool:
        return not _TRUE.isdisjoint(self.of(unit, *keys))


def parse_outlook(text: str) -> Outlook:
    """Read the answer of ``units_to_come PATH``. A line that cannot be read is none."""
    now: dict[str, Picture] = {}
    begins: set[str] = set()
    settings: dict[str, dict[str, dict[str, set[str]]]] = {"runs": {}, "comes": {}}
    for name, _equals, value in (line.partition("=") for line in text.splitlines()):
        if name == "now" and (picture := parse_picture(value)):
            now[picture.name] = picture
        elif name == "begins":
            begins.add(value)
        elif name in settings and (words := value.split()):
            unit = settings[name].setdefault(words[0], defaultdict(set))
            if len(words) > 1:
                unit[words[1].lower()].update(words[2:])
    return Outlook(now, settings["runs"], settings["comes"], frozenset(begins))


def expect(plan: UnitPlan, outlook: Outlook) -> Expected:
    """Return what systemd will do beside what is planned, if all goes as the unit files say."""
    active = outlook.active
    stop, restart = {*plan.stop, *outlook.stopped_targets}, {*plan.restart, *outlook.reactivated}
    stopped = _spread(stop, lambda it: _words(outlook.bound, it, _STOPS)) & active
    reached = outlook.pulled_in({*outlook.targets, *plan.start, *restart})
    begins = {it for it in reached if it in stopped or outlook.may_start(it)}
    begins -= {it for it in begins if _is_socket(it) and outlook.is_served(it, stopped)}
    excluded = {it for unit in begins for it in outlook.of(unit, "conflicts")} & active
    after = _spread(excluded, lambda it: _words(outlook.bound, it, _STOPS)) & active
    by_need = stopped - {*plan.stop}
    again = _followers(restart, outlook) & active - stopped | begins & by_need
    planned = {*plan.start, *plan.restart}
    return Expected(
        reload=_shown(it for it in active if it.startswith("user@")),
        stop=_shown((by_need | after) - begins - planned),
        restart=_shown(again - planned),
        start=_shown((begins - by_need - planned) | outlook.begins),
    )


def expect_by_files(old: Set[Source], new: Set[Source], outlook: Outlook) -> Expected:
    """Return what is expected when only the files of two systems' units can be compared.

    :param old: of the units of the system that runs, :param new: of the one to come
    :param outlook: of the system that runs
    """
    before, after = _by_unit(old), _by_unit(new)
    wanted = {
        file.rpartition("/")[2]
        for file, _link in new
        if file.partition(".target.")[0] + ".target" in outlook.targets and ".target." in file
    }
    active = outlook.active
    both = active & before.keys() & after.keys()
    return Expected(
        stop=_shown(active & before.keys() - after.keys()),
        restart=_shown(it for it in both if before[it] != after[it]),
        start=_shown(wanted & after.keys() - active),
    )


def _by_unit(sources: Set[Source]) -> dict[str, set[Source]]:
    """Return a unit -> its own files, and those that add to it."""
    units: dict[str, set[Source]] = defaultdict(set)
    for file, link in sources:
        directory, _slash, _name = file.partition("/")
        if not directory.endswith((".wants", ".requires", ".upholds")):
            units[directory.removesuffix(".d")].add((file, link))
    return units


def _followers(units: Collection[str], outlook: Outlook) -> set[str]:
    """Return what is restarted with some units, and those."""
    followers: dict[str, set[str]] = defaultdict(set)
    for unit in outlook.active:
        for it in outlook.of(unit, *_FOLLOWS):
            followers[it].add(unit)
    return _spread(units, lambda it: followers[it])


def _spread(roots: Iterable[str], step: t.Callable[[str], Iterable[str]]) -> set[str]:
    """Return the roots, and all that steps from them reach."""
    found: set[str] = set()
    ahead = [*roots]
    while ahead:
        unit = ahead.pop()
        if unit not in found:
            found.add(unit)
            ahead += step(unit)
    return found


def _words(settings: _Settings, unit: str, keys: Iterable[str]) -> Iterator[str]:
    of = settings.get(unit, {})
    return (word for key in keys for word in of.get(key, ()))


def _shown(units: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(unit for unit in units if unit.rpartition(".")[2] in KINDS))


def _is_socket(unit: str) -> bool:
    return unit.endswith(".socket")


def _template(unit: str) -> str:
    """Return the template of an instance, and any other unit as it is."""
    name, _dot, kind = unit.rpartition(".")
    prefix, at, _instance = name.partition("@")
    return f"{prefix}@.{kind}" if at else unit


def _instantiate(word: str, unit: str) -> str:
    name = unit.rpartition(".")[0]
    return word.replace("%i", name.partition("@")[2]).replace("%p", name.partition("@")[0])
