# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copies over the connections that people really have: jumps, odd names, odd logins and mounts."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import typing as t

import pytest
from ansible_collections.closure.nixos.tests.integration._copies import (
    Copies,
    MakeClosure,
    Variables,
)
from ansible_collections.closure.nixos.tests.integration._harness import Fleet, soak_but

# What the two jump hosts are called; their ssh listens on other ports for other users too.
SSH_CONFIG = """
Host *
  IdentityFile "@key@"
  IdentitiesOnly yes
  UserKnownHostsFile "@known_hosts@"
  GlobalKnownHostsFile /dev/null
Host hop-1
  HostName @node2@
  HostKeyAlias @node2@
Host hop-2
  HostName @node3@
  HostKeyAlias @node3@
  Port 2222
  User deploy
Host Web_1 web-1 behind
  HostName @node1@
  HostKeyAlias @node1@
  Port 22
Host behind
  ProxyJump hop-1,hop-2
"""

# By a name: the address, Ansible's ssh arguments and the transport.
WAYS = {
    "jump": ("web-1", {"ansible_ssh_args": "-F @config@ -J hop-1"}, "ssh-ng"),
    "jump-ssh": ("web-1", {"ansible_ssh_args": "-F @config@ -J hop-1"}, "ssh"),
    "jump-archive": ("web-1", {"ansible_ssh_args": "-F @config@ -J hop-1"}, "archive"),
    "port-and-user": (
        "@node1@",
        {"ansible_ssh_common_args": "-F @config@ -o ProxyJump=deploy@hop-2:2222 -o Port=22"},
        "ssh-ng",
    ),
    "two-hops": (
        "@node1@",
        {"ansible_ssh_extra_args": "-F @config@ -o ProxyJump=root@hop-1:22,deploy@hop-2"},
        "ssh-ng",
    ),
    "two-hops-ssh": ("web-1", {"ansible_ssh_common_args": "-F @config@ -J hop-2,hop-1"}, "ssh"),
    "in-the-file": ("behind", {"ansible_ssh_common_args": "-F @relative@"}, "ssh-ng"),
    "as-spelled": ("Web_1", {"ansible_ssh_common_args": "-F @config@"}, "ssh-ng"),
    "terminal": ("@node1@", {"ansible_ssh_args": "-F @config@ -tt -o RequestTTY=force"}, "ssh-ng"),
    "command": (
        "@node1@",
        {"ansible_ssh_common_args": "-F @config@ -o 'ProxyCommand=\"@program@\" -W [%h]:%p hop-1'"},
        "ssh",
    ),
}


@pytest.fixture
def hops(fleet: Fleet) -> t.Iterator[None]:
    """Have node3 listen on port 2222 too."""
    fleet.exec("node3", "systemd-run -q --unit=hop /usr/sbin/sshd -D -p 2222")
    yield
    fleet.exec("node3", "systemctl stop hop")


def files_of_ssh(fleet: Fleet, directory: pathlib.Path) -> dict[str, str]:
    """Write what ssh arguments may name, and return the names.

    That of the configuration is plain, because ssh itself does not quote it for a jump's ssh.
    """
    described = json.loads(fleet.inventory.with_name("testbed.json").read_text())
    key, config, program = (directory / name for name in ("it's a #1 key", "config", "my ssh"))
    shutil.copy(described["private_key"], key)
    names = {"key": str(key), "known_hosts": described["known_hosts"], "config": str(config)}
    names |= {node: host["ansible_host"] for node, host in fleet.hosts.items()}
    names |= {"program": str(program), "relative": os.path.relpath(config)}
    config.write_text(filled(SSH_CONFIG, names))
    program.write_text(f'#!/bin/sh\nexec ssh -F {config} "$@"\n')
    program.chmod(0o755)
    return names


def filled(text: str, names: dict[str, str]) -> str:
    for name, value in names.items():
        text = text.replace(f"@{name}@", value)
    return text


@pytest.mark.usefixtures("hops")
def test_nix_goes_through_the_same_jumps_as_ansible(
    copies: Copies, closure: MakeClosure, tmp_path: pathlib.Path
) -> None:
    names = files_of_ssh(copies.fleet, tmp_path)
    new = {way: closure(count=1) for way in WAYS}
    hosts: dict[str, Variables] = {}
    for way, (address, arguments, transport) in WAYS.items():
        filled_in = {key: filled(value, names) for key, value in arguments.items()}
        # The inventory's arguments are in the file.
        hosts[way] = {"ansible_ssh_common_args": "", "ansible_ssh_extra_args": ""} | filled_in
        hosts[way] |= {"ansible_host": filled(address, names), "way": transport}
        hosts[way]["closure"] = new[way].path
    played = copies.all(hosts, {"path": "{{ closure }}", "transport": "{{ way }}"})
    said = {way: played.result(way) for way in WAYS}
    assert {way: result.get("transport", result["msg"]) for way, result in said.items()} == {
        way: transport for way, (_address, _arguments, transport) in WAYS.items()
    }
    assert [way for way in WAYS if copies.lacks("node1", new[way])] == []


def test_a_loop_of_jumps_ends_soon_and_leaves_the_archive(
    copies: Copies, closure: MakeClosure, tmp_path: pathlib.Path
) -> None:
    """A build host whose own configuration has one; the controller's is right."""
    new, names = closure(count=1), files_of_ssh(copies.fleet, tmp_path)
    assert copies("node2", new)["changed"]
    config = names["config"]
    loop = "Host *\n  StrictHostKeyChecking no\nHost hop-1\n  ProxyJump a\nHost a\n  ProxyJump b\n"
    loop += "Host b\n  ProxyJump a\n"
    place = pathlib.Path(config).parent
    copies.fleet.exec("node2", f'mkdir -p "{place}" && printf \'{loop}\' >"{config}"')
    login = {"ansible_ssh_common_args": f"-F {names['config']} -J hop-1"}
    login |= {"ansible_host": "web-1"}
    copies.others["node2"] = {}
    try:
        said = copies("node1", {"path": new.path, "build_host": "node2"}, **login)
        left = copies.fleet.exec("node2", "pgrep -fc '[s]sh .*-W' || :")
    finally:
        copies.fleet.exec("node2", f'rm -r "{place}"')
    assert (said["transport"], copies.lacks("node1", new)) == ("archive", []), said
    assert "its jump hosts form a loop" in said["reason"] and int(left) == 0


SUDOERS = "deploy ALL=(ALL:ALL) NOPASSWD: /bin/sh"
DEPLOY = {"ansible_user": "deploy", "ansible_become": True}
ODD_LOGINS = {
    "talkative": (
        "sed -i '1i echo hello; printf \"\\\\033[31m\\\\001\"' ~/.bashrc",
        "sed -i 1d ~/.bashrc",
        {},
        "hello",
    ),
    "no-daemon-on-path": (
        "sed -i '1i hash -p /nowhere/nix-daemon nix-daemon' ~/.bashrc",
        "sed -i 1d ~/.bashrc",
        {},
        "/nowhere/nix-daemon: No such file or directory",
    ),
    "sudo-for-sh-only": (
        f"cp -a /etc/sudoers.d /root/sudoers && echo '{SUDOERS}' >/etc/sudoers.d/deploy",
        "rm -r /etc/sudoers.d && mv /root/sudoers /etc/sudoers.d",
        DEPLOY,
        "sudo: a password is required",
    ),
}


@pytest.mark.parametrize("odd", soak_but(ODD_LOGINS, "talkative"))
def test_auto_goes_on_to_the_archive_whatever_keeps_nix_from_carrying(
    copies: Copies, closure: MakeClosure, odd: str
) -> None:
    before, after, login, reason = ODD_LOGINS[odd]
    new = closure(count=1)
    copies.fleet.exec("node1", before)
    try:
        checked = copies("node1", new, "--check", **login)
        said = copies("node1", new, **login)
    finally:
        copies.fleet.exec("node1", after)
    assert (said["transport"], copies.lacks("node1", new)) == ("archive", []), said
    assert reason in said["reason"] and said["reason"].isprintable()
    assert checked["transport"] == "archive" and reason in checked["reason"]


def test_a_transport_that_the_task_asks_for_and_that_does_not_carry_is_told_in_check_mode(
    copies: Copies, closure: MakeClosure
) -> None:
    new, login = closure(count=1), {"ansible_ssh_extra_args": "-o IdentityFile=/nowhere"}
    login |= {"ansible_ssh_common_args": "-o UserKnownHostsFile=/dev/null"}
    copies.others["node2"] = {}
    task = {"path": new.path, "transport": "ssh-ng", "build_host": "node2"}
    assert copies("node2", new)["changed"]
    said = copies("node1", task, "--check")
    assert said["failed"] and "was not copied from node2 to node1" in said["msg"]
    assert "Host key verification failed" in said["msg"] or "Permission denied" in said["msg"]
    assert sorted(copies.lacks("node1", new)) == sorted(new.paths)


@pytest.fixture
def build_host(fleet: Fleet) -> t.Iterator[Variables]:
    """node2 with a key for node1, without programs in /run, and with a blank in a home."""
    described = json.loads(fleet.inventory.with_name("testbed.json").read_text())
    key, known = (pathlib.Path(described[it]).read_text() for it in ("private_key", "known_hosts"))
    home = "/home/de ploy"
    fleet.exec(
        "node2",
        f"cp -a /home/deploy '{home}' && cd '{home}/.ssh' && mount -o remount,noexec /run &&"
        "mount -t tmpfs -o noexec,mode=1777 tmpfs /var/tmp &&"
        f"printf '%s' '{key}' >id_ed25519 && printf '%s' '{known}' >known_hosts &&"
        f"chmod 600 * && chown deploy * && sed -i 's|/home/deploy|{home}|' /etc/passwd",
    )
    yield {"ansible_user": "deploy"}
    fleet.exec(
        "node2",
        f"sed -i 's|{home}|/home/deploy|' /etc/passwd; rm -r '{home}'; umount /var/tmp;"
        "mount -o remount,exec /run",
    )


@pytest.mark.soak
def test_a_limit_holds_where_only_programs_can_be_executed(
    copies: Copies, closure: MakeClosure, build_host: Variables
) -> None:
    new = closure(1, 1, 1 << 20, "urandom")
    assert copies("node2", new)["changed"]
    copies.others["node2"] = build_host
    task = {"path": new.path, "transport": "ssh-ng", "bwlimit": 250, "build_host": "node2"}
    known = f"-o 'UserKnownHostsFile={copies.known_hosts} ~/.ssh/known_hosts'"
    login = {"ansible_ssh_args": f"{known} -i ~/.ssh/id_ed25519"}
    said = copies("node1", task, **login)
    assert (said.get("transport"), copies.lacks("node1", new)) == ("ssh-ng", []), said
    assert said["seconds"] > 0.5 * (1 << 20) / (250 << 10)
    left = copies.fleet.exec("node2", "ls -d /var/tmp/closure-* || :")
    assert left == ""
