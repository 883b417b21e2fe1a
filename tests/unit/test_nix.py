# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from ansible_collections.closure.nixos.plugins.module_utils._build.nix import (
    SYSTEM,
    Evaluated,
    Request,
    chunks,
    error_place,
    explain_build,
    explain_evaluation,
    failed_host,
    fails_too,
    heap_bytes,
    jobs,
    parse_jobs,
    search_path_use,
    without_trace,
)

REQUEST = Request("import ./x.nix", "x.nix", (("web1", "system"),))

EVALUATIONS = {
    "missing file, Nix 2.8": (
        "error: getting status of '/a/b.nix': No such file or directory\n",
        ("/a/b.nix does not exist on the build host", "Correct the path"),
    ),
    "missing file, Nix 2.26": (
        "error:\n       … while calling a thing\n\n       error: path '/a/b.nix' does not exist\n",
        ("/a/b.nix does not exist on the build host",),
    ),
    "missing pin": (
        "error: opening file '/a/pin.json': No such file or directory\n",
        ("/a/pin.json does not exist on the build host", "Correct the path"),
    ),
    "untracked file": (
        "error: getting status of '/nix/store/x-source/b.nix': No such file or directory\n",
        ("/nix/store/x-source/b.nix does not exist", "only what Git tracks", "git add"),
    ),
    "hash mismatch": (
        "error: hash mismatch in file downloaded from 'https://x/y.tar.gz':\n"
        "         specified: sha256:aaa\n         got:       sha256:bbb\n",
        ("https://x/y.tar.gz is not what was pinned", "sha256:aaa", "sha256:bbb", "nixpkgs_pin"),
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
    "a system as a module": (
        "error: Module `/a/x.nix' has an unsupported attribute `pkgs'. This is caused by\n",
        ("it is no module", "option file or expression"),
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


def test_other_errors_are_no_use_of_the_search_path() -> None:
    assert search_path_use("error: file 'x' was not found") is None


@pytest.mark.parametrize(
    ("stderr", "host"),
    [
        ('error: no\n… closure.nixos: in "web1.example.org"\n', "web1.example.org"),
        ('error: no\n… closure.nixos: in "we\\"b"\n', 'we"b'),
        ("error: no\n", None),
    ],
)
def test_the_host_that_ends_an_evaluation_is_in_its_trace(stderr: str, host: str | None) -> None:
    assert failed_host(stderr) == host


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
    assert error_place(stderr) == f"{text}/a/c.nix:2:12:"
    assert error_place("error: no\n") == ""


# A throw in two files of one host, as Nix 2.8 and 2.26 trace it.
THROWS = {
    "2.8": (
        "error: no\n\n       … while evaluating 'f'\n\n       at /a/deep.nix:1:5:\n\n"
        "       … while evaluating 'g'\n\n       at /a/top.nix:7:7:\n"
    ),
    "2.26": (
        "error:\n       … while calling the 'import' builtin\n         at /a/top.nix:7:7:\n\n"
        "       … while calling the 'throw' builtin\n         at /a/deep.nix:1:5:\n"
        "            1| throw\n\n       error: no\n"
    ),
}


@pytest.mark.parametrize("stderr", THROWS.values(), ids=THROWS)
def test_the_place_of_a_throw_is_next_to_it_in_the_trace(stderr: str) -> None:
    assert error_place(stderr) == "error: no\n/a/deep.nix:1:5:"


@pytest.mark.parametrize("stderr", TRACES.values(), ids=TRACES)
def test_hosts_fail_together_only_where_a_file_of_both_does_not_parse(stderr: str) -> None:
    one = Request("one", "one", ((),), files=("/a/b.nix", "/a/c.nix"))
    two = Request("two", "two", ((),), files=("/a/c.nix",))
    three = Request("two", "two", ((),), files=("/a/d.nix",))
    assert fails_too(stderr, one, two) and not fails_too(stderr, one, three)
    assert not fails_too(stderr.replace("syntax error", "no"), one, two)
    inline = stderr.replace("/a/c.nix", "«stdin»")
    assert fails_too(inline, two, three) and not fails_too(inline, one, two)


def test_the_lines_of_nix_eval_jobs_are_systems_and_errors() -> None:
    paths = {name: f"/nix/store/{'0' * 32}-{name}" for name in ("a.drv", "a")}
    lines = [
        {
            "attr": '"web.org"',
            "attrPath": ["web.org"],
            "drvPath": paths["a.drv"],
            "outputs": {"out": paths["a"]},
        },
        {"attr": "bad", "attrPath": ["bad"], "error": "error: no"},
        {"attr": "ca", "attrPath": ["ca"], "drvPath": paths["a.drv"], "outputs": {"out": None}},
        {"error": "the worker ended"},
    ]
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    expected = {"web.org": Evaluated(paths["a.drv"], paths["a"])}
    assert parse_jobs(text, SYSTEM) == (expected, {"bad": "error: no"})


def test_nix_eval_jobs_gets_derivations_and_nix_their_paths() -> None:
    assert "drvPath" not in jobs({"web1": REQUEST}, SYSTEM)
    assert "then toplevel" in jobs({"web1": REQUEST}, SYSTEM)


@pytest.mark.parametrize(
    ("memory", "heap", "now"),
    [(0, 0, 5), (0, 9, 5), (100, 0, 1), (100, 30, 3), (100, 200, 1), (1000, 30, 5)],
)
def test_hosts_are_evaluated_together_as_far_as_memory_goes(
    memory: int, heap: int, now: int
) -> None:
    hosts = ["a", "b", "c", "d", "e"]
    assert chunks(hosts, memory, heap) == (hosts[:now], hosts[now:])


@pytest.mark.parametrize(("text", "heap"), [("{}\n402915328\n", 402915328), ("{}\n", 0), ("", 0)])
def test_the_memory_stands_behind_the_systems(text: str, heap: int) -> None:
    assert heap_bytes(text) == heap


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
