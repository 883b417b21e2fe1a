# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Host, Job and Run on real hosts: what arrives, how often it ran, and what is left behind."""

from __future__ import annotations

import contextlib
import functools
import getpass
import hashlib
import json
import os
import pathlib
import secrets
import signal
import subprocess
import time
import typing as t
from concurrent import futures

import pytest
from ansible_collections.closure.nixos.plugins.plugin_utils._host.scripts import script
from ansible_collections.closure.nixos.tests.integration._harness import (
    PATIENCE,
    TESTBED,
    Fleet,
    Play,
    Played,
    StartPlay,
    attacked,
    control_masters,
    kill,
    little_room,
    soak_but,
    traced,
    until,
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

    def __init__(
        self, fleet: Fleet, play: Play, directory: pathlib.Path, home: pathlib.Path
    ) -> None:
        self.fleet = fleet
        self.home = home
        self.play = play
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
        return self.play(playbook(*tasks), "-i", self.inventory(), env=PLUGINS | (env or {}))

    @contextlib.contextmanager
    def running(self, *tasks: Variables) -> t.Iterator[futures.Future[Played]]:
        """Play the tasks while the test does something else."""
        with futures.ThreadPoolExecutor(1) as executor:
            yield executor.submit(self, *tasks)

    def count(self, host: str) -> int:
        """How often a script appended a line to the counter."""
        return int(self.fleet.exec(host, f"touch {self.counter}; wc -l <{self.counter}"))


@pytest.fixture
def wire(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path, ansible_home: pathlib.Path
) -> t.Iterator[Wire]:
    wire = Wire(fleet, play, tmp_path, ansible_home)
    yield wire
    for host in fleet.hosts:
        fleet.exec(host, f"rm -f {wire.counter} {wire.counter}.*")


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


# One task for logins that do different things: their variables say what.
OWN: Variables = {
    "name": "own",
    "wire": {
        key: f"{{{{ {key} | default(omit) }}}}"
        for key in (
            "read",
            "change",
            "job",
            "unit",
            "lease",
            "stdin",
            "retry_for",
            "deadline",
            "bring",
            "parse",
            "times",
        )
    },
}


@pytest.mark.soak
def test_a_link_that_fails_delays_a_read_and_a_job(wire: Wire) -> None:
    once = f"echo x >>{wire.counter}; "
    wire.login("short", "node1", read=f"{once} sleep 4; echo read")
    wire.login("long", "node2", job=f"{once} sleep 12; echo done; exit 5", unit="wire-link")
    with wire.running(OWN) as playing:
        for host in ("node1", "node2"):
            until(functools.partial(wire.count, host))
            wire.fleet.link(host, "down")
        time.sleep(5)
        wire.fleet.link("node1", "up")
        time.sleep(20)
        wire.fleet.link("node2", "up")
        back = time.monotonic()
        played = playing.result()
    print(f"the job's result came {time.monotonic() - back:.1f} s after the link")
    assert said_by(played, "short")["stdout"] == "read\n"
    assert said_by(played, "long")["stdout"] == "done\n"
    assert said_by(played, "long")["rc"] == 5
    assert wire.count("node1") == wire.count("node2") == 1


def test_a_change_and_a_job_survive_their_control_master(wire: Wire) -> None:
    go = f"{wire.counter}.go"
    once = f"echo x >>{wire.counter}; until [ -e {go} ]; do sleep 0.1; done; echo done; exit 7"
    wire.login("plain", "node1", change=once)
    wire.login("retries", "node2", change=once, ansible_ssh_retries=3)
    wire.login("sudo", "node3", job=once, ansible_user="deploy", **become())
    with wire.running(OWN) as playing:
        for host in wire.fleet.hosts:
            until(functools.partial(wire.count, host))
        for pid in control_masters(wire.home):
            kill(pid)
        for host in wire.fleet.hosts:
            wire.fleet.exec(host, f"touch {go}")
        played = playing.result()
    for login in wire.logins:
        said = said_by(played, login)
        assert (said["rc"], said["stdout"]) == (7, "done\n"), login
    for host in wire.fleet.hosts:
        assert wire.count(host) == 1
    assert "plain: the connection is lost, connecting again" in played.text


def test_a_stale_control_master_costs_one_deadline(wire: Wire) -> None:
    wire.login("plain", "node1", read="echo here", deadline=3)
    wire.login("sudo", "node3", read="echo here", deadline=3, ansible_user="deploy", **become())
    stop = {
        "name": "stop",
        "local_action": f"ansible.builtin.command pkill -STOP -f {wire.home}/cp/cn-",
        "run_once": True,
    }
    trace = wire.directory / "trace.json"
    env = {"CLOSURE_NIXOS_TRACE": str(trace)}
    try:
        between = wire(OWN, stop, OWN, env=env)
        for pid in control_masters(wire.home):
            os.kill(pid, signal.SIGSTOP)
        later = wire(OWN, env=env)
    finally:
        for pid in control_masters(wire.home):
            kill(pid)
    for login in wire.logins:
        for played in (between, later):
            assert said_by(played, login)["stdout"] == "here\n"
        ends = [end for _name, end in traced(trace, login)]
        assert ends == ["rc 0", "TimeoutError", "rc 0", "TimeoutError", "rc 0"]


def test_a_connection_without_stdin_gets_a_file(wire: Wire) -> None:
    who = f"tty; id -un; echo x >>{wire.counter}; exit 4"
    wire.login("root", "node1", read=who, stdin=False)
    wire.login("sudo", "node3", read=who, stdin=False, ansible_user="deploy", **become())
    wire.login("nsenter", "node2", read=who, stdin=False, **enter(wire.fleet, "node2"))
    played = wire(OWN)
    for login in wire.logins:
        said = said_by(played, login)
        assert (said["rc"], said["stdout"]) == (4, "not a tty\nroot\n"), login
    for host in wire.fleet.hosts:
        assert wire.count(host) == 1
        assert wire.fleet.exec(host, "ls /tmp | grep closure-nixos || :") == ""


def test_an_attacker_takes_no_directory_of_ours(wire: Wire) -> None:
    deploy = {"ansible_user": "deploy", **become()}
    wire.login("root", "node1", bring="good\n", times=20)
    wire.login("sudo", "node1", bring="good\n", times=20, **deploy)
    wire.login("file", "node1", bring="good\n", times=20, stdin=False, **deploy)
    with attacked(wire.fleet, "node1"):
        played = wire(OWN)
    for login, user in (("root", "root"), ("sudo", "deploy"), ("file", "deploy")):
        assert played.result(login)["found"] == [f"root 700\n{user} 700\ngood\n"] * 20
    assert wire.fleet.exec("node1", "ls /tmp /var/tmp | grep closure-nixos- || :") == ""


# What polkit asks before run0 starts anything.
POLKIT = """polkit.addRule(function(action, subject) {
  if (action.id == "org.freedesktop.systemd1.manage-units" && subject.user == "deploy")
    return polkit.Result.YES; });"""
POLKIT_RULES = "/etc/polkit-1/rules.d/60-t.rules"
# With these, Ansible's plugin for sudo gives the commands of community.general's for the two.
DOAS = {"ansible_become_exe": "doas", "ansible_become_flags": "-n"}
RUN0 = {"ansible_become_exe": "run0", "ansible_become_flags": ""}


def test_doas_and_run0_carry_scripts_jobs_and_files(wire: Wire) -> None:
    """Also where people ask ssh for a terminal, as Ansible demands of them for run0."""
    deploy = {"ansible_user": "deploy", "ansible_ssh_args": "-tt -o ControlPersist=60s"}
    for name, exe in {"doas": DOAS, "run0": RUN0}.items():
        wire.login(name, "node1", own=name, **deploy, **become(**exe))
    made = f"mkdir -p {POLKIT_RULES.rpartition('/')[0]}; echo '{POLKIT}' >{POLKIT_RULES}"
    wire.fleet.exec("node1", f"echo 'permit nopass deploy as root' >/etc/doas.conf; {made}")
    try:
        played = wire(
            {"name": "read", "wire": {"read": "tty; id -un; cat; echo err >&2; exit 3"}},
            {"name": "job", "wire": {"job": "id -un", "unit": "w-{{ own }}", "name": "{{ own }}"}},
            {"name": "bring", "wire": {"bring": "good\n"}},
        )
    finally:
        wire.fleet.exec("node1", f"rm /etc/doas.conf {POLKIT_RULES}")
    for login in wire.logins:
        said = said_by(played, login, "read")
        assert (said["rc"], said["stdout"]) == (3, "not a tty\nroot\n"), said
        assert said["stderr"].endswith("err\n")
        assert said_by(played, login, "job")["stdout"] == "root\n"
        assert played.result(login, "bring")["found"] == ["root 700\ndeploy 700\ngood\n"]


def test_a_login_that_may_not_become_root_hears_what_helps(wire: Wire) -> None:
    deploy = {"ansible_user": "deploy", "read": "id"}
    here = {"read": "id", "ansible_connection": "local"} | become(
        ansible_become_exe="/nowhere/sudo"
    )
    expected = {
        "requiretty": "you must have a tty to run sudo. Scripts travel without a terminal: put",
        "asks": "Missing sudo password. Set ansible_become_password, or give its sudo",
        "narrow": "Missing sudo password. Set ansible_become_password, or give its sudo",
        "doas": "doas is not enabled, /etc/doas.conf: No such file or directory. Check the",
        "run0": "Interactive authentication required. Its polkit has to allow this login",
        "su": "waiting for privilege escalation prompt. Set ansible_become_password, or",
        "here": "This is the controller: where ansible_become is set for all hosts",
    }
    wire.login("requiretty", "node2", **deploy, **become())
    wire.login("asks", "node3", **deploy, **become(ansible_become_password=""))
    wire.login("narrow", "node2", **deploy | {"ansible_user": "narrow"}, **become())
    wire.login("doas", "node1", **deploy, **become(**DOAS))
    wire.login("run0", "node1", **deploy, **become(**RUN0))
    wire.login("su", "node1", **deploy, **become(ansible_become_method="su", ansible_timeout=2))
    wire.login("here", "node1", **here)
    rule = "narrow ALL=(root) NOPASSWD: /usr/bin/nix-env"
    wire.fleet.exec(
        "node2",
        "echo 'Defaults:deploy requiretty' >/etc/sudoers.d/t-tty &&"
        "useradd -m -s /bin/bash narrow && cp -r /home/deploy/.ssh /home/narrow/ &&"
        f"chown -R narrow: /home/narrow/.ssh && echo '{rule}' >/etc/sudoers.d/t-narrow",
    )
    try:
        played = wire(OWN)
    finally:
        wire.fleet.exec("node2", "rm /etc/sudoers.d/t-*; userdel -f -r narrow 2>/dev/null || :")
    for login, words in expected.items():
        assert words in played.result(login)["msg"], played.result(login)["msg"]
        assert played.stats[login]["failed"] == 1


def test_a_wrong_become_password_is_said_clearly(wire: Wire) -> None:
    wrong = become(ansible_become_password="wrong")
    wire.login("sudo", "node3", read="id", ansible_user="deploy", **wrong)
    played = wire(OWN)
    assert "Incorrect sudo password" in played.result("sudo")["msg"]
    assert played.stats["sudo"]["failed"] == 1
    assert "Traceback" not in played.text


def test_a_job_says_how_it_ended_and_all_it_printed(wire: Wire) -> None:
    deploy = {"ansible_user": "deploy"}
    wire.login("unit", "node1", unit="wire-job")
    wire.login("unit_leased", "node2", unit="wire-job", lease=5)
    wire.login("session", "node1")
    wire.login("session_leased", "node3", lease=5)
    wire.login("deploy", "node2", unit="wire-job", **deploy)
    wire.login("sudo", "node3", unit="wire-job", **deploy, **become())
    keys = {key: f"{{{{ {key} | default(omit) }}}}" for key in ("unit", "lease")}

    def task(name: str, command: str) -> Variables:
        # Two jobs of one name are not to meet on a host.
        return {"name": name, "wire": keys | {"job": command, "name": "{{ inventory_hostname }}"}}

    # SIGPIPE is ignored in a job, as systemd does in its units.
    lines = "yes ä 2>/dev/null | head -c 2500000"
    printed = rf"{lines}; printf '\377\000 no newline'; echo problem >&2; exit 3"
    played = wire(
        task("exit", printed),
        task("killed", f"echo x >>{wire.counter}.$(id -un); kill -9 $$"),
        task("child killed", "sleep 60 & kill -9 $!; wait $!; echo on"),
    )
    output = ("ä\n".encode() * 1000000)[:2500000] + b"\xff\0 no newline"
    for login in wire.logins:
        said = said_by(played, login, "exit")
        assert (said["rc"], said["sha256"]) == (3, sha256(output)), login
        assert said["stderr"] == "problem\n"
        assert said_by(played, login, "killed")["rc"] is None
        child = said_by(played, login, "child killed")
        assert (child["rc"], child["stdout"]) == (0, "on\n")
    runs = [wire.fleet.exec(host, f"cat {wire.counter}.*") for host in wire.fleet.hosts]
    assert runs == ["x\n" * 2] * 3


def test_what_prints_in_a_loop_does_not_fill_the_host(wire: Wire) -> None:
    job = "yes | head -c 30000000; echo the end; exit 3"
    wire.login("unit", "node1", unit="wire-loop", job=job)
    wire.login("session", "node2", lease=20, job=job)
    wire.login("full", "node3", unit="wire-loop", job=job)
    with contextlib.ExitStack() as stack:
        for host, kib in {"node1": 4000, "node2": 4000, "node3": 200}.items():
            stack.enter_context(little_room(wire.fleet, host, kib))
        played = wire(OWN)
    for login in ("unit", "session"):
        said = said_by(played, login)
        assert (said["rc"], said["end"][-9:]) == (3, "\nthe end\n")
        # A quarter of the room, and the end.
        assert 900_000 < said["bytes"] < 1_100_000
    assert "KiB left, and a job needs 256: make room there" in played.result("full")["msg"]


def test_a_job_of_one_name_runs_once_at_a_time(wire: Wire) -> None:
    job = {"job": f"echo x >>{wire.counter}; sleep 3"}
    for host, unit in (("node1", ""), ("node2", "wire-twice")):
        wire.login(f"{host}_a", host, unit=unit, **job)
        wire.login(f"{host}_b", host, unit=unit, **job)
    played = wire(OWN)
    for host in ("node1", "node2"):
        results = [played.result(f"{host}_{login}") for login in "ab"]
        refused = [result["msg"] for result in results if result["failed"]]
        assert len(refused) == 1
        assert refused[0].endswith("does not start wire: wire is already running on this host.")
        assert wire.count(host) == 1


def test_a_job_survives_systemd_executing_itself_anew(wire: Wire) -> None:
    again = "for i in 1 2 3; do systemctl daemon-reexec; sleep 0.5; done; echo done; exit 7"
    wire.login("unit", "node1", unit="wire-reexec", job=again)
    wire.login("session", "node2", job=again)
    played = wire(OWN)
    for login in wire.logins:
        said = said_by(played, login)
        assert (said["rc"], said["stdout"]) == (7, "done\n"), login


def test_a_task_that_runs_out_of_time_stops_its_job(wire: Wire) -> None:
    # The time is enough to begin on a busy machine, and the job lasts longer than the end may take.
    job = f"echo x >>{wire.counter}; sleep 40; echo late >>{wire.counter}"
    wire.login("unit", "node1", unit="wire-timeout", job=job)
    wire.login("session", "node2", job=job)
    stubborn = {"job": f"trap '' TERM; {job}", "lease": 60}
    wire.login("stubborn", "node3", ansible_user="deploy", **stubborn, **become())
    played = wire(OWN | {"timeout": 12})
    for login in wire.logins:
        assert "Timed out after 12 second" in str(played.result(login))
    for host in wire.fleet.hosts:
        assert wire.fleet.exec(host, "pgrep -f '^sleep 40$' || :") == ""
        assert wire.fleet.exec(host, f"cat {wire.counter}") == "x\n"


def test_a_reboot_ends_a_job_with_a_sentence(wire: Wire) -> None:
    job = f"echo x >>{wire.counter}; sleep 60"
    wire.login("unit", "node1", unit="wire-reboot", job=job)
    wire.login("deploy", "node2", job=job, ansible_user="deploy")
    with wire.running(OWN) as playing:
        for host in ("node1", "node2"):
            until(functools.partial(wire.count, host))
            wire.fleet.exec(host, "systemctl reboot")
        played = playing.result()
    for login, host in (("unit", "node1"), ("deploy", "node2")):
        result = played.result(login)
        if "said" in result:
            # The last poll has heard that the shutdown killed it, or what a login keeps at home is
            # there after the reboot.
            assert result["said"]["rc"] is None
        else:
            # A start that was not answered is not made twice.
            sentences = ("there is no job wire on this host", "has rebooted since")
            assert any(sentence in result["msg"] for sentence in sentences), result["msg"]
        assert wire.count(host) == 1
    assert "Traceback" not in played.text


def test_a_job_that_fills_the_host_goes_on_and_says_how_it_ended(wire: Wire) -> None:
    fill = "cat /dev/zero >/run/t-fill 2>&1; echo full; sleep 10; exit 5"
    wire.login("unit", "node1", unit="wire-fill", lease=8, job=fill)
    with little_room(wire.fleet, "node1", 2000):
        try:
            said = said_by(wire(OWN), "unit")
        finally:
            wire.fleet.exec("node1", "rm /run/t-fill")
    # Its lease is renewed and its end is written without room.
    assert said["rc"] == 5, said


LATE = "sleep 9; echo late"
FOREVER = "sleep 1000"


def sleeps_no_more(wire: Wire, host: str) -> bool:
    return wire.fleet.exec(host, f"pgrep -f '^{FOREVER}$' || :") == ""


@pytest.mark.parametrize("end", soak_but(["killed", "interrupted"], "killed"))
def test_a_lease_ends_a_job_that_nobody_follows(
    wire: Wire, start_play: StartPlay, end: str
) -> None:
    before, after = f"echo x >>{wire.counter}; ", f" >>{wire.counter}"
    job, leased = f"{before}{LATE}{after}", f"{before}{FOREVER}; echo late{after}"
    wire.login("unit", "node1", unit=f"wire-{end}", lease=3, job=leased)
    wire.login("session", "node3", lease=3, job=leased, ansible_user="deploy")
    wire.login("unleased", "node2", unit=f"wire-{end}", job=job)
    started = start_play(playbook(OWN), "-i", wire.inventory(), env=PLUGINS)
    for host in wire.fleet.hosts:
        until(functools.partial(wire.count, host))
    if end == "killed":
        started.kill()
    else:
        started.signal(signal.SIGINT)
        started.process.wait(PATIENCE)
    for host in ("node1", "node3"):
        until(functools.partial(sleeps_no_more, wire, host))
    until(lambda: "late" in wire.fleet.exec("node2", f"cat {wire.counter}"))
    for host in ("node1", "node3"):
        assert wire.fleet.exec(host, f"cat {wire.counter}") == "x\n"


def test_an_orphaned_worker_stops_and_can_do_nothing_more(
    wire: Wire, start_play: StartPlay
) -> None:
    state = "/run/closure-nixos"
    wire.login("root", "node1", job=f"echo x >>{wire.counter}; {FOREVER}", lease=8)
    started = start_play(playbook(OWN), "-i", wire.inventory(), env=PLUGINS)
    until(functools.partial(wire.count, "node1"))
    first = wire.fleet.exec("node1", f"cat {state}/current").strip()
    assert len(started.processes()) > 1
    started.process.kill()
    started.process.wait()
    until(lambda: not started.processes())

    wire.login("root", "node1", change=f"echo x >>{wire.counter}; echo second")
    assert said_by(wire(OWN), "root")["stdout"] == "second\n"
    assert wire.count("node1") == 2
    assert wire.fleet.exec("node1", f"cat {state}/current").strip() != first
    boot = wire.fleet.exec("node1", "cat /proc/sys/kernel/random/boot_id").strip()
    for called in (("remove", wire.counter), ("reboot_host", boot)):
        late = script("request", first, "who", "late", "", *called).text
        told = wire.fleet.exec("node1", f"({late}) 2>&1; echo $?")
        assert told.endswith("\n75\n")
        assert "this run was replaced on this host by a newer one: root@" in told
    assert wire.count("node1") == 2
    # The lease ends what the first run has left behind.
    until(functools.partial(sleeps_no_more, wire, "node1"))


def test_a_broken_shell_is_replaced_or_named(wire: Wire) -> None:
    deploy = {"ansible_user": "deploy"}
    wire.login("root", "node1", read="echo here")
    wire.login("sudo", "node1", read="echo here", **deploy, **become())
    wire.login("password", "node3", read="echo here", **deploy, **become())
    wire.login("job", "node1", job="echo here", unit="wire-shell")
    wire.login("none", "node2", read="echo here")
    wire.login("none_sudo", "node2", read="echo here", **deploy, **become())
    break_shell = "mv /bin/sh /bin/sh.aside; ln -s sh /bin/sh"
    systems = "/run/current-system /run/booted-system"
    try:
        for host in wire.fleet.hosts:
            wire.fleet.exec(host, break_shell)
        wire.fleet.exec("node2", f"for it in {systems}; do mv -T $it $it.aside; done")
        played = wire(OWN)
    finally:
        wire.fleet.exec("node2", f"for it in {systems}; do mv -T $it.aside $it; done")
        for host in wire.fleet.hosts:
            wire.fleet.exec(host, "mv /bin/sh.aside /bin/sh")
    for login in ("root", "sudo", "password", "job"):
        assert said_by(played, login)["stdout"] == "here\n"
    for login in ("none", "none_sudo"):
        message = played.result(login)["msg"]
        assert message.startswith(f"{login} answers, but /run/booted-system/sw/bin/sh does not")
        assert played.stats[login]["unreachable"] == 0


def test_a_script_that_hangs_ends_with_a_sentence(wire: Wire) -> None:
    hang = {"read": "sleep 1000", "deadline": 3, "retry_for": 6}
    wire.login("root", "node1", **hang)
    wire.login("sudo", "node3", ansible_user="deploy", **hang, **become())
    wire.login("nsenter", "node2", **hang, **enter(wire.fleet, "node2"))
    played = wire(OWN | {"ignore_unreachable": True}, {"name": "on", "wire": {"read": "echo on"}})
    for login in wire.logins:
        assert f"{login} gave no answer in 3 s" in played.results(login)[0]["msg"]
        assert said_by(played, login, "on")["stdout"] == "on\n"
    assert "Traceback" not in played.text


def test_a_host_that_cannot_be_reached_is_unreachable(wire: Wire) -> None:
    addresses = {name: values["ansible_host"] for name, values in wire.fleet.hosts.items()}
    nobody = addresses["node1"].rpartition(".")[0] + ".250"
    known = wire.directory / "known_hosts"
    lines = wire.fleet.inventory.with_name("known_hosts").read_text().splitlines()
    key = next(line for line in lines if addresses["node2"] in line).split(maxsplit=1)[1]
    known.write_text(f"{addresses['node1']} {key}\n")
    options = "-o IdentitiesOnly=yes -o GlobalKnownHostsFile=/dev/null -o UserKnownHostsFile="
    wire.login("nobody", "node1", ansible_host=nobody, read="id")
    wire.login("closed", "node1", ansible_port=9, read="id")
    wire.login("other_key", "node1", ansible_ssh_common_args=f"{options}{known}", read="id")
    wire.login("asks", "node1", read="id", on="node9")
    trace = wire.directory / "trace.json"
    task = {"name": "on", "wire": OWN["wire"] | {"on": "{{ on | default(omit) }}"}}
    played = wire(task, env={"CLOSURE_NIXOS_TRACE": str(trace)})
    for login in ("nobody", "closed", "other_key"):
        assert len(traced(trace, login)) == 1
        assert played.stats[login]["unreachable"] == 1
        assert played.stats[login]["failed"] == 0
    assert "No route to host" in played.result("nobody")["msg"]
    assert "Connection refused" in played.result("closed")["msg"]
    assert "HOST IDENTIFICATION HAS CHANGED" in played.result("other_key")["msg"]
    assert played.stats["asks"]["failed"] == 1
    assert played.result("asks")["msg"].startswith("The inventory has no host node9.")
    assert "Traceback" not in played.text


class Asking:
    """Plays in which hosts ask others, by our second connection and by Ansible's delegation."""

    def __init__(self, wire: Wire) -> None:
        hosts, inventory = wire.fleet.hosts, wire.fleet.inventory
        self._play = wire.play
        self._path = wire.directory / "asking.json"
        self._own = {"ansible_host": hosts["node1"]["ansible_host"]}
        self._other = {"ansible_host": hosts["node3"]["ansible_host"]}
        self.password = hosts["node3"]["ansible_become_password"]
        known_hosts = f"-o UserKnownHostsFile={inventory.with_name('known_hosts')}"
        self._all = {
            "ansible_ssh_private_key_file": str(inventory.with_name("id_ed25519")),
            "ansible_ssh_common_args": known_hosts,
        }
        self.askers: dict[str, Variables] = {}
        self.commands: list[str] = []
        self._groups: dict[str, Variables] = {}

    def add(self, name: str, other: Variables, **own: object) -> None:
        """Let a host ask another one, which is alone in a group of the asking one's name."""
        self.askers[name] = self._own | {"on": f"other_{name}"} | own
        self._groups[name] = {"hosts": {f"other_{name}": self._other | other}}

    def __call__(self, *args: str, **keywords: object) -> dict[str, tuple[str, str]]:
        """Whom each reached, by either way."""
        groups = {"askers": {"hosts": self.askers}} | self._groups
        self._path.write_text(json.dumps({"all": {"vars": self._all, "children": groups}}))
        read = "id -un; cat /etc/hostname"
        tasks = (
            {"name": "second", "wire": {"read": read, "on": "{{ on }}"}},
            {"name": "delegated", "wire": {"read": read}, "delegate_to": "{{ on }}"},
        )
        text = playbook(*tasks, hosts="askers", **keywords)
        played = self._play(text, "-i", str(self._path), *args, env=PLUGINS)
        self.commands = [line for _time, line in played.lines if "SSH: EXEC" in line]
        return {name: self._reached(played, name) for name in self.askers}

    def _reached(self, played: Played, name: str) -> tuple[str, str]:
        second, other = (said_by(played, name, task) for task in ("second", "delegated"))
        return second["stdout"], other["stdout"]


def encrypted(text: str, key: pathlib.Path, environment: dict[str, str]) -> str:
    """A variable ansible_user in Ansible's vault."""
    command = ["ansible-vault", "encrypt_string", text, "--name", "ansible_user"]
    return subprocess.run(
        [*command, "--vault-password-file", str(key)],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


def test_a_second_connection_reaches_what_delegation_reaches(
    wire: Wire, environment: dict[str, str]
) -> None:
    key = wire.directory / "vault.txt"
    key.write_text("the password of a vault")
    variables = wire.directory / "group_vars"
    variables.mkdir()
    (variables / "vaulted.yml").write_text(encrypted("deploy", key, environment))
    (variables / "group.yml").write_text("ansible_user: deploy\n")

    asking = Asking(wire)
    asking.add("host", {"ansible_user": "deploy"})
    asking.add("group", {})
    asking.add("vaulted", {})
    asking.add("templated", {"who": "deploy", "ansible_user": "{{ who }}"})
    asking.add("own_user", {}, ansible_user="deploy")
    asking.add("own_become", {"ansible_user": "deploy"}, ansible_become=True)
    sudo = become(ansible_become_password=asking.password)
    asking.add("becomes", {"ansible_user": "deploy"} | sudo)
    asking.askers["here"] = {"on": "localhost", "ansible_host": "node1"}
    reached = asking("--vault-password-file", str(key))

    deploy, root = "deploy\nnode3\n", "root\nnode3\n"
    users = dict.fromkeys(asking.askers, deploy) | {"own_user": root, "becomes": root}
    users["here"] = f"{getpass.getuser()}\n{pathlib.Path('/etc/hostname').read_text()}"
    assert reached == {name: (text, text) for name, text in users.items()}


def test_a_second_connection_hears_the_play_and_the_command_line(wire: Wire) -> None:
    asking = Asking(wire)
    asking.add("plain", {})
    play_vars = {"vars": {"ansible_user": "deploy"}}
    for args, keywords in (
        ((), play_vars),
        (("-e", "ansible_user=deploy"), {}),
        (("-u", "deploy"), {}),
    ):
        assert asking(*args, **keywords) == {"plain": ("deploy\nnode3\n",) * 2}

    asking.add("typed", {"ansible_user": "deploy"} | become())
    password = wire.directory / "password.txt"
    password.write_text(asking.password)
    reached = asking("--become-password-file", str(password))
    assert reached["typed"] == ("root\nnode3\n",) * 2


def test_a_password_of_ones_own_is_not_for_another_host(wire: Wire) -> None:
    asking = Asking(wire)
    asking.add("plain", {}, ansible_password="own", **enter(wire.fleet, "node1"))
    assert asking("-vvv") == {"plain": ("root\nnode3\n",) * 2}
    assert len(asking.commands) == 2
    assert all("PasswordAuthentication=no" in command for command in asking.commands)


def test_the_host_says_whether_a_connection_is_new(wire: Wire) -> None:
    """Whatever the ssh arguments are: people may set them, and share a connection by them."""
    home = wire.home / "cp"
    persist = "-o ControlMaster=auto -o ControlPersist=60s"
    shared = f"{persist} -o ControlPath={home}/shared-%h"
    deploy = {"ansible_user": "deploy"}
    retried = {"ansible_ssh_retries": 3}
    arguments: dict[str, Variables] = {
        "plain": {},
        "sudo": deploy | become(),
        "args": {"ansible_ssh_args": shared},
        "common": {"ansible_ssh_common_args": f"{{{{ known }}}} {shared}"},
        "extra": {"ansible_ssh_extra_args": f"-o controlpath={home}/extra-%h"},
        "none": {"ansible_ssh_args": "-C"},
        "terminal": {"ansible_ssh_args": f"-tt -o RequestTTY=force {persist}"},
        "plugin": {"ansible_pipelining": False, "ansible_ssh_use_tty": True, **retried},
        "old": {"ansible_ssh_args": f"{persist} -S {home}/old-%h"},
        "nsenter": enter(wire.fleet, "node2"),
    }
    known = f"-o UserKnownHostsFile={wire.fleet.inventory.with_name('known_hosts')}"
    for name, variables in arguments.items():
        wire.login(name, "node2", read="tty; id -un", known=known, **variables)
    played = wire(OWN, OWN | {"name": "fresh", "wire": {"fresh": True}})
    said = {login: played.result(login, "fresh").get("found") for login in arguments}
    assert said == dict.fromkeys(arguments, "new") | {"old": "old", "nsenter": "unknown"}
    for login in ("terminal", "plugin"):
        assert said_by(played, login, "own")["stdout"] == "not a tty\nroot\n"


@pytest.mark.soak
def test_a_login_may_take_its_time(wire: Wire) -> None:
    """As with LDAP or DNS that is slow: sshd says nothing before the session has begun."""
    pam = "/etc/pam.d/sshd"
    slow = "session required pam_exec.so /bin/sleep 25"
    wire.login("slow", "node2", read="echo here", deadline=30)
    try:
        wire.fleet.exec("node2", f"cp {pam} {pam}.t; sed -i '1i {slow}' {pam}")
        played = wire(OWN, env={"ANSIBLE_SSH_CONTROL_PATH_DIR": f"{wire.home}/slow"})
    finally:
        wire.fleet.exec("node2", f"mv {pam}.t {pam}")
    assert said_by(played, "slow")["stdout"] == "here\n"
    assert said_by(played, "slow")["seconds"] >= 25


def test_a_host_that_says_too_much_or_nonsense_is_left_with_a_sentence(wire: Wire) -> None:
    wire.login("endless", "node1", read="yes '\x1b[31m'")
    wire.login("nonsense", "node2", parse="echo x")
    wire.login("deep", "node3", parse="yes [ | tr -d '\\n' | head -c 100000")
    deploy = {"ansible_user": "deploy", **become()}
    wire.login("environment", "node1", read="echo $T_PROXY; ps -o args= -C sh", **deploy)
    played = wire(OWN | {"environment": {"T_PROXY": "it's"}})
    # In no process list, because there may be a password in it.
    assert said_by(played, "environment")["stdout"].startswith("it's\n")
    assert "it's" not in said_by(played, "environment")["stdout"][5:]
    del wire.logins["environment"]
    endless = played.result("endless")
    assert "endless answers without an end: more than 16 MiB." in endless["msg"]
    # Also by way of ssh, whose plugin keeps all that it reads.
    assert 0 < endless["grown"] < 100_000, endless
    for login, error in (("nonsense", "JSONDecodeError"), ("deep", "RecursionError")):
        message = played.result(login)["msg"]
        assert message.startswith(f"{login} gave an answer that cannot be read ({error}: ")
    for login in wire.logins:
        assert played.stats[login]["failed"] == 1
