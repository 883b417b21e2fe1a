# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What tests of the modules share: Nix files with systems, tasks, and what a host looks like."""

from __future__ import annotations

import difflib
import json
import os
import pathlib
import secrets
import subprocess
import typing as t
from collections.abc import Iterable

from ansible_collections.closure.nixos.tests.integration._harness import Fleet

SYSTEMS = pathlib.Path(__file__).with_name("systems")
HOSTS = ("node1", "node2", "node3")
PROFILE = "/nix/var/nix/profiles/system"
MODULES = ("nix_build_system", "nix_copy_closure", "nix_profile_set", "nixos_switch")

Task = dict[str, t.Any]

# All that a deployment can change on a host, but the store of the paths it reads.
_TRACE = r"""
find /nix/var/nix/profiles /nix/var/nix/gcroots -type l -printf '%p %l\n' | sort
find /boot -type f -exec cksum {} +
find /etc ! -type d -printf '%p %l %T@\n' | sort
find /run/closure-nixos /var/lib/closure-nixos /run/nixos /home/deploy/.local | sort
readlink -f /run/current-system /run/booted-system
ls /nix/store | sort
systemctl list-units --plain --no-legend --type=service,socket,timer,target,mount |
    grep -Ev '^(user|session|run-user|systemd-(tmpfiles|logind)|apt-|dpkg-|logrotate)' |
    awk '{ print $1, $3 }'
"""


def module(name: str, arguments: Task, **keywords: object) -> Task:
    """A task of that module of the collection, of the same name, its result registered by it."""
    return {"name": name, f"closure.nixos.{name}": arguments, "register": name} | keywords


def build(file: pathlib.Path | str, **arguments: object) -> Task:
    """Build each host's own system, all in one evaluation."""
    default = {
        "file": str(file),
        "attr": "{{ inventory_hostname }}.system",
        "hosts": "{{ ansible_play_hosts_all }}",
        "build_host": "localhost",
    }
    return module("nix_build_system", default | arguments)


BUILT = "{{ nix_build_system.path }}"
COPY = module("nix_copy_closure", {"path": BUILT})
PROFILE_SET = module("nix_profile_set", {"path": BUILT})
SWITCH = module("nixos_switch", {"path": BUILT})


def switch(action: str, **arguments: object) -> Task:
    """Activate the system that was built."""
    return module("nixos_switch", {"path": BUILT, "action": action} | arguments)


def quartet(file: pathlib.Path) -> list[Task]:
    """Build, copy, set the profile, switch."""
    return [build(file), COPY, PROFILE_SET, SWITCH]


def playbook(*tasks: Task, hosts: str = "testbed", **keywords: object) -> str:
    """A playbook of one play; JSON is YAML."""
    play = {"name": "Test", "hosts": hosts, "gather_facts": False, "tasks": tasks} | keywords
    return json.dumps([play])


def write_systems(
    directory: pathlib.Path, configuration: str = "{ }", hosts: Iterable[str] = HOSTS, **own: str
) -> pathlib.Path:
    """Write a Nix file with a system for each host, new to every store.

    :param configuration: the module of a host without a module of its own in ``own``
    """
    nonce = f'{{ environment.etc."closure-testbed/nonce".text = "{secrets.token_hex(8)}"; }}'
    modules = dict.fromkeys(hosts, configuration) | own
    lines = [
        f'  "{host}" = {{ imports = [ ({text}) {nonce} ]; }};' for host, text in modules.items()
    ]
    file = directory / f"systems-{secrets.token_hex(4)}.nix"
    file.write_text("\n".join([f"import {SYSTEMS} {{", *lines, "}", ""]))
    return file


def trace(fleet: Fleet, host: str) -> list[str]:
    """What there is on a host that a deployment could change."""
    return fleet.exec(host, f"{{ {_TRACE} }} 2>&1", check=False).splitlines()


def difference(old: list[str], new: list[str]) -> list[str]:
    """The lines that came and went."""
    lines = difflib.unified_diff(old, new, n=0, lineterm="")
    return [line for line in lines if not line.startswith(("---", "+++", "@@"))]


def running(fleet: Fleet, host: str) -> str:
    """The system that runs on a host."""
    return fleet.exec(host, "readlink -f /run/current-system").strip()


def recorded(fleet: Fleet, host: str) -> str:
    """The system in the profile of a host."""
    return fleet.exec(host, f"readlink -f {PROFILE}").strip()


def booted_next(fleet: Fleet, host: str) -> str:
    """The system that the boot loader of a host has as its default."""
    script = "sed -n 's/^default //p' /boot/loader/loader.conf"
    entry = fleet.exec(host, f"cat /boot/loader/entries/$({script})")
    return entry.split("init=")[1].split("/init")[0]


def is_at(fleet: Fleet, host: str, path: str) -> bool:
    """Whether a host runs, has recorded and boots a system."""
    return running(fleet, host) == recorded(fleet, host) == booted_next(fleet, host) == path


def started(fleet: Fleet, host: str, unit: str) -> str:
    """When a unit of a host was started; empty when it is not active."""
    script = (
        f"systemctl is-active -q {unit} && systemctl show -P ExecMainStartTimestampMonotonic {unit}"
    )
    return fleet.exec(host, script, check=False).strip()


def nix(*command: str, seconds: float = 120) -> str:
    """Run a Nix command on the controller, offline."""
    done = subprocess.run(
        command,
        env=os.environ | {"NIX_CONFIG": "substituters ="},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=seconds,
    )
    return done.stdout.strip()
