# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A system runs in a container or virtual machine on the controller before any host sees it."""

from __future__ import annotations

import json
import pathlib
import subprocess
import typing as t

import pytest
from ansible_collections.closure.nixos.tests.integration._harness import (
    TESTBED,
    Fleet,
    Play,
    processes,
)

TRY = pathlib.Path("closure.nixos.try")
ROLE = pathlib.Path(__file__).parents[2] / "roles/try"
# Hosts that nobody can reach; web2 has a service that fails.
SYSTEMS = """
builtins.mapAttrs (name: command: import @nixpkgs@/nixos/lib/eval-config.nix {
  modules = [ {
    networking.hostName = name;
    boot.loader.systemd-boot.enable = true;
    # What a container does not have.
    fileSystems."/data" = { device = "/nothing"; fsType = "none"; options = [ "bind" ]; };
    systemd.services.tried = {
      wantedBy = [ "multi-user.target" ];
      serviceConfig = { Type = "oneshot"; RemainAfterExit = true; ExecStart = command; };
    };
  } ];
}) { web1 = "/bin/sh -c 'echo ran >/run/tried'"; web2 = "/bin/false"; }
"""
CHECK = """
- name: Look inside
  ansible.builtin.raw: cat /run/tried; ls /nothing; echo written >/root/by-the-check
  register: inside
  failed_when: "'ran' not in inside.stdout"

- name: Look at the controller
  ansible.builtin.command: test -e @mark@
  delegate_to: localhost
  changed_when: false
"""


@pytest.fixture
def debian(fleet: Fleet) -> pathlib.Path:
    """The tree that the hosts of the testbed have below them: the stand-in brings no systemd."""
    root = f"/{fleet.name}/hosts/{next(iter(fleet.hosts))}/root "
    mounts = pathlib.Path("/proc/mounts").read_text("utf-8").splitlines()
    options = next(line for line in mounts if root in line).split()[3].split(",")
    lower = next(it for it in options if it.startswith("lowerdir=")).removeprefix("lowerdir=")
    return pathlib.Path(lower.split(":")[-1])


def containers(directory: pathlib.Path) -> list[int]:
    """The processes of systemd-nspawn that run containers of a test, by where these are kept."""
    pids = {file.read_text("utf-8").strip() for file in directory.glob("*/pid")}
    return [pid for pid in processes(_is_nspawn) if str(pid) in pids]


def _is_nspawn(entry: pathlib.Path) -> bool:
    return (entry / "comm").read_text("utf-8").startswith("systemd-nspawn")


def test_a_container_that_is_gone_is_named(play: Play, tmp_path: pathlib.Path) -> None:
    gone = {
        "ansible_connection": "closure.nixos.container",
        "closure_container_directory": str(tmp_path),
    }
    (tmp_path / "inventory.json").write_text(json.dumps({"gone": {"hosts": {"web1": gone}}}))
    look = {"name": "Look", "ansible.builtin.raw": "true"}
    text = json.dumps([{"hosts": "web1", "gather_facts": False, "tasks": [look]}])
    played = play(text, "-i", str(tmp_path / "inventory.json"))
    said = played.result("web1", "Look")["msg"]
    assert f"no container runs for {tmp_path}: read {tmp_path}/console." in said


def test_a_system_is_looked_at_in_a_container(
    play: Play, debian: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    nixpkgs = TESTBED.with_name("nixpkgs")
    (tmp_path / "nixos.nix").write_text(SYSTEMS.replace("@nixpkgs@", str(nixpkgs)))
    (tmp_path / "check.yml").write_text(CHECK.replace("@mark@", str(tmp_path)))
    hosts: dict[str, t.Any] = {name: {"ansible_host": "127.0.0.1"} for name in ("web1", "web2")}
    # Nothing answers there.
    group = {"hosts": hosts, "vars": {"ansible_port": 1, "ansible_become": True}}
    (tmp_path / "inventory.json").write_text(json.dumps({"tried": group}))
    places = tmp_path / "tried"
    variables = {
        "nixos_file": str(tmp_path / "nixos.nix"),
        "try_root": str(debian),
        "try_directory": str(places),
        "try_hosts": "tried",
        # The tree has no keys for it.
        "try_ignore_units": "none.service, ssh.service",
        "try_checks": '["check.yml"]',
        "try_keep": "{{ inventory_hostname == 'web1' }}",
    }
    (tmp_path / "variables.json").write_text(json.dumps(variables))
    words = ("-i", str(tmp_path / "inventory.json"), "-e", f"@{tmp_path}/variables.json")
    foretold = play(TRY, *words, "--check")
    assert foretold.rc == 0 and not places.exists(), foretold.text
    stop = ["sh", str(ROLE / "files/stop"), str(places / "web1")]
    try:
        done = play(TRY, *words)
        assert done.stats["web1"]["failed"] == 0, done.text
        assert done.stats["web2"]["failed"] == 1
        assert done.result("web1", "Look inside")["stdout"] == "ran\n"
        failed = done.result("web2", "Require that no unit has failed")
        assert failed["msg"].endswith("these units failed: tried.service")
        # What is kept can be entered, and wrote nothing to the tree below it.
        assert len(containers(places)) == 1
        enter = ["sh", str(ROLE / "files/enter"), str(places / "web1")]
        written = subprocess.check_output([*enter, "cat", "/root/by-the-check"], text=True)
        assert written == "written\n" and not (debian / "root/by-the-check").exists()
        # The other one is gone.
        assert not (places / "web2").exists()
    finally:
        subprocess.run(stop, check=True)
    assert containers(places) == [] and not (places / "web1").exists()
    assert list(pathlib.Path("/sys/fs/cgroup").glob("*/closure-nixos-try/web?")) == []


VMS = pathlib.Path(__file__).with_name("vm")
MACHINES = """
builtins.mapAttrs (name: module: import @nixpkgs@/nixos/lib/eval-config.nix {
  modules = [ module (import @vms@ { tree = "@tree@"; scripts = @scripts@; }) ({ lib, ... }: {
    networking.hostName = name;
    boot.loader.systemd-boot.enable = true;
    # As users.users.root.openssh.authorizedKeys does.
    environment.etc."ssh/authorized_keys.d/root".text = lib.readFile @key@;
    systemd.services.tried = {
      wantedBy = [ "multi-user.target" ];
      script = "echo ran >/run/tried";
      serviceConfig = { Type = "oneshot"; RemainAfterExit = true; };
    };
    systemd.services.known = {
      wantedBy = [ "multi-user.target" ];
      serviceConfig.ExecStart = "/bin/false";
    };
  }) ];
}) (
  let
    # Of another make: with a program that ends, or without any.
    ends = words: { pkgs, ... }: { system.build.vm = pkgs.runCommand "vm" { } ''
      mkdir -p $out/bin
      printf '#!/bin/sh\necho "%s"; exit 1\n' "${words}" >$out/bin/run-it-vm
      chmod +x $out/bin/*
    ''; };
  in {
    good = { };
    mute = { };
    strange = { };
    taken = ends "Could not set up host forwarding rule";
    ends = ends "no such accelerator";
    none = { pkgs, ... }: { system.build.vm = pkgs.runCommand "vm" { } "mkdir $out"; };
  }
)
"""
LOGIN = "Nobody can log in: Task failed: Failed to connect to the host via ssh:"
# What the task says of each that does not come up, and which task.
STARTED, UP = "Start the virtual machine", "Require that it is up"
SAID = {
    "mute": (UP, "msg", f"mute is not up as a virtual machine. {LOGIN}"),
    "strange": (UP, "msg", "root@127.0.0.1: Permission denied"),
    "taken": (STARTED, "stderr", "was taken by another process before QEMU had it"),
    "ends": (STARTED, "stderr", "The virtual machine does not start: no such accelerator"),
    "none": (STARTED, "stderr", "has no program bin/run-NAME-vm"),
}

Words = t.Callable[..., list[str]]


@pytest.fixture
def machines(debian: pathlib.Path, tmp_path: pathlib.Path) -> Words:
    """The words of a play that tries the machines, whose hosts nobody can reach."""
    for name in ("key", "other"):
        keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)]
        subprocess.run(keygen, check=True)
    text = MACHINES.replace("@key@", f"{tmp_path}/key.pub").replace("@tree@", str(debian))
    text = text.replace("@nixpkgs@", str(TESTBED.with_name("nixpkgs"))).replace("@vms@", str(VMS))
    (tmp_path / "nixos.nix").write_text(text.replace("@scripts@", str(ROLE / "files")))
    (tmp_path / "check.yml").write_text(CHECK.replace("@mark@", str(tmp_path)))
    hosts: dict[str, dict[str, t.Any]] = {name: {} for name in ("good", *SAID)}
    hosts["mute"] |= {"try_ssh_port": 2222, "try_timeout": 5}
    hosts["strange"] |= {"ansible_ssh_private_key_file": f"{tmp_path}/other"}
    login = {"ansible_user": "root", "ansible_ssh_private_key_file": f"{tmp_path}/key"}
    group = {"hosts": hosts, "vars": {"ansible_host": "192.0.2.1", **login}}
    (tmp_path / "inventory.json").write_text(json.dumps({"tried": group}))
    variables = {
        "nixos_file": str(tmp_path / "nixos.nix"),
        "try_directory": str(tmp_path / "tried"),
        "try_hosts": "tried",
        "try_ignore_units": ["known.service"],
        "try_checks": ["check.yml"],
        "try_keep": "{{ inventory_hostname == 'good' }}",
    }

    def words(**more: object) -> list[str]:
        inventory = ("-i", str(tmp_path / "inventory.json"))
        return [*inventory, "-e", json.dumps(variables | more)]

    return words


def test_a_system_is_looked_at_in_a_virtual_machine(
    play: Play, machines: Words, tmp_path: pathlib.Path
) -> None:
    places = tmp_path / "tried"
    words = machines(try_kind="vm", try_emulate=True)
    foretold = play(TRY, *words, "--check")
    assert foretold.rc == 0 and not places.exists(), foretold.text
    try:
        done = play(TRY, *words)
        assert done.stats["good"]["failed"] == 0, done.text
        assert done.result("good", "Look inside")["stdout"].startswith("ran")
        failed = done.result("good", "Look for units that have failed")["stdout"]
        assert failed.startswith("known.service "), failed
        for name, (task, key, text) in SAID.items():
            assert text in done.result(name, task)[key], name
        # What is kept writes to its directory only, and is entered and stopped by what was said.
        assert [it.name for it in places.iterdir()] == ["good"]
        assert {"disk.qcow2", "xchg", "console"} <= {it.name for it in (places / "good").iterdir()}
        enter, stop, _console = done.result("good", "Say how to enter and stop it")["msg"]
        enter = f"{enter.removeprefix('enter: ')} cat /root/by-the-check"
        written = subprocess.check_output(enter, shell=True, text=True)
        assert written == "written\n"
        subprocess.run(stop.removeprefix("stop: "), shell=True, check=True)
        assert not (places / "good").exists()
        assert processes(lambda it: (it / "comm").read_text("utf-8") == "qemu-standin\n") == []
    finally:
        subprocess.run(["sh", str(ROLE / "files/stop"), str(places / "good")], check=True)


def test_a_virtual_machine_wants_kvm(play: Play, machines: Words, tmp_path: pathlib.Path) -> None:
    there, none = tmp_path / "kvm", tmp_path / "none"
    there.touch()
    limit = ("--limit", "ends")
    refused = play(TRY, *machines(try_kind="vm", __try_kvm=str(none)), *limit)
    assert f"{none} cannot be opened" in refused.result("ends", STARTED)["stderr"], refused.text
    begun = play(TRY, *machines(try_kind="vm", __try_kvm=str(there)), *limit)
    assert SAID["ends"][2] in begun.result("ends", STARTED)["stderr"], begun.text
    # What auto takes, by what it would build.
    paths = {}
    for kvm in (there, none):
        told = play(TRY, *machines(try_kind="auto", __try_kvm=str(kvm)), *limit, "--check")
        paths[kvm] = told.result("ends", "Evaluate and build what runs the systems of all hosts")[
            "path"
        ]
    assert paths[there].endswith("-vm") and "-nixos-system-ends-" in paths[none]
    assert not none.exists()
