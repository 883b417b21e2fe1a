# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What configurations say of their hosts."""

from __future__ import annotations

import json
import typing as t

from ansible_collections.closure.nixos.plugins.module_utils._build.fleet import (
    Fleet,
    FleetHost,
    parse_fleet,
    parse_names,
)


def described(**fields: t.Any) -> dict[str, t.Any]:
    return {"host": None, "groups": [], "vars": {}, "port": None, "user": None} | fields


def test_a_fleet_is_read() -> None:
    hosts = {
        "web1": described(host="10.0.0.1", port=2222, user="deploy", groups=["web", "web"]),
        "db1": described(vars={"ansible_host": "db", "tier": 2}, host="db1.example.org"),
        "bad": None,
        "lib": {"skipped": True},
    }
    fleet = parse_fleet(json.dumps({"hosts": hosts}))
    web = {"ansible_host": "10.0.0.1", "ansible_port": 2222, "ansible_user": "deploy"}
    assert fleet == Fleet(
        (
            FleetHost("db1", (), {"ansible_host": "db", "tier": 2}),
            FleetHost("web1", ("web",), web),
        ),
        ("bad",),
    )


def test_a_host_that_one_answer_has_is_not_broken() -> None:
    web = FleetHost("web1", (), {})
    assert Fleet((), ("web1", "bad")) | Fleet((web,), ()) == Fleet((web,), ("bad",))


def test_names_are_read() -> None:
    assert parse_names('["db1","web1"]\n') == ("db1", "web1")
