# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Profiles of users: what is asked for, what the host says of them, and what has failed."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._profiles.profile import (
    End,
    ProfileRequest,
    explain,
    parse_end,
    parse_look,
    read_profiles,
    without_end,
)

OLD, NEW = (f"/nix/store/{letter * 32}-home-manager-generation" for letter in "ab")
HOME = "/home/alice/.local/state/nix/profiles/home-manager"


def request(**given: t.Any) -> ProfileRequest:
    default: dict[str, t.Any] = {"path": NEW, "generation": None, "user": "alice"}
    default |= {"kind": "home-manager", "name": None, "profile_path": None, "command": []}
    return ProfileRequest.of(**default | {"timeout": 600} | given)


@pytest.mark.parametrize(
    ("given", "profile", "command"),
    [
        ({}, "~/.local/state/nix/profiles/home-manager", ("activate",)),
        ({"user": "root"}, "~/.local/state/nix/profiles/home-manager", ("activate",)),
        ({"command": ["--x"], "name": "hm"}, "~/.local/state/nix/profiles/hm", ("activate", "--x")),
        (
            {"kind": "system-manager", "user": "root"},
            "/nix/var/nix/profiles/system-manager-profiles/system-manager",
            ("bin/activate",),
        ),
        (
            {"kind": "custom", "user": "root", "name": "tools", "command": ["bin/go", "a b"]},
            "/nix/var/nix/profiles/tools",
            ("bin/go", "a b"),
        ),
        (
            {"kind": "custom", "profile_path": "/srv/profiles/web", "command": ["go"]},
            "/srv/profiles/web",
            ("go",),
        ),
    ],
)
def test_where_a_profile_is_and_what_activates_it(
    given: dict[str, t.Any], profile: str, command: tuple[str, ...]
) -> None:
    asked = request(**given)
    assert (asked.profile, asked.command) == (profile, command)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"user": "-x"}, "user: '-x' cannot be"),
        ({"user": "a b"}, "user: 'a b' cannot be"),
        ({"name": "x-1-link"}, "name: 'x-1-link' cannot be"),
        ({"kind": "custom", "command": ["x"]}, "name: '' cannot be"),
        ({"kind": "custom", "name": "x"}, "command: '' cannot be. Name a program"),
        ({"kind": "custom", "name": "x", "command": ["/bin/sh"]}, "command: '/bin/sh' cannot be"),
        ({"kind": "custom", "name": "x", "command": ["a/../b"]}, "command: 'a/../b' cannot be"),
        ({"profile_path": "profiles/x"}, "profile_path: 'profiles/x' cannot be"),
        ({"profile_path": "~/../x"}, "profile_path: '~/../x' cannot be"),
        ({"user": "root", "kind": "custom", "name": "system", "command": ["x"]}, "for NixOS"),
        ({"profile_path": "/nix/var/nix/profiles/system-profiles/x"}, "for NixOS systems"),
        ({"timeout": 0}, "timeout has to be at least 1"),
        ({"path": "/etc"}, "not a store path"),
    ],
)
def test_what_cannot_be_is_refused(given: dict[str, t.Any], said: str) -> None:
    with pytest.raises(ClosureError, match=said):
        request(**given)


def test_the_profiles_of_a_role_are_what_the_module_is_asked() -> None:
    attr = "homeConfigurations.alice.activationPackage"
    given: list[dict[str, t.Any]] = [
        {"attr": attr, "user": "alice", "kind": "home-manager", "path": None, "timeout": None},
        {"path": OLD, "name": "tools", "command": ["go"]},
    ]
    home, tools = read_profiles(given)
    assert (home["label"], home["attr"], home["path"]) == ("home-manager of alice", attr, None)
    assert (home["root"], home["timeout"]) == ("profile-alice-home-manager", 600)
    assert (tools["user"], tools["kind"], tools["attr"]) == ("root", "custom", None)
    assert (tools["path"], tools["profile_path"]) == (OLD, "/nix/var/nix/profiles/tools")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([{"name": "x", "command": ["x"]}], "either path or attr"),
        ([{"path": OLD, "attr": "x", "name": "x", "command": ["x"]}], "either path or attr"),
        ([{"path": OLD, "name": "x", "command": ["x"]}] * 2, "x of root is there twice"),
        ([{"path": "x", "name": "x", "command": ["x"]}], "not a store path"),
    ],
)
def test_profiles_of_a_role_that_cannot_be_are_refused(
    given: list[dict[str, t.Any]], said: str
) -> None:
    with pytest.raises(ClosureError, match=said):
        read_profiles(given)


def test_the_job_has_a_name_that_a_job_can_have() -> None:
    assert request(user="Web_1").job == "profile-web-1-home-manager"


def answer(holds: str, *generations: str, more: str = "") -> str:
    lines = "".join(f"{line}\n" for line in generations)
    block = f"generations={HOME}\n{lines}generations_end={HOME}\n"
    return f"profile={HOME}\nholds={holds}\n{more}{block}"


def test_a_look_at_a_profile() -> None:
    text = answer(OLD, f"1 1 1700000000 {OLD}", more="valid=1\nprogram=1\n")
    look = parse_look(text)
    assert (look.holds, look.valid, look.runs, look.cut_short) == (OLD, True, True, False)
    old = look.old(NEW)
    assert old is not None and (old.number, old.path) == (1, OLD)
    words = look.words(request(), NEW)
    assert words == (
        *(f"profile={HOME}", f"path={NEW}", f"holds={OLD}", "to="),
        *(f"old={OLD}", "number=1", "fresh=1", "limit=600", "--", "activate"),
    )
    assert look.path_of(request(path=None, generation=1)) == OLD
    with pytest.raises(ClosureError, match=r"no generation 2\. Choose one of these: 1"):
        look.path_of(request(path=None, generation=2))


def test_an_empty_profile_has_nothing_to_roll_back_to() -> None:
    look = parse_look(answer(""))
    assert look.old(NEW) is None
    assert look.words(request(), NEW)[2:5] == ("holds=", "to=", "fresh=1")
    with pytest.raises(ClosureError, match=r"has no generation 1\. It has none"):
        look.path_of(request(path=None, generation=1))


def test_after_an_activation_that_was_cut_short_the_one_before_is_the_old() -> None:
    lines = (f"1 0 1700000000 {OLD}", f"2 1 1700000001 {NEW}")
    look = parse_look(answer(NEW, *lines, more="activating=1\n"))
    old = look.old(NEW)
    assert look.cut_short and old is not None and old.number == 1
    words = look.words(request(), NEW)
    assert words[2:7] == (f"holds={NEW}", "to=", f"old={OLD}", "number=1", "fresh=")


@pytest.mark.parametrize(
    ("printed", "end"),
    [
        ("links\n\n@profile 3 old\n", End(3, "old")),
        ("\n@profile 124 none\n", End(124, "none")),
        ("@profile 1 old\nmore\n", End(None, "lost")),
        ("", End(None, "lost")),
    ],
)
def test_how_an_activation_has_failed(printed: str, end: End) -> None:
    assert parse_end(printed) == end


def test_our_last_line_is_not_what_the_activation_has_printed() -> None:
    assert without_end("links\n\n@profile 3 old\n") == "links\n"


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (
            End(3, "old"),
            "exit status 3. home-manager of alice is rolled back to generation 1, /nix",
        ),
        (End(124, "old"), "did not end within 600 s. home-manager of alice is rolled back"),
        (End(3, "none"), "had no generation to roll back to"),
        (End(3, "lost"), "could not be rolled back"),
        (End(None, "lost"), "was interrupted, and home-manager of alice could not be rolled back"),
    ],
)
def test_what_is_said_of_it(end: End, said: str) -> None:
    old = parse_look(answer(OLD, f"1 1 1700000000 {OLD}")).current
    assert said in explain(request(), NEW, end, old)
