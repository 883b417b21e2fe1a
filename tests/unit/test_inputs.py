# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime
import json
import subprocess
import typing as t

import pytest
from ansible_collections.closure.nixos.plugins.module_utils._build.inputs import (
    as_nix,
    nix_config,
    nixpkgs_expression,
    request_of,
)
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from hypothesis import given, settings
from hypothesis import strategies as st

NOTHING = dict.fromkeys(("file", "expression", "configuration", "flake", "nixpkgs"))
DEFAULTS: dict[str, t.Any] = NOTHING | {"attr": [], "args": {}}
OPTIONS = dict.fromkeys(("max_jobs", "cores", "builders", "substituters"))

# Nix has no character 0, and no half of a surrogate pair.
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
NUMBERS = st.integers(-(2**63), 2**63 - 1)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


def absolute(path: str) -> str:
    return path if path.startswith("/") else f"/play/{path}"


def requested(**args: t.Any) -> t.Any:
    return request_of(DEFAULTS | args, "web1.example.org", absolute)


def evaluated(expression: str) -> t.Any:
    command = ["nix-instantiate", "--eval", "--json", "--strict", "-E", expression]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


@settings(max_examples=25, deadline=None)
@given(st.lists(VALUES, min_size=20, max_size=20))
def test_any_json_reaches_nix_byte_for_byte(values: list[t.Any]) -> None:
    assert evaluated(as_nix(values)) == values


def test_texts_that_mean_something_to_nix_reach_it_as_they_are() -> None:
    texts = ["${x}", "''${x}''", '"', "\\", "\n\r\t", "ü\u2028\U0001f600", "@nixpkgs@", "$${", "/*"]
    assert evaluated(as_nix(texts)) == texts


@pytest.mark.parametrize(
    ("flake", "source", "attrs"),
    [
        ("github:o/r", '"github:o/r"', (("nixosConfigurations", "web1.example.org"),)),
        (".#db", '"/play/."', (("nixosConfigurations", "db"), ("db",))),
        ("/srv/f/#a.b", '"/srv/f"', (("nixosConfigurations", "a", "b"), ("a", "b"))),
    ],
)
def test_a_flake_names_a_system(
    flake: str, source: str, attrs: tuple[tuple[str, ...], ...]
) -> None:
    request = requested(flake=flake, args={"a": 1})
    assert source in request.source
    assert request.attrs[: len(attrs)] == attrs
    assert (request.special, request.args, request.search_path) == ({"a": 1}, {}, False)


def test_a_file_starts_from_the_playbook() -> None:
    request = requested(file="nixos.nix", attr=["a.b", "c"], args={"a": 1})
    assert request.source == 'import "/play/nixos.nix"'
    assert (request.name, request.attrs) == ("/play/nixos.nix", (("a", "b"), ("c",)))
    assert (request.args, request.search_path) == ({"a": 1}, True)


def test_a_configuration_brings_its_nixpkgs_and_modules() -> None:
    request = requested(configuration=["a.nix", {"b": 1}], nixpkgs="/pkgs", args={"@args@": "@x@"})
    assert 'import "${"/pkgs"}/nixos"' in request.source
    assert "/play/a.nix" in request.source and "@x@" in request.source
    assert not request.search_path


@pytest.mark.parametrize(
    ("nixpkgs", "expected"),
    [
        ("pkgs", '"/play/pkgs"'),
        ("npins/sources.json", 'file = "/play/npins/sources.json"'),
        ({"url": "u", "sha256": "s", "rev": "r"}, "builtins.fetchTarball"),
    ],
)
def test_nixpkgs_is_a_path_a_pin_file_or_a_pin(nixpkgs: t.Any, expected: str) -> None:
    assert expected in nixpkgs_expression(nixpkgs, absolute)
    assert '"rev"' not in nixpkgs_expression(nixpkgs, absolute)


@pytest.mark.parametrize("nixpkgs", [{"url": "u"}, 5, ["a"]])
def test_nixpkgs_without_a_hash_is_refused(nixpkgs: t.Any) -> None:
    with pytest.raises(ClosureError, match="url and sha256"):
        nixpkgs_expression(nixpkgs, absolute)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({}, "give one of file, expression, configuration, flake, not 0"),
        ({"file": "a", "flake": "."}, "not 2 of them"),
        ({"configuration": ["a"]}, "configuration needs nixpkgs"),
    ],
)
def test_a_request_that_does_not_say_what_is_refused(args: dict[str, t.Any], said: str) -> None:
    with pytest.raises(ClosureError, match=said):
        requested(**args)


def test_options_become_lines_of_nix_conf() -> None:
    args = OPTIONS | {"cores": 0, "substituters": ["a", "b"], "keep_going": False}
    assert nix_config(args | {"nix_options": {"fallback": True}}) == (
        "cores = 0\nsubstituters = a b\nkeep-going = false\nfallback = true\n"
    )


@pytest.mark.parametrize("value", ["a\nsandbox = false", "a # b", "a\r"])
def test_a_setting_stays_in_its_line(value: str) -> None:
    with pytest.raises(ClosureError, match="builders"):
        nix_config(OPTIONS | {"builders": value, "keep_going": True, "nix_options": {}})


@pytest.mark.parametrize("name", ["", "a b", "a/b", "..", ".a", "a\nb"])
def test_a_name_that_is_no_name_of_a_link_is_refused(name: str) -> None:
    with pytest.raises(ClosureError, match="cannot be the name of a system"):
        request_of(DEFAULTS | {"expression": "1"}, name, absolute)


@pytest.mark.parametrize("value", [datetime.date(2026, 1, 1), float("nan"), {1, 2}])
def test_what_json_cannot_hold_is_told(value: t.Any) -> None:
    with pytest.raises(ClosureError, match="args holds what JSON has no word for"):
        requested(expression="1", args={"x": value})
