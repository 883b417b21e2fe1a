# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How hosts stand, and what has drifted."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest
from ansible_collections.closure.nixos.plugins.module_utils._fleet.status import (
    lost_status,
    metrics,
    status_of,
    statuses,
    table,
)


def system(letter: str) -> str:
    return f"/nix/store/{letter * 32}-nixos-system-web1-26.05"


OLD, NEW, HAND = system("a"), system("b"), system("c")


def facts(**changes: t.Any) -> dict[str, t.Any]:
    """What a host says that runs and boots what was deployed last."""
    return {
        "running": NEW,
        "booted": OLD,
        "profile": NEW,
        "boots": NEW,
        "version": "26.05",
        "generations": [
            {"number": 1, "path": OLD, "date": "2026-11-01T10:00:00Z", "current": False},
            {"number": 2, "path": NEW, "date": "2026-11-02T10:00:00Z", "current": True},
        ],
        "reboot_required": False,
        "reboot_reasons": [],
        "failed_units": [],
        "system_state": "running",
        "trial": None,
        "deployment": {"outcome": "confirmed", "to": NEW, "from": OLD, "who": "ann@ci, today"},
        "nix_free": 3 << 30,
        "boot_free": None,
        "configuration_revision": "8a2b1c0d9e8f",
        "history": [],
        "user": "root",
    } | changes


TRIAL = {"state": "armed", "to": NEW, "who": "ann"}
ROLLED_BACK = {"outcome": "rolled-back", "to": HAND, "from": NEW, "who": "ann"}
CASES: dict[str, tuple[dict[str, t.Any], str | None, str, tuple[str, ...]]] = {
    "as deployed": ({}, None, "ok", ()),
    "as configured": ({}, NEW, "ok", ()),
    "the configuration builds another": ({}, HAND, "behind", ("its configuration builds",)),
    "a failed unit": ({"failed_units": ["a.service"]}, None, "failed", ("failed: a.service",)),
    "emergency mode": ({"system_state": "maintenance"}, None, "failed", ("in maintenance",)),
    "on trial": (
        {"trial": TRIAL},
        None,
        "trial",
        ("nixos-system-web1-26.05 (bbbbbbb) is on trial by ann",),
    ),
    "a trial that ended": ({"trial": TRIAL | {"state": "done"}}, None, "ok", ()),
    "switched by hand": (
        {"running": HAND, "profile": HAND, "boots": HAND},
        None,
        "drift",
        (f"runs nixos-system-web1-26.05 ({'c' * 7}), and generation 2",),
    ),
    "tested and never made permanent": (
        {"running": HAND},
        None,
        "drift",
        ("runs nixos-system", "runs nixos-system", "boots generation 2"),
    ),
    "rebooted into an older generation": (
        {"running": OLD, "booted": OLD},
        None,
        "drift",
        ("runs generation 1", "was rebooted into another", "runs generation 1", "boots generation"),
    ),
    "boots another": ({"boots": OLD}, None, "drift", ("boots generation 1",)),
    "boots what nobody knows": ({"boots": None}, None, "drift", ("boots what nobody",)),
    "asked by a login that may not look": (
        {"boots": None, "deployment": None, "user": "deploy"},
        None,
        "ok",
        ("was asked by deploy, and only root sees",),
    ),
    "rolled back": ({"deployment": ROLLED_BACK}, None, "ok", ()),
    "never deployed by us": ({"deployment": None}, None, "ok", ()),
    "waits for a reboot": (
        {"reboot_required": True, "reboot_reasons": ["kernel"]},
        None,
        "reboot",
        ("needs a reboot for kernel",),
    ),
}


@pytest.mark.parametrize(("changes", "wanted", "state", "notes"), CASES.values(), ids=CASES)
def test_a_host_stands(
    changes: dict[str, t.Any], wanted: str | None, state: str, notes: tuple[str, ...]
) -> None:
    status = status_of("web1", facts(**changes), wanted)
    assert status.state == state
    assert len(status.notes) == len(notes)
    for said, begins in zip(status.notes, notes, strict=True):
        assert said.startswith(begins)


def test_a_status_says_what_runs_since_when_and_by_whom() -> None:
    status = status_of("web1", facts())
    assert (status.system, status.hash) == ("nixos-system-web1-26.05", "b" * 7)
    assert (status.generation, status.since, status.by) == (2, "2026-11-02T10:00:00Z", "ann@ci")
    assert (status.version, status.result, status.nix_free) == ("26.05", "confirmed", 3 << 30)


def test_who_deployed_something_else_did_not_deploy_this() -> None:
    assert status_of("web1", facts(running=OLD)).by == ""


def test_a_status_travels_as_data() -> None:
    rows = [status_of("web1", facts(failed_units=["a.service"])), lost_status("db1", "no route")]
    assert statuses(map(dataclasses.asdict, rows)) == rows


def test_a_table_has_the_worst_first_and_is_aligned() -> None:
    rows = [
        status_of("web1", facts()),
        status_of("a-long-name", facts(boots=OLD)),
        lost_status("db1", "ssh: connect to host db1 port 22: No route to host\nmore"),
    ]
    told = "ann@ci  8a2b1c0  confirmed"
    assert table(rows).split("\n") == [
        "db1          unreachable",
        "    ssh: connect to host db1 port 22: No route to host",
        f"a-long-name  drift        gen 2  26.05  bbbbbbb  2026-11-02  {told}  3.0 GiB free",
        "    boots generation 1, nixos-system-web1-26.05 (aaaaaaa) after the next reboot",
        f"web1         ok           gen 2  26.05  bbbbbbb  2026-11-02  {told}  3.0 GiB free",
        "3 hosts: 1 unreachable, 1 drift, 1 ok",
    ]


def test_a_table_of_nothing_says_so() -> None:
    assert table([]) == "no hosts"


def test_a_status_says_how_the_configuration_goes_on() -> None:
    problem = "web1: node3 does not evaluate"
    unknown = status_of("web1", facts(), None, problem)
    assert (unknown.state, unknown.behind, unknown.notes) == ("ok", None, (problem,))
    rows = [status_of("a", facts(), NEW), status_of("b", facts(), HAND), unknown]
    behind = [
        line for line in metrics(rows, 0).split("\n") if line.startswith("closure_nixos_host_b")
    ]
    assert behind == [
        'closure_nixos_host_behind{host="a"} 0',
        'closure_nixos_host_behind{host="b"} 1',
    ]


def test_a_status_has_the_last_deployments() -> None:
    record = {"time": "2026-11-02T10:00:00Z", "user": "ann", "controller": "ci", "what": "switched"}
    own = facts(history=[record | {"seconds": 3, "run": "r1"}], deployment=None)
    assert status_of("web1", own).history == (
        "2026-11-02 10:00:00  ann@ci  switched  nothing  3 s",
    )


def test_metrics_escape_what_is_in_a_label() -> None:
    said = metrics([lost_status('a"b\\\n', "gone"), status_of("web1", facts())], 12.4)
    assert 'closure_nixos_host_drift{host="a\\"b\\\\\\n"} 1\n' in said
    assert 'closure_nixos_host_state{host="web1",state="ok"} 1\n' in said
    assert 'closure_nixos_host_state{host="web1",state="drift"} 0\n' in said
    assert said.endswith("closure_nixos_asked_seconds 12\n")
