# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The seam between Python and shell: what is called is there, and takes what it is given."""

from __future__ import annotations

import ast
import importlib
import itertools
import json
import re
import subprocess
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.closure.nixos.plugins.plugin_utils._host.scripts import (
    Function,
    Registry,
    Script,
    read_functions,
    registry,
    script,
)

if t.TYPE_CHECKING:
    from ansible_collections.closure.nixos.plugins.plugin_utils._host.host import Host

ROOT = Path(__file__).parents[2]
PLUGINS = ROOT / "plugins"
PREFIX = "ansible_collections.closure.nixos.plugins."
FUNCTIONS = registry().functions

# A row of the table in docs/architecture.md: the function, what it prints, who reads it.
ROW = re.compile(r"^\| `([a-z_]+)` \| ([^|]+) \| ([^|]*)\|$", re.MULTILINE)
TABLE = {
    name: (prints, reader)
    for name, prints, reader in ROW.findall((ROOT / "docs/architecture.md").read_text())
}


def constants() -> Iterator[str]:
    """All strings of our Python code."""
    for file in PLUGINS.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def calls() -> Iterator[tuple[str, list[ast.expr]]]:
    """The calls of script and run_once that name their function: that name, and the words."""
    for file in PLUGINS.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if not (isinstance(node, ast.Call) and node.args):
                continue
            called = node.func.attr if isinstance(node.func, ast.Attribute) else node.func
            name = called.id if isinstance(called, ast.Name) else called
            first = node.args[0]
            if name in ("script", "run_once") and isinstance(first, ast.Constant):
                yield str(first.value), node.args[1:]


CALLS = list(calls())


def test_calls_were_found() -> None:
    assert len(CALLS) > 15


@pytest.mark.parametrize(("name", "words"), CALLS, ids=[name for name, _words in CALLS])
def test_a_function_that_is_called_is_there_and_takes_the_words(
    name: str, words: list[ast.expr]
) -> None:
    # Of a starred list nobody knows the length; script() counts when it is called.
    if any(isinstance(word, ast.Starred) for word in words):
        assert FUNCTIONS[name].usage
    else:
        assert FUNCTIONS[name].takes(len(words))


def test_each_function_is_called_by_another_or_by_python() -> None:
    needed = {called for name in FUNCTIONS for called in registry().needs(name)}
    # host.sh: for what is sent beside the functions.
    assert FUNCTIONS.keys() - needed == TABLE.keys() - needed


def test_the_table_names_what_python_calls_and_who_reads_it() -> None:
    named = set(constants())
    for name, (prints, reader) in TABLE.items():
        assert name in named, f"Python does not name {name}"
        assert prints.strip()
        for path in re.findall(r"`([\w/.]+)`", reader):
            module, _dot, attribute = path.replace("/", ".").rpartition(".")
            assert hasattr(importlib.import_module(PREFIX + module), attribute), path


QUOTED = re.compile(r"'[^']*'|(\"(?:\\.|[^\"\\])*\")")
HEREDOC = re.compile(r"<<'(\w+)'.*?^\1$", re.MULTILINE | re.DOTALL)


def expanded(function: Function) -> str:
    """A function's text without what the shell takes as it is."""
    return QUOTED.sub(lambda found: found[1] or "", HEREDOC.sub("", function.text))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_that_takes_words_says_which(name: str) -> None:
    takes = re.search(r"\$\{?[1-9@*#]", expanded(FUNCTIONS[name]))
    assert bool(FUNCTIONS[name].usage) == bool(takes)


def is_list(word: str) -> bool:
    """A list of any length, or the words of a function that is called."""
    return word.endswith("...") or word.startswith("[") or word in ("FUNCTION", "WORD")


@pytest.mark.parametrize("name", TABLE)
def test_more_than_four_words_go_by_name(name: str) -> None:
    """Nobody knows a word by its place among five."""
    usage = FUNCTIONS[name].usage
    assert len(list(itertools.takewhile(lambda word: not is_list(word), usage))) <= 4


# A word of a variable where a command begins.
RUN_WORD = re.compile(
    r"""(?m)(?:^|[;|&({!]|\b(?:if|then|do|else|exec|while|until))[ ]*"\$\{?[\w@*]+\}?"(?=\s)"""
)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_runs_a_word_says_that_it_is_a_function_or_a_command(name: str) -> None:
    # A program that a function writes has words of its own.
    text = HEREDOC.sub("", FUNCTIONS[name].text).replace("\\\n", " ")
    named = {"FUNCTION", "COMMAND"} & set(re.findall(r"[A-Z]+", " ".join(FUNCTIONS[name].usage)))
    assert named or not RUN_WORD.search(text)


def readable(function: Function) -> str:
    """A function with all that it may read: what the files below it say outside of functions."""
    wings = {function.wing, "_host", *(() if function.wing == "_host" else ("_store",))}
    statements = registry().statements.items()
    constants = "".join(text for file, text in statements if file.split("/")[0] in wings)
    return constants + function.text


def test_no_function_reads_a_variable_of_its_caller(tmp_path: Path) -> None:
    for name, function in FUNCTIONS.items():
        (tmp_path / f"{name}.sh").write_text(readable(function))
    # SC2154: a variable is read that is set nowhere in the file.
    command = ["shellcheck", "--shell=sh", "--format=json", "--include=SC2154"]
    files = sorted(str(file) for file in tmp_path.glob("*.sh"))
    done = subprocess.run([*command, *files], capture_output=True, check=False)
    found = {(Path(it["file"]).stem, it["message"]) for it in json.loads(done.stdout)}
    assert found == set()


def test_shellcheck_finds_a_variable_of_the_caller(tmp_path: Path) -> None:
    file = tmp_path / "inner.sh"
    file.write_text('inner() {\n    echo "$outer"\n}\n')
    command = ["shellcheck", "--shell=sh", "--include=SC2154", str(file)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ("", {0}),
        ("A", {1}),
        ("A B", {2}),
        ("A [B]", {1, 2}),
        ("A [B [C]]", {1, 2, 3}),
        ("A...", {1, 2, 3, 4, 5}),
        ("A [B]...", {1, 2, 3, 4, 5}),
        ("A [B C]...", {1, 3, 5}),
        ("FUNCTION ARGUMENT... PATH", {3, 4, 5}),
        ("A FUNCTION [ARGUMENT...]", {2, 3, 4, 5}),
    ],
)
def test_a_usage_says_how_many_words(usage: str, counts: set[int]) -> None:
    function = Function("f", tuple(usage.split()), "_host/f.sh", "")
    assert {count for count in range(6) if function.takes(count)} == counts


SOME = """
# outer FUNCTION [ARGUMENT...]: calls it.
outer() {
    "$@"
}
# inner A [B]: says them.
inner() {
    echo "$@"
}
# again FUNCTION [A B]...: calls it with each pair.
again() {
    "$1" "$2" "$3"
}
"""


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("inner", "a"), None),
        (("inner", "a", "b"), None),
        (("inner",), "inner takes A [B], not 0 words"),
        (("inner", "a", "b", "c"), "inner takes A [B], not 3 words"),
        (("outer", "inner", "a"), None),
        (("outer", "inner"), "inner takes A [B], not 0 words"),
        (("outer", "nobody"), "there is no shell function nobody"),
        (("again", "inner"), None),
        (("again", "inner", "a", "b", "c", "d"), None),
        (("again", "nobody", "a", "b"), "there is no shell function nobody"),
        (("nobody",), "there is no shell function nobody"),
    ],
)
def test_a_call_fits_the_usage(words: tuple[str, ...], error: str | None) -> None:
    functions: dict[str, Function] = {}
    read_functions(SOME, "_host/some.sh", functions)
    some = Registry(functions, {})
    if error is None:
        assert some.named(words)[0] == words[0]
        return
    with pytest.raises((LookupError, ValueError), match=re.escape(error)):
        some.named(words)


def test_two_functions_of_one_name_are_refused() -> None:
    functions: dict[str, Function] = {}
    read_functions(SOME, "_host/some.sh", functions)
    with pytest.raises(ValueError, match=r"outer is in _host/some.sh and in _copy/other.sh"):
        read_functions("outer() {\n    :\n}\n", "_copy/other.sh", functions)


def test_words_are_quoted() -> None:
    hostile = "'; touch /tmp/it; echo $(id) `id` \\"
    text = script("remove", hostile).text
    run = text.replace('rm -rf "$@"', 'printf "%s" "$@"')
    done = subprocess.run(["sh", "-c", run], capture_output=True, text=True, check=True)
    assert done.stdout == hostile


def refused_by_mypy(host: Host, word: str, text: Script) -> None:
    """A script is no word, and a word is no script: mypy says when one of these is accepted."""
    host.run(word)  # type: ignore[arg-type]
    host.run_once("remove", text, request="r")  # type: ignore[arg-type]
    script("remove", text)  # type: ignore[arg-type]
