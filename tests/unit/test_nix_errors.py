# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Nix's errors mean; those in ``nix_errors/`` are recorded, the version is in their names."""

from __future__ import annotations

import pathlib
import time

import pytest
from ansible_collections.closure.nixos.plugins.module_utils._build.nix_errors import (
    evaluation_error,
    explain_build,
    explain_evaluation,
    search_path_use,
    shortened,
    without_trace,
)
from ansible_collections.closure.nixos.plugins.module_utils._build.request import Request

RECORDED = pathlib.Path(__file__).with_name("nix_errors")
REQUEST = Request({"file": "./x.nix"}, "x.nix", (("web1", "system"),))

EVALUATIONS = {
    "missing file, Nix 2.8": (
        "error: getting status of '/a/b.nix': No such file or directory\n",
        ("/a/b.nix does not exist on the build host", "Correct the path"),
    ),
    "missing file, Nix 2.26": (
        "error:\n       … while calling a thing\n\n       error: path '/a/b.nix' does not exist\n",
        ("/a/b.nix does not exist on the build host",),
    ),
    "missing file, Lix 2.95": (
        "error:\n       … while calling a thing\n\n       error: path '/a/b.nix' does not exist\n\n"
        "       note: trace involved the following derivations:\n       derivation 'etc'\n",
        ("/a/b.nix does not exist on the build host",),
    ),
    "missing pin": (
        "error: opening file '/a/pin.json': No such file or directory\n",
        ("/a/pin.json does not exist on the build host", "Correct the path"),
    ),
    "untracked file": (
        "error: getting status of '/nix/store/x-source/b.nix': No such file or directory\n",
        ("/nix/store/x-source/b.nix does not exist", "git add", "?submodules=1", "a link that"),
    ),
    "hash mismatch": (
        "error: hash mismatch in file downloaded from 'https://x/y.tar.gz':\n"
        "         specified: sha256:aaa\n         got:       sha256:bbb\n",
        ("https://x/y.tar.gz is not what was pinned", "sha256:aaa", "sha256:bbb", "nixpkgs_pin"),
    ),
    "hash mismatch, Lix 2.93": (
        "error:\n       … while fetching the input 'https://x/y.tar.gz'\n\n"
        "       error: hash mismatch in file downloaded from 'https://x/y.tar.gz':\n"
        "         specified: sha256-aaa=\n         got:       sha256-bbb=\n",
        ("https://x/y.tar.gz is not what was pinned", "sha256-aaa=", "sha256-bbb="),
    ),
    "search path, Nix 2.8": (
        "\x1b[31;1merror:\x1b[0m file 'nixpkgs/nixos' was not found in the Nix search path (add it "
        "using $NIX_PATH or -I)\n\n       at /a/s.nix:1:9:\n\n            1| (import <nixpkgs>\n",
        ("<nixpkgs/nixos> at /a/s.nix:1 is looked up in NIX_PATH",),
    ),
    "search path, Nix 2.20": (
        "error:\n       … while calling a thing\n         at /a/b.nix:7:1:\n\n"
        "       error: file 'nixpkgs' was not found in the Nix search path (add it using $NIX_PATH "
        "or -I)\n       at /a/s.nix:2:3:\n",
        ("<nixpkgs> at /a/s.nix:2 is looked up in NIX_PATH",),
    ),
    "flake without lock": (
        "error: flake 'path:/f' requires lock file changes but they're not allowed\n",
        ("flake.lock does not pin all inputs", "nix flake lock"),
    ),
    "flake without extendModules": (
        "error: closure.nixos: no extendModules\n",
        ("web1.system takes no args",),
    ),
    "no pin": ("error: closure.nixos: no pin in /p.json\n", ("npins", "niv")),
    "our own code in the trace": (
        "error:\n       … from call site\n         at /var/tmp/closure-nixos-x/toplevel.nix:9:3:\n"
        '            9| else throw "closure.nixos: not a derivation"\n\n'
        "       error: syntax error, unexpected '}'\n       at /a/b.nix:1:5:\n",
        ("x.nix does not evaluate: syntax error", "at /a/b.nix:1:5"),
    ),
    "anything else": (
        "error: attribute 'x' missing\n(use '--show-trace' to show detailed location information)",
        ("x.nix does not evaluate: attribute 'x' missing",),
    ),
}


@pytest.mark.parametrize(("stderr", "expected"), EVALUATIONS.values(), ids=EVALUATIONS)
def test_a_failed_evaluation_is_explained(stderr: str, expected: tuple[str, ...]) -> None:
    said = explain_evaluation(stderr, REQUEST)
    assert all(words in said for words in expected), said
    assert "--show-trace" not in said


# What is said of a configuration of /srv/fleet, and must not be: places in nixpkgs.
CONFIGURATIONS = {
    "recursion": (
        "infinite recursion encountered\n",
        "in the option networking.domain, at /srv/fleet/recursion.nix",
        "depends on itself: do not read config.networking.domain where that is set",
    ),
    "argument": (
        "attribute 'unstable' missing\n",
        "in the option users.motd, at /srv/fleet/argument.nix",
        "The module /srv/fleet/argument.nix asks for the argument unstable",
        "specialArgs of lib.nixosSystem",
        "_module.args.unstable",
    ),
    "throws": (
        "no greeting is known\n",
        "in the option users.motd, at /srv/fleet/throws.nix",
    ),
    "pkgs": (
        "/srv/fleet/pkgs.nix is no module",
        "a whole system, which goes into the option file or expression",
        "move pkgs into config",
    ),
    "dots": ("unexpected argument", "/srv/fleet/dots.nix:1:1", "end their list with three dots"),
    "abort": ("/srv/fleet/abort.nix:2:16", "users.motd = (import", "in the option users.motd."),
    "unknown": ("The option `services.ngninx' does not exist", "/srv/fleet/unknown.nix"),
    "type": ("is not of type", "In `/srv/fleet/type.nix': 5", "in the option users.motd."),
}


@pytest.mark.parametrize("version", ["2.8", "2.26"])
@pytest.mark.parametrize("case", CONFIGURATIONS)
def test_a_mistake_is_told_with_its_option_its_place_and_the_cure(case: str, version: str) -> None:
    stderr = (RECORDED / f"{case}-{version}.txt").read_text()
    said = explain_evaluation(stderr, REQUEST)
    assert all(words in said for words in CONFIGURATIONS[case]), said
    assert "/srv/nixpkgs" not in said and "…" not in said
    assert len(said.splitlines()) <= 10


def test_newer_ones_know_the_line() -> None:
    found = evaluation_error((RECORDED / "recursion-2.26.txt").read_text())
    assert (found.option, found.place) == ("networking.domain", "/srv/fleet/recursion.nix:3:23")


def test_of_a_long_trace_both_ends_are_kept() -> None:
    lines = [f"line {n}" for n in range(100)]
    short = shortened("\n".join(lines)).splitlines()
    assert (short[:12], short[13:]) == (lines[:12], lines[-12:])
    assert short[12] == "[76 lines are left out here, -vvv shows them.]"
    assert shortened("a\nb\n") == "a\nb\n"


def test_nix_path_that_was_consulted_is_not_called_unconsulted() -> None:
    stderr = EVALUATIONS["search path, Nix 2.20"][0]
    said = explain_evaluation(stderr, REQUEST, search_path=True)
    assert "<nixpkgs> at /a/s.nix:2 is not in the NIX_PATH of who evaluates" in said
    assert "not consulted" not in said


def test_other_errors_are_no_use_of_the_search_path() -> None:
    assert search_path_use("error: file 'x' was not found") is None


HOSTILE = {
    "searches": "file 'a' was not found in the Nix search path ",
    "line breaks": "\n",
    "frames": "       … from call site\n",
    "builders": "error: builder for '",
    "blanks": " ",
    "positions": " at /a:1:",
}


def seconds(text: str) -> float:
    start = time.process_time()
    explain_evaluation(text, REQUEST)
    without_trace(text)
    explain_build(text, "/x.drv", ())
    return time.process_time() - start


@pytest.mark.parametrize("piece", HOSTILE.values(), ids=HOSTILE)
def test_four_times_the_text_takes_no_sixteen_times_as_long(piece: str) -> None:
    short = f"error: no\n{piece * (80_000 // len(piece))}"
    once = min(seconds(short) for _time in range(3))
    assert min(seconds(short + 3 * short) for _time in range(3)) < 10 * once


# The same error as Nix 2.8 says it with --show-trace, and as newer ones do.
TRACES = {
    "2.8": (
        "warning: old\nerror: syntax error, unexpected ';'\n\n       at /a/c.nix:2:12:\n\n"
        '            1| {\n\n       … closure.nixos: in "w1"\n\n       … from call site\n'
    ),
    "newer": (
        'warning: old\nerror:\n       … closure.nixos: in "w1"\n\n       … from call site\n\n'
        "       error: syntax error, unexpected ';'\n       at /a/c.nix:2:12:\n            1| {\n"
    ),
}


@pytest.mark.parametrize("stderr", TRACES.values(), ids=TRACES)
def test_an_error_is_told_without_its_trace(stderr: str) -> None:
    text = without_trace(stderr)
    assert text.startswith("warning: old\nerror: syntax error") and "/a/c.nix:2:12" in text
    assert "…" not in text and "…" not in explain_evaluation(stderr, REQUEST)
    assert without_trace("killed\n") == "killed\n"


def test_a_system_is_told_of_its_own_failed_builder() -> None:
    names = [f"/nix/store/{'0' * 32}-{name}.drv" for name in ("one", "two", "top")]
    stderr = "".join(
        f"error: builder for '{name}' failed with exit code 1\n       > in {name}\n"
        for name in names[:2]
    )
    assert explain_build(stderr, names[2], names[1:]).startswith(f"{names[1]} does not build")
    other = explain_build(stderr, names[2], ())
    assert other.startswith(f"{names[2]} is not built, because Nix stopped")
    assert f"{names[0]} does not build" in other
    assert "no space left" in explain_build("error: no space left", names[2], ())
