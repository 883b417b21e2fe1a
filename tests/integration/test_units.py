# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What becomes of units, and what is said of it, where switch-to-configuration says less."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable

import pytest
from ansible_collections.closure.nixos.tests.integration._harness import Fleet, Play
from ansible_collections.closure.nixos.tests.integration._systems import (
    HOSTS,
    SYSTEMS,
    write_systems,
)
from ansible_collections.closure.nixos.tests.integration._trials import (
    DEPLOY,
    FAILED,
    ON_TRIAL,
    at,
    deployment,
    options,
)

ACTIVATE = "Activate the system"
BAD = "deploy/t-user-bad.service"
LEFT = "The switch to {} has left these units failed, and they still are: "
COUNTED = "/var/tmp/t-activated"


def systems(directory: pathlib.Path, version: str) -> pathlib.Path:
    """On node1 a user's unit fails, on node2 a unit and a swap device stay, node3 is refused."""
    case = f"(import {SYSTEMS}/cases.nix).%s {json.dumps(version)}"
    refuses = "echo not today; exit 1" if version == "new" else "true"
    stays = " ".join(f"({case % name})" for name in ("refusesStop", "swap"))
    return write_systems(
        directory,
        node1=f"({case % 'userUnitFails'})",
        node2=f"{{ imports = [ {stays} ]; }}",
        node3=f"""{{
          system.preSwitchChecks.refuses = "{refuses}";
          system.activationScripts.test = "echo x >>{COUNTED}";
        }}""",
    )


def test_what_an_activation_leaves_behind_is_said(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path, lingers: Callable[[str], None]
) -> None:
    lingers("node1")
    first = play(DEPLOY, *options(systems(tmp_path, "old")))
    assert first.rc == 0, first.text
    old = at(fleet)
    fleet.exec("node2", "echo /dev/t-swap2 >/run/closure-testbed/swap-is-full")
    fleet.exec("node3", f"rm -f {COUNTED}")
    file = systems(tmp_path, "new")
    played = play(DEPLOY, *options(file))
    assert [played.stats[host]["failed"] for host in HOSTS] == [1, 0, 1], played.text
    assert {host for host, path in at(fleet).items() if path != old[host]} == {"node2"}

    ill = played.result("node1", ON_TRIAL)
    # root, who is logged in too, has the same units.
    assert BAD in ill["newly_failed_units"], ill
    assert "systemctl --user --machine=deploy@ status t-user-bad.service" in ill["msg"]
    assert "deploy/t-user-good.service" in ill["units"]["restarted"]
    assert "rolled back to" in ill["msg"] or ill["unconfirmed"]
    message = played.result("node1", FAILED)["msg"]
    assert message.count("rolled back") == 1, message

    report = played.result("node2", ON_TRIAL)["report"]
    assert (report["swap"], report["failed_swap"]) == (["/dev/t-swap1"], ["/dev/t-swap2"])
    assert (report["refused"], report["stopped"]) == (["t-refuses.service"], [])
    assert "refused to stop" in played.result("node2", ON_TRIAL)["warnings"][0]
    assert fleet.exec("node2", "systemctl is-active t-refuses") == "active\n"

    message = played.result("node3", FAILED)["msg"]
    assert "the pre-switch check refuses failed. node3 runs" in message
    assert "rolled back" not in message and "on trial" not in message.split(": ", 2)[2], message
    assert fleet.exec("node3", f"cat {COUNTED}", check=False) == ""
    assert deployment(fleet, "node3")["outcome"] == "failed"
    guard = fleet.exec("node3", "systemctl is-active closure-nixos-guard", check=False)
    assert guard == "inactive\n"

    plain = {"deploy_confirm": False, "deploy_skip_checks": True}
    failed, again = (play(DEPLOY, *options(file, **plain)) for _time in range(2))
    new = at(fleet)
    for it, words in ((failed, "these units of users failed"), (again, LEFT.format(new["node1"]))):
        assert [it.stats[host]["failed"] for host in HOSTS] == [1, 0, 0], it.text
        message = it.result("node1", FAILED)["msg"]
        assert words in message and BAD in message, message
    assert all(new[host] != old[host] for host in HOSTS)
    assert again.stats["node1"]["changed"] == again.stats["node3"]["changed"] == 0
    excused = play(DEPLOY, *options(file, deploy_ignore_units=["t-user-*"]), "--limit", "node1")
    assert excused.rc == 0 and excused.stats["node1"]["changed"] == 0, excused.text


@pytest.mark.soak
def test_a_user_who_leaves_meanwhile_is_no_failure(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path, lingers: Callable[[str], None]
) -> None:
    lingers("node3")
    for version in ("old", "new"):
        case = f"((import {SYSTEMS}/cases.nix).userLeaves {json.dumps(version)})"
        file = write_systems(tmp_path, node3=case)
        played = play(DEPLOY, *options(file), "--limit", "node3")
        assert played.rc == 0, played.text
    tried = played.result("node3", ON_TRIAL)
    assert (tried["exit_code"], tried["newly_failed_units"]) == (4, []), tried
    manager = fleet.exec("node3", "systemctl is-active user@1000", check=False)
    assert manager == "inactive\n"
