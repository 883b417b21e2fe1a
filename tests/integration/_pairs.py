# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Random systems, each of which differs a little from the one before it."""

from __future__ import annotations

import random
import typing as t

SERVICES = 9
_TARGETS = ("t-p-head", "t-p-tail")
_KINDS = ("sleeper", "sleeper", "oneshot", "remains")
_CHANGES = (
    *("stopIfChanged = true", "stopIfChanged = false", "reloadIfChanged = true"),
    *("restartIfChanged = true", "restartIfChanged = false"),
)

Unit = dict[str, t.Any]
System = dict[str, Unit]


def walk(chance: random.Random, length: int) -> list[System]:
    """Return systems, each one with a few units other than those of the one before it."""
    systems = [{name: _random(chance, name) for name in _names()}]
    while len(systems) < length:
        system = {name: dict(unit) for name, unit in systems[-1].items()}
        for name in chance.sample(sorted(system), chance.randint(1, 4)):
            if chance.random() < 0.5:
                system[name]["version"] += 1
            else:
                system[name] |= _random(chance, name) | {"version": system[name]["version"]}
        systems.append(system)
    return systems


def _names() -> list[str]:
    extra = ("socket", "timer", "mount")
    return [*(f"t-p{number}" for number in range(SERVICES)), *_TARGETS, *extra]


def _random(chance: random.Random, name: str) -> Unit:
    """A unit, which depends on those before it only, so that there is no cycle."""
    number = int(name[3:]) if name[3:].isdigit() else 0
    others = [f"t-p{it}.service" for it in range(number)]
    relation = chance.choice(("requires", "wants", "bindsTo", "partOf", "", ""))
    places = ("multi-user.target", "t-p-head.target", "t-p-tail.target", None)
    return {
        "there": chance.random() < 0.85,
        "version": 0,
        "kind": chance.choice(_KINDS),
        "change": chance.choice(_CHANGES),
        "wanted": chance.choice(places if number or name == "t-p0" else places[::3]),
        "relation": relation if others else "",
        "other": chance.choice(others) if others else "",
        "after": chance.random() < 0.7,
        "stops": chance.random() < 0.4,
    }


def module_of(system: System) -> str:
    """The Nix module of a system."""
    there = {name: unit for name, unit in system.items() if unit["there"]}
    services = [
        _service(name, unit)
        for name, unit in there.items()
        if name.startswith("t-p") and name not in _TARGETS
    ]
    targets = [_target(name, unit) for name, unit in there.items() if name in _TARGETS]
    return "{ " + " ".join([*services, *targets, *_extras(there)]) + " }"


def _service(name: str, unit: Unit) -> str:
    kinds = {
        "sleeper": 'script = "exec sleep 1000000";',
        "oneshot": 'script = "true"; serviceConfig.Type = "oneshot";',
        "remains": 'script = "true"; serviceConfig.RemainAfterExit = true;',
    }
    wanted = f'wantedBy = [ "{unit["wanted"]}" ];' if unit["wanted"] else ""
    after = f'after = [ "{unit["other"]}" ];' if unit["after"] and unit["relation"] else ""
    relation = f'{unit["relation"]} = [ "{unit["other"]}" ];' if unit["relation"] else ""
    version = f'environment.VERSION = "{unit["version"]}"; reload = "true"; {unit["change"]};'
    text = " ".join([kinds[unit["kind"]], version, wanted, relation, after])
    return f"systemd.services.{name} = {{ {text} }};"


def _target(name: str, unit: Unit) -> str:
    wanted = 'wantedBy = [ "multi-user.target" ];' if unit["wanted"] else ""
    stops = "unitConfig.X-StopOnReconfiguration = true;" if unit["stops"] else ""
    # systemd takes an empty file for a masked unit.
    return f'systemd.targets.{name} = {{ description = "{name}"; {wanted} {stops} }};'


def _extras(there: System) -> list[str]:
    """A socket and a timer of services, where those are there, and a mount."""
    texts = []
    if "socket" in there and "t-p0" in there:
        texts.append(
            'systemd.sockets.t-p0 = { wantedBy = [ "sockets.target" ]; '
            'listenStreams = [ "/run/t-p0.socket" ]; };'
        )
    if "timer" in there and "t-p1" in there:
        texts.append(
            'systemd.timers.t-p1 = { wantedBy = [ "timers.target" ]; '
            f'timerConfig.OnActiveSec = "{there["timer"]["version"] + 9}d"; }};'
        )
    if "mount" in there:
        texts.append('fileSystems."/run/t-p" = { device = "tmpfs"; fsType = "tmpfs"; };')
    return texts
