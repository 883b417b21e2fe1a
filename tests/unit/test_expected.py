# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What systemd will do by dependencies, from the words of ``units_to_come``."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.closure.nixos.plugins.module_utils._activate.expected import (
    expect,
    expect_by_files,
    parse_outlook,
)
from ansible_collections.closure.nixos.plugins.module_utils._activate.report import (
    Expected,
    UnitPlan,
)


def picture(unit: str, active: str = "active", checked: int = 0) -> str:
    """A line of ``units_to_come``; with a time, the conditions of the unit did not hold then."""
    states = f"loaded {active} sub 0 0 0 0 0 {checked}"
    return f"now={unit} {states} {'no' if checked else 'yes'} no no - /etc/{unit} -"


# What is there in each case: a target that runs, on this system and on the one to come.
ALWAYS = (picture("multi-user.target"), "comes=multi-user.target")

CASES = {
    "a new unit that the target wants": (
        UnitPlan(),
        ("comes=multi-user.target wants a.service", "comes=a.service"),
        Expected(start=("a.service",)),
    ),
    "and what that requires, binds to, upholds and gets its connections from": (
        UnitPlan(),
        (
            *("comes=multi-user.target wants a.service", "comes=a.service"),
            *("comes=a.service Requires b.service c.service", "comes=a.service BindsTo d.service"),
            *("comes=a.service Sockets e.socket", "comes=a.service Upholds f.service"),
            *(f"comes={unit}" for unit in ("b.service", "d.service", "e.socket", "f.service")),
        ),
        Expected(start=("a.service", "b.service", "d.service", "e.socket", "f.service")),
    ),
    "what NixOS starts for a user who is there": (
        UnitPlan(),
        ("begins=alice/nixos-activation.service",),
        Expected(start=("alice/nixos-activation.service",)),
    ),
    "nothing of a target that does not run": (
        UnitPlan(),
        ("comes=rescue.target", "comes=rescue.target wants a.service", "comes=a.service"),
        Expected(),
    ),
    "nothing of a target that nobody may start": (
        UnitPlan(),
        (
            *(picture("own.target"), "comes=own.target", "comes=own.target X-OnlyManualStart true"),
            *("comes=own.target wants a.service", "comes=a.service"),
        ),
        Expected(),
    ),
    "a unit that runs stays, and one whose conditions did not hold": (
        UnitPlan(),
        (
            *("comes=multi-user.target wants a.service", "comes=a.service", picture("a.service")),
            *("comes=multi-user.target wants b.service", "comes=b.service"),
            picture("b.service", "inactive", checked=5),
        ),
        Expected(),
    ),
    "one that has ended runs again": (
        UnitPlan(),
        (
            *("comes=multi-user.target wants a.service", "comes=a.service"),
            picture("a.service", "inactive"),
        ),
        Expected(start=("a.service",)),
    ),
    "what requires a unit that stops is lost": (
        UnitPlan(stop=("s0.service",), start=("s0.service",)),
        (
            *(picture("s0.service"), picture("byhand.service"), "comes=s0.service"),
            *("runs=s0.service RequiredBy byhand.service idle.service", "comes=byhand.service"),
        ),
        Expected(stop=("byhand.service",)),
    ),
    "or comes back, where a target wants it": (
        UnitPlan(stop=("s0.service",), start=("s0.service",)),
        (
            *(picture("s0.service"), picture("part.service"), "comes=s0.service"),
            *("runs=s0.service ConsistsOf part.service", "comes=part.service"),
            "comes=multi-user.target wants part.service",
        ),
        Expected(restart=("part.service",)),
    ),
    "what is a part of a unit that restarts": (
        UnitPlan(restart=("s0.service",)),
        (
            *(picture("s0.service"), picture("part.service"), "comes=s0.service"),
            *("comes=part.service", "comes=part.service PartOf s0.service"),
            *("comes=idle.service", "comes=idle.service PartOf s0.service"),
        ),
        Expected(restart=("part.service",)),
    ),
    "a target that is stopped each time": (
        UnitPlan(),
        (
            *(picture("head.target"), "comes=head.target", picture("part.service")),
            *("comes=head.target X-StopOnReconfiguration true", "comes=part.service"),
            *("runs=head.target ConsistsOf part.service", "comes=head.target wants part.service"),
        ),
        Expected(restart=("head.target", "part.service")),
    ),
    "what is restarted each time": (
        UnitPlan(),
        (
            *(picture("sysinit-reactivation.target"), "comes=sysinit-reactivation.target"),
            picture("user@1000.service"),
        ),
        Expected(restart=("sysinit-reactivation.target",), reload=("user@1000.service",)),
    ),
    "a socket of a service that runs cannot start": (
        UnitPlan(),
        (
            *("comes=multi-user.target wants a.socket", "comes=a.socket", picture("a.service")),
            *("comes=multi-user.target wants b.socket", "comes=b.socket"),
            *("comes=b.socket Service a.service", "comes=a.service"),
            *("comes=multi-user.target wants c.socket", "comes=c.socket"),
        ),
        Expected(start=("c.socket",)),
    ),
    "what excludes another one": (
        UnitPlan(),
        (
            *("comes=multi-user.target wants a.service", "comes=a.service", picture("b.service")),
            *("comes=a.service Conflicts b.service idle.service", "comes=b.service"),
            *("runs=b.service BoundBy c.service", picture("c.service")),
        ),
        Expected(stop=("b.service", "c.service"), start=("a.service",)),
    ),
    "an instance has its template's words, and other names lead to one unit": (
        UnitPlan(),
        (
            *("comes=multi-user.target wants a@x.service", "comes=a@.service"),
            *("comes=a@x.service alias a@.service", "comes=a@.service Wants b-%i.service"),
            *("comes=b-x.service alias c.service", "comes=c.service"),
        ),
        Expected(start=("a@x.service", "c.service")),
    ),
    "what is no unit that people configure": (
        UnitPlan(),
        ("comes=multi-user.target wants a.slice", "comes=a.slice", "comes=", "now=cut", "odd"),
        Expected(),
    ),
}


@pytest.mark.parametrize(("plan", "lines", "expected"), CASES.values(), ids=CASES)
def test_what_dependencies_bring_is_expected(
    plan: UnitPlan, lines: t.Sequence[str], expected: Expected
) -> None:
    assert expect(plan, parse_outlook("\n".join((*ALWAYS, *lines)))) == expected


def test_units_are_compared_by_their_files() -> None:
    running = [picture(f"{name}.service") for name in ("same", "changed", "dropped", "added")]
    outlook = parse_outlook("\n".join((*ALWAYS, *running, picture("idle.service", "inactive"))))
    old = {("same.service", "/s"), ("changed.service", "/a"), ("added.service", "/b")}
    new = {("same.service", "/s"), ("changed.service", "/c"), ("added.service", "/b")}
    new |= {("added.service.d/x.conf", "/x"), ("idle.service", "/i"), ("lone.service", "/l")}
    new |= {("multi-user.target.wants/idle.service", "../idle.service")}
    new |= {("multi-user.target.wants/gone.service", "../gone.service")}
    new |= {("rescue.target.wants/lone.service", "../lone.service")}
    assert expect_by_files(old | {("dropped.service", "/d")}, new, outlook) == Expected(
        stop=("dropped.service",),
        restart=("added.service", "changed.service"),
        start=("idle.service",),
    )


def test_names_that_lead_in_a_circle_end() -> None:
    lines = ("comes=multi-user.target wants a.service", "comes=a.service", "comes=b.service")
    circle = ("comes=a.service alias b.service", "comes=b.service alias a.service")
    expected = expect(UnitPlan(), parse_outlook("\n".join((*ALWAYS, *lines, *circle))))
    assert len(expected.start) == 1
