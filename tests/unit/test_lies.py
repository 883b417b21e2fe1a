# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts that lie: what they say is read, or is an error that names them, and nothing else."""

from __future__ import annotations

import types
import typing as t

import pytest
from ansible_collections.closure.nixos.plugins.module_utils._activate import facts, report
from ansible_collections.closure.nixos.plugins.module_utils._build import build_plan, evaluation
from ansible_collections.closure.nixos.plugins.module_utils._copy import transport
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError, unreadable
from ansible_collections.closure.nixos.plugins.module_utils._secrets import plan
from ansible_collections.closure.nixos.plugins.module_utils._store import (
    generations,
    store_path,
    toplevel,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._host.action import UNREADABLE
from ansible_collections.closure.nixos.plugins.plugin_utils._host.host import Host, Reply
from ansible_collections.closure.nixos.plugins.plugin_utils._host.job import _parts

HOST = t.cast(Host, types.SimpleNamespace(name="web1"))
PATH = "/nix/store/" + "a" * 32 + "-system"
SHARES = [evaluation.Share("x", (evaluation.Unit("web1"),))]
EMPTY = ("specialisation_asked", "loader_boots", "boot_pending", "switching", "runs_specialisation")
FACTS = "\n".join(
    [
        *(f"{name}=" for name in EMPTY),
        *(f"{name}={PATH}" for name in ("path_asked", "running", "booted", "loader_default")),
        *(
            "user=root",
            "platform=x86_64-linux",
            "uptime=36000",
            "state=running",
            "guard=armed",
            "guard_left=60",
        ),
        *("activation=noted activate 0 0 '{}' test /x", "activation_end=success exited 0"),
        *("boot_id=x", "profile_free=4096", "unconfirmed_generation=3", f"toplevel={PATH}"),
    ]
)
FOUND = 'trace: closure.nixos: begin 0 1\ntrace: closure.nixos: found 0 {"a":1}\n@ended 0 0 1\n'
CALLS: dict[str, tuple[t.Callable[[str], object], str]] = {
    "facts": (lambda text: facts.parse_facts(text, PATH), FACTS),
    "generations": (
        lambda text: generations.parse_generations(text, "p"),
        "generations=p\n1 2 x /nix\ngenerations_end=p\n",
    ),
    "toplevels": (toplevel.parse_toplevels, f"toplevel={PATH}\nversion=26.05\n"),
    "looks": (report.parse_looks, "a.service active running 3\n\n"),
    "logs": (report.parse_logs, "a.service=it has failed\n"),
    "report": (lambda text: report.parse_report(text, text), "starting the following units: a"),
    "plan": (report.parse_unit_plan, "would start the following units: a.service"),
    "answer": (lambda text: transport.parse_answer(text, {PATH: 1}), f"{PATH}\nlogin=me\nfree /=1"),
    "signatures": (transport.parse_signatures, f"{PATH} ultimate cache-1:c2ln"),
    "sizes": (store_path.parse_path_infos, f"{PATH} 17"),
    "plans": (build_plan.parse_build_plans, f"@plan web1\nthese 1 derivations:\n  {PATH}.drv\n"),
    "built": (build_plan.parse_built, "@built web1 x86_64-linux 26.05 17\n"),
    "answers": (lambda text: evaluation.parse_answers(text, SHARES), FOUND),
    "jobs": (evaluation.parse_jobs, '{"attrPath":["web1"],"drvPath":"/1","outputs":{"out":"/o"}}'),
    "machine": (lambda text: evaluation.workers_of("auto", text, 3, 0), "2 1073741824"),
    "poll": (
        lambda text: _parts(HOST, Reply(0, text.encode(errors="replace"), "")),
        "running\n3 1\noute",
    ),
    "secrets": (plan.parse_look, "user=root\nsystemd=257\nstate=tmpfs\nuid=me\t1000\n"),
}
# What a host may make of what is true.
LIES: dict[str, t.Callable[[str], str]] = {
    "nothing": lambda _text: "",
    "half of it": lambda text: text[: len(text) // 2],
    "the other half": lambda text: text[len(text) // 2 :],
    "twice": lambda text: text * 2,
    "words for numbers": lambda text: "".join("x" if it.isdigit() else it for it in text),
    "numbers below zero": lambda text: text.replace("1", "-1"),
    "numbers of 5000 digits": lambda text: text.replace("1", "9" * 5000).replace("3", "7" * 5000),
    "other digits": lambda text: text.replace("1", "\u00b9").replace("3", "\u0663"),
    "no lines": lambda text: text.replace("\n", " "),
    "blanks": lambda text: text.replace("=", " = ").replace(" ", "\t\t"),
    "quotes": lambda text: text.replace("'", '"').replace("=", "='"),
    "escapes": lambda text: text.replace("a", "\x1b[31m"),
    "zeros": lambda text: text.replace("e", "\0"),
    "deep JSON": lambda text: text + "\n" + '{"a":' + "[" * 100_000,
    "no characters": lambda text: text.replace("o", "\udcff"),
}


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("what", CALLS)
def test_a_lie_is_read_or_is_an_error_that_names_the_host(what: str, lie: str) -> None:
    read, true = CALLS[what]
    try:
        read(LIES[lie](true))
    except ClosureError as error:
        assert error.message
    except UNREADABLE as error:
        assert unreadable("web1", error).message.startswith("web1 gave an answer that cannot be")
