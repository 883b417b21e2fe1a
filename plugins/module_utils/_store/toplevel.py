# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A NixOS system by the files of its toplevel. Private to the collection.

Decides whether a store path is a NixOS system for a host, what of it takes effect only after a
reboot, and what forbids to switch to it while the host runs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError

_DBUS = "dbus-implementation"
_INIT = "init-interface-version"
# Stands before the name of a trigger among the reasons for a reboot.
_TRIGGER = "reboot-trigger: "

# What the boot loader hands over. A container is started without them.
_BOOT_FILES = ("kernel", "initrd", "kernel-modules", "kernel-params", "firmware")


@dataclass(frozen=True)
class Toplevel:
    """What decides about a NixOS system; None where it has no such file."""

    path: str
    system: str | None = None
    nixos_version: str | None = None
    kernel: str | None = None
    initrd: str | None = None
    kernel_modules: str | None = None
    kernel_version: str | None = None
    firmware: str | None = None
    kernel_params: str | None = None
    init_interface_version: str | None = None
    switch_inhibitors: Mapping[str, str] | None = None
    reboot_triggers: Mapping[str, str] | None = None
    dbus_broker: bool | None = None
    has_switch: bool = False
    specialisations: tuple[str, ...] = ()

    @property
    def is_container(self) -> bool:
        """Whether it is built to run under another system's kernel."""
        return self.kernel is None


_FLAGS = frozenset({"has_switch", "dbus_broker"})
_TABLES = frozenset({"switch_inhibitors", "reboot_triggers"})
_TEXTS = frozenset(_field.name for _field in fields(Toplevel)) - _FLAGS - _TABLES


def parse_toplevels(text: str) -> dict[str, Toplevel | None]:
    """The systems that ``toplevel.sh`` printed, by the DIR asked for; None where DIR is absent.

    Raises ClosureError for an unknown line in a block, and for a block that has no end.
    """
    return dict(_parse_block(name, lines) for name, lines in _blocks(text))


def _blocks(text: str) -> Iterator[tuple[str, list[str]]]:
    # Not splitlines(), which also splits at characters that JSON may hold, as U+2028.
    lines = iter(text.split("\n"))
    for line in lines:
        if line.startswith("toplevel="):
            name = line.removeprefix("toplevel=")
            yield name, list(_until(f"toplevel_end={name}", lines))


def _until(end: str, lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        if line == end:
            return
        yield line
    raise ClosureError(f"The host's answer was cut before the line {end!r}. Run the task again.")


def _parse_block(name: str, lines: list[str]) -> tuple[str, Toplevel | None]:
    facts: dict[str, Any] = {}
    for key, value in map(_parse_fact, lines):
        facts[key] = (*facts.get(key, ()), value) if key == "specialisations" else value
    return name, Toplevel(**facts) if "path" in facts else None


def _parse_fact(line: str) -> tuple[str, Any]:
    key, equals, value = line.partition("=")
    value = value.strip()
    if equals and key in _TEXTS:
        return key, value
    if equals and key in _FLAGS:
        return key, value == "1"
    if equals and key in _TABLES:
        return key, _parse_table(value)
    raise ClosureError(
        f"The host printed {line!r} where a fact of a NixOS system was expected. Run the task "
        "again with -vvv to see what it ran."
    )


def _parse_table(value: str) -> dict[str, str] | None:
    """The names and values of a file of triggers.

    None for the first form of `switch-inhibitors`, a bare list of store paths without names, that
    some snapshots on the way to 26.05 have (nixpkgs PR 473282).
    """
    try:
        table = json.loads(value)
    except json.JSONDecodeError:
        return None
    return {key: str(item) for key, item in table.items()} if isinstance(table, dict) else None


def check_toplevel(top: Toplevel, host_platform: str) -> None:
    """Raise ClosureError unless `top` is a NixOS system that `host_platform` can activate.

    The tests are those of nixos-rebuild (nixos-version) and colmena (switch-to-configuration),
    and the platform, which neither looks at.
    """
    problem = _not_nixos(top) or _not_switchable(top) or _wrong_platform(top, host_platform)
    if problem:
        raise ClosureError(problem, path=top.path)


def _not_nixos(top: Toplevel) -> str | None:
    if top.nixos_version is not None:
        return None
    return (
        f"{top.path} is not a NixOS system: it has no file nixos-version. Pass the store path of "
        "a system's config.system.build.toplevel; its name begins with nixos-system-."
    )


def _not_switchable(top: Toplevel) -> str | None:
    if top.has_switch:
        return None
    return (
        f"{top.path} cannot be activated: it has no bin/switch-to-configuration, as with "
        "system.switch.enable = false. Set that option to true and build the system again."
    )


def _wrong_platform(top: Toplevel, host_platform: str) -> str | None:
    if top.system == host_platform:
        return None
    return (
        f"{top.path} is built for {top.system or 'no known platform'}, but the host is "
        f"{host_platform}. Set nixpkgs.hostPlatform of this host's configuration to "
        f"{host_platform} and build it again."
    )


def reboot_reasons(booted: Toplevel, new: Toplevel) -> tuple[str, ...]:
    """What of `new` takes effect only after a reboot, seen from the system that was booted.

    Names of files that differ or that one side lacks, and "reboot-trigger: NAME". systemd is not
    one: it re-executes itself. Sources: nixpkgs, auto-upgrade.nix (kernel, initrd,
    kernel-modules), switch-to-configuration-ng (init-interface-version), PR 473282 (triggers).
    """
    ignored = set(_BOOT_FILES) if booted.is_container or new.is_container else set()
    names = [name for name in (*_BOOT_FILES, _INIT) if name not in ignored]
    files = [name for name in names if _differs(name, booted, new)]
    triggers = [name for name in _changed_triggers(booted, new) if name not in {*files, *ignored}]
    return (*files, *(f"{_TRIGGER}{name}" for name in triggers))


def _differs(name: str, old: Toplevel, new: Toplevel) -> bool:
    field = name.replace("-", "_")
    return bool(getattr(old, field) != getattr(new, field))


def _changed_triggers(old: Toplevel, new: Toplevel) -> list[str]:
    triggers = _changes(old.reboot_triggers or {}, new.reboot_triggers or {})
    return sorted(triggers.keys() | _changes(_inhibitors(old), _inhibitors(new)).keys())


def _changes(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """The values that differ, of the keys both sides have: a new key is no change (PR 473282)."""
    return {key: (old[key], new[key]) for key in sorted(old) if new.get(key, old[key]) != old[key]}


def _inhibitors(top: Toplevel) -> Mapping[str, str]:
    """The switch inhibitors; of a system too old to record them, its D-Bus implementation.

    NixOS 25.11 and older have no switch-inhibitors, so their switch to 26.05 goes unchecked, though
    D-Bus cannot be replaced under a running system (nixpkgs issue 308925).
    """
    if top.switch_inhibitors is not None:
        return top.switch_inhibitors
    return {} if top.dbus_broker is None else {_DBUS: "broker" if top.dbus_broker else "dbus"}


def live_switch_blockers(running: Toplevel, new: Toplevel) -> tuple[str, ...]:
    """What forbids to switch from `running` to `new` without a reboot, as "NAME: old -> new".

    The init interface, with which switch-to-configuration ends in 100, and the switch inhibitors.
    """
    changes = _changes(_inhibitors(running), _inhibitors(new))
    if _differs(_INIT, running, new):
        # A host without the file counts as one with an empty file, in main.rs as well.
        versions = (running.init_interface_version or "none", new.init_interface_version or "none")
        changes = {_INIT: versions, **changes}
    return tuple(f"{name}: {old} -> {wanted}" for name, (old, wanted) in changes.items())


def show_boot_changes(running: Toplevel, new: Toplevel) -> str:
    """What a reboot from `running` into `new` is for, for people, a line for each.

    ``kernel: 6.6.52 → 6.12.3``, ``kernel-params: +quiet -debug``. What is built for a kernel goes
    without saying where the kernel changes.
    """
    names = reboot_reasons(running, new)
    unsaid = {"initrd", "kernel-modules"} if "kernel" in names else set()
    lines = (_boot_change(name, running, new) for name in names if name not in unsaid)
    return "".join(f"{line}\n" for line in lines)


def _boot_change(reason: str, old: Toplevel, new: Toplevel) -> str:
    name = reason.removeprefix(_TRIGGER)
    if name == "kernel-params":
        return f"{name}: {_words_changed(old.kernel_params or '', new.kernel_params or '')}"
    versions = [_version(name, reason, top) or "∅" for top in (old, new)]
    return f"{name}: {' → '.join(versions) if versions[0] != versions[1] else 'changed'}"


def _words_changed(old: str, new: str) -> str:
    """The words that come and go; where none do, their order is what changes."""
    before, after = old.split(), new.split()
    words = [f"+{word}" for word in after if word not in before]
    words += [f"-{word}" for word in before if word not in after]
    return " ".join(words) or "in another order"


def _version(name: str, reason: str, top: Toplevel) -> str | None:
    """What people know a part by; None for a file that has nothing of the kind."""
    if reason != name:
        return {**(top.reboot_triggers or {}), **_inhibitors(top)}.get(name)
    return {"kernel": top.kernel_version, _INIT: top.init_interface_version}.get(name)
