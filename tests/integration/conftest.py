# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures of all integration tests: a fleet of real hosts, and ansible-playbook on it."""

from __future__ import annotations

import os
import pathlib
import secrets
import shutil
import subprocess
import sys
import tempfile
import typing as t

import pytest
from ansible_collections.closure.nixos.tests.integration import _browser, _copies
from ansible_collections.closure.nixos.tests.integration._harness import (
    TESTBED,
    Fleet,
    Play,
    Played,
    Started,
    StartPlay,
    control_masters,
    kill,
)
from ansible_collections.closure.nixos.tests.integration._systems import PROFILE
from ansible_runner.interface import init_command_config

COLLECTION = pathlib.Path(__file__).parents[2]
# With nothing of ours running or waiting, as after a boot.
AS_MADE = f"""[ /run/booted-system -ef {PROFILE}-1-link ] &&
! systemctl -q is-active 'closure-nixos-*' && rm -rf /run/closure-nixos /var/tmp/closure-nixos-* &&
echo yes"""

# Fixtures of the tests about copies, for all of their files.
closure, configure, copies = _copies.closure, _copies.configure, _copies.copies
key_file, web = _copies.key_file, _copies.web
browser = _browser.browser


@pytest.fixture(scope="session")
def fleet_name() -> t.Iterator[str]:
    """The fleet of this run. Workers of pytest-xdist have one each.

    TESTBED_FLEET names one. If it runs already, it is left running, which saves its boot.
    """
    name = os.environ.get("TESTBED_FLEET", "itest") + os.environ.get("PYTEST_XDIST_WORKER", "")
    there = _testbed("status", name, check=False) == 0
    yield name
    if not there:
        _testbed("down", name)


@pytest.fixture(scope="module")
def fleet(fleet_name: str, ansible_home: pathlib.Path) -> Fleet:
    """Three hosts, node1 to node3; the sudo of ``deploy`` on node3 needs a password.

    Each file of tests finds hosts that booted what they were made with, as generation 1, and
    nothing that jobs of another file left. After a file that booted another system, removed that
    generation or left something running they are made anew.
    """
    _testbed("up", fleet_name)
    hosts = Fleet(fleet_name)
    if {hosts.exec(host, AS_MADE, check=False) for host in hosts.hosts} != {"yes\n"}:
        _testbed("down", fleet_name)
        for pid in control_masters(ansible_home):  # they wait for hosts that are gone
            kill(pid)
        _testbed("up", fleet_name)
    return hosts


def _testbed(command: str, name: str, *words: str, check: bool = True) -> int:
    argv = [str(TESTBED), command, "--fleet", name, *words]
    return subprocess.run(argv, check=check).returncode


@pytest.fixture(scope="session")
def ansible_home() -> t.Iterator[pathlib.Path]:
    """Ansible's own directory, short: the sockets of ssh in it have paths of 107 bytes at most."""
    home = pathlib.Path(tempfile.mkdtemp(prefix="nixos-"))
    # In the place of the developer's. By default ansible-playbook looks for results 1000 times a
    # second, which is a part of all that the tests compute.
    (home / "ansible.cfg").write_text("[defaults]\ninternal_poll_interval = 0.02\n")
    yield home
    for pid in control_masters(home):
        kill(pid)
    shutil.rmtree(home)


@pytest.fixture(scope="session")
def environment(ansible_home: pathlib.Path) -> dict[str, str]:
    """What ansible-playbook gets beside the environment of the tests."""
    return {
        # The ansible-core of this Python, also when its environment is not on the PATH.
        "PATH": f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}",
        "ANSIBLE_COLLECTIONS_PATH": os.environ.get("ANSIBLE_COLLECTIONS_PATH")
        or str(COLLECTION / ".venv/collections"),
        "ANSIBLE_CONFIG": str(ansible_home / "ansible.cfg"),
        "ANSIBLE_HOME": str(ansible_home),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(ansible_home / "cp"),
        # ansible-runner switches it off where nobody says anything.
        "ANSIBLE_HOST_KEY_CHECKING": "True",
        "ANSIBLE_LOCALHOST_WARNING": "False",
        # Nothing here shall wait for a network.
        "NIX_CONFIG": "substituters =",
    }


@pytest.fixture
def play(fleet: Fleet, environment: dict[str, str], tmp_path: pathlib.Path) -> Play:
    """Run ansible-playbook, without a terminal."""

    def run(playbook: str | pathlib.Path, *args: str, env: dict[str, str] | None = None) -> Played:
        directory = tmp_path / f"play-{secrets.token_hex(4)}"
        directory.mkdir()
        with pathlib.Path(os.devnull).open(encoding="utf-8") as nothing:
            runner = init_command_config(
                "ansible-playbook",
                ["-i", str(fleet.inventory), str(_file(playbook, directory)), *args],
                private_data_dir=str(directory),
                envvars=environment | (env or {}),
                input_fd=nothing,  # which also means: no pseudo-terminal
                quiet=True,
            )
            runner.run()
        return Played(runner.rc, list(runner.events))

    return run


@pytest.fixture
def start_play(
    fleet: Fleet, environment: dict[str, str], tmp_path: pathlib.Path
) -> t.Iterator[StartPlay]:
    """Start ansible-playbook in a process group of its own, its output in a file."""
    all_started: list[Started] = []

    def start(
        playbook: str | pathlib.Path, *args: str, env: dict[str, str] | None = None
    ) -> Started:
        mark = secrets.token_hex(8)
        output = tmp_path / f"{mark}.txt"
        command = ["ansible-playbook", "-i", str(fleet.inventory), str(_file(playbook, tmp_path))]
        with output.open("wb") as file:
            process = subprocess.Popen(
                [*command, *args],
                env=os.environ | environment | (env or {}) | {"TEST_PLAY": mark},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        all_started.append(Started(process, output, mark))
        return all_started[-1]

    yield start
    for started in all_started:
        started.kill()


def _file(playbook: str | pathlib.Path, directory: pathlib.Path) -> pathlib.Path:
    if isinstance(playbook, pathlib.Path):
        return playbook
    path = directory / f"play-{secrets.token_hex(4)}.yml"
    path.write_text(playbook)
    return path


LINGER = "/var/lib/systemd/linger"


@pytest.fixture
def lingers(fleet: Fleet) -> t.Iterator[t.Callable[[str], None]]:
    """Has the manager of the user deploy run on a host, whether or not he is logged in.

    Else logind ends it once a login of an earlier test is over.
    """
    hosts = []

    def begin(host: str) -> None:
        hosts.append(host)
        fleet.exec(host, f"mkdir -p {LINGER} && touch {LINGER}/deploy && systemctl start user@1000")

    yield begin
    for host in hosts:
        fleet.exec(host, f"rm -f {LINGER}/deploy && systemctl stop user@1000")
