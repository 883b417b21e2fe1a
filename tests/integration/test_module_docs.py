# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules' documentation against what they really return, and its examples."""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import sys
import textwrap
import typing as t

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible_collections.closure.nixos.tests.integration._harness import Fleet, Play, Played
from ansible_collections.closure.nixos.tests.integration._systems import (
    COPY,
    MODULES,
    PROFILE_SET,
    SWITCH,
    Task,
    build,
    module,
    playbook,
    switch,
    write_systems,
)

HOST = "node1"
PLUGINS = pathlib.Path(__file__).parents[2] / "plugins/modules"
ALL_MODULES = tuple(sorted(file.stem for file in PLUGINS.glob("*.py")))
SERVICE = """{
  systemd.services.sleeper = { wantedBy = [ "multi-user.target" ]; script = "sleep infinity"; };
}"""
BROKEN_SERVICE = """{
  systemd.services.broken = {
    wantedBy = [ "multi-user.target" ];
    serviceConfig.Type = "oneshot";
    script = "exit 1";
  };
}"""
NO_SYSTEM = """derivation {
  name = "fails";
  system = builtins.currentSystem;
  builder = "/bin/sh";
  args = [ "-c" "exit 3" ];
}"""
# Ansible's own documentation has them, "Return Values" and "Common Return Values".
COMMON = {"changed", "failed", "diff", "stdout_lines", "stderr_lines", "warnings", "exception"}
ABSENT = "/nix/store/00000000000000000000000000000000-nixos-system-absent"

Docs = dict[str, t.Any]


@pytest.fixture(scope="module")
def docs(environment: dict[str, str]) -> dict[str, Docs]:
    """What ansible-doc says of each module."""
    program = str(pathlib.Path(sys.executable).with_name("ansible-doc"))
    names = [f"closure.nixos.{name}" for name in ALL_MODULES]
    done = subprocess.run(
        [program, "-t", "module", "--json", *names],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        check=True,
    )
    return {name.rpartition(".")[2]: said for name, said in json.loads(done.stdout).items()}


def undocumented(values: Docs, documented: Docs, prefix: str = "") -> set[str]:
    """The names of values, nested ones with dots, that the documentation does not have."""
    found = {f"{prefix}{key}" for key in values.keys() - documented.keys()}
    for key, entries in nested(values, documented):
        for entry in entries:
            found |= undocumented(entry, documented[key].get("contains", {}), f"{prefix}{key}.")
    return found


def missing(values: Docs, documented: Docs, prefix: str = "") -> set[str]:
    """The names that the documentation promises with every success and that are not there."""
    promised = {
        key
        for key, entry in documented.items()
        if entry["returned"].startswith(("success", "always"))
    }
    found = {f"{prefix}{key}" for key in promised - values.keys()}
    for key, entries in nested(values, documented):
        for entry in entries:
            found |= missing(entry, documented[key].get("contains", {}), f"{prefix}{key}.")
    return found


def unlike(value: object, sample: object, at: str) -> list[str]:
    """Where a value is of another kind than the documented sample of it.

    An empty list, an empty mapping and null say nothing of what they would hold; a mapping may have
    any keys, such as the names of units.
    """
    if value is None or sample is None:
        return []
    if isinstance(value, (int, float)) and isinstance(sample, float):
        return []
    if type(value) is not type(sample):
        return [f"{at}: {value!r} is not as {sample!r}"]
    if isinstance(value, list) and isinstance(sample, list):
        return [found for it in value for like in sample[:1] for found in unlike(it, like, at)]
    if isinstance(value, dict) and isinstance(sample, dict):
        both = value.keys() & sample.keys()
        return [found for key in both for found in unlike(value[key], sample[key], f"{at}.{key}")]
    # A sentence may begin with a path.
    stored = [bool(re.fullmatch(r"/nix/store/\S+", str(it))) for it in (value, sample)]
    return [] if stored[0] is stored[1] else [f"{at}: {value!r} is not as {sample!r}"]


def unlike_samples(values: Docs, documented: Docs) -> list[str]:
    """Where the values of a result, nested ones too, are unlike the samples."""
    found = []
    for key in values.keys() & documented.keys():
        if "sample" in documented[key]:
            found += unlike(values[key], documented[key]["sample"], key)
    for key, entries in nested(values, documented):
        for entry in entries:
            found += unlike_samples(entry, documented[key].get("contains", {}))
    return found


def nested(values: Docs, documented: Docs) -> t.Iterator[tuple[str, list[Docs]]]:
    for key in values.keys() & documented.keys():
        entries = values[key] if isinstance(values[key], list) else [values[key]]
        yield key, [entry for entry in entries if isinstance(entry, dict)]


def own(result: Docs) -> Docs:
    """A result without what Ansible adds to it."""
    return {
        key: value
        for key, value in result.items()
        if key not in COMMON and not key.startswith("_ansible")
    }


def results(played: Played, name: str) -> list[Docs]:
    found = [own(result) for result in played.results(HOST, name)]
    assert found, name
    return found


def test_all_that_the_modules_return_is_documented_and_all_they_promise_is_returned(
    play: Play, docs: dict[str, Docs], tmp_path: pathlib.Path
) -> None:
    tasks: list[Task] = [
        module("nixos_facts", {}),
        build(write_systems(tmp_path, SERVICE, [HOST])),
        COPY,
        switch("dry-activate"),
        switch("test"),
        PROFILE_SET,
        switch("boot"),
        SWITCH,
    ]
    text = playbook(*tasks, hosts=HOST)
    checked, first, checked_again, again = (
        play(text, "--check", "--diff"),
        play(text, "--diff"),
        play(text, "--check"),
        play(text),
    )
    assert first.stats[HOST]["changed"] > again.stats[HOST]["changed"] == 0, again.text
    for name in ("nixos_facts", *MODULES):
        documented = docs[name]["return"]
        for played in (checked, first, checked_again, again):
            assert played.rc == 0, played.text
            for result in results(played, name):
                assert undocumented(result, documented) == set(), name
                assert missing(result, documented) == set(), name
                assert unlike_samples(result, documented) == [], name


# The tasks of the role by which a host is deployed.
OF_ROLE = {
    "Take the options": "deploy_options",
    "Look at the host": "nixos_facts",
    "See whether the host may be deployed": "deploy_preflight",
    "Evaluate and build the systems of all hosts": "nix_build_system",
    "Copy what the host does not have": "nix_copy_closure",
    "Activate the system on trial": "nixos_switch",
    "Leave a record on the host": "deploy_record",
    "Say what happened": "deploy_outcome",
}


def test_all_that_the_modules_return_in_the_role_is_documented(
    play: Play, docs: dict[str, Docs], tmp_path: pathlib.Path
) -> None:
    file = f"nixos_file={write_systems(tmp_path, hosts=[HOST])}"
    played = play(pathlib.Path("closure.nixos.deploy"), "-e", file, "--limit", HOST)
    assert played.rc == 0, played.text
    for task, name in OF_ROLE.items():
        documented = docs[name]["return"]
        for result in results(played, task):
            # What is in the role's options is documented with the role.
            assert result.keys() - documented.keys() == set(), name
            assert missing(result, documented) == set(), name
            assert unlike_samples(result, documented) == [], name


def failures(directory: pathlib.Path) -> list[tuple[Task, set[str]]]:
    """Tasks that fail after the two of :func:`prepared`, with the keys that must tell why."""
    file = write_systems(directory, SERVICE, [HOST])
    no_system = directory / "no-system.nix"
    no_system.write_text(NO_SYSTEM)
    deploy = {"ansible_user": "deploy"}
    return [
        (build(file, attr="nothing"), {"rc", "trace"}),
        (build(no_system, attr=[]), {"rc", "trace", "drv_path"}),
        (module("nix_copy_closure", {"path": ABSENT}), {"path", "stderr"}),
        (module("nix_copy_closure", {"path": "{{ new.path }}"}, vars=deploy), set()),
        (
            module("nix_copy_closure", {"path": "{{ new.path }}", "transport": "ssh"}, vars=deploy),
            {"rc", "stderr"},
        ),
        (module("nix_profile_set", {"path": ABSENT}), {"path"}),
        (module("nix_profile_set", {"path": "{{ broken.path }}"}, vars=deploy), set()),
        (module("nixos_switch", {"path": ABSENT}), {"path"}),
        (module("nixos_switch", {"path": "{{ broken.path }}"}), {"path"}),
        (module("nixos_switch", {"profile": "absent"}), set()),
        (module("nixos_rollback", {"to": ABSENT}), {"path"}),
        (module("nixos_rollback", {"to": 999999}), set()),
        (
            module("nixos_switch", {"path": "{{ broken.path }}", "action": "test"}),
            {"outcome", "report", "system_before", "system_after", "failed_units"},
        ),
    ]


def prepared(directory: pathlib.Path) -> list[Task]:
    """Build a system that is not copied, and copy one whose service does not start."""
    new = write_systems(directory, SERVICE, [HOST])
    broken = write_systems(directory, BROKEN_SERVICE, [HOST])
    return [
        build(new) | {"register": "new"},
        build(broken) | {"register": "broken"},
        module("nix_copy_closure", {"path": "{{ broken.path }}"}),
    ]


@pytest.fixture
def system_of_the_profile(fleet: Fleet, play: Play) -> t.Iterator[None]:
    """Bring the host back to what it boots."""
    yield
    play(playbook(module("nixos_switch", {"action": "test"}), hosts=HOST))
    fleet.exec(HOST, "systemctl reset-failed")


EMPTY = ("null", '""', "[]", "{}")


@pytest.mark.usefixtures("system_of_the_profile")
def test_all_that_a_failed_module_returns_is_documented(
    play: Play, docs: dict[str, Docs], tmp_path: pathlib.Path
) -> None:
    cases = [
        (task | {"name": f"failure {n}", "ignore_errors": True}, keys)
        for n, (task, keys) in enumerate(failures(tmp_path))
    ]
    tasks = [*prepared(tmp_path), *(task for task, _keys in cases)]
    played = play(playbook(*tasks, hosts=HOST))
    assert played.rc == 0, played.text
    for task, keys in cases:
        result = played.result(HOST, task["name"])
        documented = docs[task["register"]]["return"]
        assert result.get("failed"), task
        assert undocumented(own(result), documented) == set(), task
        assert unlike_samples(own(result), documented) == [], task
        assert {"msg", *keys} <= result.keys(), task
        # People see all of it, so it says nothing that says nothing.
        assert not [it for it in json.dumps(own(result)).split(": ") if it.startswith(EMPTY)], task
    assert "Traceback" not in played.text


def test_the_examples_are_tasks_with_options_that_exist(play: Play, docs: dict[str, Docs]) -> None:
    header = "- hosts: all\n  gather_facts: false\n  tasks:\n"
    plays = ""
    for documented in docs.values():
        examples = documented["examples"].strip().removeprefix("---")
        plays += header + textwrap.indent(examples, "    ") + "\n"
        for task in DataLoader().load(examples):
            for key in task.keys() & {f"closure.nixos.{name}" for name in docs}:
                options = docs[key.rpartition(".")[2]]["doc"].get("options") or {}
                assert (task[key] or {}).keys() <= options.keys()
    played = play(plays, "--syntax-check")
    assert played.rc == 0, played.text


@pytest.mark.parametrize("name", ALL_MODULES)
def test_a_module_without_its_action_plugin_says_so(
    name: str, environment: dict[str, str], docs: dict[str, Docs]
) -> None:
    options = docs[name]["doc"].get("options") or {}
    required = {key: "value" for key, option in options.items() if option.get("required")}
    # The one of several that are required by themselves or together.
    required |= {key: "value" for key in ("path", "expression") if key in options}
    arguments = json.dumps({"ANSIBLE_MODULE_ARGS": required})
    done = subprocess.run(
        [sys.executable, str(PLUGINS / f"{name}.py")],
        input=arguments,
        env=os.environ | {"PYTHONPATH": environment["ANSIBLE_COLLECTIONS_PATH"]},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert "its action plugin was not found" in json.loads(done.stdout)["msg"]
