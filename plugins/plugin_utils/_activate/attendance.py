# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: who looks after a trial that a host has, and how it is ended."""

from __future__ import annotations

import pathlib

from ansible_collections.closure.nixos.plugins.module_utils._activate.facts import Facts
from ansible_collections.closure.nixos.plugins.module_utils._activate.guard_state import Guard
from ansible_collections.closure.nixos.plugins.plugin_utils._host.host import Host, demand
from ansible_collections.closure.nixos.plugins.plugin_utils._host.run import Run


def attendant(run: Run) -> str:
    """Name the ansible-playbook that looks after a trial: where it runs, and its process.

    Nothing where the system has no names for that: it is then taken to be there.
    """
    try:
        boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        processes = pathlib.Path("/proc/self/ns/pid").readlink()
    except OSError:
        return ""
    return f"{boot}:{processes} {run.parent}"


def is_attended(guard: Guard, run: Run) -> bool:
    """Whether another ansible-playbook than this one looks after a trial, as far as we can know."""
    if guard.run == run.id:
        return False
    place, _blank, process = guard.attended.rpartition(" ")
    here = attendant(run).rpartition(" ")[0]
    return not place or place != here or pathlib.Path("/proc", process).exists()


def roll_back_unattended(facts: Facts, host: Host) -> bool:
    """Have a trial rolled back that nobody attends; it is not ours."""
    guard = facts.guard
    if guard and guard.state == "armed" and not is_attended(guard, host.task_run):
        order_back(host, "nobody attended it any more, and another deployment began")
    return False


def order_back(host: Host, why: str) -> None:
    """Have the guard roll back now."""
    demand(host, "guard_order", why, request="guard-order")
