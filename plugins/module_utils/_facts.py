# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a target says of itself. Private to the collection.

Decides what the answer of ``system_facts`` (``plugin_utils/sh/system.sh``) means, and whether a
host already is where a deployment would bring it.
"""

from __future__ import annotations

import dataclasses
import shlex

from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._generations import (
    Generation,
    parse_generations,
)
from ansible_collections.closure.nixos.plugins.module_utils._toplevel import (
    Toplevel,
    live_switch_blockers,
    parse_toplevels,
    reboot_reasons,
)


@dataclasses.dataclass(frozen=True)
class Step:
    """A call of the switch-to-configuration of a system."""

    action: str
    path: str


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
    :param specialisation: the name of the specialisation that was asked for
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
    activation: tuple[Step, ...]
    failed_units: tuple[str, ...]
    generations: tuple[Generation, ...]
    toplevels: dict[str, Toplevel | None]
    path: str | None
    valid: bool
    specialisation: str | None = None

    @property
    def system(self) -> Toplevel | None:
        """The system that is to run: the one that was asked for, or its specialisation."""
        special = f"/specialisation/{self.specialisation}" if self.specialisation else ""
        return self.toplevels.get(f"{self.path}{special}")

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
    def live_blockers(self) -> tuple[str, ...]:
        """What forbids to switch to the system that was asked for without a reboot."""
        running = self.toplevels.get("/run/current-system")
        return live_switch_blockers(running, self.system) if running and self.system else ()

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


def parse_facts(text: str, profile: str) -> Facts:
    """Read the answer of ``system_facts PROFILE [PATH [SPECIALISATION]]``.

    :raises ClosureError: the answer was cut
    """
    lines = [(name, value) for name, _, value in (line.partition("=") for line in text.split("\n"))]
    # The host's own facts stand before the blocks of its systems: the first of a name counts.
    one: dict[str, str] = dict(reversed(lines))
    return Facts(
        user=one["user"],
        platform=one["platform"],
        systemd=bool(one["systemd"]),
        nix=one["nix"].split()[-1] if one["nix"] else None,
        running=one["running"] or None,
        booted=one["booted"] or None,
        loader_default=one["loader_default"] or None,
        boot_pending=one["boot_pending"] or None,
        switcher=one["switching"] or None,
        activation=_parse_steps(one["activation"]),
        failed_units=tuple(value for name, value in lines if name == "failed_unit"),
        generations=parse_generations(text, profile),
        toplevels=parse_toplevels(text),
        path=one["path_asked"] or None,
        valid="valid" in one,
        specialisation=one["specialisation_asked"] or None,
    )


def _parse_steps(words: str) -> tuple[Step, ...]:
    """Read the call of ``activate`` in ``sh/system.sh``: INSTALL, then actions and paths."""
    steps = shlex.split(words)[2:]
    return tuple(map(Step, steps[::2], steps[1::2]))
