# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever fails in the role, and where: the host ends whole, and the first cause is told."""

from __future__ import annotations

import json
import pathlib
import shutil
import typing as t

import pytest
import yaml
from ansible_collections.closure.nixos.tests.integration._failures import CASES, Case
from ansible_collections.closure.nixos.tests.integration._harness import (
    Fleet,
    Play,
    Played,
    soak_but,
    until,
)
from ansible_collections.closure.nixos.tests.integration._systems import (
    HOSTS,
    Task,
    booted_next,
    is_at,
    write_systems,
)
from ansible_collections.closure.nixos.tests.integration._trials import (
    FAILED,
    at,
    options,
    settled,
)
from ansible_collections.closure.nixos.tests.integration.test_deploy import BUILD, role

ROOT = pathlib.Path(__file__).parents[2]
STATIC = {"ansible.builtin.import_tasks"}
NOBODY = "nobody_has_said_this"
CHECK = "Ask the application"
HOOK = {"name": "Drain", "ansible.builtin.debug": {"msg": "drained"}}
# Before the first nothing was begun, and after the last nothing is said.
SILENT = ("Take the options", FAILED)
SICK = [{"name": CHECK, "ansible.builtin.fail": {"msg": "it is sick"}, "when": "sick | bool"}]


def fails(task: Task) -> Task:
    """A task that cannot begin, where `fails_at` names it: one of its templates is wrong.

    What only says where the role goes on has no such words.
    """
    if "ansible.builtin.meta" in task:
        return task
    here = f"{json.dumps(task['name'])} in fails_at"
    if "loop" in task:
        loop = task["loop"].strip().removeprefix("{{").removesuffix("}}")
        return task | {"loop": f"{{{{ ({NOBODY} if {here} else []) + ({loop}) }}}}"}
    action = next(key for key in task if key.startswith(("closure.nixos.", "ansible.builtin.")))
    broken = f"{{{{ {NOBODY} if {here} else omit }}}}"
    return task | {action: (task[action] or {}) | {"injected": broken}}


def mutate(tasks: list[Task]) -> list[Task]:
    """The tasks of a file, each of which can be made to fail."""
    return [
        {key: mutate(it[key]) if key in ("block", "rescue") else it[key] for key in it}
        if "block" in it
        else it
        if STATIC & it.keys()
        else fails(it)
        for it in tasks
    ]


@pytest.fixture(scope="module")
def broken_role(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The collection with a role of which each task can be made to fail, as an environment."""
    place = tmp_path_factory.mktemp("broken")
    collection = place / "ansible_collections/closure/nixos"
    collection.mkdir(parents=True)
    for entry in ROOT.iterdir():
        if entry.name != "roles":
            (collection / entry.name).symlink_to(entry)
    shutil.copytree(ROOT / "roles", collection / "roles")
    for file in (collection / "roles/deploy/tasks").glob("*.yml"):
        file.write_text(json.dumps(mutate(yaml.safe_load(file.read_text()))))
    return {"ANSIBLE_COLLECTIONS_PATH": str(place)}


def boots_once(fleet: Fleet, host: str) -> str:
    """What the boot loader of a host starts at the next boot alone, if anything."""
    return fleet.exec(host, "cat /boot/loader/oneshot 2>/dev/null", check=False)


def write_inventory(fleet: Fleet, case: Case, directory: pathlib.Path) -> pathlib.Path:
    """Write an inventory with the hosts of a case, each with its own variables."""
    nodes = yaml.safe_load(fleet.inventory.read_text())["testbed"]["hosts"]
    common = {"deploy_checks": "check.yml"} | case.variables
    hosts = {
        host: nodes[host.partition("-")[0]]
        | {"fails_at": list(tasks), "sick": host in case.sick}
        | common
        | case.own.get(host, {})
        for host, tasks in case.fails.items()
    }
    file = directory / "failures.json"
    file.write_text(json.dumps({"testbed": {"hosts": hosts}}))
    return file


@pytest.mark.parametrize("name", soak_but(CASES, "before"))
def test_each_failure_leaves_a_whole_host_and_is_told(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path, broken_role: dict[str, str], name: str
) -> None:
    case, old = CASES[name], settled(fleet, play, tmp_path)
    (tmp_path / "check.yml").write_text(json.dumps(SICK))
    (tmp_path / "hook.yml").write_text(json.dumps([HOOK]))
    (tmp_path / "site.yml").write_text(role(hosts="all"))
    played = play(
        tmp_path / "site.yml",
        *("-i", str(write_inventory(fleet, case, tmp_path)), "--limit", ",".join(case.fails)),
        *options(write_systems(tmp_path, hosts=case.fails)),
        env=broken_role,
    )
    for host, places in case.fails.items():
        assert_told(played, host, places, host in case.sick, case.ends != "new")
    if case.ends == "boots":
        assert {host: booted_next(fleet, host) for host in HOSTS} == old
        assert not any(boots_once(fleet, host) for host in HOSTS)
    elif case.ends == "new":
        assert not set(at(fleet).items()) & set(old.items())
    else:
        until(lambda: all(is_at(fleet, host, old[host]) for host in HOSTS))


def assert_told(
    played: Played, host: str, places: tuple[str, ...], sick: bool, failed: bool
) -> None:
    """Each of the tasks failed; the first failure is said at the end, or it did not matter."""
    for place in places:
        assert NOBODY in json.dumps(played.results(host, place)), (host, place, played.text)
    assert played.stats[host]["failed"] == int(failed), played.text
    assert not sick or not played.results(host, "Confirm the system")
    if not failed or places[0] in SILENT:
        return
    cause = f"{CHECK}: it is sick" if sick else f"{places[0]}: "
    message = played.result(host, FAILED)["msg"]
    assert message.startswith(f"{host}: {cause}"), message
    if places == ("Reboot",):
        assert "at its next boot any more)" in message


ONE_IS_SICK = SICK[0] | {"when": "inventory_hostname == 'node2'"}
FLUSH = {"name": "Flush", "ansible.builtin.meta": "flush_handlers"}
TELL = {
    "name": "Tell",
    "ansible.builtin.debug": {"msg": "checked"},
    "changed_when": "inventory_hostname == 'node2'",
    "notify": CHECK,
}
HANDLER = {"name": CHECK, "ansible.builtin.fail": {"msg": "it is sick"}}
ALL, OTHERS, NONE = set(HOSTS), {"node1", "node3"}, set[str]()

# By case: keywords of the play, its check, and the hosts that get the new system.
PLAYS: dict[str, tuple[dict[str, t.Any], list[Task], set[str]]] = {
    "any_errors_fatal": ({"any_errors_fatal": True}, [ONE_IS_SICK], OTHERS),
    "max_fail_percentage": (
        {"serial": [2, 1], "max_fail_percentage": 0},
        [ONE_IS_SICK],
        {"node1"},
    ),
    "free": ({"strategy": "free"}, [ONE_IS_SICK], OTHERS),
    "host_pinned": ({"strategy": "host_pinned", "serial": 2}, [ONE_IS_SICK], OTHERS),
    # The check of one counts for all.
    "run_once": ({}, [SICK[0] | {"when": "true", "run_once": True}], NONE),
    "handlers": ({"handlers": [HANDLER]}, [TELL, FLUSH], OTHERS),
}


@pytest.mark.parametrize("case", soak_but(PLAYS, "max_fail_percentage"))
def test_each_host_ends_confirmed_or_rolled_back_at_once(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path, case: str
) -> None:
    keywords, check, expected = PLAYS[case]
    old = settled(fleet, play, tmp_path)
    (tmp_path / "check.yml").write_text(json.dumps(check))
    words = options(write_systems(tmp_path), deploy_checks=str(tmp_path / "check.yml"))
    played = play(role(**keywords), *words)
    assert played.rc != 0
    assert {host for host, system in at(fleet).items() if system != old[host]} == expected
    for host in ALL - expected:
        assert not played.results(host, BUILD) or played.result(host, FAILED)["failed"]
        assert "Traceback" not in played.text and "undefined" not in played.text


# By host of an INI inventory, where all values are texts: what is wrong, and what is said of it.
WRONG = {
    "absent": ("deploy_checks=absent.yml", "deploy_checks names absent.yml, and there is no"),
    "module": ("deploy_checks=module.yml", "module.yml, which Ansible does not load"),
    "yaml": ("deploy_checks=yaml.yml", "yaml.yml, which Ansible does not load"),
    "dict": ("deploy_checks=leaves.yml,dict.yml", "leaves.yml, which has meta: end_host"),
    "list": ("deploy_checks=dict.yml", "dict.yml, which Ansible does not load"),
    "word": ("deploy_confirm_timeout=soon", "deploy_confirm_timeout"),
    "none": ("deploy_confirm_timeout=0", "deploy_confirm_timeout has to be at least 1, and is 0"),
    "choice": ("deploy_rollback_scope=all", "deploy_rollback_scope"),
    "maybe": ("deploy_confirm=perhaps", "deploy_confirm"),
    "hook": ("deploy_before_run=none.yml", "deploy_before_run names none.yml, and there is no"),
    "archive": ("deploy_path=none.tar", "deploy_path names none.tar, and there is no"),
    "store": ("deploy_path=/nix/store/x", "'/nix/store/x' is not a store path"),
    "retention": ("deploy_retention='{\"keep\": 0}'", "deploy_retention: keep"),
    "profile": (
        """deploy_profiles='[{"path": "/tmp/x", "name": "x", "command": ["x"]}]'""",
        "deploy_profiles: '/tmp/x' is not a store path",
    ),
    "secret": (
        """deploy_secrets__web='{"tls-key": {"file": "none.key"}}'""",
        "deploy_secrets__web: tls-key has the file none.key, which is not on the controller.",
    ),
}
FILES = {
    "module.yml": "- name: Check\n  nobody.nothing.nowhere:\n",
    "yaml.yml": "- name: [\n",
    "dict.yml": "name: Check\n",
    "leaves.yml": "- block:\n    - ansible.builtin.meta: end_host\n",
}


def test_what_is_wrong_is_refused_before_a_host_is_asked(
    play: Play, tmp_path: pathlib.Path
) -> None:
    """The hosts do not exist, so that asking one would fail otherwise."""
    lines = [f"{host} {variable}" for host, (variable, _words) in WRONG.items()]
    lines = ["[first]", "right", "", "[wrong]", *lines, ""]
    (tmp_path / "hosts.ini").write_text("\n".join(lines))
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "site.yml").write_text(role(hosts="first:wrong", serial="{{ batches }}"))
    words = ["-i", str(tmp_path / "hosts.ini"), "--check", "-e"]
    at_once, first = (
        play(tmp_path / "site.yml", *words, f"batches={batches}") for batches in ("100%", 1)
    )
    for host, (_variable, expected) in WRONG.items():
        said = at_once.results(host)[-1]
        assert said["failed"] and expected in said["msg"], said
        assert not at_once.results(host, "Look at the host")
        assert not first.results(host)
    for played in (at_once, first):
        refused = played.results("right")[-1]["msg"]
        assert refused.startswith(f"The variables of absent and {len(WRONG) - 1} more are wrong. ")
        assert WRONG["absent"][1] in refused and refused.endswith(" No host was changed.")
        assert not played.results("right", "Look at the host")


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"run_once": True}, "run_once would deploy one host"),
        ({"strategy": "free"}, "deploy_rollback_scope: batch needs the strategy linear"),
    ],
    ids=str,
)
def test_a_play_that_cannot_keep_a_promise_is_refused(
    play: Play, keywords: dict[str, t.Any], words: str
) -> None:
    played = play(role(**keywords), "--check", "-e", "deploy_rollback_scope=batch")
    assert played.rc != 0
    refused = [host for host in played.stats if played.results(host)]
    assert refused
    for host in refused:
        assert words in played.results(host)[-1]["msg"], played.text
        assert not played.results(host, "Look at the host")
