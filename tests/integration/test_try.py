# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A system runs in a container on the controller before any host sees it."""

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
