# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Host, Job and Run on real hosts: what arrives, how often it ran, and what is left behind."""

from __future__ import annotations

import hashlib
import json
import pathlib
import secrets
import typing as t

import pytest
from ansible_collections.closure.nixos.tests.integration._harness import (
    TESTBED,
    Fleet,
    Play,
    Played,
)

WIRE = pathlib.Path(__file__).with_name("wire")
PLUGINS = {
    "ANSIBLE_ACTION_PLUGINS": str(WIRE / "action_plugins"),
    "ANSIBLE_CONNECTION_PLUGINS": str(WIRE / "connection_plugins"),
    "ANSIBLE_LIBRARY": str(WIRE / "library"),
    "ANSIBLE_FORKS": "12",
}

Variables = dict[str, t.Any]


def playbook(*tasks: Variables, **keywords: object) -> str:
    """A playbook of one play; JSON is YAML."""
    play = {"hosts": "logins", "gather_facts": False, "tasks": tasks} | keywords
    return json.dumps([play])


class Wire:
    """Runs the probe on logins: names for a host and a way into it."""

    def __init__(self, fleet: Fleet, play: Play, directory: pathlib.Path) -> None:
        self.fleet = fleet
        self._play = play
        self.directory = directory
        self.logins: dict[str, Variables] = {}
        # A file that scripts on hosts append to, for this test alone.
        self.counter = f"/var/tmp/ran-{secrets.token_hex(4)}"

    def login(self, name: str, host: str, **variables: object) -> None:
        """Name a way into a host."""
        self.logins[name] = self.fleet.hosts[host] | variables

    def inventory(self) -> str:
        """The file of an inventory with the logins, beside the fleet's."""
        path = self.directory / "logins.json"
        # In the fleet's group they get its user, key and known hosts.
        groups = {"testbed": {"children": {"logins": {"hosts": self.logins}}}}
        path.write_text(json.dumps(groups))
        return str(path)

    def __call__(self, *tasks: Variables, env: dict[str, str] | None = None) -> Played:
        return self._play(playbook(*tasks), "-i", self.inventory(), env=PLUGINS | (env or {}))

    def count(self, host: str) -> int:
        """How often a script appended a line to the counter."""
        return int(self.fleet.exec(host, f"touch {self.counter}; wc -l <{self.counter}"))


@pytest.fixture
def wire(fleet: Fleet, play: Play, tmp_path: pathlib.Path) -> Wire:
    return Wire(fleet, play, tmp_path)


def enter(fleet: Fleet, host: str) -> Variables:
    """Variables for the connection plugin that does without a network."""
    return {
        "ansible_connection": "testbed_nsenter",
        "testbed_enter": [str(TESTBED), "exec", "--fleet", fleet.name, host],
    }


def become(user: str = "root", **more: object) -> Variables:
    return {"ansible_become": True, "ansible_become_user": user} | more


def every_login(wire: Wire) -> dict[str, str]:
    """Make all the logins that work and say as whom."""
    wire.login("root_ssh", "node1")
    wire.login("deploy_ssh", "node2", ansible_user="deploy")
    wire.login("deploy_sudo", "node1", ansible_user="deploy", **become())
    wire.login("deploy_password", "node3", ansible_user="deploy", **become())
    wire.login("root_nsenter", "node2", **enter(wire.fleet, "node2"))
    wire.login("deploy_nsenter", "node3", **enter(wire.fleet, "node3"), **become("deploy"))
    wire.login("root_local", "node1", ansible_connection="local")
    wire.login(
        "become_local",
        "node1",
        ansible_connection="local",
        **become(
            "nobody",
            ansible_become_method="su",
            ansible_become_flags="-s /bin/sh",
            ansible_become_password="unused",
        ),
    )
    users = {name: name.split("_")[0] for name in wire.logins} | {"become_local": "nobody"}
    return users | {"deploy_sudo": "root", "deploy_password": "root"}


def test_every_login_runs_a_script_and_keeps_its_bytes(wire: Wire) -> None:
    users = every_login(wire)
    played = wire(
        {"name": "who", "wire": {"read": "id -un"}},
        {"name": "apart", "wire": {"read": "echo out; echo err >&2; exit 3"}},
        {"name": "255", "wire": {"read": "exit 255"}},
        {"name": "stdin", "wire": {"read": "cat; echo after"}},
        {"name": "bytes", "wire": {"read": r"printf 'a\000\377\303\244 no newline'"}},
        {"name": "long script", "wire": {"read": "printf %s '{{ 'ä' * 1000000 }}' | sha256sum"}},
        {"name": "long output", "wire": {"read": "yes ä | head -c 5000000"}},
    )
    for login, user in users.items():
        said = {task: said_by(played, login, task) for task in ("who", "apart", "255", "stdin")}
        assert said["who"]["stdout"] == f"{user}\n"
        assert said["apart"]["stdout"] == "out\n"
        assert said["apart"]["stderr"].strip() == "err"
        assert (said["apart"]["rc"], said["255"]["rc"]) == (3, 254)
        assert said["stdin"]["stdout"] == "after\n"
        assert said_by(played, login, "bytes")["sha256"] == sha256(b"a\0\xff\xc3\xa4 no newline")
        long = said_by(played, login, "long script")["stdout"]
        assert long.split()[0] == sha256("ä".encode() * 1000000)
        output = ("ä\n".encode() * 2000000)[:5000000]
        assert said_by(played, login, "long output")["sha256"] == sha256(output)


def said_by(played: Played, host: str, task: str | None = None) -> Variables:
    result = played.result(host, task)
    assert "said" in result, result
    return t.cast(Variables, result["said"])


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
