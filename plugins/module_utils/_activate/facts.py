# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a target says of itself. Private to the collection.

Decides what the answer of ``system_facts`` (``plugin_utils/_activate/system.sh``) means, and
whether a host already is where a deployment would bring it.
"""

from __future__ import annotations

import dataclasses
import json
import shlex
import typing as t
from collections.abc import Collection, Iterable, Mapping

from ansible_collections.closure.nixos.plugins.module_utils._activate.guard_state import (
    Guard,
    parse_deployment,
    parse_guard,
)
from ansible_collections.closure.nixos.plugins.module_utils._activate.options import Action
from ansible_collections.closure.nixos.plugins.module_utils._activate.report import matching
from ansible_collections.closure.nixos.plugins.module_utils._activate.units import (
    UnitChanges,
    parse_changes,
)
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._store.generations import (
    Generation,
    parse_generations,
)
from ansible_collections.closure.nixos.plugins.module_utils._store.toplevel import (
    Toplevel,
    live_switch_blockers,
    parse_toplevels,
    reboot_reasons,
    show_boot_changes,
)


@dataclasses.dataclass(frozen=True)
class Step:
    """A call of the switch-to-configuration of a system."""

    action: Action
    path: str


@dataclasses.dataclass(frozen=True)
class Begun:
    """An activation that somebody began.

    :param steps: none where its record was cut, as by a full disk
    :param before: what :func:`remember` wrote of the host then
    :param end: systemd's words for how it ended, None while it runs or when nobody saw its end
    """

    steps: tuple[Step, ...]
    before: dict[str, t.Any]
    end: str | None = None


@dataclasses.dataclass(frozen=True)
class Asked:
    """The system that a host was asked for.

    :param path: its store path, None where the profile has none
    :param valid: whether it is in the host's store
    :param specialisation: the name of the one that is meant, "" for the system itself
    """

    path: str | None
    valid: bool
    specialisation: str = ""


@dataclasses.dataclass(frozen=True)
class Loader:
    """What the boot loader starts.

    :param recorded: what our last ``boot`` or ``switch`` made its default
    :param boots: what its files say, where they can be read
    :param pending: what was to become the default when the host was interrupted
    :param menu: names what all of its entries are
    """

    recorded: str | None = None
    boots: str | None = None
    pending: str | None = None
    menu: str | None = None

    @property
    def default(self) -> str | None:
        """What it starts, as far as anybody knows; what others have set stands in its files."""
        return self.boots or self.recorded


@dataclasses.dataclass(frozen=True)
class Boot:
    """This boot of the host.

    :param id: names it, :param once: what only the next one starts
    :param tried: what this boot alone has started
    :param failed_before: the units that had failed before that
    :param unconfirmed: the generation of what one boot alone was to start, until it is confirmed
    """

    id: str | None = None
    once: str | None = None
    tried: str | None = None
    failed_before: tuple[str, ...] = ()
    unconfirmed: int | None = None


@dataclasses.dataclass(frozen=True)
class Room:
    """What is free, in bytes unless it says otherwise; None where the host does not say.

    :param profile: beside the profile, :param inodes: a number of them, there
    :param boot: in /boot, :param boot_needed: what the system's boot files will take there
    """

    profile: int | None = None
    inodes: int | None = None
    boot: int | None = None
    boot_needed: int | None = None


@dataclasses.dataclass(frozen=True)
class Looked:
    """What only those ask who look at a host; None where it does not say.

    :param kernel: the release of the kernel that runs, :param nix: the version of Nix
    :param trusted: whether the login is one of Nix's trusted users
    :param trusted_keys: the public keys whose signatures Nix accepts
    :param nix_free: bytes that are free for the store
    :param revisions: what ``nixos-version --json`` says of the running system
    :param history: the records of the last deployments, the newest last
    :param is_nixos: whether it is a NixOS at all
    :param updaters: units that change systems by themselves, or delete generations
    """

    kernel: str
    nix: str | None
    trusted: bool | None
    trusted_keys: tuple[str, ...]
    nix_free: int | None
    revisions: dict[str, t.Any]
    history: tuple[dict[str, t.Any], ...]
    is_nixos: bool
    updaters: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Login:
    """How we are on the host.

    :param uptime: hundredths of a second for which the host had been up
    :param age: for which the ssh connection had been there, if it was one
    """

    user: str
    uptime: int = 0
    age: int | None = None


@dataclasses.dataclass(frozen=True)
class Units:
    """What has become of units; UNIT, and USER/UNIT for those of users.

    :param failed: now, :param left_failed: those that the activation of what runs has left so
    :param changes: in our last activation, for who has heard its end
    """

    failed: tuple[str, ...] = ()
    left_failed: tuple[str, ...] = ()
    changes: UnitChanges | None = None


@dataclasses.dataclass(frozen=True)
class Facts:
    """A NixOS host's state; paths are store paths, ``None`` where there is none.

    :param state: what systemd says of the host as a whole, such as "running" or "maintenance"
    :param running: what /run/current-system is, :param booted: what booted
    :param specialisation: which one runs, of the profile's system or of the booted one
    :param switcher: who runs a switch-to-configuration now
    :param activation: what our last activation does or did, until somebody has heard of its end
    :param guard: what watches over a system on trial, or did since the host booted
    :param deployment: what the host remembers of its last deployment
    :param looked: what else ``host_facts`` says
    """

    login: Login
    platform: str
    state: str | None
    running: str | None
    booted: str | None
    asked: Asked
    loader: Loader
    boot: Boot
    room: Room
    switcher: str | None
    activation: Begun | None
    units: Units
    generations: tuple[Generation, ...]
    toplevels: dict[str, Toplevel | None]
    guard: Guard | None = None
    deployment: dict[str, str] | None = None
    looked: Looked | None = None
    specialisation: str | None = None

    @property
    def system(self) -> Toplevel | None:
        """The system that is to run: the one that was asked for, or its specialisation."""
        name = self.asked.specialisation
        return self.toplevels.get(f"{self.asked.path}{f'/specialisation/{name}' if name else ''}")

    @property
    def live_path(self) -> str | None:
        """The store path of that, as far as the host knows it."""
        return self.system.path if self.system else self.asked.path

    @property
    def on_trial(self) -> bool:
        """Whether it is not decided yet which system the host stays with."""
        return bool(self.guard and self.guard.waits)

    @property
    def in_maintenance(self) -> bool:
        """Whether the host is in rescue or emergency mode."""
        return self.state == "maintenance"

    @property
    def is_half_switched(self) -> bool:
        """Whether our last activation was killed, and may have left units stopped."""
        end = self.activation and self.activation.end
        return bool(end) and " exited " not in str(end)

    @property
    def current(self) -> Generation | None:
        """The generation that the profile points to."""
        return next((entry for entry in self.generations if entry.current), None)

    @property
    def profile(self) -> str | None:
        """The system that the profile points to."""
        return self.current.path if self.current else None

    @property
    def reboot_reasons(self) -> tuple[str, ...]:
        """What of the system that was asked for takes effect only after a reboot."""
        booted = self.toplevels.get("/run/booted-system")
        return reboot_reasons(booted, self.system) if booted and self.system else ()

    @property
    def boot_changes(self) -> str:
        """The same from the running system on, for people, with versions and parameters."""
        running = self.toplevels.get("/run/current-system")
        return show_boot_changes(running, self.system) if running and self.system else ""

    @property
    def live_blockers(self) -> tuple[str, ...]:
        """What forbids to switch to the system that was asked for without a reboot."""
        running = self.toplevels.get("/run/current-system")
        return live_switch_blockers(running, self.system) if running and self.system else ()

    @property
    def unchecked_inhibitors(self) -> tuple[str, ...]:
        """What cannot change while the host runs, and NixOS there does not look at.

        A running system older than 26.05 has no list of its inhibitors to compare with (nixpkgs
        PR 473282); the init interface is looked at by all.
        """
        running = self.toplevels.get("/run/current-system")
        if running is None or running.switch_inhibitors is not None:
            return ()
        return tuple(each for each in self.live_blockers if not each.startswith("init-interface"))

    @property
    def needs_boot(self) -> bool:
        """Whether only a reboot brings the running system to the one that was asked for."""
        running = self.toplevels.get("/run/current-system")
        if not running or not self.system:
            return False
        return bool(self.live_blockers or reboot_reasons(running, self.system))

    def boots(self, path: str) -> bool:
        """Whether the host will boot this system."""
        return path == self.profile == self.loader.default and not self.loader.pending

    def is_at(self, path: str) -> bool:
        """Whether a deployment of this system would find nothing to do."""
        return self.running == path and self.boots(path)


def remember(facts: Facts) -> str:
    """Write what a host is, for who finds its activation later, when nobody has heard its end."""
    loader = dataclasses.asdict(facts.loader)
    units = facts.units.failed
    return json.dumps({"running": facts.running, "loader": loader, "failed_units": units})


def remembered(begun: Begun, facts: Facts) -> Facts:
    """Return the facts with what the host was before an activation that somebody began."""
    running, loader, units = (begun.before[name] for name in ("running", "loader", "failed_units"))
    return dataclasses.replace(
        facts,
        running=running,
        loader=Loader(**loader),
        units=dataclasses.replace(facts.units, failed=tuple(units)),
    )


def failed_on_trial(facts: Facts, ignored: Collection[str] = ()) -> tuple[str, ...]:
    """The units that failed since the trial of what runs began.

    :param ignored: patterns of those that do not count
    """
    before = facts.units.failed
    if facts.guard and facts.guard.waits:
        before = facts.guard.failed_before
    elif facts.boot.tried:
        before = facts.boot.failed_before
    known = {*before, *matching(facts.units.failed, ignored)}
    return tuple(unit for unit in facts.units.failed if unit not in known)


def check_specialisation(facts: Facts) -> None:
    """Raise ClosureError, naming what there is, unless the specialisation exists."""
    parent = facts.toplevels.get(facts.asked.path or "")
    if facts.system or not (facts.asked.valid or parent):
        return
    names = ", ".join(parent.specialisations) if parent else ""
    raise ClosureError(
        f"{facts.asked.path} has no specialisation {facts.asked.specialisation}. "
        + (f"Choose one of these: {names}." if names else "It has none at all.")
    )


# A generation is a link, beside which Nix locks and roots with small files.
_GENERATION = 1024 * 1024


def check_room(facts: Facts, profile: str) -> None:
    """Raise ClosureError when a generation does not fit, or the boot files do not into /boot."""
    _check_profile_room(facts.room, profile)
    _check_boot_room(facts.room, facts.asked.path)


def _check_profile_room(room: Room, profile: str) -> None:
    if (room.profile is None or room.profile >= _GENERATION) and room.inodes != 0:
        return
    counted = "" if room.inodes is None else f" and {room.inodes} inodes"
    raise ClosureError(
        f"{profile.rpartition('/')[0]} has {room.profile} bytes{counted} left, too little for a "
        "new generation. Make room there, for example with `nix-collect-garbage "
        "--delete-older-than 30d`, and run the task again."
    )


def _check_boot_room(room: Room, path: str | None) -> None:
    if room.boot is None or (room.boot_needed or 0) <= room.boot:
        return
    raise ClosureError(
        f"/boot has {room.boot} bytes left, and the kernel and initrd of {path} need "
        f"{room.boot_needed}. Delete generations that nobody needs, for example with `nix-env "
        "--profile /nix/var/nix/profiles/system --delete-generations +5`, then clear /boot with "
        "`/run/current-system/bin/switch-to-configuration boot`, and run the task again."
    )


def standing(facts: Facts) -> str:
    """What a host runs and boots, for those who have to repair it; ends a sentence about it."""
    rescue = ", and is in maintenance mode, which `systemctl default` ends"
    boots = facts.loader.default or "what it did"
    runs = facts.running or "no system of NixOS"
    # Where this is read later, it runs another one again.
    if facts.guard and facts.guard.waits and facts.running == facts.guard.runs:
        runs += " on trial"
    return f"runs {runs} and boots {boots}{rescue if facts.in_maintenance else ''}."


def parse_facts(text: str, profile: str) -> Facts:
    """Read the answer of ``system_facts PROFILE [PATH [SPECIALISATION]]``.

    :raises ClosureError: the answer was cut
    """
    parted = (line.partition("=") for line in text.split("\n"))
    lines = [(name, value) for name, _equals, value in parted]
    # The host's own facts stand before the blocks of its systems: the first of a name counts.
    one: dict[str, str] = dict(reversed(lines))
    guard = parse_guard(lines)
    return Facts(
        login=Login(one["user"], int(one["uptime"]), _number(one, "login_age")),
        platform=one["platform"],
        state=one["state"] or None,
        running=one["running"] or None,
        booted=one["booted"] or None,
        asked=Asked(one["path_asked"] or None, "valid" in one, one["specialisation_asked"]),
        loader=_parse_loader(one),
        boot=_parse_boot(one, lines),
        room=_parse_room(one),
        switcher=one["switching"] or (guard.claim if guard and guard.waits else None),
        activation=_parse_begun(one["activation"], one["activation_end"]),
        units=_parse_units(lines),
        generations=parse_generations(text, profile),
        toplevels=parse_toplevels(text),
        guard=guard,
        deployment=parse_deployment(one),
        looked=_parse_looked(one, lines) if "kernel_release" in one else None,
        specialisation=one["runs_specialisation"] or None,
    )


def _parse_units(lines: list[tuple[str, str]]) -> Units:
    failed = _all(lines, "failed_unit")
    left = tuple(unit for unit in _all(lines, "left_failed") if unit in failed)
    return Units(failed, left, parse_changes(lines))


def _all(lines: Iterable[tuple[str, str]], wanted: str) -> tuple[str, ...]:
    return tuple(value for name, value in lines if name == wanted)


def _parse_loader(one: Mapping[str, str]) -> Loader:
    names = ("loader_default", "loader_boots", "boot_pending", "loader_menu")
    return Loader(*(one[name] or None for name in names))


def _parse_boot(one: Mapping[str, str], lines: Iterable[tuple[str, str]]) -> Boot:
    names = ("boot_id", "boot_once", "boot_tried")
    id_, once, tried = (one.get(name) for name in names)
    unconfirmed = _number(one, "unconfirmed_generation")
    return Boot(id_, once, tried, _all(lines, "boot_failed"), unconfirmed)


def _parse_room(one: Mapping[str, str]) -> Room:
    names = ("profile_free", "profile_inodes", "boot_free", "boot_needed")
    return Room(*(_number(one, name) for name in names))


def _parse_begun(words: str, end: str) -> Begun | None:
    """Read the call of ``activate`` in ``system.sh``: INSTALL, SKIP, BEFORE, actions and paths.

    Before it stands who watches it. Other jobs of its name say nothing here.
    """
    if not words:
        return None
    try:
        _how, function, *rest = shlex.split(words)
        if function != "activate":
            return None
        _install, _skip, before, *steps = rest
        taken = tuple(map(Step, map(Action, steps[::2]), steps[1::2]))
        return Begun(taken, json.loads(before), end or None)
    except ValueError:
        # Nobody knows what it has left behind.
        return Begun((), {}, "its record was cut")


def _parse_looked(one: Mapping[str, str], lines: Iterable[tuple[str, str]]) -> Looked:
    # Nix says 1, and true since 2.30. One too old to say it says nothing.
    trusted = {"1": True, "true": True, "0": False, "false": False}.get(one["nix_trusted"])
    nix = one["nix"].split()[-1] if one["nix"] else None
    keys = tuple(one["nix_keys"].split())
    free, revisions = _number(one, "nix_free"), _object(one["revisions"])
    history = tuple(filter(None, map(_object, _all(lines, "history"))))
    return Looked(
        kernel=one["kernel_release"],
        nix=nix,
        trusted=trusted,
        trusted_keys=keys,
        nix_free=free,
        revisions=revisions,
        history=history,
        is_nixos="nixos" in one,
        updaters=_all(lines, "updater"),
    )


def _object(text: str) -> dict[str, t.Any]:
    """Read a JSON object; what anybody else wrote there is none."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _number(one: Mapping[str, str], name: str) -> int | None:
    value = one.get(name, "")
    # A record that was cut says nothing.
    return int(value) if value.isascii() and value.isdecimal() else None
