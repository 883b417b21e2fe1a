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

# The contract between PROBE and parse_toplevels. `toplevel_facts DIR` prints one block:
#
#     toplevel=DIR            as it was given; begins the block
#     path=STORE PATH         what DIR resolves to
#     has_switch=1            there is a bin/switch-to-configuration
#     dbus_broker=0|1         the D-Bus implementation is not, or is, dbus-broker
#     kernel=, initrd=, kernel_modules=, firmware=
#                             what the link of that name (with "-") resolves to
#     system=, nixos_version=, init_interface_version=, kernel_params=,
#     switch_inhibitors=, reboot_triggers=
#                             the content of the file of that name (with "-"), newlines as blanks
#     specialisations=NAME    one line for each
#     toplevel_end=DIR        ends the block; without it the output was cut
#
# A line is left out when there is no such file; all are when DIR does not exist. Lines outside a
# block are the caller's. Files: nixpkgs, nixos/modules/system/activation/top-level.nix.
PROBE = r"""
toplevel_link() {
    if [ -e "$2" ]; then printf '%s=%s\n' "$1" "$(readlink -f "$2")"; fi
}

toplevel_text() {
    [ -f "$2" ] || return 0
    printf '%s=' "$1"
    while IFS= read -r toplevel_line || [ -n "$toplevel_line" ]; do
        printf '%s ' "$toplevel_line"
    done <"$2"
    printf '\n'
}

toplevel_dbus_broker() {
    if [ -e "$1/dbus-broker.service" ]; then
        printf 'dbus_broker=1\n'
    elif [ -e "$1/dbus.service" ]; then
        printf 'dbus_broker=0\n'
    fi
}

toplevel_specialisations() {
    for toplevel_special in "$1"/specialisation/*; do
        [ -e "$toplevel_special" ] || continue
        printf 'specialisations=%s\n' "${toplevel_special##*/}"
    done
}

toplevel_facts() {
    printf 'toplevel=%s\n' "$1"
    toplevel_link path "$1"
    if [ -e "$1/bin/switch-to-configuration" ]; then printf 'has_switch=1\n'; fi
    toplevel_dbus_broker "$1/etc/systemd/system"
    toplevel_link kernel "$1/kernel"
    toplevel_link initrd "$1/initrd"
    toplevel_link kernel_modules "$1/kernel-modules"
    toplevel_link firmware "$1/firmware"
    toplevel_text system "$1/system"
    toplevel_text nixos_version "$1/nixos-version"
    toplevel_text init_interface_version "$1/init-interface-version"
    toplevel_text kernel_params "$1/kernel-params"
    toplevel_text switch_inhibitors "$1/switch-inhibitors"
    toplevel_text reboot_triggers "$1/reboot-triggers"
    toplevel_specialisations "$1"
    printf 'toplevel_end=%s\n' "$1"
}
"""

_DBUS = "dbus-implementation"
_INIT = "init-interface-version"

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
    """The systems in the output of PROBE, by the DIR each was asked for; None where DIR is absent.

    Raises ClosureError for an unknown line in a block, and for a block that has no end.
    """
    return dict(_parse_block(name, lines) for name, lines in _blocks(text))


def parse_toplevel(text: str) -> Toplevel:
    """The first system in the output of PROBE. Raises ClosureError when there is none."""
    toplevels = parse_toplevels(text)
    for toplevel in toplevels.values():
        if toplevel is not None:
            return toplevel
    raise ClosureError(
        f"{' and '.join(toplevels) or 'The NixOS system'}: no such system on the host. Copy it "
        "there first, or pass the path of one that is there."
    )


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
    return (*files, *(f"reboot-trigger: {name}" for name in triggers))


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
