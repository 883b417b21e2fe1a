# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Faults around a trial: no room, somebody else's hand, a lock that is held."""

from __future__ import annotations

import contextlib
import functools
import json
import pathlib

import pytest
from ansible_collections.closure.nixos.tests.integration._harness import (
    Fleet,
    Play,
    Played,
    little_room,
    until,
)
from ansible_collections.closure.nixos.tests.integration._systems import (
    COPY,
    HOSTS,
    Task,
    booted_next,
    build,
    module,
    playbook,
    quartet,
    recorded,
    running,
    switch,
    write_systems,
)
from ansible_collections.closure.nixos.tests.integration._trials import (
    at,
    deploy_good,
    deployment,
    look,
    on,
    outcome,
)

BACK = module("nixos_rollback", {"to": "unconfirmed", "why": "the test says so"})
IGNORED = {"ignore_errors": True}
LOCK = "/run/nixos/switch-to-configuration.lock"

# Else ssh would wait for its end.
QUIET = ">/dev/null 2>&1 </dev/null"
# Ends that lock once the guard has said that it waits for it.
WAITS = "waits.for.process.*sleep.600"
RELEASE = f"""systemd-run -q --setenv=since=@$(date +%s) sh -c 'until
journalctl -u closure-nixos-guard --since $since | grep -q {WAITS}; do sleep 1; done
pkill -u nobody sleep'""".replace("\n", " ").replace("done ", "done; ")

# Old systems: a line for each activation, and one of them has a snippet that fails.
COUNT = '{ system.activationScripts.count = "umask >>/run/t-count"; }'
ILL = '{ system.activationScripts = { count = "umask >>/run/t-count"; ill = "false"; }; }'

LOOPS = '{ system.activationScripts.loops = "yes | head -c 40000000"; }'
FILLS = '{ system.activationScripts.fills = "head -c 99000000 /dev/zero >/run/t-fill || :"; }'
REFUSES = '{ system.preSwitchChecks.refuses = "echo not today; exit 1"; }'


def trial(confirm_timeout: object, **arguments: object) -> Task:
    limits = dict.fromkeys(("confirm_timeout", "check_timeout"), confirm_timeout)
    return switch("switch", **limits, **arguments) | IGNORED


def on_host(name: str, script: str, **hosts: str) -> Task:
    """A task for each host that is named, with its own script."""
    wanted: Task = {"name": name, "ansible.builtin.raw": script, "changed_when": False}
    if hosts:
        wanted["ansible.builtin.raw"] = f"{{{{ {json.dumps(hosts)}[inventory_hostname] }}}}"
        wanted["when"] = f"inventory_hostname in {json.dumps(list(hosts))}"
    return wanted


def boots(fleet: Fleet) -> list[str]:
    script = "systemctl show -P UserspaceTimestampMonotonic"
    return [fleet.exec(host, script) for host in HOSTS]


def message(played: Played, host: str, task: str = "nixos_switch") -> str:
    return str(played.result(host, task)["msg"])


def is_rolled_back(fleet: Fleet, host: str) -> bool:
    return outcome(fleet, host)[0] == "rolled-back"


@pytest.fixture
def old(fleet: Fleet, play: Play, tmp_path: pathlib.Path) -> dict[str, str]:
    """The systems that hosts run, record and boot: host -> its path."""
    file = write_systems(tmp_path, COUNT, node3=ILL)
    tasks = [task | IGNORED for task in quartet(file)]
    play(playbook(*tasks))
    return at(fleet)


@pytest.mark.soak
def test_without_room_a_host_refuses_or_rolls_back(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path, old: dict[str, str]
) -> None:
    file = write_systems(tmp_path, node2=LOOPS, node3=FILLS)
    booted = boots(fleet)
    with contextlib.ExitStack() as stack:
        for host, kib in {"node1": 300, "node2": 45000, "node3": 45000}.items():
            stack.enter_context(little_room(fleet, host, kib))
        played = play(playbook(build(file), COPY, trial(5)))
        for host in HOSTS[1:]:
            until(functools.partial(is_rolled_back, fleet, host))
    fleet.exec("node3", "rm /run/t-fill")
    assert at(fleet) == old
    assert boots(fleet) == booted
    assert "nothing was activated, make room there" in message(played, "node1")
    for host in HOSTS[1:]:
        assert "was not confirmed within 5 s" in deployment(fleet, host)["why"]
    facts = look(play)
    assert facts["node1"]["trial"] is None
    assert facts["node2"]["trial"]["state"] == facts["node3"]["trial"]["state"] == "returned"
    deploy_good(play, fleet, tmp_path)


def holds(fleet: Fleet, host: str, content: str) -> bool:
    """Whether it has that secret, and no other one is kept to be put back."""
    kept = "cat /run/keys/t-it; ls /run/closure-nixos | grep -x undo"
    return fleet.exec(host, kept, check=False) == content


@pytest.mark.soak
def test_somebody_elses_hand(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path, old: dict[str, str]
) -> None:
    theirs, ours = write_systems(tmp_path), write_systems(tmp_path)
    first = play(playbook(build(theirs), COPY))
    other = first.result("node2", "nix_copy_closure")["path"]
    by_hand = on_host(
        "Meanwhile",
        "",
        node1="systemctl stop closure-nixos-guard",
        node2=f"nix-env -p /nix/var/nix/profiles/system --set {other} && "
        f"{other}/bin/switch-to-configuration switch",
        # Everybody may read that file, and lock it.
        node3=f"runuser -u nobody -- setsid -f flock -s {LOCK} sleep 600 {QUIET}; {RELEASE}",
    )
    booted = boots(fleet)
    put = [
        module("nixos_secrets", {"secrets": {"t-it": {"content": content}}, "state": state})
        for content, state in (("old", "present"), ("new", "prepared"))
    ]
    played = play(playbook(build(ours), COPY, *put, trial(600), by_hand, BACK | IGNORED))
    # They are of the trial, and the old ones are kept nowhere once it is over.
    for host, content in {"node1": "new", "node2": "old", "node3": "old"}.items():
        until(functools.partial(holds, fleet, host, content))
        fleet.exec(host, "rm /run/keys/t-it")
    new = played.result("node1", "nixos_switch")["path"]
    assert running(fleet, "node1") == new
    assert recorded(fleet, "node1") == booted_next(fleet, "node1") == old["node1"]
    assert outcome(fleet, "node1") == ("unconfirmed", "hand")
    assert (
        running(fleet, "node2") == recorded(fleet, "node2") == booted_next(fleet, "node2") == other
    )
    assert outcome(fleet, "node2") == ("overtaken", "hand")
    assert other in deployment(fleet, "node2")["why"]
    assert running(fleet, "node3") == old["node3"]
    assert outcome(fleet, "node3") == ("rolled-back", "task")
    assert fleet.exec("node3", "pgrep -u nobody sleep || :") == ""
    assert boots(fleet) == booted
    states = {host: facts["trial"]["state"] for host, facts in look(play).items()}
    assert states == {"node1": "ended", "node2": "overtaken", "node3": "returned"}


@pytest.mark.soak
def test_what_was_not_activated_is_not_rolled_back(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path, old: dict[str, str]
) -> None:
    # By another name, so that the look at the host does not find who holds it.
    other = f"{LOCK}.other"
    hold = f"setsid -f flock {other} sleep 600 {QUIET}; while flock -n {other} true; do :; done"
    lock = on_host("Lock", "", node2=f"ln {LOCK} {other}; {hold}")
    unlock = on_host("Unlock", "", node2=f"rm {other}; pkill -x sleep")
    count = on_host("Count", "cat /run/t-count")
    booted = boots(fleet)
    patience = on(default=60, node2=0)
    prepared = module("nixos_secrets", {"secrets": {"t-it": {"content": "1"}}, "state": "prepared"})
    played = play(
        playbook(
            *(count, build(write_systems(tmp_path, node1=REFUSES)), COPY, prepared, lock),
            *(trial(600, lock_timeout=patience), unlock, BACK | IGNORED, count),
        )
    )
    for host in HOSTS:
        assert fleet.exec(host, "ls -d /run/keys/t-it /run/closure-nixos/undo", check=False) == ""
    assert at(fleet) == old
    assert boots(fleet) == booted
    counted = {host: played.results(host, "Count") for host in HOSTS}
    more = [len(counted[host][1]["stdout"]) - len(counted[host][0]["stdout"]) for host in HOSTS]
    assert played.result("node2", "nixos_switch")["outcome"] == "locked"
    # The switch that was refused, and the one that was shut out, have left nothing to repair.
    assert more == [0, 0, len("0022\r\n")]
    # Forward and on the way back.
    for host in HOSTS:
        assert {*counted[host][1]["stdout"].split()} == {"0022"}
    # What was refused or shut out has nothing to roll back.
    assert [outcome(fleet, host)[0] for host in HOSTS] == ["failed", "failed", "rolled-back"]


def test_a_trial_that_nobody_attends_is_taken_over_or_rolled_back(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path, old: dict[str, str]
) -> None:
    same, other = write_systems(tmp_path), write_systems(tmp_path)
    # Its ansible-playbook ends, as after Ctrl-C.
    left = play(playbook(build(same), COPY, trial(900)))
    wanted = on(default=str(same), node2=str(other), node3=str(other))
    rollback_only = play(playbook(BACK, hosts="node3"))
    again = play(playbook(build(wanted), COPY, trial(900), module("nixos_confirm", {})))
    assert again.rc == 0, again.text
    said = rollback_only.result("node3", "nixos_rollback")
    assert said["rolled_back"] and said["to"]["path"] == old["node3"]
    assert said["msg"].startswith("rolled back to nixos-system-node3-")
    assert " from the trial of " in said["msg"]
    adopted, replaced = (again.result(host, "nixos_switch") for host in HOSTS[:2])
    assert adopted["unconfirmed"] and not adopted["changed"] and adopted["actions"] == []
    assert replaced["unconfirmed"] and replaced["system_before"] == old["node2"]
    first = left.result("node1", "nixos_switch")["path"]
    assert at(fleet)["node1"] == first and at(fleet)["node2"] == replaced["path"] != first


# A guard that has said its last state, and ends in a while.
ENDING = """cd /run/closure-nixos && rm -rf guard && mkdir -p guard/set && ln -s /bin/sh guard/sh &&
    echo : >guard/set/command && : >guard/state.returned && systemd-run -q --collect \
        --unit=closure-nixos-guard.service --property=Restart=on-failure --property=RestartSec=1 \
        --property=StartLimitIntervalSec=0 \
        --property=ExecStopPost='/run/closure-nixos/guard/sh /run/closure-nixos/guard/set/command' \
        sleep 15"""


@pytest.mark.soak
def test_a_trial_that_follows_another_waits_for_the_end_of_its_guard(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path, old: dict[str, str]
) -> None:
    file = write_systems(tmp_path)
    play(playbook(build(file), COPY, hosts="node1"))
    fleet.exec("node1", ENDING)
    tasks = (build(file), COPY, trial(900), module("nixos_confirm", {}))
    played = play(playbook(*tasks, hosts="node1"))
    assert played.rc == 0, played.text
    assert at(fleet, ["node1"])["node1"] == played.result("node1", "nixos_switch")["path"]


# What a full /run once left, and what nobody ever wrote.
CUT = {
    "node1": """cd /run/closure-nixos/jobs/activation && rm -f acknowledged status &&
        printf "noted activate 0 '{" >command""",
    "node2": """cd /run/closure-nixos && rm -rf current && mkdir current && rm -rf requests/* &&
        mkdir -p guard/set && : >guard/set/armed && : >guard/set/to && : >guard/state.armed""",
    # What stays of it is as private as what we write.
    "node3": """umask 077 && cd /var/lib/closure-nixos && printf /nix/sto >loader-default &&
        : >deployment && printf 'x y z' >boot-once && printf /nix/store/x >boot-pending &&
        : >/run/closure-nixos/jobs/activation/command""",
}


@pytest.mark.soak
def test_state_that_was_cut_is_set_aside_and_the_next_run_converges(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path, old: dict[str, str]
) -> None:
    for host, script in CUT.items():
        fleet.exec(host, script)
    tasks = quartet(write_systems(tmp_path))
    first, again = play(playbook(*tasks)), play(playbook(*tasks))
    assert first.rc == again.rc == 0, first.text + again.text
    assert "node1: what its last activation was cannot be read" in " ".join(first.text.split())
    assert at(fleet).items() & old.items() == set()
    assert [again.stats[host]["changed"] for host in HOSTS] == [0] * 3, again.text
    assert [again.result(host, "nixos_switch")["actions"] for host in HOSTS] == [[]] * 3
