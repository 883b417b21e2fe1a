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
from collections.abc import Collection, Mapping

from ansible_collections.closure.nixos.plugins.module_utils._activate.guard_state import (
    Guard,
    parse_deployment,
    parse_guard,
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

    action: str
    path: str


@dataclasses.dataclass(frozen=True)
class Begun:
    """An activation that somebody began.

    :param before: what :func:`remember` wrote of the host then
    """

    steps: tuple[Step, ...]
    before: dict[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Looked:
    """What only those ask who look at a host; None where it does not say.

    :param kernel: the release of the kernel that runs
    :param trusted: whether the login is one of Nix's trusted users
    :param trusted_keys: the public keys whose signatures Nix accepts
    :param nix_free: bytes that are free for the store
    """

    kernel: str
    trusted: bool | None
    trusted_keys: tuple[str, ...]
    nix_free: int | None


@dataclasses.dataclass(frozen=True)
class Facts:
    """A NixOS host's state; paths are store paths, ``None`` where there is none.

    :param running: what /run/current-system is, :param booted: what booted
    :param loader_default: what our last ``boot`` or ``switch`` made the loader's default
    :param boot_pending: what was to become the default when the host was interrupted
    :param switcher: who runs a switch-to-configuration now
    :param activation: what our last activation does or did, until somebody has heard of its end
    :param path: the system that was asked for, else the profile's
    :param valid: whether that is in the host's store
    :param state: what systemd says of the host as a whole, such as "running" or "maintenance"
    :param loader_boots: what the loader's files say that it boots, where they can be read
    :param activation_end: systemd's words for how our last activation ended
    :param profile_free: bytes that are free beside the profile, :param profile_inodes: and inodes
    :param boot_needed: bytes that the system's boot files will take in /boot
    :param looked: what else ``host_facts`` says
    :param specialisation: the name of the specialisation that was asked for
    :param guard: what watches over a system on trial, or did since the host booted
    :param deployment: what the host remembers of its last deployment
    :param boot_id: names this boot of the host, :param boot_once: what only the next one starts
    :param boot_tried: what this boot alone has started
    :param boot_failed: the units that had failed before that
    """

    user: str
    platform: str
    systemd: bool
    nix: str | None
    running: str | None
    booted: str | None
    loader_default: str | None
    boot_pending: str | None
    switcher: str | None
    activation: Begun | None
    failed_units: tuple[str, ...]
    generations: tuple[Generation, ...]
    toplevels: dict[str, Toplevel | None]
    path: str | None
    valid: bool
    state: str | None = None
    loader_boots: str | None = None
    activation_end: str | None = None
    profile_free: int | None = None
    profile_inodes: int | None = None
    boot_free: int | None = None
    boot_needed: int | None = None
    looked: Looked | None = None
    specialisation: str | None = None
    guard: Guard | None = None
    deployment: dict[str, str] | None = None
    boot_id: str | None = None
    boot_once: str | None = None
    boot_tried: str | None = None
    boot_failed: tuple[str, ...] = ()

    @property
    def system(self) -> Toplevel | None:
        """The system that is to run: the one that was asked for, or its specialisation."""
        special = f"/specialisation/{self.specialisation}" if self.specialisation else ""
        return self.toplevels.get(f"{self.path}{special}")

    @property
    def in_maintenance(self) -> bool:
        """Whether the host is in rescue or emergency mode."""
        return self.state == "maintenance"

    @property
    def is_half_switched(self) -> bool:
        """Whether our last activation was killed, and may have left units stopped."""
        end = self.activation_end or "success exited 0"
        return self.activation is not None and " exited " not in end

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
        return path == self.profile == self.loader_default and not self.boot_pending

    def is_at(self, path: str) -> bool:
        """Whether a deployment of this system would find nothing to do."""
        return self.running == path and self.boots(path)


# What a result says of the time before an activation.
_REMEMBERED = ("running", "loader_default", "boot_pending", "failed_units")


def remember(facts: Facts) -> str:
    """Write what a host is, for who finds its activation later, when nobody has heard its end."""
    return json.dumps({name: getattr(facts, name) for name in _REMEMBERED})


def remembered(begun: Begun, facts: Facts) -> Facts:
    """Return the facts with what the host was before an activation that somebody began."""
    then = {name: begun.before[name] for name in _REMEMBERED}
    return dataclasses.replace(facts, **then | {"failed_units": tuple(then["failed_units"])})


def needed_steps(action: str, facts: Facts, force: bool = False) -> tuple[Step, ...]:
    """Return what is left to do of an action.

    A system that runs is not activated again; one that runs and is not what the host boots still
    has to become that. The boot loader knows generations only, so that a specialisation is
    activated after its system has become the boot default.
    """
    path = str(facts.path)
    live = facts.system.path if facts.system else path
    if action == "auto":
        action = "boot" if facts.needs_boot else "switch"
    boot = action in ("switch", "boot") and (force or not facts.boots(path))
    activate = action != "boot" and (force or facts.running != live)
    if activate and live == path:
        return (Step(action, path),)
    activation = Step("dry-activate" if action == "dry-activate" else "test", live)
    return (*[Step("boot", path)] * boot, *[activation] * activate)


def on_trial(action: str, steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Return the steps up to the confirmation, of which none makes a system the boot default.

    With ``boot``, and with ``auto`` where only a reboot brings the system, nothing runs before it.
    """
    if action == "boot" or (action == "auto" and steps and steps[-1].action == "boot"):
        return steps
    return tuple(Step("test", step.path) for step in steps if step.action != "boot")


def failed_on_trial(facts: Facts, ignored: Collection[str] = ()) -> tuple[str, ...]:
    """The units that failed since the trial of what runs began, without those to ignore."""
    before = facts.failed_units
    if facts.guard and facts.guard.waits:
        before = facts.guard.failed_before
    elif facts.boot_tried:
        before = facts.boot_failed
    return tuple(unit for unit in facts.failed_units if unit not in {*before, *ignored})


def check_specialisation(facts: Facts) -> None:
    """Raise ClosureError, naming what there is, unless the specialisation exists."""
    if facts.system or not facts.valid:
        return
    parent = facts.toplevels.get(facts.path or "")
    names = ", ".join(parent.specialisations) if parent else ""
    raise ClosureError(
        f"{facts.path} has no specialisation {facts.specialisation}. "
        + (f"Choose one of these: {names}." if names else "It has none at all.")
    )


# A generation is a link, beside which Nix locks and roots with small files.
_GENERATION = 1024 * 1024


def check_room(facts: Facts, profile: str) -> None:
    """Raise ClosureError when a generation does not fit, or the boot files do not into /boot."""
    _check_profile_room(facts, profile)
    _check_boot_room(facts)


def _check_profile_room(facts: Facts, profile: str) -> None:
    free, inodes = facts.profile_free, facts.profile_inodes
    if (free is None or free >= _GENERATION) and inodes != 0:
        return
    counted = "" if inodes is None else f" and {inodes} inodes"
    raise ClosureError(
        f"{profile.rpartition('/')[0]} has {free} bytes{counted} left, too little for a new "
        "generation. Make room there, for example with `nix-collect-garbage "
        "--delete-older-than 30d`, and run the task again."
    )


def _check_boot_room(facts: Facts) -> None:
    if facts.boot_free is None or (facts.boot_needed or 0) <= facts.boot_free:
        return
    raise ClosureError(
        f"/boot has {facts.boot_free} bytes left, and the kernel and initrd of {facts.path} need "
        f"{facts.boot_needed}. Delete generations that nobody needs, for example with `nix-env "
        "--profile /nix/var/nix/profiles/system --delete-generations +5`, then clear /boot with "
        "`/run/current-system/bin/switch-to-configuration boot`, and run the task again."
    )


def standing(facts: Facts) -> str:
    """What a host runs and boots, for those who have to repair it; ends a sentence about it."""
    rescue = ", and is in maintenance mode, which `systemctl default` ends"
    boots = facts.loader_boots or facts.loader_default or "what it did"
    return f"runs {facts.running} and boots {boots}{rescue if facts.in_maintenance else ''}."


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
        user=one["user"],
        platform=one["platform"],
        systemd=bool(one["systemd"]),
        nix=one["nix"].split()[-1] if one["nix"] else None,
        running=one["running"] or None,
        booted=one["booted"] or None,
        loader_default=one["loader_default"] or None,
        boot_pending=one["boot_pending"] or None,
        switcher=one["switching"] or (guard.claim if guard and guard.waits else None),
        activation=_parse_begun(one["activation"]),
        failed_units=tuple(value for name, value in lines if name == "failed_unit"),
        generations=parse_generations(text, profile),
        toplevels=parse_toplevels(text),
        path=one["path_asked"] or None,
        valid="valid" in one,
        state=one["state"] or None,
        loader_boots=one["loader_boots"] or None,
        activation_end=one["activation_end"] or None,
        profile_free=_number(one, "profile_free"),
        profile_inodes=_number(one, "profile_inodes"),
        boot_free=_number(one, "boot_free"),
        boot_needed=_number(one, "boot_needed"),
        looked=_parse_looked(one) if "kernel_release" in one else None,
        specialisation=one["specialisation_asked"] or None,
        guard=guard,
        deployment=parse_deployment(one),
        boot_id=one.get("boot_id"),
        boot_once=one.get("boot_once"),
        boot_tried=one.get("boot_tried"),
        boot_failed=tuple(value for name, value in lines if name == "boot_failed"),
    )


def _parse_begun(words: str) -> Begun | None:
    """Read the call of ``activate`` in ``system.sh``: INSTALL, BEFORE, actions and paths.

    Before it stands who watches it. Other jobs of its name say nothing here.
    """
    _how, function, *rest = shlex.split(words) or ("", "")
    if function != "activate":
        return None
    _install, remembered, *steps = rest
    return Begun(tuple(map(Step, steps[::2], steps[1::2])), json.loads(remembered))


def _parse_looked(one: Mapping[str, str]) -> Looked:
    # Nix says 1, and true since 2.30. One too old to say it says nothing.
    trusted = {"1": True, "true": True, "0": False, "false": False}.get(one["nix_trusted"])
    keys = tuple(one["nix_keys"].split())
    return Looked(one["kernel_release"], trusted, keys, _number(one, "nix_free"))


def _number(one: Mapping[str, str], name: str) -> int | None:
    return int(one[name]) if one.get(name) else None
