# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What nix_build_system takes for a system, and what it says while and after it builds."""

from __future__ import annotations

import json
import os
import pathlib
import re
import secrets
import shutil
import subprocess
import textwrap
import typing as t

import pytest
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible_collections.closure.nixos.tests.integration._harness import (
    TESTBED,
    Play,
    Played,
    soak_but,
)
from ansible_collections.closure.nixos.tests.integration._systems import (
    Task,
    module,
    playbook,
)

NIXPKGS = TESTBED.with_name("nixpkgs")
FLAKES = ("nix", "--extra-experimental-features", "nix-command flakes")
TAGGED = '{ tag, ... }: { environment.etc."closure-testbed/tag".text = tag; }'
# What would end in Nix code, in shell, or in a template by accident.
TAG = "a \"b\" ${x} ''${y}'' $z `id` \\\n\tü 'q' \U0001f600 @x@ $(id) %"
RUBBISH = {"NIX_PATH": "nixpkgs=/nonexistent:/tmp"}


def task(name: str, **arguments: t.Any) -> Task:
    return module("nix_build_system", arguments) | {"name": name, "ignore_errors": True}


def locally(play: Play, *tasks: Task, env: dict[str, str] | None = None) -> Played:
    played = play(playbook(*tasks, hosts="localhost", connection="local"), env=env)
    assert "Traceback" not in played.text
    return played


def tag_of(played: Played, name: str) -> str:
    said = played.result("localhost", name)
    assert not said["failed"], said["msg"]
    return (pathlib.Path(said["path"]) / "etc/closure-testbed/tag").read_text(encoding="utf-8")


def message(played: Played, name: str) -> str:
    said = played.result("localhost", name)
    assert said["failed"], said
    return str(said["msg"])


@pytest.fixture(scope="session")
def pin(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A tarball of the stand-in nixpkgs, pinned."""
    program = TESTBED.with_name("make-nixpkgs-tarball")
    where = str(tmp_path_factory.mktemp("nixpkgs"))
    done = subprocess.run([str(program), where], stdout=subprocess.PIPE, check=True)
    return t.cast(dict[str, str], json.loads(done.stdout))


@pytest.fixture
def tagged(tmp_path: pathlib.Path) -> pathlib.Path:
    """A module that shows an argument of its in the system."""
    file = tmp_path / "tagged.nix"
    file.write_text(TAGGED)
    return file


@pytest.fixture
def flake(tmp_path: pathlib.Path) -> pathlib.Path:
    """A flake in a directory of a Git tree, and a file that Git does not track."""
    directory = tmp_path / "tree/flake"
    directory.mkdir(parents=True)
    (directory / "tagged.nix").write_text(TAGGED)
    (directory / "flake.nix").write_text(f"""{{
      inputs.nixpkgs.url = "path:{NIXPKGS}";
      outputs = {{ nixpkgs, ... }}: {{
        nixosConfigurations.localhost = nixpkgs.lib.nixosSystem {{
          system = "x86_64-linux";
          specialArgs.tag = if builtins.pathExists ./untracked then "untracked" else "tracked";
          modules = [ ./tagged.nix ];
        }};
      }};
    }}""")
    for command in ("git init -q ..", "git add ."):
        subprocess.run(command.split(), cwd=directory, check=True)
    subprocess.run([*FLAKES, "flake", "lock"], cwd=directory, check=True)
    subprocess.run(["git", "add", "flake.lock"], cwd=directory, check=True)
    (directory / "untracked").touch()
    return directory


def pins(pin: dict[str, str], directory: pathlib.Path) -> dict[str, t.Any]:
    """The forms that a nixpkgs has."""
    npins = {"pins": {"nixpkgs": {"url": pin["url"], "hash": pin["sha256"]}}, "version": 5}
    files = {"own": pin | {"rev": "abc"}, "niv": {"nixpkgs": pin}, "npins": npins}
    for name, content in files.items():
        (directory / f"{name}.json").write_text(json.dumps(content))
    return {"pin": pin, "path": str(NIXPKGS)} | {
        name: str(directory / f"{name}.json") for name in files
    }


def test_a_configuration_takes_every_form_of_nixpkgs_and_no_nix_path(
    play: Play, pin: dict[str, str], tagged: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    forms = pins(pin, tmp_path)
    own = {"networking": {"hostName": "web1"}}
    tasks = [
        task(name, configuration=[tagged.name, own], nixpkgs=nixpkgs, args={"tag": TAG})
        for name, nixpkgs in forms.items()
    ]
    file = tmp_path / "play.yml"
    file.write_text(playbook(*tasks, hosts="localhost", connection="local"))
    played = play(file, env=RUBBISH)
    assert [tag_of(played, name) for name in forms] == [TAG] * len(forms)
    assert "-nixos-system-web1-" in played.result("localhost", "pin")["path"]
    paths = {name: played.result("localhost", name)["path"] for name in forms if name != "path"}
    assert len(set(paths.values())) == 1


def test_expressions_and_files_get_the_arguments_that_they_name(
    play: Play, tagged: pathlib.Path
) -> None:
    text = (
        f"{{ tag, other ? tag }}: {{ here = import {NIXPKGS}/nixos {{ configuration = {{"
        f" imports = [ ./{tagged.name} ]; _module.args.tag = other; }}; }}; }}"
    )
    file = tagged.with_name("systems.nix")
    file.write_text(text)
    arguments = {"attr": ["here"], "args": {"tag": TAG, "unnamed": 1}}
    tasks = (
        task("expression", expression=text, **arguments),
        task("file", file=file.name, **arguments),
    )
    playbook_file = tagged.with_name("play.yml")
    playbook_file.write_text(playbook(*tasks, hosts="localhost", connection="local"))
    played = play(playbook_file)
    assert [tag_of(played, name) for name in ("expression", "file")] == [TAG, TAG]
    paths = {played.result("localhost", name)["path"] for name in ("expression", "file")}
    assert len(paths) == 1


def test_a_flake_is_what_git_tracks_and_takes_arguments(play: Play, flake: pathlib.Path) -> None:
    played = locally(
        play,
        task("host", flake=str(flake)),
        task("name", flake=f"{flake}#localhost"),
        task("path", flake=f"{flake}#nixosConfigurations.localhost"),
        task("args", flake=str(flake), args={"tag": TAG}),
        task("missing", flake=f"{flake}#localhots"),
        env=RUBBISH,
    )
    assert [tag_of(played, name) for name in ("host", "name", "path")] == ["tracked"] * 3
    assert tag_of(played, "args") == TAG
    assert "Did you mean localhost?" in message(played, "missing")


# Where trees are lazy, Determinate Nix leaves the store path out (nix-src, nix/flake.cc).
LAZY = """#!/bin/sh
case "$*" in
    *"flake metadata"*) {nix} "$@" | sed 's|,"path":"/nix/store/[^"]*"||' ;;
    *) exec {nix} "$@" ;;
esac
"""


def test_a_flake_that_nix_has_not_copied_to_the_store_gets_other_inputs(
    play: Play, flake: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    lazy = tmp_path / "bin/nix"
    lazy.parent.mkdir()
    lazy.write_text(LAZY.format(nix=shutil.which("nix")))
    lazy.chmod(0o755)
    said = subprocess.check_output([lazy, *FLAKES[1:], "flake", "metadata", "--json", flake])
    assert json.loads(said).keys() >= {"locks", "locked"} and b'"path":"/nix/store/' not in said
    asked = task("it", flake=str(flake), override_inputs={"nixpkgs": f"path:{NIXPKGS}"})
    path = f"{lazy.parent}:{os.environ['PATH']}"
    played = [locally(play, asked | {"check_mode": True}, env=it) for it in ({}, {"PATH": path})]
    plain, lazily = (it.result("localhost", "it") for it in played)
    assert not plain["failed"] and not lazily["failed"], lazily
    assert lazily["path"] == plain["path"]


def test_a_flake_gets_other_inputs_and_keeps_its_lock(play: Play, flake: pathlib.Path) -> None:
    other = flake.parents[1] / "other"
    other.mkdir()
    (other / "flake.nix").write_text("""{ outputs = { self }: {
      lib.nixosSystem = { specialArgs, ... }: derivation {
        name = "other-${specialArgs.tag}"; system = "x86_64-linux"; builder = "/bin/sh"; };
    }; }""")
    lock = (flake / "flake.lock").read_text()
    file = flake.parents[1] / "play.yml"
    tasks = [
        task("own", flake=str(flake)),
        task("other", flake=str(flake), override_inputs={"nixpkgs": "./other"}),
        task("url", flake=f"{flake}#localhost", override_inputs={"nixpkgs": f"path:{other}"}),
        task("there", flake=str(flake), override_inputs={"nixpkgs": "./other"}, build_host="node1"),
        task("unknown", flake=str(flake), override_inputs={"nixpgks": "./other"}),
        task("nowhere", flake=str(flake), override_inputs={"nixpkgs": "./nowhere"}),
        task("file", file="x.nix", override_inputs={"nixpkgs": "./other"}),
        task("word", flake=str(flake), override_inputs={"nixpkgs": 1}),
    ]
    checked = [it | {"check_mode": True} for it in tasks]
    file.write_text(playbook(*checked, hosts="localhost", connection="local"))
    played = play(file, env=RUBBISH)
    said = [played.result("localhost", name) for name in ("own", "other", "url", "there")]
    assert not any(it["failed"] for it in said), said
    paths = [it["path"] for it in said]
    assert "-nixos-system-" in paths[0] and paths[1] == paths[2] == paths[3], paths
    assert paths[1].endswith("-other-tracked")
    assert "has no input nixpgks, which override_inputs names" in message(played, "unknown")
    assert "nowhere" in message(played, "nowhere")
    assert "override_inputs needs flake beside it, not file" in message(played, "file")
    assert "that of nixpkgs is 1" in message(played, "word")
    assert (flake / "flake.lock").read_text() == lock


def test_nix_path_is_warned_of_in_a_file_and_an_error_in_a_configuration(
    play: Play, tmp_path: pathlib.Path
) -> None:
    file = tmp_path / "system.nix"
    file.write_text("\n(import <nixpkgs/nixos> { configuration = { }; }).system\n")
    played = locally(
        play,
        task("file", file=str(file)),
        task("configuration", configuration=[str(file)], nixpkgs=str(NIXPKGS)),
        env={"NIX_PATH": f"nixpkgs={NIXPKGS}"},
    )
    assert f"{file}:2 looks <nixpkgs/nixos> up in NIX_PATH" in " ".join(played.text.split())
    assert played.result("localhost", "file")["path"]
    assert f"<nixpkgs/nixos> at {file}:2" in message(played, "configuration")


def test_what_a_vault_held_is_refused_unless_all_may_know_it(
    play: Play, tagged: pathlib.Path
) -> None:
    vault, password = (tagged.with_name(name) for name in ("vault.yml", "password"))
    password.write_text("sesame")
    encrypted = VaultLib([("default", VaultSecret(b"sesame"))]).encrypt("hunter2").decode()
    vault.write_text("hidden: !vault |\n" + textwrap.indent(encrypted, "  "))
    secret = "{{ hidden }}"
    system: Task = {"configuration": [str(tagged)], "nixpkgs": str(NIXPKGS)}
    inline: Task = {"configuration": [{"users": {"motd": secret}}], "nixpkgs": str(NIXPKGS)}
    args = {"args": {"tag": secret, "list": ["plain"]}}
    tasks = (
        task("args", **system, **args),
        task("inline", **inline),
        task("systems", systems={"a": system | args, "b": system | {"args": {"tag": "x"}}}),
        task("allowed", **system, **args, args_may_be_public=True),
    )
    text = playbook(*tasks, hosts="localhost", connection="local", vars_files=[str(vault)])
    played = play(text, env={"ANSIBLE_VAULT_PASSWORD_FILE": str(password)})
    assert "Traceback" not in played.text
    assert "args.tag is encrypted by Ansible Vault" in message(played, "args")
    assert "configuration.0.users.motd is encrypted" in message(played, "inline")
    assert "a: args.tag is encrypted" in message(played, "systems")
    assert played.result("localhost", "systems")["systems"]["b"]["path"]
    assert tag_of(played, "allowed") == "hunter2"


def test_a_flake_is_found_in_a_directory_of_any_name(play: Play, tmp_path: pathlib.Path) -> None:
    flake = """{ outputs = { self }: { nixosConfigurations.localhost = derivation {
      name = "found"; system = "x86_64-linux"; builder = "/bin/sh"; }; }; }"""
    for name in ("plain ï %20", "git ï %20"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "flake.nix").write_text(flake)
    for command in ("git init -q", "git add ."):
        subprocess.run(command.split(), cwd=tmp_path / "git ï %20", check=True)
    tasks = [
        task(name, flake=str(tmp_path / f"{name} ï %20")) | {"check_mode": True}
        for name in ("plain", "git")
    ]
    played = locally(play, *tasks)
    assert played.result("localhost", "plain")["path"].endswith("-found")
    said = played.result("localhost", "git")
    # Before 2.19 Nix cannot.
    assert "older than 2.19" in said["msg"] if said["failed"] else said["path"].endswith("-found")


def test_a_wrong_pin_is_told_with_both_hashes_and_what_to_do(
    play: Play, pin: dict[str, str], tmp_path: pathlib.Path
) -> None:
    wrong = pin | {"sha256": "0" * 52}
    (tmp_path / "none.json").write_text("{}")
    played = locally(
        play,
        task("wrong", configuration=[{}], nixpkgs=wrong),
        task("none", configuration=[{}], nixpkgs=str(tmp_path / "none.json")),
    )
    assert "0" * 52 in message(played, "wrong")
    assert pin["sha256"] in message(played, "wrong")
    assert "closure.nixos.nixpkgs_pin" in message(played, "wrong")
    assert "npins" in message(played, "none")


def fleet_of(number: int, marker: str) -> dict[str, Task]:
    """Systems of that number, one of which does not evaluate."""
    systems = {
        f"host{n}": {"configuration": [{"users": {"motd": f"{marker} {n}"}}]}
        for n in range(number - 1)
    }
    return systems | {"broken": {"configuration": [{"networking": {"hostnam": "x"}}]}}


@pytest.mark.parametrize("memory", soak_but([0, 1], 0))
def test_of_twenty_systems_one_is_broken_and_nineteen_are_built(play: Play, memory: int) -> None:
    number = 4 if memory else 20  # one megabyte is enough for one host at a time
    systems = fleet_of(number, secrets.token_hex(4))
    played = locally(
        play, task("all", systems=systems, nixpkgs=str(NIXPKGS), eval_memory_mb=memory)
    )
    said = message(played, "all")
    outcomes = played.result("localhost", "all")["systems"]
    assert said.startswith("broken: ") and "hostnam" in said and "host0" not in said
    assert [name for name, it in outcomes.items() if it.get("failed")] == ["broken"]
    assert len({it["path"] for it in outcomes.values() if not it.get("failed")}) == number - 1


def test_systems_that_say_nonsense_fail_alone(play: Play) -> None:
    good: Task = {"configuration": [{}]}
    systems = {
        "good": good,
        "text": "nixos.nix",
        "other": good | {"roots": "/roots"},
        "../../above": good,
        "empty": {"attr": "x"},
        "date": good | {"args": {"day": "A DATE"}},
    }
    name = "nonsense"
    nonsense = task(name, systems=systems, nixpkgs=str(NIXPKGS)) | {"check_mode": True}
    text = playbook(nonsense, hosts="localhost", connection="local")
    played = play(text.replace('"A DATE"', "2026-01-01"))
    said = message(played, name)
    outcomes = played.result("localhost", name)["systems"]
    assert outcomes["good"]["path"] and "Traceback" not in played.text
    for words in (
        "text: It has to be a dictionary in systems",
        "other: It has to be a dictionary in systems, with nothing else than args, ",
        "'../../above' cannot be the name of a system",
        "empty: give one of file, ",
        "date: args holds what JSON has no word for",
    ):
        assert words in said, words


def test_check_mode_says_what_a_build_would_do(play: Play) -> None:
    def arguments() -> Task:
        motd = {"users": {"motd": secrets.token_hex(4)}}
        return {"configuration": [motd], "nixpkgs": str(NIXPKGS)}

    one, other = arguments(), arguments()
    settings = {"cores": 1, "max_jobs": "1", "nix_options": {"fallback": True}}
    first = locally(
        play,
        task("checked", **one) | {"check_mode": True},
        task("built", **one | settings),
        task("build", **other, check_build=True) | {"check_mode": True},
    )
    again = locally(play, task("checked", **one) | {"check_mode": True})
    checked, built, also = (
        first.result("localhost", name) for name in ("checked", "built", "build")
    )
    there = again.result("localhost", "checked")
    assert checked["plan"] == built["plan"] and checked["path"] == built["path"] == there["path"]
    assert checked["built"] == built["built"] == len(built["plan"]["derivations"]) > 0
    assert (there["built"], there["changed"], checked["changed"]) == (0, False, True)
    assert checked["closure_bytes"] is None and built["closure_bytes"] > 10**6
    assert also["changed"] and also["nixos_version"] == "26.05.standin"


SLOW = """{ pkgs, ... }: {
  environment.systemPackages = [ (pkgs.runCommand "slow-1.0" { }
    "echo I sleep; sleep 8; mkdir $out # %s") ];
}"""


def test_progress_is_seen_in_runners_events_while_it_builds(
    play: Play, tmp_path: pathlib.Path
) -> None:
    file = tmp_path / "slow.nix"
    file.write_text(SLOW % secrets.token_hex(4))
    slow = task("slow", configuration=[str(file)], nixpkgs=str(NIXPKGS))
    # So the task's header comes with its result, after these lines.
    played = locally(play, slow, env={"ANSIBLE_DISPLAY_SKIPPED_HOSTS": "false"})
    lines = [e for e in played.events if e["stdout"].startswith("localhost: slow: building ")]
    assert lines and all(e["event"] == "verbose" for e in lines)
    assert re.search(r"slow-1.0 for \d+ s: I sleep", lines[-1]["stdout"])
    end = next(e for e in played.events if e["event"] == "runner_on_ok")
    assert all(e["counter"] < end["counter"] for e in lines)
