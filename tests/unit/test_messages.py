# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Troubleshooting by message: docs/troubleshooting.md has each sentence that people may read."""

from __future__ import annotations

import ast
import pathlib
import re
from collections.abc import Iterator

import pytest

ROOT = pathlib.Path(__file__).parents[2]
PLUGINS = ROOT / "plugins"
SHELL = (*PLUGINS.rglob("*.sh"), *ROOT.glob("roles/*/files/*"))
PAGE = ROOT / "docs/troubleshooting.md"
# What stands there for a name, a path or a number.
HOLE = "…"

_WORD = re.compile(r"[A-Za-z]{2,}")
_ENDS = re.compile(r"[a-z0-9)`…]\.(\s|$)")
# Calls whose texts are shown, whether or not they are whole sentences.
_SHOWN = re.compile(r"Error$|^_?warn$|^warning$|^require_success$|^_require$|^_refusal$")
_OF_SHELL = re.compile(r"""\b(?:die|echo) (?:"((?:[^"\\]|\\.)+)"|'([^']+)')""", re.DOTALL)
_OF_PLAYS = re.compile(r'fail_msg: "(.+)"$', re.MULTILINE)
# In shell and in templates. A quote may cut the first one short.
_VALUE = re.compile(r"\$\([^)]*\)?|\$\{[^}]*\}|\$\w+|\{\{.*?\}\}")
# Texts that no user reads, as those of errors in our own code; and one that is others joined.
_NOT_SHOWN = (
    "there is no shell function …",
    "… is in … and in …",
    "… takes …, not … words",
    "# HELP",
    "…. No host was changed.",
)


def text_of(node: ast.AST) -> str | None:
    """The text of a string or an f-string, with a hole for each value."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = (text_of(part) or HOLE for part in node.values)
        return "".join(parts)
    return None


def documents(node: ast.AST) -> bool:
    """Whether it is a docstring or a plugin's documentation."""
    if isinstance(node, ast.Assign):
        return ast.unparse(node.targets[0]) in ("DOCUMENTATION", "EXAMPLES", "RETURN")
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def texts(node: ast.AST, shown: bool = False) -> Iterator[tuple[str, bool]]:
    """Each text of a file, and whether it is an argument of a call that shows it."""
    if documents(node):
        return
    text = text_of(node)
    if text is not None:
        yield text, shown
        return
    if isinstance(node, ast.Call):
        shown = shown or bool(_SHOWN.search(ast.unparse(node.func).rpartition(".")[2]))
    for child in ast.iter_child_nodes(node):
        yield from texts(child, shown)


def messages_of_python(text: str) -> Iterator[str]:
    for found, shown in texts(ast.parse(text)):
        if len(_WORD.findall(found)) >= 3 and (shown or _ENDS.search(found)):
            yield found


def messages_of_shell(text: str) -> Iterator[str]:
    for found in _OF_SHELL.finditer(text.replace("\\\n", "")):
        words = _VALUE.sub(HOLE, found[1] or found[2])
        if len(_WORD.findall(words)) >= 4:
            yield words.replace("\\`", "`")


def messages() -> dict[str, str]:
    """Where each message is made, by its text."""
    found: dict[str, str] = {}
    sources = [
        it for it in PLUGINS.rglob("*.py") if it.parent.name not in ("modules", "doc_fragments")
    ]
    for path in sources:
        found |= dict.fromkeys(messages_of_python(path.read_text()), path.name)
    for path in SHELL:
        found |= dict.fromkeys(messages_of_shell(path.read_text()), path.name)
    for path in (*ROOT.glob("playbooks/*.yml"), *ROOT.glob("roles/*/tasks/*.yml")):
        said = (_VALUE.sub(HOLE, it) for it in _OF_PLAYS.findall(path.read_text()))
        found |= dict.fromkeys((it for it in said if _WORD.search(it)), path.name)
    return {text: where for text, where in found.items() if not text.startswith(_NOT_SHOWN)}


def entries() -> list[str]:
    """What the page tells people to look for."""
    rows = re.findall(r"^\| (`[^|]+) \| [^|]+ \|$", PAGE.read_text(), re.MULTILINE)
    return [part for row in rows for part in re.findall(r"`([^`]+)`", row)]


MESSAGES = messages()
ENTRIES = entries()


def test_messages_are_found() -> None:
    said = "raise ClosureError(f'{host} does not have {a_path}.')\nwarn('no whole sentence here')"
    assert list(messages_of_python(said)) == ["… does not have ….", "no whole sentence here"]
    assert list(messages_of_shell('die "cannot write $it: make room there" 75')) == [
        "cannot write …: make room there"
    ]
    assert len(MESSAGES) > 250


def test_each_message_has_an_entry() -> None:
    lacking = [
        f"{where}: {text}"
        for text, where in MESSAGES.items()
        if not any(entry in text for entry in ENTRIES)
    ]
    assert not lacking, "docs/troubleshooting.md has no entry for:\n" + "\n".join(lacking)


@pytest.fixture(scope="module")
def all_texts() -> str:
    """All that the plugins can say, sentence or not."""
    of_python = (
        text
        for path in PLUGINS.rglob("*.py")
        for text, _shown in texts(ast.parse(path.read_text()))
    )
    of_shell = (_VALUE.sub(HOLE, path.read_text().replace("\\\n", "")) for path in SHELL)
    return "\n".join([*of_python, *of_shell, *MESSAGES])


def test_each_entry_is_said_by_the_code(all_texts: str) -> None:
    assert [entry for entry in ENTRIES if entry not in all_texts] == []


def test_an_entry_is_long_enough_to_be_found_by() -> None:
    assert [entry for entry in ENTRIES if len(entry) < 12] == []


def test_an_entry_is_about_few_messages() -> None:
    """Else a new message would need none of its own."""
    about = {entry: [text for text in MESSAGES if entry in text] for entry in ENTRIES}
    assert {entry: found for entry, found in about.items() if len(found) > 4} == {}


def test_no_entry_stands_there_twice() -> None:
    assert sorted(ENTRIES) == sorted(set(ENTRIES))
