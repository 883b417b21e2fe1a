# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""nix_copy_closure to real hosts: what goes over the wire, and what stands in its way."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import sys

from ansible_collections.closure.nixos.tests.integration._harness import Fleet, Play
from ansible_collections.closure.nixos.tests.integration._systems import (
    BUILT,
    COPY,
    HOSTS,
    PROFILE_SET,
    build,
    difference,
    module,
    nix,
    playbook,
    trace,
    write_systems,
)

INCOMING = "/nix/var/nix/gcroots/closure-nixos/incoming"


def logged_nix(directory: pathlib.Path) -> tuple[dict[str, str], pathlib.Path]:
    """A PATH whose nix is the real one, and its log with a line for each copy."""
    log, programs = directory / "copies", directory / "bin"
    log.touch()
    programs.mkdir()
    wrapper = programs / "nix"
    wrapper.write_text(
        f'#!/bin/sh\ncase "$*" in *" copy "*) echo run >>{log} ;; esac\nexec /usr/bin/nix "$@"\n'
    )
    wrapper.chmod(0o755)
    path = f"{programs}:{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"
    return {"PATH": path}, log


def stored(fleet: Fleet, host: str) -> set[str]:
    """The valid paths of a host's store."""
    command = "nix --extra-experimental-features nix-command path-info --all"
    return set(fleet.exec(host, command).split())


def test_only_what_is_missing_is_copied_and_it_is_rooted_until_a_profile_holds_it(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    env, log = logged_nix(tmp_path)
    file = write_systems(tmp_path, "{ pkgs, ... }: { environment.systemPackages = [ pkgs.jq ]; }")
    play(playbook(build(file)))
    before = {host: trace(fleet, host) for host in HOSTS}
    had = {host: stored(fleet, host) for host in HOSTS}
    checked = play(playbook(build(file), COPY), "--check", env=env)
    assert [difference(before[host], trace(fleet, host)) for host in HOSTS] == [[]] * 3
    assert log.read_text() == ""
    copied = play(playbook(build(file), COPY), env=env)
    assert log.read_text() == "run\n" * 3
    for host in HOSTS:
        said = copied.result(host, "nix_copy_closure")
        closure = set(nix("nix-store", "--query", "--requisites", said["path"]).split())
        assert said["missing_paths"] == sorted(closure - had[host]) != []
        assert said["missing_paths"] == checked.result(host, "nix_copy_closure")["missing_paths"]
        assert said["closure_paths"] == len(closure)
        assert closure <= stored(fleet, host)
        assert fleet.exec(host, f"readlink {INCOMING}").strip() == said["path"]
    again = play(playbook(build(file), COPY, PROFILE_SET), env=env)
    assert [again.result(host, "nix_copy_closure")["changed"] for host in HOSTS] == [False] * 3
    assert log.read_text() == "run\n" * 3
    assert [fleet.exec(host, f"ls {INCOMING} 2>&- || :") for host in HOSTS] == [""] * 3


def test_the_ways_in_that_nothing_can_take_are_explained(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    """Without rights on the target, by ssh with a sudo that asks, and with no target at all."""
    nobody = fleet.hosts["node1"]["ansible_host"].rpartition(".")[0] + ".99"
    logins = {
        "plain": fleet.hosts["node1"] | {"ansible_user": "deploy"},
        "asks": fleet.hosts["node3"]
        | {"ansible_user": "deploy", "ansible_become": True}
        | {"transport": "ssh"},
        "gone": {"ansible_host": nobody, "ansible_ssh_timeout": 3},
    }
    groups = {"testbed": {"children": {"logins": {"hosts": logins}}}}
    (tmp_path / "logins.json").write_text(json.dumps(groups))
    file = write_systems(tmp_path, hosts=["node1"])
    task = build(file, attr="node1.system", hosts=[])
    before = {host: trace(fleet, host) for host in HOSTS}
    arguments = {"path": BUILT, "transport": "{{ transport | default('auto') }}"}
    text = playbook(task, module("nix_copy_closure", arguments), hosts="logins")
    played = play(text, "-i", str(tmp_path / "logins.json"))
    assert "Traceback" not in played.text
    said = {login: played.result(login, "nix_copy_closure")["msg"] for login in logins}
    path = played.result("plain", "nix_build_system")["path"]
    assert "plain" in said["plain"] and path in said["plain"]
    assert "become: true" in said["plain"], said["plain"]
    assert "sudo asks for a password" in said["asks"] and path in said["asks"]
    assert played.stats["gone"]["unreachable"] == 1
    assert nobody in said["gone"]
    gone = [line for host in HOSTS for line in difference(before[host], trace(fleet, host))]
    assert [line for line in gone if "closure-nixos" not in line] == []


def test_a_key_and_known_hosts_with_blanks_in_their_paths_reach_nix(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    described = json.loads(fleet.inventory.with_name("testbed.json").read_text())
    odd = tmp_path / "my 'own' keys"
    odd.mkdir()
    key, known = odd / "the key", odd / "known hosts"
    shutil.copy(described["private_key"], key)
    shutil.copy(described["known_hosts"], known)
    variables = {
        "ansible_ssh_private_key_file": str(key),
        "ansible_ssh_common_args": f"""-o "UserKnownHostsFile=\\"{known}\\"" """
        "-oGlobalKnownHostsFile=/dev/null -o 'IdentitiesOnly yes' -o ControlPath=/tmp/never-%C",
    }
    file = write_systems(tmp_path)
    played = play(playbook(build(file), COPY, vars=variables))
    assert played.rc == 0, played.text
    for host in HOSTS:
        said = played.result(host, "nix_copy_closure")
        assert said["changed"] and set(said["missing_paths"]) <= stored(fleet, host)


def test_what_cannot_be_copied_is_refused_with_a_sentence(fleet: Fleet, play: Play) -> None:
    absent = f"/nix/store/{'a' * 32}-nixos-system-nobody"
    bad = {"absent": absent, "no store path": "/etc/passwd", "empty": ""}
    tasks = [
        module("nix_copy_closure", {"path": path}) | {"name": name, "ignore_errors": True}
        for name, path in bad.items()
    ]
    before = trace(fleet, "node1")
    played = play(playbook(*tasks, hosts="node1"))
    assert "Traceback" not in played.text
    said = {name: played.result("node1", name)["msg"] for name in bad}
    assert said["absent"].startswith(f"localhost does not have {absent} in its store")
    assert "/etc/passwd" in said["no store path"]
    assert "store path" in said["no store path"] and "store path" in said["empty"]
    assert difference(before, trace(fleet, "node1")) == []
