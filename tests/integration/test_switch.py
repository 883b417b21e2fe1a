# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""nixos_switch on real hosts: what it does and says, and what it leaves when things go wrong."""

from __future__ import annotations

import contextlib
import functools
import pathlib
import typing as t
from concurrent import futures

import pytest
from ansible_collections.closure.nixos.tests.integration._harness import (
    Fleet,
    Play,
    Played,
    StartPlay,
    kill,
    traced,
    until,
)
from ansible_collections.closure.nixos.tests.integration._systems import (
    COPY,
    HOSTS,
    PROFILE_SET,
    SWITCH,
    SYSTEMS,
    Task,
    booted_next,
    build,
    difference,
    module,
    nix,
    playbook,
    quartet,
    recorded,
    running,
    started,
    switch,
    trace,
    write_systems,
)

UNIT = "nixos-rebuild-switch-to-configuration.service"
COUNTER = "/var/tmp/activations"
LOG = "/run/closure-nixos/jobs/activation"


def services(**units: str) -> str:
    """A module with services that sleep, each with more settings."""
    sleep = 'wantedBy = [ "multi-user.target" ]; serviceConfig.ExecStart = "/bin/sleep infinity";'
    lines = (f"t-{name} = {{ {sleep} {settings} }};" for name, settings in units.items())
    return f"{{ systemd.services = {{ {' '.join(lines)} }}; }}"


# A dry run with a program that no host has.
TELLS = """{ pkgs, ... }: { system.activationScripts.tells = {
  supportsDryActivation = true;
  text = "${pkgs.writeScript "tells" "#!${pkgs.busybox}/bin/sh\necho would tell\n"}";
}; }"""


def snippet(text: str) -> str:
    """A module with an activation snippet."""
    return f"{{ system.activationScripts.test = ''{text}''; }}"


def deploy(play: Play, tmp_path: pathlib.Path, configuration: str = "{ }", **own: str) -> Played:
    """Deploy a new system to each host, whatever state they are in."""
    played = play(playbook(*quartet(write_systems(tmp_path, configuration, **own))))
    assert "Traceback" not in played.text
    return played


def result(played: Played, host: str) -> dict[str, t.Any]:
    return played.result(host, "nixos_switch")


def test_the_plan_and_the_report_hold_the_units_as_data(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    changed = {
        "restarted": "stopIfChanged = false;",
        "cycled": "",
        "reloaded": 'reloadIfChanged = true; reload = "true";',
        "kept": "restartIfChanged = false;",
    }
    old = services(gone="", same="", **changed)
    after = {name: f"{text} environment.NEW = 1;" for name, text in changed.items()}
    new = services(same="", fresh="", **after)
    there = quartet(write_systems(tmp_path, old, ["node1"]))
    assert play(playbook(*there, hosts="node1")).rc == 0
    begun = {name: started(fleet, "node1", f"t-{name}") for name in ("same", "kept", "reloaded")}
    file = write_systems(tmp_path, new, ["node1"])
    text = playbook(build(file), COPY, PROFILE_SET, switch("dry-activate"), hosts="node1")
    plan = result(play(text), "node1")["plan"]
    played = play(playbook(*quartet(file), hosts="node1"))
    report = result(played, "node1")["report"]

    assert plan["stop"] == report["stopped"] == ["t-cycled.service", "t-gone.service"]
    assert plan["restart"] == report["restarted"] == ["t-restarted.service"]
    assert plan["reload"] == report["reloaded"] == ["t-reloaded.service"]
    assert plan["not_stop"] == report["not_restarted"] == ["t-kept.service"]
    assert plan["start"] == report["started"] == ["t-cycled.service"]
    assert "t-fresh.service" in report["new_units"]
    assert {name: started(fleet, "node1", f"t-{name}") for name in begun} == begun
    assert all(begun.values()) and started(fleet, "node1", "t-fresh")
    assert not started(fleet, "node1", "t-gone")

    settled = trace(fleet, "node1")
    again = play(playbook(*quartet(file), switch("switch"), hosts="node1"))
    assert again.stats["node1"]["changed"] == 0
    assert result(again, "node1")["report"] is None
    assert difference(settled, trace(fleet, "node1")) == []


@pytest.mark.soak
def test_dry_activate_changes_nothing_and_is_no_change(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    def played(*tasks: Task, options: tuple[str, ...] = ()) -> Played:
        return play(playbook(*tasks, hosts="node1"), *options)

    played(*quartet(write_systems(tmp_path)))
    hello = "{ pkgs, ... }: { environment.systemPackages = [ pkgs.hello ]; }"
    file = write_systems(tmp_path, hello)
    played(build(file), COPY)
    before = trace(fleet, "node1")
    dry = result(played(build(file), switch("dry-activate"), options=("--diff",)), "node1")
    checked = result(played(build(file), switch("switch"), options=("--check",)), "node1")
    assert not dry["changed"] and "hello: ∅ → 2.12.1" in dry["diff"]["prepared"]
    assert checked["changed"] and checked["actions"] == ["switch"]
    # What is expected beside that depends on who is logged in.
    assert checked["plan"] | {"expected": {}} == dry["plan"] | {"expected": {}}
    assert difference(before, trace(fleet, "node1")) == []


@pytest.mark.soak
def test_a_boot_default_that_others_have_set_is_set_once_more(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    text = playbook(*quartet(write_systems(tmp_path)))
    first = play(text)
    paths = {host: result(first, host)["path"] for host in HOSTS}
    other = f"$(grep -L init={paths['node1']}/init *.conf | head -n 1)"
    change = f'sed -i "s/^default .*/default {other}/" ../loader.conf'
    fleet.exec("node1", f"cd /boot/loader/entries && {change}")
    assert booted_next(fleet, "node1") != paths["node1"]
    delete = "rm /boot/loader/entries/$(sed -n 's/^default //p' /boot/loader/loader.conf)"
    fleet.exec("node2", delete)
    again, third = play(text), play(text)
    for host, actions in zip(HOSTS, (["boot"], ["boot"], []), strict=True):
        said = result(again, host)
        assert (said["actions"], said["changed"]) == (actions, bool(actions)), said
        assert booted_next(fleet, host) == paths[host]
        assert third.stats[host]["changed"] == 0


def test_a_dry_run_cannot_change_the_host(fleet: Fleet, play: Play, tmp_path: pathlib.Path) -> None:
    file = write_systems(tmp_path, services(new=""), hosts=["node1"])
    arguments = "--argstr", "file", str(file), "--argstr", "host", "node1"
    path = nix("nix-build", "--no-out-link", str(SYSTEMS / "dry-run.nix"), *arguments)
    pid = "systemctl show -P MainPID t-sleeper >/run/t-dry.pid"
    fleet.exec("node1", f"systemd-run --quiet --unit=t-sleeper sleep 300; {pid}")
    copy = module("nix_copy_closure", {"path": path})
    dry = module("nixos_switch", {"path": path, "action": "dry-activate"})
    # Before the copy, the dry run has its program from the controller.
    early = module("nixos_switch", {"path": path, "build_host": "localhost"}, check_mode=True)
    # A host without mount namespaces.
    stub = "/usr/local/bin/unshare"
    hide = {"ansible.builtin.raw": f"printf '#!/bin/sh\\nexit 1\\n' >{stub}; chmod +x {stub}"}
    show = {"ansible.builtin.raw": f"rm {stub}"}
    tasks = (early | {"name": "early"}, hide, early | {"name": "by files"}, show, copy, dry)
    places = "/etc/t-dry /run/t-dry /nix/t-dry /var/lib/t-dry /boot/t-dry"
    look = f"ls {places} 2>/dev/null; mountpoint -q /mnt && echo mounted; mountpoint -q /dev/shm"
    try:
        played = play(playbook(*tasks, hosts="node1"))
        left = fleet.exec("node1", f"{look} || echo unmounted; hostname", check=False).split()
        alive = fleet.exec("node1", "systemctl is-active t-sleeper", check=False).strip()
    finally:
        fleet.exec("node1", f"systemctl stop t-sleeper; rm -f /run/t-dry.pid {stub}")
    for said in (played.result("node1", "early"), result(played, "node1")):
        assert not said["failed"] and said["plan"]["start"] == ["t.service"], said
        did = [line for line in said["plan"]["messages"] if line.startswith("did ")]
        assert (did, left, alive) == ([], ["node1"], "active"), said["plan"]
    by_files = played.result("node1", "by files")
    assert "this host has no mount namespaces. Its units" in by_files["warnings"][0]
    assert by_files["plan"]["start"] == [] and by_files["plan"]["messages"] == []
    assert "t-new.service" in by_files["plan"]["expected"]["start"], by_files


def test_a_failure_says_what_runs_and_what_boots(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    assert deploy(play, tmp_path).rc == 0
    old = {host: running(fleet, host) for host in HOSTS}
    played = deploy(
        play,
        tmp_path,
        node1=services(broken='serviceConfig.Type = "oneshot"; preStart = "echo no port; exit 3";'),
        node2=snippet("false"),
        node3='{ system.preSwitchChecks.refuses = "echo not today; exit 1"; }',
    )
    new = {host: played.result(host, "nix_build_system")["path"] for host in HOSTS}
    assert [played.stats[host]["failed"] for host in HOSTS] == [1, 1, 1]
    said = {host: result(played, host) for host in HOSTS}
    outcomes = [(said[host]["exit_code"], said[host]["outcome"]) for host in HOSTS]
    assert outcomes == [(4, "failed-units"), (2, "activation-failed"), (1, "not-activated")]
    assert said["node1"]["failed_units"] == ["t-broken.service"]
    assert " t-broken.service said: 'no port'. node1 runs " in said["node1"]["msg"]
    assert said["node1"]["unit_logs"] == {"t-broken.service": ["no port"]}
    assert said["node2"]["report"]["failed_snippets"] == ["test"]
    assert "refuses" in said["node3"]["msg"]
    runs = {"node1": new["node1"], "node2": new["node2"], "node3": old["node3"]}
    for host in HOSTS:
        assert running(fleet, host) == said[host]["system_after"] == runs[host]
        assert booted_next(fleet, host) == runs[host]
        assert said[host]["msg"].endswith(f"{host} runs {runs[host]} and boots {runs[host]}.")
        assert said[host]["changed"] is (host != "node3")
    # What fails in the system that runs, too, is not the next one's fault.
    again = deploy(play, tmp_path, node2=snippet("false"))
    assert again.rc == 0, again.text
    excused = result(again, "node2")
    assert (excused["exit_code"], excused["outcome"]) == (2, "activation-failed")
    assert "its activation script failed in test, which is the same in" in excused["warnings"][0]


@pytest.mark.soak
def test_what_only_a_reboot_can_change_is_not_activated(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    assert deploy(play, tmp_path).rc == 0
    old = {host: running(fleet, host) for host in HOSTS}
    small = "mount -t tmpfs -o size=64k tmpfs /boot && head -c 1000000 /dev/zero >/boot/full || :"
    fleet.exec("node3", small)
    file = write_systems(
        tmp_path,
        node1='{ services.dbus.implementation = "broker"; }',
        node2='{ system.initInterfaceVersion = "systemd 3"; }',
        node3=TELLS,
    )
    early = switch("auto", build_host="localhost") | {"name": "early", "check_mode": True}
    planned = switch("dry-activate") | {"ignore_errors": True}
    try:
        played = play(playbook(build(file), early, COPY, PROFILE_SET, planned, SWITCH))
    finally:
        fleet.exec("node3", "umount /boot")
    foretold = [played.result(host, "early") for host in HOSTS]
    assert [it["actions"] for it in foretold] == [["boot"], ["boot"], ["switch"]]
    assert [it["msg"].split()[:2] for it in foretold[:2]] == [["would", "boot"]] * 2
    assert foretold[0]["reboot_required"] and foretold[2]["plan_sent"] > 0
    assert "would tell" in foretold[2]["plan"]["messages"]
    refused = played.results("node2", "nixos_switch")[0]
    assert (refused["outcome"], refused["exit_code"]) == ("reboot-required", 100)
    assert refused["msg"].startswith("node2: The configuration would not be activated: its init")
    said = [result(played, host) for host in HOSTS]
    assert [it["outcome"] for it in said] == ["inhibited", "reboot-required", "bootloader-failed"]
    assert [it["exit_code"] for it in said] == [1, 100, 1]
    assert said[0]["report"]["inhibited"] == [["dbus-implementation", "dbus", "broker"]]
    assert all("reboot the host" in it["msg"] for it in said[:2])
    assert "/boot" in said[2]["msg"]
    assert {host: running(fleet, host) for host in HOSTS} == old
    booted = play(playbook(build(file), switch("boot")))
    assert [booted.stats[host]["failed"] for host in HOSTS] == [0, 0, 0]
    for host in HOSTS:
        assert booted_next(fleet, host) == result(booted, host)["path"] != old[host]
        assert running(fleet, host) == old[host]
    assert result(booted, "node2")["reboot_required"] is True


def test_it_waits_for_another_switch_and_respects_the_lock(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    file = write_systems(tmp_path)
    play(playbook(build(file), COPY, PROFILE_SET, hosts="node1:node2"))
    play(playbook(build(file), COPY))
    boots = booted_next(fleet, "node3")
    lock = "flock /run/nixos/switch-to-configuration.lock sleep 300"
    fleet.exec("node1", f"mkdir -p /run/nixos; systemd-run --unit=t-holder {lock}")
    ended = "until [ -e /run/t-seen ]; do sleep 0.1; done; rm /run/t-seen"
    fleet.exec("node2", f"systemd-run --unit={UNIT} --collect sh -c '{ended}'")
    limit = "{{ 3 if inventory_hostname == 'node1' else 600 }}"
    text = playbook(build(file), switch("switch", lock_timeout=limit))
    trace = tmp_path / "trace.json"
    try:
        with futures.ThreadPoolExecutor(1) as executor:
            playing = executor.submit(play, text, env={"CLOSURE_NIXOS_TRACE": str(trace)})
            # It has been seen before it ends.
            until(lambda: traced(trace, "node2"))
            fleet.exec("node2", "touch /run/t-seen")
            played = playing.result()
    finally:
        fleet.exec("node1", "systemctl stop t-holder")
        fleet.exec("node2", "touch /run/t-seen")
    held, waited, unset = (result(played, host) for host in HOSTS)
    assert "node1 is still busy with another switch, after 3 s: process " in held["msg"]
    assert lock in held["msg"]
    assert running(fleet, "node1") != waited["path"]
    looks = [name for name, _end in traced(trace, "node2") if name == "system_facts"]
    assert waited["outcome"] == "ok" and len(looks) > 1
    assert running(fleet, "node2") == booted_next(fleet, "node2") == waited["path"]
    assert "node3: /nix/var/nix/profiles/system does not hold" in unset["msg"]
    assert "closure.nixos.nix_profile_set" in unset["msg"]
    assert running(fleet, "node3") != unset["path"] and booted_next(fleet, "node3") == boots


@pytest.mark.soak
def test_another_switch_that_begins_first_is_waited_for(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    """What begins between our look and our start is, here, what the look does not see."""
    file = write_systems(tmp_path)
    play(playbook(build(file), COPY, PROFILE_SET))
    lock, other = "/run/nixos/switch-to-configuration.lock", "/run/nixos/t-lock"
    # By another name of the lock nobody finds its holder.
    hold = f"flock {other} sh -c 'until %s; do sleep 0.2; done'"
    file_of_unit = f"/run/systemd/system/{UNIT}"
    free = f"rm {file_of_unit}; systemctl daemon-reload"
    holders = {
        "node1": hold % "false",
        "node2": hold % f'grep -qs "Could not acquire lock" {LOG}/err',
        "node3": f"sh -c 'until [ -e {LOG}/acknowledged ]; do sleep 0.2; done; {free}'",
    }
    for host, holder in holders.items():
        fleet.exec(host, f"rm -rf {LOG}; mkdir -p /run/nixos; touch {lock}; ln -f {lock} {other}")
        if host == "node3":
            fleet.exec(host, f"printf '[Service]\\nExecStart=/bin/true\\n' >{file_of_unit}")
            fleet.exec(host, "systemctl daemon-reload")
        fleet.exec(host, f"systemd-run --quiet --collect --unit=t-holder {holder}")
    limit = "{{ 1 if inventory_hostname == 'node1' else 600 }}"
    planned = switch("dry-activate", lock_timeout=1)
    planned |= {"name": "plan", "ignore_errors": True, "when": "inventory_hostname == 'node1'"}
    try:
        played = play(playbook(build(file), planned, switch("switch", lock_timeout=limit)))
    finally:
        fleet.exec("node1", "systemctl stop t-holder")
        for host in HOSTS:
            fleet.exec(host, f"rm -f {other}")
    for task in ("plan", "nixos_switch"):
        said = played.result("node1", task)
        assert said["failed"] and said["outcome"] == "locked" and not said["changed"]
        assert "another switch runs on the host" in said["msg"]
    assert running(fleet, "node1") != result(played, "node1")["path"]
    for host in ("node2", "node3"):
        said = result(played, host)
        assert (said["outcome"], said["changed"]) == ("ok", True), said
        assert running(fleet, host) == booted_next(fleet, host) == said["path"]


def masters(home: pathlib.Path) -> list[int]:
    """The control masters of this session."""
    title = f"ssh: {home}/cp/cn-".encode()
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has just ended
            if path.read_bytes().startswith(title):
                found.append(int(path.parent.name))
    return found


@pytest.mark.soak
def test_an_activation_runs_once_though_its_connection_is_cut(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path, ansible_home: pathlib.Path
) -> None:
    for host in HOSTS:
        fleet.exec(host, f"rm -f {COUNTER}*")
    # The first two cut it themselves; the third's control master is killed here.
    text = f"touch {COUNTER}.began; %s sleep 3; echo x >>{COUNTER}; "
    file = write_systems(
        tmp_path,
        node1=snippet(text % "killall sshd-session || :;"),
        node2=snippet(text % "systemctl restart ssh; killall sshd-session || :;"),
        node3=snippet(text % ""),
    )
    with futures.ThreadPoolExecutor(1) as executor:
        playing = executor.submit(play, playbook(*quartet(file)))
        until(lambda: fleet.exec("node3", f"ls {COUNTER}.*", check=False))
        for pid in masters(ansible_home):
            kill(pid)
        played = playing.result()
    for host in HOSTS:
        said = result(played, host)
        assert (said["outcome"], said["changed"]) == ("ok", True), said
        assert running(fleet, host) == booted_next(fleet, host) == said["path"]
        assert fleet.exec(host, f"cat {COUNTER}") == "x\n"


def test_an_activation_outlives_its_controller_and_the_next_run_tells_its_result(
    fleet: Fleet, play: Play, start_play: StartPlay, tmp_path: pathlib.Path
) -> None:
    began = f"! [ -e {COUNTER}.slow ] || {{ touch {COUNTER}.began; sleep 5; }}"
    slow = snippet(f"{began}; echo x >>{COUNTER}")
    oneshot = 'serviceConfig.Type = "oneshot"; preStart = "exit 3";'
    failing = f"{{ imports = [ {slow} {services(broken=oneshot)} ]; }}"
    file = write_systems(tmp_path, slow, node2=failing)
    # The third runs and boots its system, and activates it all the same.
    assert play(playbook(*quartet(file), hosts="node3")).rc == 0
    old = {host: running(fleet, host) for host in HOSTS}
    for host in HOSTS:
        # What an earlier test has left failed would count as failed before.
        fleet.exec(host, f"rm -f {COUNTER}*; touch {COUNTER}.slow; systemctl reset-failed")
    again = switch("switch", force="{{ inventory_hostname == 'node3' and forced is defined }}")
    text = playbook(build(file), COPY, PROFILE_SET, again)
    killed = start_play(text, "-e", "forced=yes")
    for host in HOSTS:
        until(functools.partial(fleet.exec, host, f"ls {COUNTER}.began", check=False))
    killed.kill()
    assert fleet.exec("node1", f"ls {COUNTER}", check=False) == ""
    # Nobody has heard of the end of the second, long before somebody asks.
    until(lambda: fleet.exec("node2", f"ls {LOG}/status", check=False))
    played = play(text)
    for host, code in zip(HOSTS, (0, 4, 0), strict=True):
        said = result(played, host)
        assert (said["changed"], said["exit_code"]) == (host != "node3", code), said
        assert said["report"]["activation_began"] and said["actions"] == ["switch"]
        assert said["system_before"] == old[host]
        assert fleet.exec(host, f"cat {LOG}/err") == said["stderr"]
        assert running(fleet, host) == booted_next(fleet, host) == said["path"]
    said = result(played, "node2")
    assert said["failed"] and said["newly_failed_units"] == ["t-broken.service"]
    assert "failed_units_before" not in said
    # Now that it was said, it is over.
    after = play(text)
    assert [after.stats[host]["changed"] for host in HOSTS] == [0] * 3
    assert "actions" not in result(after, "node2")
    assert [fleet.exec(host, f"cat {COUNTER}") for host in HOSTS] == ["x\n"] * 3
    assert play(playbook(*quartet(write_systems(tmp_path)), hosts="node2")).rc == 0


@pytest.mark.soak
def test_a_login_that_becomes_root_does_the_same(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    file = write_systems(tmp_path, hosts=HOSTS[:2])
    deploy_user = ("-e", "ansible_user=deploy")
    text = playbook(*quartet(file), hosts="node1:node2", become=True)
    first, second = play(text, *deploy_user), play(text, *deploy_user)
    for host in HOSTS[:2]:
        assert first.stats[host]["changed"] == 4, first.text
        assert second.stats[host]["changed"] == 0
        assert running(fleet, host) == booted_next(fleet, host) == result(first, host)["path"]


def test_a_login_that_is_not_root_is_told_so(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    file = write_systems(tmp_path)
    play(playbook(build(file), COPY, hosts="node1"))
    before = trace(fleet, "node1")
    tasks = [task | {"ignore_errors": True} for task in (PROFILE_SET, SWITCH)]
    plain = module("nixos_switch", {"path": "{{ nix_build_system.path }}", "action": "test"})
    text = playbook(build(file), *tasks, plain, hosts="node1")
    refused = play(text, "-e", "ansible_user=deploy").results("node1")[1:]
    assert len(refused) == 3
    for said in refused:
        assert said["msg"].startswith("node1: deploy cannot change the system.")
        assert "become: true" in said["msg"]
    assert difference(before, trace(fleet, "node1")) == []


def test_it_needs_a_system_to_activate(fleet: Fleet, play: Play, tmp_path: pathlib.Path) -> None:
    file = write_systems(tmp_path)
    profile = {"profile": "nobody-made-it", "action": "boot"}
    played = play(
        playbook(
            build(file),
            switch("test", timeout=60) | {"ignore_errors": True},
            module("nixos_switch", profile),
            hosts="node1",
        )
    )
    before, unset = played.results("node1", "nixos_switch")
    assert before["msg"].startswith(f"node1 does not have {before['path']} in its store.")
    assert "closure.nixos.nix_copy_closure" in before["msg"]
    assert "has no profile /nix/var/nix/profiles/system-profiles/nobody-made-it" in unset["msg"]
    assert recorded(fleet, "node1") != before["path"]
