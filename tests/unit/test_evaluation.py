# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How an evaluation is divided among processes, and what they say."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible_collections.closure.nixos.plugins.module_utils._build.evaluation import (
    Answer,
    Share,
    Unit,
    data_of,
    parse_answers,
    parse_jobs,
    shares_of,
    warnings_of,
    workers_of,
)
from ansible_collections.closure.nixos.plugins.module_utils._build.request import Request

GIB = 1024**3
A, B, C = (Unit(name) for name in "abc")


@pytest.mark.parametrize(
    ("asked", "machine", "hosts", "memory", "expected"),
    [
        ("auto", f"2 {8 * GIB}", 8, 0, (2, 3 * GIB)),
        ("auto", f"64 {8 * GIB}", 8, 0, (6, GIB)),
        ("auto", f"64 {64 * GIB}", 3, 0, (3, 16 * GIB)),
        ("auto", "4 1000", 8, 0, (1, 750)),
        ("auto", f"8 {64 * GIB}", 8, 2 * GIB, (2, GIB)),
        ("5", "1 0", 8, 0, (5, 0)),
        ("5", "1 0", 2, 10, (2, 5)),
    ],
)
def test_as_many_processes_evaluate_as_cores_and_memory_carry(
    asked: str, machine: str, hosts: int, memory: int, expected: tuple[int, int]
) -> None:
    assert workers_of(asked, machine, hosts, memory) == expected


def requests(**expressions: str) -> dict[str, Request]:
    return {host: Request({}, host, expression=it) for host, it in expressions.items()}


def hosts_of(shares: t.Iterable[Share]) -> list[tuple[str, str]]:
    return [(it.expression, "".join(unit.host for unit in it.units)) for it in shares]


def test_hosts_are_shared_out_evenly_and_keep_their_units_together() -> None:
    given = requests(**dict.fromkeys("abcde", "null"))
    units = [Unit(host, key=key) for host in given for key in "12"]
    assert hosts_of(shares_of(given, units, 2)) == [("null", "aaccee"), ("null", "bbdd")]
    assert hosts_of(shares_of(given, units, 1)) == [("null", "aabbccddee")]


def test_hosts_of_different_expressions_are_never_in_one_process() -> None:
    given = requests(a="1", b="2", c="1", d="1")
    units = [Unit(host) for host in given]
    assert hosts_of(shares_of(given, units, 2)) == [("1", "ad"), ("1", "c"), ("2", "b")]


def test_a_unit_that_leads_is_followed_by_the_next_host_when_it_fails() -> None:
    given = requests(a="null", b="null")
    units = [Unit(host, key=key, leads=not key) for host in given for key in ("", "x")]
    (share,) = shares_of(given, units, 1)
    positions = json.loads(data_of(given, [share]))["shares"][0]
    assert [(it["request"], it["next"]) for it in positions] == [(0, 2), (0, 2), (1, 4), (1, 4)]


def test_each_source_is_evaluated_once() -> None:
    one, other = {"file": "/a"}, {"file": "/b"}
    given = {"x": Request(one, "x"), "y": Request(other, "y"), "z": Request(dict(one), "z")}
    data = json.loads(data_of(given, []))
    assert data["sources"] == [one, other]
    assert [it["source"] for it in data["requests"]] == [0, 1, 0]


SAID = """\
warning: at first
trace: closure.nixos: begin 0 1
trace: warning: of a
trace: closure.nixos: found 0 {"drv": "x"}
trace: closure.nixos: begin 1 2
trace: warning: of a
error: no
@ended 0 1 0
trace: closure.nixos: begin 2 3
trace: closure.nixos: found 2 {"drv": "z"}

@ended 0 0 1234
"""


def test_a_unit_that_ends_a_process_costs_no_other_its_answer() -> None:
    answers = parse_answers(SAID, [Share("null", (A, B, C))])
    assert {unit: it.found for unit, it in answers.items()} == {
        A: {"drv": "x"},
        B: None,
        C: {"drv": "z"},
    }
    assert answers[B] == Answer(None, "trace: warning: of a\nerror: no\n", 1)
    assert warnings_of(answers) == ["a, b: of a"]


NOTHING = {
    "nothing was begun": "error: syntax error\n\n@ended 0 1 0\n",
    "it was killed at once": "error: syntax error\n",
}


@pytest.mark.parametrize("said", NOTHING.values(), ids=NOTHING)
def test_what_ends_an_evaluation_before_it_begins_is_everybodys_answer(said: str) -> None:
    answers = parse_answers(said, [Share("null", (A, B))])
    assert all(it.found is None and "syntax error" in it.stderr for it in answers.values())
    assert list(answers) == [A, B]


def test_a_process_that_is_killed_in_the_middle_of_a_line_has_failed() -> None:
    said = 'trace: closure.nixos: begin 0 1\ntrace: closure.nixos: found 0 {"dr\n@ended 0 137 0\n'
    (answer,) = parse_answers(said, [Share("null", (A,))]).values()
    assert (answer.found, answer.status) == (None, 137)


def test_who_waited_for_a_unit_that_leads_has_its_answer() -> None:
    lead, other = Unit("a", leads=True), Unit("a", key="x")
    said = "trace: closure.nixos: begin 0 2\nerror: no\n@ended 0 1 0\n"
    answers = parse_answers(said, [Share("null", (lead, other))])
    assert answers[lead] == answers[other] == Answer(None, "error: no\n", 1)


def test_the_lines_of_nix_eval_jobs_are_systems_and_errors() -> None:
    lines = [
        {"attr": "x", "attrPath": ["web.org"], "drvPath": "a.drv", "outputs": {"out": "a"}},
        {"attr": "bad", "attrPath": ["bad"], "error": "error: no"},
        {"attr": "ca", "attrPath": ["ca"], "drvPath": "a.drv", "outputs": {"out": None}},
        {"error": "the worker ended"},
    ]
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    assert parse_jobs(text) == ({"web.org": {"drv": "a.drv", "out": "a"}}, {"bad": "error: no"})
