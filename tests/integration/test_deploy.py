# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A deployment on real hosts: by the modules one after another, by the role and by the playbook."""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest
from ansible_collections.closure.nixos.tests.integration._harness import (
    Fleet,
    Play,
    Played,
    soak_but,
)
from ansible_collections.closure.nixos.tests.integration._systems import (
    HOSTS,
    MODULES,
    booted_next,
    build,
    difference,
    playbook,
    quartet,
    recorded,
    running,
    trace,
    write_systems,
)

COLLECTION = pathlib.Path(__file__).parents[2]
# No file: ansible-playbook finds it by its name in the collection.
DEPLOY = pathlib.Path("closure.nixos.deploy")
BUILD = "Evaluate and build the systems of all hosts"
SWITCH = "Activate the system on trial"
GREETER = """{ pkgs, ... }: {
  systemd.services.greeter = { wantedBy = [ "multi-user.target" ]; script = "sleep infinity"; };
  environment.systemPackages = [ pkgs.hello ];
}"""


# The tasks that people see, of a host on trial and of one that has its system.
START = [
    "Validating arguments against arg spec 'main' - Builds NixOS systems on one machine and "
    "activates them on many",
    "Take the options",
    "Look at the host",
    "See whether the host may be deployed",
    BUILD,
    "Bring the system to the host",
]
TRIAL = [
    *START,
    "Copy what the host does not have",
    SWITCH,
    "Confirm the system",
    "End the deployment of the host",
    "Leave a record on the host",
    "Say what happened",
]
# What the texts of the first deployment add: its hook and check, and what becomes of generations.
ADDED = (
    "Look",
    "See what became of the host",
    "Keep the newest generations",
    "Delete old generations and collect garbage",
)
UNCHANGED = [*START, "Say what happened", "Leave a host that has its system"]


def role(**keywords: object) -> str:
    """A play of someone's own that uses the role."""
    roles = [{"role": "closure.nixos.deploy"}]
    play = {"name": "Deploy", "hosts": "testbed", "gather_facts": False, "roles": roles}
    return json.dumps([play | keywords])


def changed(played: Played) -> dict[str, int]:
    return {host: numbers["changed"] for host, numbers in played.stats.items()}


def paths(played: Played, task: str = BUILD) -> dict[str, str]:
    """The system that was built for each host."""
    return {host: played.result(host, task)["path"] for host in played.stats}


def headers(played: Played) -> list[str]:
    """The tasks that were shown."""
    return [
        e["event_data"]["task"] for e in played.events if e["event"] == "playbook_on_task_start"
    ]


def assert_deployed(fleet: Fleet, systems: dict[str, str]) -> None:
    for host, system in systems.items():
        is_at = running(fleet, host), recorded(fleet, host), booted_next(fleet, host)
        assert is_at == (system,) * 3, host


def test_the_modules_say_the_same_in_check_mode_for_real_and_again(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    text = playbook(*quartet(write_systems(tmp_path, GREETER)), hosts="node1")
    before = trace(fleet, "node1")
    checked = play(text, "--check", "--diff")
    assert changed(checked) == {"node1": 4}, checked.text
    assert difference(before, trace(fleet, "node1")) == []

    first = play(text)
    assert changed(first) == {"node1": 4}, first.text
    assert_deployed(fleet, paths(first, "nix_build_system"))

    after = trace(fleet, "node1")
    again = [play(text, "--check"), play(text)]
    assert [changed(played) for played in again] == [{"node1": 0}] * 2
    assert difference(after, trace(fleet, "node1")) == []
    for module in MODULES:
        kinds = [played.result("node1", module).keys() - {"diff"} for played in (checked, first)]
        kinds += [played.result("node1", module).keys() - {"diff"} for played in again]
        assert kinds[1:] == kinds[:1] * 3, module
        systems = [played.result("node1", module)["path"] for played in (checked, first, *again)]
        assert len(set(systems)) == 1


def test_diff_mode_shows_the_closure_the_units_and_the_profile(
    play: Play, tmp_path: pathlib.Path
) -> None:
    def deploy(configuration: str, *options: str) -> Played:
        file = write_systems(tmp_path, configuration, ["node1"])
        return play(playbook(*quartet(file), hosts="node1"), *options)

    old = paths(deploy(GREETER), "nix_profile_set")["node1"]
    played = deploy(GREETER.replace("sleep", "exec sleep").replace("hello", "jq"), "--diff")
    new = paths(played, "nix_profile_set")["node1"]
    profile = played.result("node1", "nix_profile_set")["diff"]
    assert (profile["before"], profile["after"]) == (f"{old}\n", f"{new}\n")
    prepared = played.result("node1", "nixos_switch")["diff"]["prepared"].splitlines()
    assert {"hello: 2.12.1 → ∅", "jq: ∅ → 1.0"} < set(prepared)
    assert {"stopped: greeter.service", "started: greeter.service"} < set(prepared)
    assert "\nstarted: greeter.service" in played.text and "would" not in played.text


# As INI inventories, surveys and -e have them: the variable, its text, and what it means.
TEXTS: dict[str, tuple[str, object]] = {
    "deploy_confirm": ("yes", True),
    "deploy_confirm_timeout": ("90", 90),
    "deploy_check_timeout": ("600", 600),
    "deploy_activation_timeout": ("800", 800),
    "deploy_confirm_connection": ("new", "new"),
    "deploy_checks": ("look.yml", ["look.yml"]),
    "deploy_before_host": ("look.yml", ["look.yml"]),
    "deploy_transport": ("ssh-ng", "ssh-ng"),
    "deploy_bwlimit": ("9000000", 9000000),
    "deploy_check_copy": ("no", False),
    "deploy_keep": ("90", 90),
    "deploy_retention": ('{"keep": 90, "collect": false}', {"keep": 90, "collect": False}),
    "deploy_history": ("7", 7),
    "deploy_min_healthy": ("2", 2),
    "deploy_ignore_units": ("a.service,b.service", ["a.service", "b.service"]),
    "deploy_finish_later": ("false", False),
    "deploy_skip_unreachable": ("no", False),
    "deploy_install_bootloader": ("0", False),
    "deploy_secrets_prune": ("off", False),
}


def assert_understood(played: Played, directory: pathlib.Path) -> None:
    """Each host has the options that the texts mean, with the paths of files."""
    assert played.rc == 0, played.text
    look = str(directory / "look.yml")
    for host in HOSTS:
        options = played.result(host, "Take the options")["options"]
        for name, (_text, value) in TEXTS.items():
            expected = value if value != ["look.yml"] else [look]
            assert options[name.removeprefix("deploy_")] == expected, (host, name)


def store(fleet: Fleet, host: str) -> list[str]:
    """What a host's Nix knows, what it finds wrong, what is mounted and what lies about."""
    script = "nix-store --dump-db | cksum; nix-store --verify 2>&1 | grep -v ^reading"
    return fleet.exec(
        host, f"{script}; findmnt -lnt overlay; ls -d /run/*early* /var/tmp/closure-*", False
    ).splitlines()


def test_the_role_deploys_twice_and_the_second_time_changes_nothing(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    texts = [f"{name}='{text}'" for name, (text, _value) in TEXTS.items()]
    (tmp_path / "texts.ini").write_text("\n".join(["[testbed:vars]", *texts, ""]))
    look = {"name": "Look", "closure.nixos.nixos_facts": {}}
    (tmp_path / "look.yml").write_text(json.dumps([look]))
    (tmp_path / "site.yml").write_text(role(serial=2))
    file = write_systems(tmp_path, GREETER)
    options = ("-e", f"nixos_file={file}")
    for host in HOSTS:
        # Any dry run leaves it.
        fleet.exec(host, "mkdir -p /run/nixos && touch /run/nixos/switch-to-configuration.lock")
    before = {host: trace(fleet, host) + store(fleet, host) for host in HOSTS}
    # The systems' differences, and their units, are known once they are built.
    play(playbook(build(file)))
    checked = play(role(), *options, "--check", "--diff")
    assert checked.rc == 0 and min(changed(checked).values()) > 0
    for host in HOSTS:
        planned = checked.result(host, "Activate the system on trial")
        # A host that has run it is told to start it, another one does by dependency.
        starts = [*planned["plan"]["start"], *planned["plan"]["expected"]["start"]]
        assert "greeter.service" in starts, planned
        assert 0 < planned["plan_sent"] < 2**20
    assert re.search(r"would start.*: .*\bgreeter\.service", checked.text)
    assert "nixos-system-node2" in checked.text
    # Also without -v.
    assert re.search(r"^node2  would switch, [0-9]+ paths missing, .*iB ", checked.text, re.M)
    after = {host: trace(fleet, host) + store(fleet, host) for host in HOSTS}
    assert [difference(before[host], after[host]) for host in HOSTS] == [[]] * 3
    words = [word for text in texts for word in ("-e", text)]
    first = play(tmp_path / "site.yml", *options, *words)
    assert_understood(first, tmp_path)
    assert_deployed(fleet, paths(first))
    for host in HOSTS:
        assert len(first.results(host, "Look")) == 2  # before and at the trial
        assert first.result(host, "Copy what the host does not have")["transport"] == "ssh-ng"
        assert first.result(host, "Keep the newest generations")["path"] == paths(first)[host]
    after = {host: trace(fleet, host) for host in HOSTS}
    again = [
        play(tmp_path / "site.yml", *options, "-i", str(tmp_path / "texts.ini")),
        play(role(strategy="free"), *options),
        play(role(), *options, "--check", "--diff", "--forks", "1"),
    ]
    assert_understood(again[0], tmp_path)
    for played in again:
        assert played.rc == 0
        assert changed(played) == dict.fromkeys(HOSTS, 0), played.text
    # What people see: nothing that is skipped.
    assert [it for it in headers(first) if it not in ADDED][: len(TRIAL)] == TRIAL
    assert {it["skipped"] for it in first.stats.values()} == {0}
    assert headers(again[0])[: len(UNCHANGED)] == UNCHANGED
    assert {it["skipped"] for it in again[0].stats.values()} == {0}
    assert [difference(after[host], trace(fleet, host)) for host in HOSTS] == [[]] * 3


SICK = [{"name": "Ask the application", "ansible.builtin.raw": "test ! -e /etc/t-sick"}]


def test_tags_say_how_far_a_deployment_goes(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path, environment: dict[str, str]
) -> None:
    """Tags of the role are listed, a step brings those before it, and checks may run alone."""
    (tmp_path / "check.yml").write_text(json.dumps(SICK))
    (tmp_path / "site.yml").write_text(role(tags=["nixos"]))
    file = write_systems(tmp_path, node2='{ environment.etc."t-sick".text = ""; }')
    site = (tmp_path / "site.yml", "-e", f"nixos_file={file}", "-e", "deploy_checks=check.yml")
    before = {host: trace(fleet, host) for host in HOSTS}

    def statuses(played: Played) -> dict[str, str]:
        return {host: it["status"] for host, it in played.custom["closure_nixos"].items()}

    built = play(*site, "--tags", "build")
    assert built.rc == 0 and statuses(built) == dict.fromkeys(HOSTS, "built"), built.text
    refused = play(*site, "--skip-tags", "copy", "--limit", "node1")
    assert "Skip copy,activate to end before it" in refused.result("node1")["msg"]
    # Of a run for something else, the role does not even look at its options.
    other = play(*site, "--tags", "nginx", "-e", "deploy_confirm_timeout=0")
    assert other.rc == 0 and "closure_nixos" not in other.custom, other.text
    assert {it["ok"] for it in other.stats.values()} == {2}
    assert [difference(before[host], trace(fleet, host)) for host in HOSTS] == [[]] * 3

    # The tag of the play stands for all of the role.
    unchecked = play(*site, "--tags", "nixos", "--skip-tags", "check")
    assert unchecked.rc == 0 and "leave out deploy_checks" in unchecked.text, unchecked.text
    assert_deployed(fleet, paths(unchecked))
    after = {host: trace(fleet, host) for host in HOSTS}
    checked = play(*site, "--tags", "check")
    assert statuses(checked) == {"node1": "checked", "node2": "failed", "node3": "checked"}
    assert "Ask the application" in checked.result("node2", "Say what happened")["msg"]
    assert not checked.results("node1", "Copy what the host does not have")
    assert [difference(after[host], trace(fleet, host)) for host in HOSTS] == [[]] * 3

    listed = subprocess.check_output(
        ["ansible-playbook", "-i", str(fleet.inventory), str(tmp_path / "site.yml"), "--list-tags"],
        env=os.environ | environment,
        text=True,
    )
    assert "TASK TAGS: [activate, always, build, check, copy, never, nixos]" in listed


NEWEST = COLLECTION / ".venv-new/bin"


@pytest.mark.skipif(not NEWEST.exists(), reason="no .venv-new: no Python for the newest core")
def test_the_newest_core_without_injected_facts_warns_of_nothing(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    """A deployment, one that changes nothing, one that rolls back, and the playbooks beside it."""
    env = {
        "PATH": f"{NEWEST}:{os.environ['PATH']}",
        "ANSIBLE_INJECT_FACT_VARS": "False",
        "ANSIBLE_DEPRECATION_WARNINGS": "True",
    }
    check = tmp_path / "check.yml"
    sick = {"that": "not (sick | default(false) | bool)", "fail_msg": "it is sick"}
    check.write_text(json.dumps([{"name": "Check", "ansible.builtin.assert": sick}]))
    options = (
        *("-e", f"nixos_file={write_systems(tmp_path)}", "-e", f"deploy_checks={check}"),
        *("--limit", "node1"),
    )
    first, again = (play(DEPLOY, *options, env=env) for _time in range(2))
    other = ("-e", f"nixos_file={write_systems(tmp_path)}", "-e", "sick=true")
    rolled_back = play(DEPLOY, *options, *other, env=env)
    reboot = play(pathlib.Path("closure.nixos.reboot"), "--limit", "node1", env=env)
    for played in (first, again, rolled_back, reboot):
        assert "WARNING" not in played.text, played.text
    # Nothing is shown that is skipped, nor a play with nothing to do.
    assert "skipping" not in first.text + again.text
    assert "PLAY [Finish" not in first.text + again.text
    assert (first.rc, again.rc, reboot.rc) == (0, 0, 0)
    assert "it is sick (" in rolled_back.result("node1", "Say what happened")["msg"]
    assert changed(again) == {"node1": 0}
    # An earlier test may have left another kernel.
    facts = again.result("node1", "Look at the host")["ansible_facts"]["nixos"]
    assert changed(reboot) == {"node1": int(facts["reboot_required"])}
    assert_deployed(fleet, paths(first))
    assert "ansible [core 2.19" not in subprocess.check_output(
        [NEWEST / "ansible", "--version"], text=True
    )


def count_evaluations(directory: pathlib.Path) -> tuple[dict[str, str], pathlib.Path]:
    """A nix-instantiate that is the real one and writes a line for each of its runs."""
    log, programs = directory / "evaluations", directory / "bin"
    log.touch()
    programs.mkdir()
    wrapper = programs / "nix-instantiate"
    wrapper.write_text(f'#!/bin/sh\necho run >>{log}\nexec /usr/bin/nix-instantiate "$@"\n')
    wrapper.chmod(0o755)
    python = pathlib.Path(sys.executable).parent
    return {"PATH": f"{programs}:{python}:{os.environ['PATH']}"}, log


@pytest.mark.parametrize(
    "keywords", soak_but([{}, {"serial": 1}, {"strategy": "free"}], {}), ids=str
)
def test_one_evaluation_serves_all_hosts(
    play: Play, tmp_path: pathlib.Path, keywords: dict[str, object]
) -> None:
    env, log = count_evaluations(tmp_path)
    file = write_systems(tmp_path)
    # Else there would be as many as there are cores, each of a share.
    keywords = keywords | {
        "module_defaults": {"closure.nixos.nix_build_system": {"eval_workers": "1"}}
    }
    played = play(role(**keywords), "-e", f"nixos_file={file}", "--check", env=env)
    assert played.rc == 0
    assert len(set(paths(played).values())) == 3
    assert log.read_text() == "run\n"


def test_hosts_outside_the_limit_are_not_evaluated(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    file = write_systems(tmp_path, node1='throw "node1 is not meant"')
    other = trace(fleet, "node1")
    played = play(DEPLOY, "-e", f"nixos_file={file}", "--limit", "node2")
    assert played.rc == 0, played.text
    assert list(played.stats) == ["node2"]
    assert_deployed(fleet, paths(played))
    assert difference(other, trace(fleet, "node1")) == []


@pytest.mark.soak
def test_each_host_may_name_its_own_attribute_anywhere(play: Play, tmp_path: pathlib.Path) -> None:
    """In host_vars, in play vars made from the host's name, and by the role's default."""
    file = write_systems(tmp_path)
    options = ("-e", f"nixos_file={file}", "--check")
    default = paths(play(role(), *options))
    in_play = role(vars={"nixos_attr": "{{ inventory_hostname }}.config.system.build.toplevel"})
    host_vars = tmp_path / "host_vars"
    host_vars.mkdir()
    for host in HOSTS:
        (host_vars / host).write_text(f"nixos_attr: {host}.system\n")
    playbook_file = tmp_path / "site.yml"
    playbook_file.write_text(role())
    assert paths(play(in_play, *options)) == paths(play(playbook_file, *options)) == default
    swapped = "{{ {'node1': 'node2', 'node2': 'node1'}[inventory_hostname] | default('node3') }}"
    crossed = paths(play(role(vars={"nixos_attr": f"{swapped}.system"}), *options))
    assert crossed == {"node1": default["node2"], "node2": default["node1"]} | {
        "node3": default["node3"]
    }


def test_boot_and_test_do_half_of_a_switch_each(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    first = write_systems(tmp_path)
    play(role(), "-e", f"nixos_file={first}", "--limit", "node1,node2")
    ran = {host: running(fleet, host) for host in HOSTS}
    options = ("-e", f"nixos_file={write_systems(tmp_path)}")
    # As a text, which -e NAME=VALUE makes of everything.
    secrets = json.dumps({"deploy_secrets": json.dumps({"t-it": {"content": "1"}})})
    boot = ("-e", "deploy_action=boot", "-e", secrets, "--limit", "node1")
    booted = play(role(), *options, *boot)
    tested = play(role(), *options, "-e", "deploy_action=test", "--limit", "node2")
    new = paths(booted) | paths(tested)
    assert (running(fleet, "node1"), booted_next(fleet, "node1")) == (ran["node1"], new["node1"])
    assert (running(fleet, "node2"), booted_next(fleet, "node2")) == (new["node2"], ran["node2"])
    assert recorded(fleet, "node2") == ran["node2"]
    # There is nothing to roll back, so nothing is kept for it.
    kept = fleet.exec("node1", "cat /run/keys/t-it; ls /run/closure-nixos | grep -x undo; true")
    fleet.exec("node1", "rm /run/keys/t-it")
    assert kept == "1"
    again = [
        play(role(), *options, "-e", "deploy_action=boot", "--limit", "node1"),
        play(role(), *options, "-e", "deploy_action=test", "--limit", "node2"),
    ]
    assert [max(changed(played).values()) for played in again] == [0, 0]
    # What is left of a switch after a test is to boot it.
    switched = play(role(), *options, "--limit", "node2")
    assert switched.result("node2", SWITCH)["actions"] == ["boot"]
    assert_deployed(fleet, paths(switched))


def test_an_unreachable_host_costs_no_other_its_deployment(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    file = write_systems(tmp_path)
    nobody = fleet.hosts["node1"]["ansible_host"].rpartition(".")[0] + ".99"
    hosts = {"testbed": {"hosts": {"node1": {"ansible_host": nobody, "ansible_ssh_timeout": 3}}}}
    (tmp_path / "gone.json").write_text(json.dumps(hosts))
    untouched = trace(fleet, "node1")
    played = play(
        DEPLOY,
        *("-i", str(tmp_path / "gone.json")),
        *("-e", f"nixos_file={file}", "-e", "deploy_serial=1"),
    )
    assert played.rc != 0
    assert_deployed(fleet, {host: played.result(host, BUILD)["path"] for host in HOSTS[1:]})
    message = played.result("node1", "Say what happened")["msg"]
    assert message.startswith("node1 was not deployed: ")
    assert "Traceback" not in played.text
    assert difference(untouched, trace(fleet, "node1")) == []


@pytest.mark.soak
def test_a_host_that_does_not_evaluate_costs_no_other_its_deployment(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    file = write_systems(
        tmp_path, node2='{ assertions = [ { assertion = false; message = "out of luck"; } ]; }'
    )
    untouched = trace(fleet, "node2")
    all_or_none = play(DEPLOY, "-e", f"nixos_file={file}", "-e", "deploy_require=all")
    assert changed(all_or_none) == dict.fromkeys(HOSTS, 0), all_or_none.text
    message = all_or_none.result("node1", "Say what happened")["msg"]
    assert "these hosts have no system: node2." in message, message
    played = play(DEPLOY, "-e", f"nixos_file={file}")
    assert played.rc == 2
    assert [played.stats[host]["failed"] for host in HOSTS] == [0, 1, 0]
    assert_deployed(
        fleet, {host: played.result(host, BUILD)["path"] for host in ("node1", "node3")}
    )
    assert difference(untouched, trace(fleet, "node2")) == []
    # Ansible shows twice what fails, here with Nix's own trace. The end names it and says no more.
    assert played.text.count("out of luck") == 3, played.text
    said = played.result("node2", "Say what happened")["msg"]
    assert f"{file} does not evaluate: " in said and "\n" not in said
    assert "node1  switched" in played.text and "node2  FAILED" not in played.text


def test_the_file_beside_the_inventory_is_the_default_then_that_beside_the_playbook(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    infra, plays = tmp_path / "infra", tmp_path / "plays"
    names = {}
    for directory, host in ((infra, "web1"), (plays, "web2")):
        directory.mkdir()
        write_systems(directory, hosts=[host]).rename(directory / "nixos.nix")
        names[host] = fleet.hosts["node1"]
    (infra / "inventory.json").write_text(json.dumps({"testbed": {"hosts": names}}))
    (plays / "site.yml").write_text(role(hosts="{{ only }}"))
    options = ("-i", str(infra / "inventory.json"), "--check")
    by_inventory = play(plays / "site.yml", *options, "-e", "only=web1")
    assert "-nixos-system-web1-" in paths(by_inventory)["web1"]
    (infra / "nixos.nix").unlink()
    by_playbook = play(plays / "site.yml", *options, "-e", "only=web2")
    assert "-nixos-system-web2-" in paths(by_playbook)["web2"]
    # A host that comes with add_host has no inventory beside which to look.
    web9 = {"name": "web9", "groups": "testbed"} | names["web1"]
    comes = {"hosts": "web1", "gather_facts": False, "tasks": [{"ansible.builtin.add_host": web9}]}
    write_systems(plays, hosts=["web9"]).rename(plays / "nixos.nix")
    (plays / "site.yml").write_text(json.dumps([comes, *json.loads(role(hosts="web9"))]))
    added = play(plays / "site.yml", *options)
    assert "-nixos-system-web9-" in added.result("web9", BUILD)["path"]


def least_rules() -> str:
    """The sudoers that the documentation has."""
    text = (COLLECTION / "docs/security.md").read_text()
    return text.partition("<!-- least rules of sudo -->\n```text\n")[2].partition("```")[0]


def test_the_least_rules_of_sudo_are_enough_and_the_controller_needs_none(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    file = write_systems(tmp_path, hosts=["node1"])
    host = {"ansible_user": "deploy", "ansible_become_exe": "sudo"}
    # Who cannot become root on the controller, and has this for all hosts.
    everywhere = {"ansible_become": True, "ansible_become_exe": "/nowhere/sudo"}
    groups = {"all": {"vars": everywhere}, "testbed": {"hosts": {"node1": host}}}
    (tmp_path / "sudo.json").write_text(json.dumps(groups))
    inventory, systems = str(tmp_path / "sudo.json"), f"nixos_file={file}"
    options = ("-i", inventory, "-e", systems, "--limit", "node1")
    fleet.exec(
        "node1",
        f"mv /etc/sudoers.d /root/; mkdir /etc/sudoers.d; echo '{least_rules()}' >"
        "/etc/sudoers.d/deploy",
    )
    try:
        refused = play(DEPLOY, *options)
        (tmp_path / "host_vars").mkdir()
        (tmp_path / "host_vars/localhost.yml").write_text("ansible_become: false\n")
        deployed = play(DEPLOY, *options)
    finally:
        fleet.exec("node1", "rm -r /etc/sudoers.d && mv /root/sudoers.d /etc/")
    message = refused.result("node1", "Say what happened")["msg"]
    assert "localhost does not run /bin/sh for us" in message
    assert "set ansible_become: false for this one, as in host_vars/localhost.yml" in message
    assert deployed.rc == 0, deployed.text
    assert deployed.result("node1", "Copy what the host does not have")["transport"] == "archive"
    assert_deployed(fleet, paths(deployed))


@pytest.mark.soak
def test_the_built_collection_deploys_as_the_checkout_does(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    galaxy = [str(pathlib.Path(sys.executable).with_name("ansible-galaxy")), "collection"]
    build = [*galaxy, "build", str(COLLECTION), "--output-path", str(tmp_path)]
    subprocess.run(build, check=True, capture_output=True)
    (tarball,) = tmp_path.glob("closure-nixos-*.tar.gz")
    place = tmp_path / "installed"
    install = [
        *galaxy,
        "install",
        str(tarball),
        "--collections-path",
        str(place),
        "--offline",
        "--force",
    ]
    subprocess.run(install, check=True, capture_output=True)
    env = {"ANSIBLE_COLLECTIONS_PATH": str(place)}
    options = ("-e", f"nixos_file={write_systems(tmp_path)}", "--limit", "node1")
    played = play(DEPLOY, *options, env=env)
    assert played.rc == 0 and changed(played)["node1"] > 0, played.text
    assert_deployed(fleet, paths(played))
