# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host keeps of a deployment, and where the configuration is from."""

from __future__ import annotations

import json
import pathlib
import subprocess
import typing as t

import pytest
from ansible_collections.closure.nixos.plugins.module_utils._deploy.origin import (
    Origin,
    nixpkgs_of,
)
from ansible_collections.closure.nixos.plugins.module_utils._deploy.record import (
    has_acted,
    record_of,
)
from ansible_collections.closure.nixos.plugins.module_utils._fleet.history import log
from ansible_collections.closure.nixos.plugins.plugin_utils._deploy.origin import origin_of
from ansible_collections.closure.nixos.plugins.plugin_utils._host.run import Run

OLD, NEW = (f"/nix/store/{letter * 32}-nixos-system-web1" for letter in "ab")
OPTIONS = {"action": "switch", "stop_after": None, "path": None, "archive": None}
ORIGIN = {"source": "/infra/nixos.nix", "revision": "8a2b1c0d9e8f", "dirty": True, "subject": "Fix"}
WHO = {"user": "ann", "controller": "ctl", "run": "1"}
FACTS = {"generations": [{"number": 41, "current": True}], "running": OLD}
DEPLOYED: dict[str, t.Any] = {
    "__deploy_taken": {
        "started": 0.0,
        "options": OPTIONS | {"build_host": "localhost"},
        "origin": ORIGIN,
        "steps_there": [],
    },
    "__deploy_host": {"ansible_facts": {"nixos": FACTS}},
    "__deploy_build": {"path": NEW},
    "__deploy_change": {"results": [{"__deploy_step": ["copy.yml"]}]},
    "__deploy_switch": {"path": NEW, "actions": ["test"], "report": {"restarted": ["a.service"]}},
    "__deploy_done": {"path": NEW, "generation": {"number": 42}},
}


def without(*names: str) -> dict[str, t.Any]:
    return {key: it for key, it in DEPLOYED.items() if key.removeprefix("__deploy_") not in names}


def record(variables: dict[str, t.Any]) -> t.Any:
    return record_of("web1", variables, WHO, 12.4, "")


def test_a_record_says_who_what_when_and_how_it_ended() -> None:
    assert record(DEPLOYED) == {
        "time": "1970-01-01T00:00:00Z",
        "seconds": 12,
        **WHO,
        **ORIGIN,
        "build_host": "localhost",
        "action": "switch",
        "from": OLD,
        "to": NEW,
        "generations": [41, 42],
        "units": {"restarted": ["a.service"]},
        "result": "deployed",
        "what": "switched 41 -> 42",
        "why": "",
    }
    failed = without("done") | {"__deploy_failure": {"why": "HTTP 502", "started": 0.0}}
    assert (record(failed)["result"], record(failed)["why"]) == ("failed", "HTTP 502")


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        (DEPLOYED, True),
        (without("done"), True),
        (without("switch", "done"), False),
        (without("switch", "done", "change"), False),
        (DEPLOYED | {"__deploy_change": {"skipped": True}}, False),
        (without("switch", "done") | {"__deploy_reboot": {"changed": True}}, True),
        (without("switch", "done") | {"__deploy_boot": {"skipped": True}}, False),
    ],
)
def test_only_what_was_done_is_recorded(variables: dict[str, t.Any], expected: bool) -> None:
    assert has_acted(variables) == expected


def lock(locked: dict[str, str], **inputs: object) -> str:
    nodes = {"root": {"inputs": {"nixpkgs": "nixpkgs_2"} | inputs}, "nixpkgs_2": {"locked": locked}}
    return json.dumps({"nodes": nodes, "root": "root"})


@pytest.mark.parametrize(
    ("pin", "locked", "expected"),
    [
        ("", "", None),
        ('{"rev": "abc", "url": "x"}', "", "abc"),
        ("[]", "no JSON", None),
        ("", lock({"rev": "def"}), "def"),
        ("", lock({}), None),
        ("", lock({"rev": "def"}, nixpkgs=["other", "nixpkgs"]), None),
        ('{"rev": "abc"}', lock({"rev": "def"}), "abc"),
    ],
)
def test_the_nixpkgs_of_a_pin_or_a_lock(pin: str, locked: str, expected: str | None) -> None:
    assert nixpkgs_of(pin, locked) == expected


def test_git_says_where_a_configuration_is_from(tmp_path: pathlib.Path) -> None:
    tree, file = tmp_path / "infra", tmp_path / "infra/nixos.nix"
    tree.mkdir()
    file.write_text("{ }")
    (tree / "nixpkgs.json").write_text('{"rev": "abc"}')

    def ask(source: object, run: str) -> Origin:
        return origin_of(Run(run, "ann", "task", tmp_path / run, 0), str(source))

    assert ask(file, "none") == Origin(str(file), nixpkgs="abc")
    for words in (
        ("init", "-q"),
        ("add", "."),
        (
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@b",
            "commit",
            "-qm",
            "Fix the site\n\nIt was down",
        ),
    ):
        subprocess.run(["git", "-C", str(tree), *words], check=True)
    clean = ask(tree, "first")
    assert (clean.subject, clean.dirty, clean.nixpkgs) == ("Fix the site", False, "abc")
    assert len(clean.revision or "") == 40
    file.write_text("{ } ")
    assert ask(file, "second").dirty is True
    assert ask(tree, "first").dirty is False  # once in a run
    assert ask("github:a/b", "first") == Origin("github:a/b")
    assert ask("", "first") == Origin()


def test_the_log_is_a_line_for_each_the_newest_first() -> None:
    facts = {"history": [record(DEPLOYED), {"odd": 1}], "deployment": None}
    odd, line = log(facts)
    assert line == ("1970-01-01 00:00:00  ann@ctl  switched 41 -> 42  8a2b1c0d9e+ Fix  12 s")
    assert "None" in odd
    ended = {
        "outcome": "rolled-back",
        "time": "2026-11-27T08:00:00Z",
        "who": "bob@b, first",
        "why": "w",
    }
    own = log(facts | {"history": [record(DEPLOYED)], "deployment": ended})
    assert own == ["2026-11-27 08:00:00  bob@b  rolled-back  w", line]
