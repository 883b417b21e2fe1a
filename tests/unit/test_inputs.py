# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime
import typing as t

import pytest
from ansible_collections.closure.nixos.plugins.module_utils._build.build_options import (
    evaluation_options,
    nix_config,
)
from ansible_collections.closure.nixos.plugins.module_utils._build.inputs import (
    Inputs,
    in_url,
    nixpkgs_source,
)
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError

OPTIONS = dict.fromkeys(("max_jobs", "cores", "builders", "substituters"))


def absolute(path: str) -> str:
    return path if path.startswith("/") else f"/play/{path}"


def requested(**args: t.Any) -> t.Any:
    return Inputs(**args).request("web1.example.org", absolute)


@pytest.mark.parametrize(
    ("flake", "source", "attrs"),
    [
        ("github:o/r", {"url": "github:o/r"}, (("nixosConfigurations", "web1.example.org"),)),
        (".#db", {"root": "/play/."}, (("nixosConfigurations", "db"), ("db",))),
        ("/srv/f/#a.b", {"root": "/srv/f"}, (("nixosConfigurations", "a", "b"), ("a", "b"))),
    ],
)
def test_a_flake_names_a_system(
    flake: str, source: dict[str, str], attrs: tuple[tuple[str, ...], ...]
) -> None:
    request = requested(flake=flake, args={"a": 1})
    assert source.items() <= request.source["flake"].items()
    assert request.attrs[: len(attrs)] == attrs
    assert (request.special, request.args, request.search_path) == ({"a": 1}, {}, False)


def test_inputs_of_a_flake_may_be_others() -> None:
    given = {"nixpkgs": "github:o/r", "home/nixpkgs": "./a b"}
    request = requested(flake="/srv/f", override_inputs=given)
    assert request.overrides == {"nixpkgs": "github:o/r", "home/nixpkgs": "path:/play/./a%20b"}
    assert requested(flake="/srv/f").overrides == {}
    for wrong in ({"nixpkgs": ""}, {"nixpkgs": None}, {"--option": "x"}):
        with pytest.raises(ClosureError, match="a dictionary of the flake's inputs"):
            requested(flake="/srv/f", override_inputs=wrong)
    with pytest.raises(ClosureError, match="override_inputs needs flake beside it, not file"):
        requested(file="a.nix", override_inputs=given)


def test_the_git_tree_of_a_flake_may_be_any_directory_above_it() -> None:
    flake = requested(flake="/a b/ï/.x%").source["flake"]
    assert flake["trees"] == [
        {"directory": "/a b/ï/.x%", "url": "git+file:///a%20b/%C3%AF/.x%25"},
        {"directory": "/a b/ï", "url": "git+file:///a%20b/%C3%AF?dir=.x%25"},
        {"directory": "/a b", "url": "git+file:///a%20b?dir=%C3%AF/.x%25"},
    ]
    assert (flake["url"], flake["plain"]) == ("path:/a%20b/%C3%AF/.x%25", False)
    assert requested(flake="/srv/f").source["flake"]["plain"]


@pytest.mark.parametrize(
    ("path", "url"), [("/a-b_c.d~/e", "/a-b_c.d~/e"), ("/a?b#c", "/a%3Fb%23c")]
)
def test_a_path_is_written_for_a_url(path: str, url: str) -> None:
    assert in_url(path) == url


def test_a_file_starts_from_the_playbook() -> None:
    request = requested(file="nixos.nix", attr=["a.b", "c"], args={"a": 1})
    assert request.source == {"file": "/play/nixos.nix"}
    assert (request.name, request.attrs) == ("/play/nixos.nix", (("a", "b"), ("c",)))
    assert (request.args, request.search_path) == ({"a": 1}, True)


def test_a_configuration_brings_its_nixpkgs_and_modules() -> None:
    request = requested(configuration=["a.nix", {"b": 1}], nixpkgs="/pkgs", args={"x": "y"})
    assert request.source["configuration"] == {
        "modules": ["/play/a.nix", {"_file": "the task", "imports": [{"b": 1}]}],
        "nixpkgs": {"path": "/pkgs"},
        "args": {"x": "y"},
    }
    assert not request.search_path


@pytest.mark.parametrize(
    ("nixpkgs", "expected"),
    [
        ("pkgs", {"path": "/play/pkgs"}),
        ("npins/sources.json", {"pin": "/play/npins/sources.json"}),
        ({"url": "u", "sha256": "s", "rev": "r"}, {"url": "u", "sha256": "s"}),
    ],
)
def test_nixpkgs_is_a_path_a_pin_file_or_a_pin(nixpkgs: t.Any, expected: dict[str, str]) -> None:
    assert nixpkgs_source(nixpkgs, absolute) == expected


@pytest.mark.parametrize("nixpkgs", [{"url": "u"}, 5, ["a"]])
def test_nixpkgs_without_a_hash_is_refused(nixpkgs: t.Any) -> None:
    with pytest.raises(ClosureError, match="url and sha256"):
        nixpkgs_source(nixpkgs, absolute)


@pytest.mark.parametrize("workers", ["0", "-1", "two", "", "1.5", "²"])
def test_a_number_of_workers_that_is_none_is_refused(workers: str) -> None:
    args = OPTIONS | {"keep_going": True, "nix_options": {}, "build_lease": 1, "timeout": 1}
    args |= {"eval_memory_mb": 0, "eval_workers": workers, "evaluator": "nix"}
    with pytest.raises(ClosureError, match="has to be auto or a number"):
        evaluation_options(args)


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
        Inputs(expression="1").request(name, absolute)


@pytest.mark.parametrize("value", [datetime.date(2026, 1, 1), float("nan"), {1, 2}])
def test_what_json_cannot_hold_is_told(value: t.Any) -> None:
    with pytest.raises(ClosureError, match="args holds what JSON has no word for"):
        requested(expression="1", args={"x": value})
