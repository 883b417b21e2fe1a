# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a copy does once: a login, which Ansible has made, and what is the same for all hosts."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import secrets
import shutil
import sys
import typing as t
from collections import Counter

import pytest
from ansible_collections.closure.nixos.tests.integration._copies import (
    NIX,
    SUDO,
    Closure,
    Copies,
    MakeClosure,
    Scissors,
    Variables,
)
from ansible_collections.closure.nixos.tests.integration._harness import traced
from ansible_collections.closure.nixos.tests.integration._systems import nix

# In the place of ssh: notes each start, and does what a test wants before Nix shares a connection.
SSH = """#!/bin/sh
echo "$*" >>@starts@
case "$*" in *-F*/shared*) @before@ ;; esac
exec @ssh@ "$@"
"""
MASTERS = "ls @cp@/cn-* && pkill -KILL -f 'ssh: @cp@/'"


class Counted:
    """Copies to a host by plays that find no connection of others, and what they start."""

    def __init__(self, copies: Copies, home: pathlib.Path) -> None:
        self.copies = copies
        self._home = home
        #: how often the last copy has logged in
        self.logins = 0
        #: the arguments of each ssh that it started
        self.ssh: list[str] = []

    def __call__(
        self, new: Closure, transport: str = "ssh-ng", before: str = ":", **variables: object
    ) -> dict[str, t.Any]:
        """Copy to node1 with these variables, and return the task's result.

        :param before: shell that runs before an ssh of Nix that logs in nowhere
        """
        sockets = self._home / secrets.token_hex(2)
        starts, program = self.copies.directory / "starts", self.copies.directory / "bin" / "ssh"
        text = SSH.replace("@before@", before).replace("@cp@", str(sockets))
        text = text.replace("@starts@", str(starts)).replace("@ssh@", str(shutil.which("ssh")))
        program.parent.mkdir(exist_ok=True)
        program.write_text(text)
        program.chmod(0o755)
        starts.write_text("")
        path = f"{program.parent}:{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"
        env = {"PATH": path, "ANSIBLE_SSH_CONTROL_PATH_DIR": str(sockets)}
        copies, had = dataclasses.replace(self.copies, environment=env), self._accepted()
        said = copies("node1", {"path": new.path, "transport": transport}, **variables)
        self.logins = self._accepted() - had
        self.ssh = starts.read_text().splitlines()
        assert copies.lacks("node1", new) == [], said
        assert list(sockets.glob("*.*")) == [], "a link to a socket is left"
        return said

    def _accepted(self) -> int:
        """How many logins node1 has accepted since it booted."""
        script = "journalctl --sync; journalctl -q -b -o cat -g '^Accepted ' || :"
        return len(self.copies.fleet.exec("node1", script).splitlines())


@pytest.fixture
def counted(copies: Copies, ansible_home: pathlib.Path) -> Counted:
    return Counted(copies, ansible_home)


@pytest.mark.parametrize("login", [{}, SUDO], ids=["root", "sudo"])
@pytest.mark.parametrize("transport", ["ssh", "ssh-ng", "archive"])
def test_a_copy_logs_in_as_often_as_a_question(
    counted: Counted, closure: MakeClosure, transport: str, login: Variables
) -> None:
    new = closure()
    said = counted(new, transport=transport, **login)
    assert (said["transport"], said["changed"], counted.logins) == (transport, True, 1), said
    if transport != "archive":
        # The question, which leaves the connection open, and Nix's.
        assert len(counted.ssh) == 2, counted.ssh
    said = counted(new, transport=transport, **login)
    assert (said["changed"], counted.logins, len(counted.ssh)) == (False, 1, 1)


# How a connection that is there does not carry: what happens first, and the arguments of ssh.
SHUT = {
    "no master": (":", {"ansible_ssh_args": "-C"}),
    "master elsewhere": (
        ":",
        {"ansible_ssh_args": "-o ControlMaster=auto -o ControlPersist=60s -S /tmp/elsewhere-%C"},
    ),
    "master died": (MASTERS, {}),
    "socket of nobody": (f"{MASTERS}; rm -f @cp@/cn-*", {}),
}


@pytest.mark.parametrize(("before", "login"), SHUT.values(), ids=SHUT)
def test_nix_logs_in_where_no_connection_carries(
    counted: Counted, closure: MakeClosure, before: str, login: Variables
) -> None:
    new = closure()
    said = counted(new, before=before, **login)
    assert (said["transport"], said["changed"]) == ("ssh-ng", True), said
    assert counted.logins == 2, counted.ssh


def test_a_host_that_has_no_second_session_gets_a_second_login(
    counted: Counted, closure: MakeClosure
) -> None:
    """While Ansible's connection has the only one: a job of somebody else, over the same socket."""
    new, fleet = closure(), counted.copies.fleet
    sshd = "/usr/sbin/sshd -D -p 2222 -o MaxSessions=1"
    fleet.exec("node1", f"systemd-run -q --unit=second-sshd {sshd}")
    # A link to it lies beside the socket.
    hold = "for s in @cp@/cn-*; do case $s in *.*) ;; *) @ssh@ -S $s node1 'sleep 5' & esac; done"
    hold += " >/dev/null 2>&1; sleep 1"
    try:
        said = counted(new, before=hold, ansible_port=2222)
    finally:
        fleet.exec("node1", "systemctl stop second-sshd")
    assert (said["transport"], counted.logins) == ("ssh-ng", 2), said


def test_a_connection_that_is_cut_in_the_middle_costs_a_login(
    counted: Counted, closure: MakeClosure
) -> None:
    new, cut = closure(3, 6, 1 << 20, "urandom"), Scissors(counted.copies)
    said = counted(new, **cut(5 << 19))
    assert (said["transport"], counted.logins) == ("ssh-ng", 2), said
    assert not cut.mark.exists()


def test_the_build_host_is_asked_once_for_all_hosts(
    copies: Copies, closure: MakeClosure, key_file: pathlib.Path
) -> None:
    """Three names of a host whose login is trusted only with signatures."""
    new, trace = closure(), copies.directory / "trace"
    node2 = copies.fleet.hosts["node2"] | {"ansible_user": "deploy"}
    hosts = dict.fromkeys(("one", "two", "three"), node2)
    again = dataclasses.replace(copies, environment={"CLOSURE_NIXOS_TRACE": str(trace)})
    refused = again.all(hosts, {"path": new.path})
    assert all("trusts neither" in refused.result(host)["msg"] for host in hosts)
    trace.unlink()
    nix(*NIX, "store", "sign", "--recursive", "--key-file", str(key_file), new.path)
    played = again.all(hosts, {"path": new.path})
    assert copies.lacks("node2", new) == [], played.text
    questions = Counter(name for name, _end in traced(trace))
    assert (questions["closure"], questions["expect"], questions["signatures"]) == (1, 3, 1)
