# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.closure.nixos.plugins.module_utils._build.pin import (
    Pin,
    PinOptions,
    describe,
    fetched_pin,
    pin_text,
    read_pin,
    same_source,
)
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError

NOTHING: dict[str, t.Any] = {
    "path": "p",
    "url": None,
    "ref": None,
    "rev": None,
    "github": "NixOS/nixpkgs",
    "timeout": 1,
}
# printf hello | sha256sum, and what nix-hash makes of it.
HASHES = (
    "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
    "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
    "094qif9n4cq4fdg459qzbhg1c6wywawwaaivx0k0x8xhbyx4vwic",
    "sha256-LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=",
)


def github(**more: str) -> dict[str, str]:
    return {"type": "github", "owner": "NixOS", "repo": "nixpkgs"} | more


@pytest.mark.parametrize(
    ("args", "source"),
    [
        ({"url": "https://x/y.tar.gz"}, {"type": "tarball", "url": "https://x/y.tar.gz"}),
        ({"ref": "nixos-25.11"}, github(ref="nixos-25.11")),
        ({"rev": "abc", "github": "me/my.pkgs"}, github(rev="abc", owner="me", repo="my.pkgs")),
    ],
)
def test_the_options_name_a_source(args: dict[str, t.Any], source: dict[str, str]) -> None:
    assert PinOptions(**NOTHING | args).source() == source


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({}, "one of url, ref and rev, not 0"),
        ({"url": "a", "rev": "b"}, "not 2"),
        ({"ref": "a", "github": "nixpkgs"}, "owner/repository"),
    ],
)
def test_options_that_name_none_are_refused(args: dict[str, t.Any], said: str) -> None:
    with pytest.raises(ClosureError, match=said):
        PinOptions(**NOTHING | args).source()


def test_a_branch_becomes_a_commit() -> None:
    answer = {"rev": "abc", "sha256": "sha256-x=", "date": 1780272000}
    assert fetched_pin(github(ref="nixos-25.11"), answer) == Pin(
        "https://github.com/NixOS/nixpkgs/archive/abc.tar.gz", "sha256-x=", "abc", "2026-06-01"
    )


def test_a_tarball_keeps_its_address() -> None:
    source = {"type": "tarball", "url": "u"}
    assert fetched_pin(source, {"rev": None, "sha256": "s", "date": 0}) == Pin("u", "s")


@pytest.mark.parametrize("old", HASHES)
def test_the_same_hash_is_the_same_however_it_is_written(old: str) -> None:
    for new in HASHES:
        assert same_source(Pin("u", old), Pin("u", new, "abc", "2026-06-01"))
    assert not same_source(Pin("u", old), Pin("u", HASHES[3].replace("LP", "LQ")))
    assert not same_source(Pin("u", old), Pin("v", old))


@pytest.mark.parametrize("bad", ["", "sha256-?", "0" * 51 + "e", "ü" * 64])
def test_a_hash_that_is_none_differs(bad: str) -> None:
    assert not same_source(Pin("u", bad), Pin("u", HASHES[0]))


def test_what_is_written_is_read_again() -> None:
    pin = Pin("u", "s", "abc", "2026-06-01")
    assert read_pin(pin_text(pin), "p") == pin
    assert read_pin('{"url": "u", "sha256": "s"}', "p") == Pin("u", "s")
    assert read_pin("\n", "p") is None


@pytest.mark.parametrize("text", ["{", "[]", "5", '{"pins": {}}', "null"])
def test_what_is_no_pin_is_not_overwritten(text: str) -> None:
    with pytest.raises(ClosureError, match="p is no pin"):
        read_pin(text, "p")


def test_people_are_told_what_becomes_of_the_pin() -> None:
    old, new = Pin("u", HASHES[0], "abc"), Pin("u", HASHES[3], "def", "2026-06-01")
    assert (
        describe(old, new, "p") == "p is up to date: what is upstream is still def of 2026-06-01."
    )
    assert describe(None, new, "p") == "p pins def of 2026-06-01."
    assert describe(Pin("v", "s"), new, "p") == "p pins def of 2026-06-01, which was v."
