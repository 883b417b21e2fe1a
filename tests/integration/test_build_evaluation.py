# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How often nix_build_system evaluates: not again for a known error, not for hosts left out."""

from __future__ import annotations

import os
import pathlib
import secrets
import shutil
import sys

import pytest
from ansible_collections.closure.nixos.tests.integration import _nix_eval_jobs
from ansible_collections.closure.nixos.tests.integration._harness import TESTBED, Play, Played
from ansible_collections.closure.nixos.tests.integration._systems import (
    HOSTS,
    Task,
    build,
    module,
    playbook,
    write_systems,
)

NIXPKGS = TESTBED.with_name("nixpkgs")
PATH = f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"
Evaluations = tuple[dict[str, str], pathlib.Path]


@pytest.fixture
def evaluations(tmp_path: pathlib.Path) -> Evaluations:
    """A PATH whose nix-instantiate is the real one, and its log with a line for each run."""
    log, programs = tmp_path / "evaluations", tmp_path / "bin"
    log.touch()
    programs.mkdir()
    real = shutil.which("nix-instantiate")
    write_program(programs / "nix-instantiate", f'echo run >>{log}\nexec {real} "$@"')
    return {"PATH": f"{programs}:{PATH}"}, log


def write_program(path: pathlib.Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def failures(played: Played) -> list[int]:
    assert "Traceback" not in played.text
    return [played.stats[host]["failed"] for host in HOSTS]


def message(played: Played, host: str) -> str:
    return str(played.result(host)["msg"])


BROKEN = {
    "throws": ('throw "I am broken"', "I am broken"),
    "fails an assertion": (
        '{ assertions = [ { assertion = false; message = "no disk"; } ]; }',
        "- no disk",
    ),
    "has an unknown option": ("{ services.ngninx.enable = true; }", "ngninx"),
    "misses a variable": ("{ users.motd = builtins.abort ''uncaught''; }", "uncaught"),
}


@pytest.mark.parametrize(("text", "said"), BROKEN.values(), ids=BROKEN)
def test_a_host_that_does_not_evaluate_fails_alone(
    play: Play, tmp_path: pathlib.Path, evaluations: Evaluations, text: str, said: str
) -> None:
    env, log = evaluations
    file = write_systems(tmp_path, node2=text)
    played = play(playbook(build(file, eval_workers=1)), env=env)
    assert failures(played) == [0, 1, 0], played.text
    assert str(file) in message(played, "node2") and said in message(played, "node2")
    # Until the one that fails, and then the rest, if any: the host that asks first comes first.
    assert log.read_text().count("run") in (1, 2)


SHARED = {
    "throws": ('throw "I am broken"', "I am broken"),
    "does not parse": ("{ users.motd = [ 1; }", "/shared.nix:1:19"),
}


@pytest.mark.parametrize(("text", "said"), SHARED.values(), ids=SHARED)
def test_an_error_of_all_hosts_is_evaluated_once_for_each(
    play: Play, tmp_path: pathlib.Path, evaluations: Evaluations, text: str, said: str
) -> None:
    env, log = evaluations
    shared = tmp_path / "shared.nix"
    shared.write_text(text)
    file = write_systems(tmp_path, f"import {shared}")
    played = play(playbook(build(file, eval_workers=1)), env=env)
    assert failures(played) == [1, 1, 1]
    assert all(said in message(played, host) for host in HOSTS)
    assert log.read_text().count("run") == 3


def test_hosts_that_are_not_selected_are_not_evaluated(
    play: Play, tmp_path: pathlib.Path, evaluations: Evaluations
) -> None:
    env, log = evaluations
    file = write_systems(tmp_path, node2="{ users.motd = builtins.abort ''evaluated''; }")
    task = build(file, eval_workers=1)
    played = play(playbook(task), "--limit", "node1,node3", "--check", env=env)
    assert {host: it["failed"] for host, it in played.stats.items()} == {"node1": 0, "node3": 0}
    assert log.read_text().count("run") == 1


@pytest.mark.soak
def test_a_build_that_runs_out_of_time_is_waited_for_once(
    play: Play, tmp_path: pathlib.Path, evaluations: Evaluations
) -> None:
    env, log = evaluations
    script = f"sleep 1000 # {secrets.token_hex(4)}"
    package = f'pkgs.runCommand "slow" {{ }} "{script}"'
    file = write_systems(tmp_path, f"{{ pkgs, ... }}: {{ environment.etc.x.source = {package}; }}")
    played = play(playbook(build(file, timeout=8, eval_workers=1)), env=env)
    assert failures(played) == [1, 1, 1]
    assert all("within 8 s. It was stopped" in message(played, host) for host in HOSTS)
    assert log.read_text().count("run") == 1


def test_a_build_host_that_cannot_be_reached_is_tried_once(
    play: Play, tmp_path: pathlib.Path
) -> None:
    log, inventory, proxy = tmp_path / "log", tmp_path / "more.yml", tmp_path / "proxy"
    write_program(proxy, f"echo run >>{log}")
    line = f"-o ProxyCommand={proxy}"
    variables = {"ansible_ssh_common_args": line, "ansible_ssh_retries": 0}
    inventory.write_text(f"all: {{hosts: {{gone: {variables}}}}}")
    task = build(write_systems(tmp_path), build_host="gone", source=str(tmp_path))
    played = play(playbook(task), "-i", str(inventory))
    assert [played.stats[host]["unreachable"] for host in HOSTS] == [1, 1, 1]
    assert log.read_text().count("run") == 1
    # Who met it may try again.
    again = task | {"ignore_unreachable": True}
    play(playbook(again, again), "-i", str(inventory))
    assert log.read_text().count("run") == 3
    # Which of Ansible's sentences comes depends on whether the proxy or the script ends first.
    said = message(played, "node2")
    assert "The build host gone is not reached: " in said and " ssh: " in said


def test_a_host_that_the_inventory_lacks_is_named(play: Play, tmp_path: pathlib.Path) -> None:
    task = build(write_systems(tmp_path), hosts=["node1", "nobody"])
    played = play(playbook(task, hosts="node1:node2"), "--check")
    assert "Traceback" not in played.text
    for host in ("node1", "node2"):
        assert "The inventory has no host nobody" in message(played, host)


def test_nix_eval_jobs_evaluates_when_asked_to(play: Play, tmp_path: pathlib.Path) -> None:
    log, program = tmp_path / "jobs", tmp_path / "bin/nix-eval-jobs"
    program.parent.mkdir()
    script = f'echo "$*" | head -n 1 >>{log}\nexec {sys.executable} {_nix_eval_jobs.__file__} "$@"'
    write_program(program, script)
    # Linux takes 128 KiB as one argument of a program.
    padding = {"nothing": "x" * 150000}
    names = ("web1.example.org", "web2", "web3", "broken")
    systems: Task = {name: {"configuration": [{"users": {"motd": name}}]} for name in names}
    systems["broken"] = {"configuration": [{"users": {"nothing": True}}]}
    arguments: Task = {"systems": systems, "nixpkgs": str(NIXPKGS), "args": padding}
    settings = {"evaluator": "nix-eval-jobs", "eval_workers": 2, "eval_memory_mb": 6000}
    tasks = [
        module("nix_build_system", arguments | more) | {"name": name, "ignore_errors": True}
        for name, more in {"jobs": settings, "nix": {}}.items()
    ]
    text = playbook(*tasks, hosts="localhost", connection="local")
    played = play(text, "--check", env={"PATH": f"{program.parent}:{PATH}"})
    jobs, nix = (played.result("localhost", name)["systems"] for name in ("jobs", "nix"))
    for key in ("drv_path", "path"):
        assert [jobs[name][key] for name in names[:3]] == [nix[name][key] for name in names[:3]]
    assert jobs["broken"]["msg"] == nix["broken"]["msg"]
    (run,) = log.read_text().splitlines()
    assert "--workers 2 --max-memory-size 2861" in run and "xxxx" not in run

    # Whatever ends it early: Nix itself evaluates what is left.
    write_program(program, "echo killed >&2; exit 1")
    left = play(text, "--check", env={"PATH": f"{program.parent}:{PATH}"})
    assert "itself evaluates there. It ended: killed" in " ".join(left.text.split())
    assert left.result("localhost", "jobs")["systems"]["web2"]["path"] == nix["web2"]["path"]

    absent = play(text, "--check")
    assert "localhost has no nix-eval-jobs on its PATH" in str(absent.result("localhost", "jobs"))
