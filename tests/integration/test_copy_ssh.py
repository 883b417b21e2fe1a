# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copies by Nix's own ssh: it connects as Ansible does, and what a cut line leaves."""

from __future__ import annotations

import concurrent.futures
import json
import pathlib
import re

import pytest
from ansible_collections.closure.nixos.tests.integration._copies import (
    Closure,
    Copies,
    MakeClosure,
    Scissors,
)
from ansible_collections.closure.nixos.tests.integration._harness import (
    Fleet,
    processes,
    soak_but,
    until,
)
from ansible_collections.closure.nixos.tests.integration._systems import nix


@pytest.mark.parametrize("transport", soak_but(["ssh-ng", "archive"], "ssh-ng"))
def test_a_copy_without_progress_ends_and_names_who_may_hold_it(
    copies: Copies, closure: MakeClosure, transport: str
) -> None:
    """As after a copy that was cut while its server on the target lived on (NixOS/nix#2699)."""
    new = closure()
    hold = (
        f"mkfifo /tmp/silence; systemd-run -q --collect --unit=stale sh -c 'exec 9<>/tmp/silence 8>"
        f"{new.paths[2]}.lock; flock 8; exec nix-store --serve --write <&9';"
        f"while flock -n {new.paths[2]}.lock true; do sleep 0.1; done;"
        "systemctl show -P MainPID stale"
    )
    pid = copies.fleet.exec("node1", hold).strip()
    try:
        said = copies("node1", {"path": new.path, "transport": transport, "stall_timeout": 3})
    finally:
        copies.fleet.exec("node1", "systemctl stop stale; rm /tmp/silence")
    assert said["failed"] and "made no progress for 3 s" in said["msg"]
    assert f"kill {pid}" in said["msg"]
    retried = copies("node1", new)
    assert copies.lacks("node1", new) == []
    assert len(retried["missing_paths"]) < len(new.paths), "a retry resumes"


@pytest.mark.parametrize("transport", soak_but(["ssh", "ssh-ng"], "ssh-ng"))
def test_a_copy_that_is_cut_leaves_a_whole_store_and_the_next_one_goes_on_from_there(
    copies: Copies, closure: MakeClosure, transport: str
) -> None:
    """Where Nix has logged in by itself: it would go on so after Ansible's connection was cut."""
    new, cut = closure(3, 6, 1 << 20, "urandom"), Scissors(copies)
    task = {"path": new.path, "transport": transport}
    left = [len(new.paths)]
    for sent in (1 << 15, 5 << 19, 5 << 19):
        said = copies("node1", task, **cut(sent), ansible_ssh_args="-C")
        assert said["failed"] and new.path in said["msg"] and not cut.mark.exists()
        left.append(len(copies.lacks("node1", new)))
    # What was sent last, the host may not have stored yet when the line is cut.
    assert left[0] >= left[1] >= left[2] >= left[3] > 0
    said = copies("node1", task)
    assert (len(said["missing_paths"]), copies.lacks("node1", new)) == (left[3], [])


@pytest.mark.soak
def test_a_pulled_cable_ends_a_copy_and_the_next_one_goes_on_from_there(
    copies: Copies, closure: MakeClosure
) -> None:
    new = closure(3, 4, 1 << 20, "urandom")
    task = {"path": new.path, "transport": "ssh-ng"}
    with concurrent.futures.ThreadPoolExecutor() as pool:
        copy = pool.submit(copies, "node1", task | {"bwlimit": 400, "stall_timeout": 5})
        until(lambda: len(copies.lacks("node1", new)) < len(new.paths))
        copies.fleet.link("node1", "down")
        try:
            until(lambda: not copiers(new))
        finally:
            copies.fleet.link("node1", "up")
        said = copy.result()
    assert said["failed"] and "made no progress for 5 s" in said["msg"], said
    left = copies.lacks("node1", new)
    said = copies("node1", task)
    assert (sorted(left), copies.lacks("node1", new)) == (said["missing_paths"], [])
    assert 0 < len(left) < len(new.paths)


def copiers(new: Closure) -> list[int]:
    """The processes on the controller that copy a closure."""

    def copies(entry: pathlib.Path) -> bool:
        words = (entry / "cmdline").read_bytes().split(b"\0")
        return b"copy" in words and new.path.encode() in words

    return processes(copies)


@pytest.mark.parametrize("transport", soak_but(["ssh-ng", "archive", "cache"], "ssh-ng"))
def test_a_copy_takes_no_more_of_the_line_than_it_may(
    copies: Copies, closure: MakeClosure, web: str, tmp_path: pathlib.Path, transport: str
) -> None:
    """And says meanwhile how far it is."""
    new = closure(1, 3, 1 << 20, "urandom")
    task = {"path": new.path, "transport": transport, "bwlimit": 500}
    cache = {"cache": web, "cache_upload": f"file://{tmp_path}/web", "check_sigs": False}
    played = copies.played("node2", task | (cache if transport == "cache" else {}))
    said = played.result("node2")
    assert (said["changed"], copies.lacks("node2", new)) == (True, []), said
    # A part may go at once, before there is a rate to limit.
    assert said["seconds"] > 0.5 * (3 << 20) / (500 << 10)
    assert re.search(r"node2: (copying path|import of|pull of) .* of 3.0 MiB", played.text)


def second_sshd(fleet: Fleet, options: str) -> None:
    """Have node1 listen on port 2222 too."""
    fleet.exec("node1", f"systemd-run -q --unit=second-sshd /usr/sbin/sshd -D -p 2222 {options}")


def test_nix_takes_the_same_way_as_ansible(copies: Copies, closure: MakeClosure) -> None:
    """Through a jump host, to an odd port, with host keys that are looked up by an alias."""
    fleet, new = copies.fleet, closure()
    address, jump = (fleet.hosts[host]["ansible_host"] for host in ("node1", "node2"))
    described = json.loads(fleet.inventory.with_name("testbed.json").read_text())
    command = f"ssh -i {described['private_key']} {copies.ssh_arguments} -W [%h]:%p root@{jump}"
    variables = {
        "ansible_port": 2222,
        "ansible_ssh_common_args": f'{copies.ssh_arguments} -o ProxyCommand="{command}"',
        "ansible_ssh_extra_args": f"-o HostKeyAlias={address}",
    }
    second_sshd(fleet, f"-o 'AllowUsers root@{jump}'")
    try:
        said = copies("node1", new, **variables)
        straight = copies("node1", new, ansible_port=2222)
    finally:
        fleet.exec("node1", "systemctl stop second-sshd")
    assert (said["transport"], copies.lacks("node1", new)) == ("ssh-ng", []), said
    assert straight["unreachable"], "the jump host is the only way"


def test_a_host_key_that_changed_is_refused_and_not_gone_around(
    copies: Copies, closure: MakeClosure
) -> None:
    """node2 copies to node1, for which it knows another key; Ansible itself knows the right one."""
    fleet, new = copies.fleet, closure()
    assert copies("node2", new)["changed"]
    address = fleet.hosts["node1"]["ansible_host"]
    # The first file is only on the controller, the second one is in anybody's home.
    known = f"UserKnownHostsFile={copies.known_hosts} ~/.ssh/known_hosts_2"
    arguments = f"-o '{known}' -o GlobalKnownHostsFile=/dev/null -o IdentitiesOnly=yes"
    fleet.exec(
        "node2",
        "mkdir -p -m 700 ~/.ssh && ssh-keygen -q -t ed25519 -N '' -f /tmp/other &&"
        f"echo {address} $(cut -d ' ' -f 1,2 /tmp/other.pub) >~/.ssh/known_hosts_2",
    )
    try:
        task = {"path": new.path, "build_host": "node2"}
        said = copies("node1", task, ansible_ssh_common_args=arguments)
    finally:
        fleet.exec("node2", "rm /tmp/other /tmp/other.pub ~/.ssh/known_hosts_2")
    assert said["failed"] and "correct known_hosts on node2" in said["msg"], said
    assert sorted(copies.lacks("node1", new)) == sorted(new.paths)


def test_nix_takes_an_ipv6_address_with_its_zone(copies: Copies, closure: MakeClosure) -> None:
    new, address = closure(), copies.fleet.hosts["node1"]["ansible_host"]
    route = nix("ip", "-o", "route", "get", address).split()
    local = copies.fleet.exec("node1", "ip -6 -o addr show dev host0 scope link").split()
    said = copies(
        "node1",
        new,
        ansible_host=f"{local[3].split('/')[0]}%{route[route.index('dev') + 1]}",
        ansible_ssh_extra_args=f"-o HostKeyAlias={address}",
    )
    assert (said["transport"], copies.lacks("node1", new)) == ("ssh-ng", []), said
