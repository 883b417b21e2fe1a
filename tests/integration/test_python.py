# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Python beside the system: modules that need one work, and it goes again."""

from __future__ import annotations

import json
import pathlib

import pytest
from ansible_collections.closure.nixos.tests.integration._harness import Fleet, Play
from ansible_collections.closure.nixos.tests.integration._interpreter import python_overlay
from ansible_collections.closure.nixos.tests.integration._systems import (
    Task,
    module,
    playbook,
    running,
    write_systems,
)

ROOT = "/nix/var/nix/gcroots/closure-nixos/kept/python"
STORED = "/nix/store/*-python3*"
HOST = "node1"


@pytest.fixture
def nixos_file(tmp_path: pathlib.Path) -> pathlib.Path:
    """Systems whose nixpkgs has a Python."""
    return write_systems(tmp_path, f"{{ nixpkgs.overlays = [ ({python_overlay(tmp_path)}) ]; }}")


def role(name: str, **variables: object) -> Task:
    """A task that runs the role."""
    include = {"name": "closure.nixos.python"}
    return {"name": name, "ansible.builtin.include_role": include, "vars": variables}


# Modules of ansible.builtin, which run in Python on the host.
WORK: tuple[Task, ...] = (
    {"name": "Setup", "ansible.builtin.setup": {"gather_subset": ["min"]}, "register": "setup"},
    {
        "name": "Write",
        "ansible.builtin.copy": {
            "content": "{{ ansible_facts.python.executable }}\n",
            "dest": "/root/by-python",
            "mode": "0640",
        },
    },
    {
        "name": "Service",
        "ansible.builtin.systemd_service": {"name": "systemd-logind.service", "state": "started"},
    },
)


def test_modules_that_need_python_run_on_a_host_without_one(
    fleet: Fleet, play: Play, nixos_file: pathlib.Path
) -> None:
    there = f"readlink {ROOT}; command -v python3; ls /root/by-python; ls -d {STORED} | wc -l"
    before, system = fleet.exec(HOST, there, check=False), running(fleet, HOST)
    assert before == "0\n"
    limits = ("--limit", HOST, "-e", f"nixos_file={nixos_file}")
    present = playbook(role("Bring"), *WORK, hosts=HOST)
    only = playbook(role("Bring"), hosts=HOST)
    # As one run: a play in check mode, then twice.
    plays = (role("Remove", python_state="absent"), role("Remove again", python_state="absent"))
    absent = json.dumps(
        [
            *json.loads(playbook(*plays[:1], hosts=HOST, check_mode=True)),
            *json.loads(playbook(*plays, hosts=HOST)),
        ]
    )
    try:
        # Nothing is built, so nothing can be copied.
        foretold = play(only, *limits, "--check", "--diff")
        assert foretold.rc == 0 and foretold.stats[HOST]["changed"] == 3
        assert ROOT in foretold.text
        assert fleet.exec(HOST, there, check=False) == before

        done = play(present, *limits)
        assert done.rc == 0, done.text
        kept = done.result(HOST, "Keep it")
        path = kept["path"]
        assert kept["changed"] and kept["path_before"] is None
        written = fleet.exec(HOST, "cat /root/by-python; stat -c %a /root/by-python")
        assert "-python3-parts/bin/python3" in written and written.endswith("\n640\n")
        assert done.result(HOST, "Service")["changed"] is False
        assert fleet.exec(HOST, f"readlink {ROOT}") == f"{path}\n"
        # All that changed is what is new; the system stays as it is.
        assert done.stats[HOST]["changed"] == 4
        assert running(fleet, HOST) == system
        assert ROOT in fleet.exec(HOST, f"nix-store --query --roots {path} 2>/dev/null")

        foretold = play(present, *limits, "--check")
        assert foretold.rc == 0 and foretold.stats[HOST]["changed"] == 0, foretold.text
        again = play(present, *limits)
        assert again.stats[HOST]["changed"] == 0

        gone = play(absent, *limits).results(HOST, "Keep it no longer")
        befores = [(it["changed"], it["path_before"]) for it in gone]
        assert befores == [(True, path), (True, path), (False, None)]
        assert fleet.exec(HOST, f"readlink {ROOT}", check=False) == ""
        # Nix deletes no path that something needs.
        fleet.exec(HOST, f"nix-store --delete {STORED}")
        assert fleet.exec(HOST, there, check=False) == "/root/by-python\n0\n"
    finally:
        fleet.exec(HOST, f"rm -f {ROOT} /root/by-python; nix-store --delete {STORED} || :")


def test_what_cannot_be_kept_or_built_is_refused(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    system = running(fleet, HOST)
    outputs = """{ ... }:
        let two = derivation {
          name = "two"; system = builtins.currentSystem; outputs = [ "out" "bin" ];
          builder = "/bin/sh"; args = [ "-c" "echo bin >$bin; exit 0 >$out" ];
        };
        in { inherit two; number = 1; }"""
    (tmp_path / "packages.nix").write_text(outputs)
    build = {"file": str(tmp_path / "packages.nix"), "build_host": "localhost"}
    root = {"name": "mine", "path": system}
    tasks = [
        module("nix_gc_root", root | {"path": f"{system}-other"}),
        module("nix_gc_root", root | {"name": "../system"}),
        module("nix_gc_root", root, become=False, vars={"ansible_user": "deploy"}),
        module("nix_build", build | {"attr": "number"}),
        module("nix_build", build | {"attr": "two", "name": "a b"}),
        module("nix_build", build | {"attr": "two.bin", "name": "two"}),
    ]
    done = play(playbook(*(it | {"ignore_errors": True} for it in tasks), hosts=HOST))
    lacking, named, user = done.results(HOST, "nix_gc_root")
    assert lacking["msg"].startswith(f"{HOST} does not have {system}-other in its store. Copy it")
    assert "'../system' cannot be the name of a link" in named["msg"]
    assert (
        user["msg"] == f"{HOST}: deploy cannot change the system. Set become: true for this task."
    )
    none, blank, built = done.results(HOST, "nix_build")
    assert "number is no package. Name an attribute that is one" in none["msg"]
    assert "'a b' cannot be the name of a link" in blank["msg"]
    # The one output that the attribute stands for.
    assert pathlib.Path(built["path"]).name.endswith("-two-bin")
    assert pathlib.Path(built["path"]).read_text() == "bin\n"
    assert fleet.exec(HOST, "ls -A /nix/var/nix/gcroots/closure-nixos/kept", check=False) == ""
