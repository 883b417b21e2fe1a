# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""nix_profile_activate on a real host: homes of users, what root activates, and the way back."""

from __future__ import annotations

import pathlib
import re
import secrets
import typing as t

import pytest
import yaml
from ansible_collections.closure.nixos.tests.integration._harness import (
    Fleet,
    Play,
    Played,
    StartPlay,
    until,
)
from ansible_collections.closure.nixos.tests.integration._systems import (
    Task,
    module,
    nix,
    playbook,
)

HOST = "node1"
HOMES = pathlib.Path(__file__).with_name("homes")
ROOTS = "/nix/var/nix/gcroots/closure-nixos"


@pytest.fixture
def user(fleet: Fleet) -> t.Iterator[str]:
    """A user of the host, with a home."""
    name = f"home{secrets.token_hex(4)}"
    fleet.exec(HOST, f"useradd --create-home --groups nix-users {name}")
    yield name
    fleet.exec(HOST, f"userdel --remove {name} 2>&1")


def home(script: str = ":", **files: str) -> str:
    """Build the stand-in of a home, new to every store."""
    files |= {"nonce": secrets.token_hex(8)}
    written = " ".join(f'{name} = "{text}";' for name, text in files.items())
    text = f"import {HOMES} {{ files = {{ {written} }}; script = ''{script}''; }}"
    return nix("nix-build", "--no-out-link", "--expr", text)


def copy(path: str) -> Task:
    return module("nix_copy_closure", {"path": path})


def activate(task: str, user: str, /, **options: object) -> Task:
    """A task of that name, whose failure does not end the play."""
    keywords = {key: options.pop(key) for key in ("check_mode", "diff", "vars") if key in options}
    arguments = {"user": user, "kind": "home-manager", **options}
    done = module("nix_profile_activate", arguments, ignore_errors=True, **keywords)
    return done | {"name": task}


def shell(name: str, user: str, command: str) -> Task:
    return {"name": name, "ansible.builtin.raw": f"cd ~{user} && {command}"}


def results(played: Played, *names: str) -> list[dict[str, t.Any]]:
    assert played.rc == 0 and "Traceback" not in played.text, played.text
    return [played.result(HOST, name) for name in names]


def test_a_home_is_activated_once_and_rolls_back(fleet: Fleet, play: Play, user: str) -> None:
    first, second = home(bashrc="one", gone="x"), home(bashrc="two", vimrc="y")
    broken = home("echo no >&2; exit 3", bashrc="broken", left="z")
    look = "cat bashrc; ls; readlink -f .local/state/nix/profiles/home-manager"
    played = play(
        playbook(
            activate("not there", user, path=first),
            activate("would", user, path=first, check_mode=True),
            *map(copy, (first, second, broken)),
            activate("one", user, path=first),
            shell("at one", user, look),
            activate("one again", user, path=first),
            activate("would not", user, path=first, check_mode=True),
            activate("two", user, path=second, diff=True),
            shell("at two", user, look),
            activate("broken", user, path=broken),
            shell("still two", user, look),
            activate("two again", user, path=second),
            activate("back", user, generation=1),
            shell("back at one", user, look),
            activate("no generation", user, generation=7),
            hosts=HOST,
        )
    )
    not_there, would, one, again, would_not, two = results(
        played, "not there", "would", "one", "one again", "would not", "two"
    )
    assert "does not have" in not_there["msg"] and first in not_there["msg"]
    assert (would["changed"], would["generation"]) == (True, None)
    assert (one["changed"], one["generation"]["number"], one["path"]) == (True, 1, first)
    assert f"Starting Home Manager activation as {user}\n" in one["stdout"]
    assert [again["changed"], would_not["changed"], again["stdout"]] == [False, False, ""]
    assert (two["changed"], two["generation_before"]["number"]) == (True, 1)
    assert two["generation"]["number"] == 2
    assert (two["diff"]["before"], two["diff"]["after"]) == (f"{first}\n", f"{second}\n")
    broken_result, after, back, none = results(
        played, "broken", "two again", "back", "no generation"
    )
    assert (broken_result["rc"], broken_result["rolled_back"]) == (3, True)
    assert "ended with exit status 3" in broken_result["msg"]
    assert f"is rolled back to generation 2, {second}" in broken_result["msg"]
    assert broken_result["stderr"].strip().startswith("no")
    assert (after["changed"], after["generation"]["number"]) == (False, 2)
    assert (back["changed"], back["generation"]["number"], back["path"]) == (True, 1, first)
    assert (
        f"home-manager has no generation 7. Choose one of these: 1 (current): {first}"
        in (none["msg"])
    )
    places = ["at one", "at two", "still two", "back at one"]
    at_one, at_two, still, back_at_one = (it["stdout"].split() for it in results(played, *places))
    assert at_one == ["one", "bashrc", "gone", "nonce", first] == back_at_one
    assert at_two == ["two", "bashrc", "nonce", "vimrc", second] == still
    # All of it is the user's, the failed generation is gone, and nothing is left of the work.
    profiles = f"~{user}/.local/state/nix/profiles"
    names = fleet.exec(HOST, f"cd {profiles} && stat -c '%U %N' *").split("\n")[:-1]
    assert names == [
        f"{user} 'home-manager' -> 'home-manager-1-link'",
        f"{user} 'home-manager-1-link' -> '{first}'",
        f"{user} 'home-manager-2-link' -> '{second}'",
    ]
    assert fleet.exec(HOST, f"find ~{user} ! -user {user}") == ""
    assert first in fleet.exec(HOST, f"nix-store --query --roots {first}")
    assert fleet.exec(HOST, "ls /run/closure-nixos/jobs | grep profile", check=False) == ""


def test_what_cannot_be_activated_changes_nothing(fleet: Fleet, play: Play, user: str) -> None:
    path = home()
    login = {"ansible_user": "deploy"}
    played = play(
        playbook(
            copy(path),
            activate("no user", "nobodyatall", path=path),
            activate("no user yet", "nobodyatall", path=path, check_mode=True),
            activate("no root", user, path=path, vars=login),
            activate("no program", user, path=path, kind="custom", command=["x"], name="x"),
            activate("outside", user, path=path, kind="custom", command=["../x"], name="x"),
            activate("no name", user, path=path, kind="custom", command=["activate"]),
            activate("system", "root", path=path, profile_path="/nix/var/nix/profiles/system"),
            activate("no path", user, path="/etc"),
            shell("look", user, "ls -A .local 2>&1 || :"),
            hosts=HOST,
        )
    )
    sentences = {
        "no user": "node1 does not say what home-manager of nobodyatall is: there is no user",
        "no root": f"deploy cannot become {user}: set become: true",
        "no program": f"{path} has no program x, so nothing was activated",
        "outside": "command: '../x' cannot be",
        "no name": "name: '' cannot be",
        "system": "is for NixOS systems",
        "no path": "'/etc' is not a store path",
    }
    for (name, sentence), result in zip(
        sentences.items(), results(played, *sentences), strict=True
    ):
        assert sentence in result["msg"], name
    assert played.result(HOST, "no user yet")["changed"] is True
    assert "No such file" in played.result(HOST, "look")["stdout"]


PROGRAM = """
mkdir -p $out/bin
cat >$out/bin/activate <<'ACTIVATE'
#!/bin/sh
echo "$USER $PROFILE $*" >>/run/NAME
SCRIPT
ACTIVATE
chmod +x $out/bin/activate
"""


def program(name: str, script: str) -> str:
    """Build a closure with a program of our own, new to every store."""
    text = PROGRAM.replace("NAME", name).replace("SCRIPT", f"{script} # {secrets.token_hex(8)}")
    return built(name, text)


def built(name: str, text: str) -> str:
    """Build what a script makes."""
    packages = HOMES.parents[1] / "testbed/nixpkgs"
    script = text.replace("${", "''${")
    expression = f"(import {packages} {{ }}).runCommand \"{name}\" {{ }} ''{script}''"
    return nix("nix-build", "--no-out-link", "--expr", expression)


def test_root_activates_a_program_of_its_own(fleet: Fleet, play: Play) -> None:
    name = f"tool{secrets.token_hex(4)}"
    bad, good, slow = (program(name, it) for it in ("exit 4", ":", "sleep 60"))
    profile = f"/nix/var/nix/profiles/{name}"

    def run(task: str, path: str, **options: object) -> Task:
        own = {"name": name, "kind": "custom", "command": ["bin/activate", "--now"]}
        return activate(task, "root", path=path, **own | options)

    cut_short = f"echo x >{profile}.activating"
    played = play(
        playbook(
            *map(copy, (bad, good, slow)),
            run("first fails", bad),
            run("good", good),
            run("good again", good),
            run("slow", slow, timeout=1),
            {"name": "power cut", "ansible.builtin.raw": cut_short},
            run("after a power cut", good),
            run("at last", good),
            hosts=HOST,
        )
    )
    first, well, again, ended, after, last = results(
        played, "first fails", "good", "good again", "slow", "after a power cut", "at last"
    )
    assert (first["rc"], first["rolled_back"]) == (4, False)
    assert "had no generation to roll back to" in first["msg"]
    changed = [it["changed"] for it in (well, again, after, last)]
    assert changed == [True, False, True, False]
    assert f"did not end within 1 s. {name} of root is rolled back" in ended["msg"]
    said = fleet.exec(HOST, f"cat /run/{name}; rm /run/{name}").splitlines()
    assert said == [f"root {it} --now" for it in (bad, good, slow, good, good)]
    links = fleet.exec(HOST, f"ls -d {profile}* && readlink -f {profile}").split()
    assert links == [profile, f"{profile}-1-link", good]
    fleet.exec(HOST, f"rm {profile}*")


# As nix-darwin's, in who may run which; it makes links instead of a system.
DARWIN = """
mkdir $out
cat >$out/activate-user <<'PROGRAM'
#!/bin/sh
[ "$(id -u)" -ne 0 ] && ln -sfn "${0%/*}" ~/darwin
PROGRAM
cat >$out/activate <<'PROGRAM'
#!/bin/sh
[ "$(id -u)" -eq 0 ] && ln -sfn "${0%/*}" /run/LINK && SCRIPT # NONCE
PROGRAM
chmod +x $out/*
"""


def darwin(link: str, script: str) -> str:
    text = DARWIN.replace("LINK", link).replace("SCRIPT", script)
    return built("darwin-system", text.replace("NONCE", secrets.token_hex(8)))


def test_what_the_guide_says_of_nix_darwin_activates_and_rolls_back(
    fleet: Fleet, play: Play, user: str
) -> None:
    page = (HOMES.parents[2] / "docs/profiles.md").read_text("utf-8")
    said = re.search(r"## What nix-darwin .*?```yaml\n(.*?)```", page, re.DOTALL)
    assert said
    entries = yaml.safe_load(said[1])["deploy_profiles"]
    good, bad = darwin(user, "true"), darwin(user, "exit 6")

    def run(task: str, path: str) -> list[Task]:
        """The entries of the guide, with a path instead of its attribute and a user of ours."""
        own = [
            {**it, "path": path, "kind": "custom", "name": f"{it['name']}-{user}"} for it in entries
        ]
        for it in own:
            del it["attr"]
        owners = [user if it.pop("user", "") else "root" for it in own]
        pairs = zip(("user", "root"), owners, own, strict=True)
        return [activate(f"{task} {whose}", owner, **it) for whose, owner, it in pairs]

    copies = [copy(good), copy(bad)]
    tasks = [*copies, *run("one", good), *run("again", good), *run("bad", bad)]
    played = play(playbook(*tasks, hosts=HOST))
    names = [f"{task} {whose}" for task in ("one", "again") for whose in ("user", "root")]
    assert [it["changed"] for it in results(played, *names)] == [True, True, False, False]
    by_user, by_root = results(played, "bad user", "bad root")
    assert by_user["changed"] and by_user["path"] == bad
    assert (by_root["rc"], by_root["rolled_back"]) == (6, True)
    links = fleet.exec(HOST, f"readlink ~{user}/darwin /run/{user}; rm /run/{user}").split()
    assert links == [bad, good]
    fleet.exec(HOST, f"rm /nix/var/nix/profiles/darwin-{user}*")


@pytest.mark.soak
def test_an_activation_outlives_the_controller(
    fleet: Fleet, play: Play, start_play: StartPlay, user: str
) -> None:
    path = home("touch $HOME/begun; while [ ! -e $HOME/go ]; do sleep 0.1; done; touch $HOME/end")
    profile = f"~{user}/.local/state/nix/profiles/home-manager"
    started = start_play(playbook(copy(path), activate("home", user, path=path), hosts=HOST))
    until(lambda: fleet.exec(HOST, f"ls ~{user}/begun 2>&1", check=False).endswith("begun\n"))
    started.kill()
    fleet.exec(HOST, f"touch ~{user}/go")
    until(lambda: not fleet.exec(HOST, f"ls {profile}.activating", check=False))
    assert fleet.exec(HOST, f"readlink -f {profile}; ls ~{user}/end").split() == [
        path,
        fleet.exec(HOST, f"echo ~{user}/end").strip(),
    ]
    again = results(play(playbook(activate("home", user, path=path), hosts=HOST)), "home")
    assert [it["changed"] for it in again] == [False]
