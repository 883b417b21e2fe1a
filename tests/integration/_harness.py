# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What integration tests hold in their hands: a fleet, a finished play and a running one.

The fixtures in ``conftest.py`` hand them out; tests import these names for their annotations.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import secrets
import signal
import subprocess
import sys
import time
import typing as t

import pytest

TESTBED = pathlib.Path(__file__).parents[1] / "testbed" / "testbed"


@dataclasses.dataclass(frozen=True)
class Fleet:
    """A running fleet of the testbed."""

    name: str

    @property
    def inventory(self) -> pathlib.Path:
        """An inventory file: group ``testbed``, logging in as root."""
        return pathlib.Path(_inventory(self.name))

    @property
    def hosts(self) -> dict[str, dict[str, str]]:
        """The hosts by name with their inventory variables."""
        described = json.loads(self.inventory.with_name("testbed.json").read_text())
        return t.cast(dict[str, dict[str, str]], described["hosts"])

    def exec(self, host: str, script: str, check: bool = True) -> str:
        """Run a bash script in a host as root, without ssh, and return its stdout.

        bash, because tests break the host's ``/bin/sh``.
        """
        command = [*self._enter(host, check), "bash", "-c", script]
        if command[0] == "bash":
            return ""  # it is not running, and need not be
        return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=check).stdout

    def _enter(self, host: str, check: bool) -> list[str]:
        """Return what enters a host, and ask the testbed only for a host that has booted since."""
        command, began = _ENTERED.get((self.name, host), ([], ""))
        if command and _began(command) == began:
            return command
        command = list[str](json.loads(self._testbed("enter", host, check=check) or "[]"))
        if command:
            _ENTERED[self.name, host] = command, _began(command)
        return command

    def link(self, host: str, state: t.Literal["up", "down"]) -> None:
        """Pull or plug a host's network cable."""
        self._testbed("link", host, state)

    def _testbed(self, verb: str, *words: str, check: bool = True) -> str:
        return _testbed(verb, self.name, *words, check=check)


def _testbed(verb: str, name: str, *words: str, check: bool = True) -> str:
    command = [str(TESTBED), verb, "--fleet", name, *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=check)
    return done.stdout


# It stays where it is, also when the fleet is made anew.
@functools.cache
def _inventory(name: str) -> str:
    return _testbed("inventory", name).strip()


# By fleet and host: what enters it, and when its first process began, which names that process.
_ENTERED: dict[tuple[str, str], tuple[list[str], str]] = {}


def _began(command: list[str]) -> str:
    """Return when the process began whose namespaces a command enters, "" when it has ended."""
    pid = next(word for word in command if word.startswith("--target=")).partition("=")[2]
    try:
        # The twenty-second field, proc(5); a name in front may have blanks.
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


@contextlib.contextmanager
def little_room(fleet: Fleet, host: str, kib: int) -> t.Iterator[None]:
    """Leave a host that many KiB in /run for as long as this lasts."""
    used, size = fleet.exec(host, "df -k --output=used,size /run | tail -n 1").split()
    fleet.exec(host, f"mount -o remount,size={int(used) + kib}k /run")
    try:
        yield
    finally:
        fleet.exec(host, f"mount -o remount,size={size}k /run")


Event = dict[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Played:
    """A finished ansible-playbook, as ansible-runner's events tell of it."""

    rc: int
    events: list[Event]

    @property
    def stats(self) -> dict[str, dict[str, int]]:
        """By host: how many tasks were ok, changed, failed, unreachable ..."""
        data = next(e["event_data"] for e in self.events if e["event"] == "playbook_on_stats")
        words = {"ok": "ok", "changed": "changed", "failures": "failed", "dark": "unreachable"}
        words |= {"skipped": "skipped", "rescued": "rescued", "ignored": "ignored"}
        hosts = data["processed"]
        return {
            host: {word: data[key].get(host, 0) for key, word in words.items()} for host in hosts
        }

    @property
    def custom(self) -> dict[str, t.Any]:
        """The custom stats of the run, as ansible-runner hands them on."""
        data = next(e["event_data"] for e in self.events if e["event"] == "playbook_on_stats")
        return t.cast(dict[str, t.Any], data["artifact_data"])

    def results(self, host: str, task: str | None = None) -> list[dict[str, t.Any]]:
        """The results of a host's tasks in their order, of all or of those with that name."""
        kinds = ("runner_on_ok", "runner_on_failed", "runner_on_unreachable", "runner_on_skipped")
        events = [(e["event"], e["event_data"]) for e in self.events if e.get("event") in kinds]
        return [
            # ansible-core takes `failed` out of what callbacks get.
            {"failed": kind == "runner_on_failed"} | data.get("res", {})
            for kind, data in events
            if data["host"] == host and task in (None, data["task"])
        ]

    def result(self, host: str, task: str | None = None) -> dict[str, t.Any]:
        """The last of :meth:`results`."""
        return self.results(host, task)[-1]

    @property
    def lines(self) -> list[tuple[str, str]]:
        """What ansible-playbook printed, each line with the time of its event."""
        return [(e["created"], line) for e in self.events for line in e["stdout"].splitlines()]

    @property
    def text(self) -> str:
        """What ansible-playbook printed."""
        return "\n".join(line for _time, line in self.lines)


@dataclasses.dataclass(frozen=True)
class Started:
    """An ansible-playbook that runs, for tests that kill it."""

    process: subprocess.Popen[bytes]
    output: pathlib.Path
    mark: str

    def signal(self, number: signal.Signals) -> None:
        """Signal the process group of ansible-playbook, as a terminal would."""
        os.killpg(self.process.pid, number)

    def processes(self) -> list[int]:
        """ansible-playbook and all that it started.

        Found by a variable of their environment: workers have sessions of their own, and an orphan
        has lost its parent.
        """
        return processes(lambda entry: self.mark.encode() in (entry / "environ").read_bytes())

    def kill(self) -> None:
        """Kill ansible-playbook and all that it started, workers included."""
        for pid in self.processes():
            kill(pid)
        self.process.wait()


def kill(pid: int) -> None:
    """Kill a process that may just have ended by itself."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def control_masters(home: pathlib.Path) -> list[int]:
    """The control masters of ssh with their sockets in that ``ANSIBLE_HOME``."""
    title = f"ssh: {home}/cp/".encode()
    return processes(lambda entry: (entry / "cmdline").read_bytes().startswith(title))


def processes(true: t.Callable[[pathlib.Path], bool]) -> list[int]:
    """The processes of which something is true, by their directory in /proc."""
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has just ended
            if true(entry):
                found.append(int(entry.name))
    return found


# How often whole modules race with an attacker, each time with new bytes: 20 to look for a window.
RACES = int(os.environ.get("TEST_RACES", "1"))


@contextlib.contextmanager
def attacked(fleet: Fleet, host: str) -> t.Iterator[None]:
    """Let an unprivileged user of the host attack our directories."""
    mark = f"run/mark-{secrets.token_hex(4)}"
    fleet.exec(host, f"touch /{mark}")
    leader = processes(lambda entry: (entry / "root" / mark).exists())[0]
    attacker = pathlib.Path(__file__).with_name("_attacker.py")
    command = [sys.executable, str(attacker), f"/proc/{leader}/root"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == b"watches\n"
            yield
            # It can win: here is what it waits for.
            bait = f"/var/tmp/closure-nixos-{secrets.token_hex(5)}"
            fleet.exec(host, f"bash -c 'sleep 2; mkdir -p -m 700 {bait}; ls -la {bait}'")
            assert fleet.exec(host, f"stat -c %U {bait}") == "nobody\n"
        finally:
            process.kill()
            # After we have removed one, it may make it again.
            places = "find /tmp /var/tmp -maxdepth 1 -user nobody -name 'closure-nixos-*'"
            fleet.exec(host, f"rm -f /{mark}; {places} -exec rm -rf {{}} +")


class Play(t.Protocol):
    """Run ansible-playbook on the fleet to its end; the playbook is a path or its text."""

    def __call__(
        self, playbook: str | pathlib.Path, *args: str, env: dict[str, str] | None = None
    ) -> Played: ...


class StartPlay(t.Protocol):
    """Start ansible-playbook on the fleet and do not wait for it."""

    def __call__(
        self, playbook: str | pathlib.Path, *args: str, env: dict[str, str] | None = None
    ) -> Started: ...


def soak_but(cases: t.Iterable[t.Any], *kept: t.Any) -> list[t.Any]:
    """All cases of a matrix, those that are not kept for ``make soak`` alone."""
    return [case if case in kept else pytest.param(case, marks=pytest.mark.soak) for case in cases]


def traced(trace: pathlib.Path, host: str | None = None) -> list[tuple[str, str]]:
    """The round trips to a host, or to all, in a file of CLOSURE_NIXOS_TRACE: names and ends."""
    text = trace.read_text() if trace.exists() else ""
    events = json.loads(text.rstrip(",\n") + "]") if text else []
    lanes = {it["tid"] for it in events if it["ph"] == "M" and host in (None, it["args"]["name"])}
    taken = (it for it in events if it["ph"] == "X" and it["tid"] in lanes)
    return [(it["name"], it["args"]["end"]) for it in taken]


# Seconds for what is to come, on a machine that may be busy.
PATIENCE = 300


def until(true: t.Callable[[], object]) -> None:
    """Wait until it is true, or fail."""
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, f"not true within {PATIENCE} s"
        time.sleep(0.1)
