# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What nixos_switch decides on real hosts: live or at the next boot, and what is a failure."""

from __future__ import annotations

import functools
import json
import os
import pathlib
import re
import signal
import subprocess
import time
import typing as t
from concurrent import futures

import pytest
from ansible_collections.closure.nixos.tests.integration._harness import (
    TESTBED,
    Fleet,
    Play,
    Played,
    control_masters,
    kill,
    traced,
    until,
)
from ansible_collections.closure.nixos.tests.integration._systems import (
    BUILT,
    COPY,
    HOSTS,
    PROFILE_SET,
    booted_next,
    build,
    module,
    nix,
    playbook,
    quartet,
    recorded,
    running,
    started,
    switch,
    write_systems,
)


def result(played: Played, host: str) -> dict[str, t.Any]:
    return played.result(host, "nixos_switch")


def test_auto_switches_where_the_running_host_can_take_it(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    assert play(playbook(*quartet(write_systems(tmp_path)))).rc == 0
    old = {host: running(fleet, host) for host in HOSTS}
    file = write_systems(
        tmp_path,
        node1='{ boot.kernelVersion = "9.9.9"; boot.kernelParams = [ "quiet" ]; }',
        node2='{ services.dbus.implementation = "broker"; }',
    )
    tasks = build(file), COPY, PROFILE_SET, switch("auto")
    play(playbook(build(file)))
    checked, first, again = (
        play(playbook(*tasks[:2], tasks[3]), "--check", "--diff"),
        *(play(playbook(*tasks), "--diff") for _time in range(2)),
    )
    for played in (first, again):
        assert played.rc == 0, played.text
    for host, actions in zip(HOSTS, (["boot"], ["boot"], ["switch"]), strict=True):
        said = result(first, host)
        assert said["actions"] == actions and said["changed"]
        assert booted_next(fleet, host) == said["path"]
        assert running(fleet, host) == (old[host] if actions == ["boot"] else said["path"])
        assert said["reboot_required"] is (actions == ["boot"])
        assert again.stats[host]["changed"] == 0 and result(again, host)["actions"] == []
    assert "kernel" in result(first, "node1")["msg"]
    assert "dbus-implementation" in result(first, "node2")["msg"]
    assert result(checked, "node3")["changed"]
    kernel = "kernel: 6.12.30 → 9.9.9\nkernel-params: +quiet\n"
    bus = "dbus-implementation: dbus → broker\n"
    for host, shown in zip(HOSTS, (kernel, bus, ""), strict=True):
        # Before the copy the build host says it, after it the host itself.
        copied = checked.result(host, "nix_copy_closure")["diff"]["prepared"]
        prepared = result(first, host)["diff"]["prepared"]
        assert shown in copied and shown in prepared
        assert ("kernel" in copied, "dbus-impl" in prepared) == ("6.12" in shown, shown == bus)


def old_system(file: pathlib.Path) -> str:
    """Build a system as before 26.05: without a list of inhibitors, with the classic D-Bus."""
    system, units = f"(import {file}).node1", "$out/etc/systemd/system"
    build_it = f"cp -r ${{{system}.system}}/. $out; chmod u+w $out $out/etc || :; cd $out"
    classic = f"rm -f switch-inhibitors etc; mkdir -p {units}; touch {units}/dbus.service"
    expression = f"{system}.pkgs.runCommand \"old\" {{ }} ''mkdir $out; {build_it}; {classic}''"
    return nix("nix-build", "--no-out-link", "-E", expression)


def test_an_old_host_does_not_change_its_bus_while_it_runs(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    """NixOS 25.11 and older would, and would lose its logins (nixpkgs issue 308925)."""
    old = old_system(write_systems(tmp_path, hosts=["node1"]))
    file = write_systems(tmp_path, '{ services.dbus.implementation = "broker"; }', ["node1"])
    real = running(fleet, "node1")
    assert play(playbook(module("nix_copy_closure", {"path": old}), hosts="node1")).rc == 0
    refused = switch("switch") | {"ignore_errors": True}
    tasks = build(file), COPY, PROFILE_SET, refused, switch("auto")
    fleet.exec("node1", f"ln -sfn {old} /run/current-system")
    try:
        played = play(playbook(*tasks, hosts="node1"))
        still = running(fleet, "node1")
    finally:
        fleet.exec("node1", f"ln -sfn {real} /run/current-system")
    said, auto = played.results("node1", "nixos_switch")
    assert said["failed"] and said["outcome"] == "inhibited"
    assert "cannot change dbus-implementation: dbus -> broker safely" in said["msg"]
    assert "too old to refuse it itself" in said["msg"]
    assert (auto["actions"], auto["outcome"], still) == (["boot"], "ok", old)
    assert booted_next(fleet, "node1") == auto["path"]


@pytest.mark.soak
def test_a_specialisation_runs_and_its_system_boots(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    sleeper = 'wantedBy = [ "multi-user.target" ]; serviceConfig.ExecStart = "/bin/sleep infinity";'
    special = f"systemd.services.t-special = {{ {sleeper} }};"
    text = f"{{ specialisation.night.configuration = {{ {special} }}; }}"
    file = write_systems(tmp_path, text, ["node1"])
    night = switch("switch", specialisation="night")
    unknown = switch("switch", specialisation="day") | {"ignore_errors": True}
    never = switch("boot", specialisation="night") | {"ignore_errors": True}
    tasks = build(file), COPY, PROFILE_SET, never, unknown, night, night, switch("switch")
    played = play(playbook(*tasks[:-1], hosts="node1"))
    assert played.results("node1", "nixos_switch"), played.text
    refused, absent, first, again = played.results("node1", "nixos_switch")
    path = first["path"]
    assert "action: boot knows no specialisation" in refused["msg"]
    assert absent["msg"] == f"{path} has no specialisation day. Choose one of these: night."
    assert first["actions"] == ["boot", "test"] and first["changed"], first
    assert running(fleet, "node1") == first["system_after"] != path
    assert booted_next(fleet, "node1") == path
    assert started(fleet, "node1", "t-special")
    assert (again["changed"], again["actions"]) == (False, [])

    back = play(playbook(build(file), switch("switch"), switch("test", force=True), hosts="node1"))
    home, forced = back.results("node1", "nixos_switch")
    assert home["changed"] and running(fleet, "node1") == path
    assert not started(fleet, "node1", "t-special")
    assert (forced["changed"], forced["actions"]) == (False, ["test"])
    assert forced["outcome"] == "ok" and forced["report"]["activation_began"]


BROKEN = 'wantedBy = [ "multi-user.target" ]; serviceConfig.Type = "oneshot"; script = "exit 3";'


@pytest.mark.soak
def test_only_units_that_fail_now_and_go_on_failing_count(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    flaky = """wantedBy = [ "multi-user.target" ];
      serviceConfig = { Restart = "on-failure"; RestartSec = 3; };
      script = "test -e /run/t-tried || { touch /run/t-tried; exit 1; }; exec sleep infinity";"""
    configuration = {
        "node1": f"{{ systemd.services.t-broken = {{ {BROKEN} }}; }}",
        "node2": f"{{ systemd.services.t-flaky = {{ {flaky} }}; }}",
        "node3": f"{{ systemd.services = {{ t-a = {{ {BROKEN} }}; t-b = {{ {BROKEN} }}; }}; }}",
    }
    fleet.exec("node2", "rm -f /run/t-tried")
    chosen = "{{ {'node1': 'ignore', 'node2': 'fail', 'node3': 'warn'}[inventory_hostname] }}"
    lenient = switch("switch", failed_units=chosen, ignore_units=["t-a*"])
    file = write_systems(tmp_path, **configuration)
    first = play(playbook(build(file), COPY, PROFILE_SET, lenient))
    assert first.rc == 0, first.text
    said = [result(first, host) for host in HOSTS]
    assert [it["outcome"] for it in said] == ["failed-units"] * 3
    counted = [it["newly_failed_units"] for it in said]
    assert counted == [["t-broken.service"], [], ["t-b.service"]]
    assert said[1]["report"]["failed_units"] == ["t-flaky.service"]
    warned = [len(it.get("warnings", [])) for it in said]
    assert warned == [0, 0, 1] and "t-b.service" in said[2]["warnings"][0]

    new = write_systems(tmp_path, **configuration)
    again = play(playbook(*quartet(new), hosts="node1"))
    before = result(again, "node1")
    assert again.rc == 0 and before["outcome"] == "failed-units", again.text
    assert before["failed_units_before"] == before["failed_units"] == ["t-broken.service"]
    assert play(playbook(*quartet(write_systems(tmp_path)))).rc == 0


def test_units_that_an_activation_has_stopped_and_nobody_started_are_lost(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    """switch-to-configuration says nothing of them: systemd stops what requires what it stops."""
    sleeps = 'serviceConfig.ExecStart = "/bin/sleep infinity";'
    once = 'script = "true"; serviceConfig.Type = "oneshot";'
    needs = 'requires = [ "t-base.service" ]; after = [ "t-base.service" ];'
    units = (
        """{ systemd.services = {
      t-base = { wantedBy = [ "multi-user.target" ]; environment.STEP = "%s"; SLEEPS };
      t-byhand = { NEEDS SLEEPS };
      t-part = { partOf = [ "t-base.service" ]; wantedBy = [ "t-base.service" ]; SLEEPS };
      t-calm = { SLEEPS };
      t-once = { wantedBy = [ "multi-user.target" ]; ONCE };
    }; }""".replace("SLEEPS", sleeps)
        .replace("NEEDS", needs)
        .replace("ONCE", once)
    )
    assert play(playbook(*quartet(write_systems(tmp_path, units % 1)))).rc == 0
    for host in HOSTS:
        fleet.exec(host, "systemctl start t-byhand t-part t-calm")
    chosen = "{{ {'node2': 'warn'}[inventory_hostname] | default('fail') }}"
    excused = "{{ ['t-by*'] if inventory_hostname == 'node3' else [] }}"
    task = switch("switch", lost_units=chosen, ignore_units=excused) | {"diff": True}
    file = write_systems(tmp_path, units % 2)
    played = play(playbook(build(file), COPY, PROFILE_SET, task))
    said = {host: result(played, host) for host in HOSTS}
    for host in HOSTS:
        assert said[host]["units"]["lost"] == ["t-byhand.service"], said[host]["units"]
        assert {"t-base.service", "t-part.service"} <= {*said[host]["units"]["restarted"]}
        assert "t-once.service" in said[host]["units"]["started"], said[host]["units"]
        expected = said[host]["plan"]["expected"]
        assert expected["stop"] == ["t-byhand.service"], expected
        assert "t-part.service" in expected["restart"] and "t-once.service" in expected["start"]
        assert "t-calm.service" not in json.dumps(said[host]["units"])
        assert "t-byhand" not in json.dumps(said[host]["report"])
        assert not started(fleet, host, "t-byhand") and started(fleet, host, "t-part")
    assert [played.stats[host]["failed"] for host in HOSTS] == [1, 0, 0], played.text
    assert "do not run any more: t-byhand.service. Something" in said["node1"]["msg"]
    assert "do not run any more: t-byhand.service" in said["node2"]["warnings"][0]
    assert "warnings" not in said["node3"]


def test_a_full_host_is_found_before_anything_changes(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    file, other = write_systems(tmp_path), write_systems(tmp_path)
    copied = play(playbook(build(file), COPY))
    assert copied.rc == 0, copied.text
    profiles = "/nix/var/nix/profiles/system-profiles"
    record, roots = "/var/lib/closure-nixos", "/nix/var/nix/gcroots/closure-nixos"
    full = {"node1": (profiles, record, roots), "node2": ("/boot",), "node3": ("/boot",)}
    # systemd-boot keeps kernels in the one, GRUB in the other.
    images = {"node2": "/boot/kernels", "node3": "/boot/EFI/nixos"}
    for host, directories in full.items():
        for place in directories:
            where = images.get(host, place)
            # What it consists of and the file that fills it: a link needs no bytes.
            inodes = 2 + where.removeprefix(place).count("/")
            limits = f"size=64k,nr_inodes={inodes}"
            small = f"mkdir -p {place}; mount -t tmpfs -o {limits} tmpfs {place}"
            fill = f"mkdir -p {where}; head -c 1000000 /dev/zero >{where}/full || :"
            fleet.exec(host, f"{small}; {fill}")
    before = [(recorded(fleet, host), running(fleet, host)) for host in HOSTS]
    named = "{{ 'full' if inventory_hostname == 'node1' else 'system' }}"
    ignored = {"ignore_errors": True}
    setting = module("nix_profile_set", {"path": BUILT, "profile": named}) | ignored
    trial = switch("switch", confirm_timeout=60) | ignored
    try:
        played = play(playbook(build(file), setting, trial, build(other), COPY | ignored))
        after = [(recorded(fleet, host), running(fleet, host)) for host in HOSTS]
        left = [fleet.exec("node1", f"ls {place}") for place in full["node1"]]
    finally:
        for host, directories in full.items():
            fleet.exec(host, f"umount {' '.join(directories)}")
    said = {host: played.result(host, "nix_profile_set")["msg"] for host in HOSTS}
    assert said["node1"].startswith(f"node1: {profiles} has 0 bytes and "), said
    assert all(said[host].startswith(f"{host}: /boot has 0 bytes left") for host in HOSTS[1:]), said
    trials = {host: result(played, host)["msg"] for host in HOSTS}
    nothing = f"cannot write {record} on this host, so nothing was activated: make room there."
    assert trials == said | {"node1": f"node1: {nothing}"}
    refused = played.result("node1", "nix_copy_closure")
    nothing = f"cannot write {roots} on this host, so nothing was copied: make room there."
    assert refused["msg"] == f"node1: {nothing}"
    assert left == ["full\n"] * 3 and after == before


def test_facts_say_whom_a_host_trusts_and_what_room_it_has(fleet: Fleet, play: Play) -> None:
    facts = {"name": "nixos_facts", "closure.nixos.nixos_facts": {}}
    holder = "flock /run/nixos/switch-to-configuration.lock sleep 60"
    fleet.exec("node2", f"mkdir -p /run/nixos; systemd-run --unit=t-holder {holder}")
    try:
        rooted = play(playbook(facts))
    finally:
        fleet.exec("node2", "systemctl stop t-holder")
    plain = play(playbook(facts), "-e", "ansible_user=deploy")
    for host in HOSTS:
        said, login = (it.result(host)["ansible_facts"]["nixos"] for it in (rooted, plain))
        assert (said["nix_trusted"], login["nix_trusted"]) == (True, False)
        assert said["nix_trusted_keys"] == login["nix_trusted_keys"] != []
        assert said["nix_free"] > 0 and said["boot_free"] > 0
        assert said["kernel"] == fleet.exec(host, "uname -r").strip()
        assert said["systems"]["running"] == {
            "path": running(fleet, host),
            "version": "26.05.standin",
            "platform": said["platform"],
            "kernel": "6.12.30",
        }
        booted = {entry["path"] for entry in said["generations"] if entry["booted"]}
        assert booted == {said["booted"]}
        assert (said["switcher"] or "").endswith(f"{holder} )" if host == "node2" else "")
    assert rooted.result("node2")["ansible_facts"]["nixos"]["switching"] is True


COUNTER = "/var/tmp/t-activations"
UNIT = "nixos-rebuild-switch-to-configuration.service"
WIRE = pathlib.Path(__file__).with_name("wire")


@pytest.mark.soak
def test_cut_lines_moved_addresses_and_a_broken_shell_hide_no_result(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path, ansible_home: pathlib.Path
) -> None:
    loop = "mv /bin/sh /bin/t-kept && ln -s sh.loop /bin/sh && ln -s sh /bin/sh.loop;"
    text = "{ system.activationScripts.test = ''touch %s.began; %s echo x >>%s''; }"
    file = write_systems(
        tmp_path,
        node1=text % (COUNTER, "sleep 10;", COUNTER),
        node2=text % (COUNTER, "sleep 10;", COUNTER),
        node3=text % (COUNTER, f"{loop} sleep 10;", COUNTER),
    )
    for host in HOSTS:
        fleet.exec(host, f"rm -f {COUNTER}*")
    try:
        with futures.ThreadPoolExecutor(1) as executor:
            retries = {"ANSIBLE_SSH_RETRIES": "3"}
            playing = executor.submit(play, playbook(*quartet(file)), env=retries)
            began = f"ls {COUNTER}.began 2>/dev/null"
            for host in HOSTS:
                until(functools.partial(fleet.exec, host, began, check=False))
            stale = masters_to(fleet, "node3", ansible_home)
            for pid in stale:
                os.kill(pid, signal.SIGSTOP)
            fleet.link("node1", "down")
            move_address(fleet, "node2", "del")
            time.sleep(20)
            fleet.link("node1", "up")
            move_address(fleet, "node2", "add")
            played = playing.result()
        for pid in stale:
            kill(pid)
        assert stale and played.rc == 0, played.text
    finally:
        fleet.exec("node3", "[ ! -e /bin/t-kept ] || mv -T /bin/t-kept /bin/sh; rm -f /bin/sh.loop")
    for host in HOSTS:
        said = result(played, host)
        assert (said["outcome"], said["changed"]) == ("ok", True), said
        assert running(fleet, host) == booted_next(fleet, host) == said["path"]
        assert fleet.exec(host, f"cat {COUNTER}") == "x\n"


def masters_to(fleet: Fleet, host: str, home: pathlib.Path) -> set[int]:
    """The control masters of the connections to a host."""
    address = fleet.hosts[host]["ansible_host"]
    sockets = subprocess.check_output(["ss", "-tnpH", "dst", address], text=True)
    return {int(pid) for pid in re.findall(r"pid=(\d+)", sockets)} & {*control_masters(home)}


def move_address(fleet: Fleet, host: str, verb: str) -> None:
    """Take a host's address away, or give it back."""
    here = fleet.hosts[host]
    where = f"{here['testbed_address']}/24", "dev", "host0"
    subprocess.run(["ip", "-n", here["testbed_netns"], "addr", verb, *where], check=True)


@pytest.mark.soak
def test_a_killed_activation_is_done_again(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    hangs = "if ! test -e /run/t-go; then touch /run/t-hangs; exec sleep infinity; fi"
    oneshot = f'serviceConfig.Type = "oneshot"; script = "{hangs}";'
    late = 'wantedBy = [ "multi-user.target" ]; after = [ "t-oneshot.service" ];'
    file = write_systems(
        tmp_path,
        f"""{{ systemd.services = {{
          t-oneshot = {{ wantedBy = [ "multi-user.target" ]; {oneshot} }};
          t-late = {{ {late} serviceConfig.ExecStart = "/bin/sleep infinity"; }};
        }}; }}""",
        ["node1"],
    )
    text = playbook(build(file), COPY, PROFILE_SET, switch("test"), hosts="node1")
    # An earlier attempt may have left its units.
    fleet.exec(
        "node1", "systemctl stop t-oneshot t-late; rm -f /run/t-hangs /run/t-go", check=False
    )
    with futures.ThreadPoolExecutor(1) as executor:
        playing = executor.submit(play, text)
        until(lambda: fleet.exec("node1", "ls /run/t-hangs", check=False))
        fleet.exec("node1", f"systemctl stop {UNIT}")
        said = result(playing.result(), "node1")
    # The link says that it runs, though it was killed before it had started its units.
    assert said["path"] == said["system_after"] == running(fleet, "node1")
    assert (said["failed"], said["outcome"], said.get("exit_code")) == (True, "unknown", None)
    fleet.exec("node1", "touch /run/t-go; systemctl stop t-oneshot t-late")
    checked, again, after = play(text, "--check"), play(text), play(text)
    assert result(checked, "node1")["actions"] == result(again, "node1")["actions"] == ["test"]
    assert result(again, "node1")["outcome"] == "ok", result(again, "node1")
    assert started(fleet, "node1", "t-late")
    assert (result(after, "node1")["actions"], after.stats["node1"]["changed"]) == ([], 0)


@pytest.mark.soak
def test_a_mount_that_fails_is_told_from_emergency_mode_and_repaired_there(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    """Emergency mode ends sshd and the activation, so that only another way leads to the host."""
    text = "[Mount]\nWhat=/var/tmp/t-no-image\nWhere=/tgone\nType=ext4\n"
    mount = f'{{ text = {json.dumps(text)}; requiredBy = [ "local-fs.target" ]; }}'
    broken = write_systems(tmp_path, f'{{ systemd.units."tgone.mount" = {mount}; }}', ["node1"])
    good = write_systems(tmp_path, hosts=["node1"])
    play(playbook(build(broken), COPY, build(good), COPY, hosts="node1"))
    command = [str(TESTBED), "exec", "--fleet", fleet.name, "node1"]
    console = {"ansible_connection": "testbed_nsenter", "testbed_enter": command}
    (tmp_path / "console.json").write_text(json.dumps({"testbed": {"hosts": {"node1": console}}}))
    way = "-i", str(tmp_path / "console.json")
    plugins = {"ANSIBLE_CONNECTION_PLUGINS": str(WIRE / "connection_plugins")}
    facts = module("nixos_facts", {})
    try:
        tasks = build(broken), PROFILE_SET, switch("switch")
        fell = play(playbook(*tasks, hosts="node1"), *way, env=plugins)
        repair = facts, build(good), PROFILE_SET, switch("switch"), facts
        repaired = play(playbook(*repair, hosts="node1"), *way, env=plugins)
    finally:
        fleet.exec("node1", "systemctl default")
        until(lambda: fleet.exec("node1", "systemctl is-active ssh", check=False) == "active\n")
    said = result(fell, "node1")
    assert (said["failed"], said["outcome"], said.get("exit_code")) == (True, "unknown", None), said
    assert "is in maintenance mode, which `systemctl default` ends." in said["msg"]
    there = repaired.results("node1", "nixos_facts")
    states = [it["ansible_facts"]["nixos"]["system_state"] for it in there]
    # The targets that a switch starts end emergency mode.
    assert states[0] == "maintenance" != states[1]
    said = result(repaired, "node1")
    assert (said["outcome"], said["actions"]) == ("ok", ["switch"]), said
    assert f"node1 runs {result(fell, 'node1')['path']}" in repaired.text.replace("\n", " ")
    assert running(fleet, "node1") == booted_next(fleet, "node1") == said["path"]
    over = play(playbook(build(good), PROFILE_SET, switch("switch"), hosts="node1"))
    assert over.stats["node1"]["changed"] == 0, over.text


def test_without_systemd_a_process_activates_and_the_truth_is_told(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    file = write_systems(tmp_path, hosts=["node1"])
    old = running(fleet, "node1")
    failing = switch("switch") | {"ignore_errors": True}
    # Forced, because the loader has it already.
    forced = switch("boot", force=True)
    tasks = build(file), COPY, PROFILE_SET, failing, forced, switch("boot")
    fleet.exec("node1", "mv /run/systemd/system /run/systemd/t-system")
    try:
        played = play(playbook(*tasks, hosts="node1"))
    finally:
        fleet.exec("node1", "mv /run/systemd/t-system /run/systemd/system")
    failed, booted, again = played.results("node1", "nixos_switch")
    # NixOS writes the boot loader's files before it finds that there is no systemd to talk to.
    assert failed["outcome"] == "not-activated" and failed["failed"]
    assert failed["msg"].endswith(f"node1 runs {old} and boots {failed['path']}.")
    assert (booted["outcome"], booted["actions"]) == ("ok", ["boot"]), booted
    assert (again["changed"], again["actions"]) == (False, [])
    assert booted_next(fleet, "node1") == booted["path"] != running(fleet, "node1") == old
    assert fleet.exec("node1", f"cat {booted['logs']}/unit").strip() == ""


def test_the_round_trips_of_each_module(fleet: Fleet, play: Play, tmp_path: pathlib.Path) -> None:
    file = write_systems(tmp_path, hosts=["node1"])
    assert play(playbook(build(file), COPY, hosts="node1")).rc == 0
    facts = {"name": "nixos_facts", "closure.nixos.nixos_facts": {}}
    secrets = {f"t-{number}": {"content": str(number), "mode": "0440"} for number in range(20)}
    put = module("nixos_secrets", {"secrets": secrets})
    gone = module("nixos_secrets", {"prune": True}) | {"name": "gone"}
    tasks = build(file), facts, PROFILE_SET, switch("switch"), put, gone
    trace = {"CLOSURE_NIXOS_TRACE": str(tmp_path / "trace.json")}
    first, again = (play(playbook(*tasks, hosts="node1"), "-vvv", env=trace) for _time in range(2))
    address = fleet.hosts["node1"]["ansible_host"]

    def trips(played: Played, name: str) -> int:
        section = played.text.split(f"TASK [{name}]")[1].split("TASK [")[0]
        return section.count(f"<{address}> SSH: EXEC")

    assert trips(first, "nixos_facts") == trips(again, "nixos_facts") == 1
    assert trips(first, "nix_profile_set") == 2
    assert re.search(r"<node1> host_facts: \d+ ms, \d+ bytes sent, \d+ received, rc 0", first.text)
    assert traced(tmp_path / "trace.json", "node1").count(("host_facts", "rc 0")) == 2
    # Facts; the start, which waits for the end and brings the facts; and polls of a longer one.
    assert trips(first, "nixos_switch") >= 2
    assert trips(again, "nix_profile_set") == trips(again, "nixos_switch") == 1
    # What is there, and all that is to be there.
    assert trips(first, "nixos_secrets") == 2
    assert len(first.result("node1", "nixos_secrets")["added"]) == 20


@pytest.mark.soak
def test_the_role_takes_auto(fleet: Fleet, play: Play, tmp_path: pathlib.Path) -> None:
    file = write_systems(tmp_path, hosts=HOSTS[:2], node1='{ boot.kernelVersion = "7.7.7"; }')
    roles = [{"role": "closure.nixos.deploy", "nixos_file": str(file), "deploy_action": "auto"}]
    text = playbook(hosts="node1:node2", roles=roles)
    old = running(fleet, "node1")
    first, again = play(text), play(text)
    task = "Evaluate and build the systems of all hosts"
    new = {host: first.result(host, task)["path"] for host in HOSTS[:2]}
    assert {host: booted_next(fleet, host) for host in new} == new
    assert (running(fleet, "node1"), running(fleet, "node2")) == (old, new["node2"])
    assert [again.stats[host]["changed"] for host in new] == [0, 0]
