# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: the registry of the shell functions that we send.

They stand in the ``.sh`` files of the wings. A script is made of the functions that its call needs,
found by their names, and of what their files say outside of functions.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import re
import shlex
import typing as t

_ROOT = pathlib.Path(__file__).parents[1]
# What defines the state directory, and how a script fails, goes with every script.
_ALWAYS = ("die", "write")

_BEGIN = re.compile(r"^([a-z_]+)\(\) [{(]$")
_NAME = re.compile(r"[A-Z_]+")
_USAGE = re.compile(r"^# ([a-z_]+)((?: [A-Z_\[\].]+)*):")
# A word in the place of a command: first in its line, or after what a command can follow.
_COMMAND = re.compile(
    r"(?:^|[;&|(){!]|\b(?:if|then|do|else|elif|while|until)\b)[ \t]*"
    r"(?:(?:if|then|do|else|elif|while|until|!)[ \t]+|\w+=[^\s(`]*[ \t]+)*"
    r"([a-z_]+)(?=[\s;&|)]|$)",
    re.MULTILINE,
)


@dataclasses.dataclass(frozen=True)
class Script:
    """Text that a shell runs: another type than the words that a function of it is given.

    :param calls: the functions that it calls, each with its words
    """

    text: str
    calls: tuple[tuple[str, ...], ...] = ()

    @property
    def what(self) -> str:
        """What it is for: the names of its functions."""
        names = (name for call in self.calls for name in registry().named(call))
        return " ".join(names) or "script"

    @property
    def shown(self) -> str:
        """Its calls for people, without what may be secret."""
        return " && ".join(shlex.join(registry().shown(call)) for call in self.calls)


@dataclasses.dataclass(frozen=True)
class Function:
    """A shell function of the registry.

    :param usage: its arguments as the comment above it names them: ``[A]`` may be left out, of
        ``A...`` there are one or more, of ``[A B]...`` any number of pairs. FUNCTION is called by
        it, with what ARGUMENT stands for
    :param file: relative to ``plugin_utils``
    """

    name: str
    usage: tuple[str, ...]
    file: str
    text: str

    @property
    def wing(self) -> str:
        """The folder it stands in."""
        return self.file.partition("/")[0]

    def takes(self, count: int) -> bool:
        """Say whether its usage has that many words."""
        pattern = _NAME.sub("w", " ".join(self.usage))
        for written, meant in ((" ", ""), ("]...", ")*"), ("...", "+"), ("[", "(?:"), ("]", ")?")):
            pattern = pattern.replace(written, meant)
        return re.fullmatch(pattern, "w" * count) is not None


@dataclasses.dataclass(frozen=True)
class Registry:
    """All functions by name, and what each file says outside of them."""

    functions: dict[str, Function]
    statements: dict[str, str]

    def needs(self, name: str) -> frozenset[str]:
        """Return the names of the functions that a function calls by itself.

        A comment is no call, and neither is the argument of a command.
        """
        text = self.functions[name].text
        called = {found for found in _COMMAND.findall(text) if found in self.functions}
        for caller, function in self._callers():
            skipped = r"[ ]+\S+" * function
            called.update(re.findall(rf"\b{caller}{skipped}[ ]+([a-z_]+)\b", text))
        return frozenset(called & self.functions.keys() - {name})

    def _callers(self) -> list[tuple[str, int]]:
        """Return the functions that call one of their arguments, and which."""
        return [
            (function.name, function.usage.index("FUNCTION"))
            for function in self.functions.values()
            if "FUNCTION" in function.usage
        ]

    def named(self, words: t.Sequence[str]) -> list[str]:
        """Return the functions that a call names: its first word, and those it hands on.

        :raises LookupError: there is none of that name
        :raises ValueError: its usage has another number of words
        """
        name, *given = words
        function = self.function(name)
        usage = " ".join(function.usage)
        if not function.takes(len(given)):
            raise ValueError(f"{name} takes {usage or 'no words'}, not {len(given)} words")
        if "FUNCTION" not in usage:
            return [name]
        called = given[function.usage.index("FUNCTION") :]
        if "ARGUMENT" in usage:
            return [name, *self.named(called)]
        # It chooses the words itself.
        return [name, self.function(called[0]).name]

    def shown(self, words: t.Sequence[str]) -> list[str]:
        """Return the words of a call, with ``***`` for those that may be secret by their usage.

        Where a usage does not say which word is which, all of them are hidden.
        """
        name, *given = words
        usage = list(self.function(name).usage)
        if "FUNCTION" in usage and "ARGUMENT" in " ".join(usage):
            own = usage.index("FUNCTION")
            return [name, *_hidden(usage[:own], given[:own]), *self.shown(given[own:])]
        return [name, *_hidden(usage, given)]

    def function(self, name: str) -> Function:
        """Return a function.

        :raises LookupError: there is none of that name
        """
        if name not in self.functions:
            raise LookupError(f"there is no shell function {name}")
        return self.functions[name]

    @functools.cached_property
    def needed(self) -> dict[str, frozenset[str]]:
        """What each function needs."""
        return {name: self.needs(name) for name in self.functions}

    def closure(self, name: str) -> frozenset[str]:
        """Return a function and all that it needs, directly or not."""
        found, new = set[str](), {name}
        while new:
            found |= new
            new = {needed for each in new for needed in self.needed[each]} - found
        return frozenset(found)

    def text(self, names: t.Iterable[str]) -> str:
        """Return the definitions of functions and of all that they need."""
        wanted = {needed for name in (*_ALWAYS, *names) for needed in self.closure(name)}
        definitions = [self.functions[name] for name in self.functions if name in wanted]
        wings = {function.wing for function in definitions}
        constants = [self.statements[it] for it in self.statements if it.split("/")[0] in wings]
        return "".join([*constants, *(function.text for function in definitions)])


@functools.cache
def registry() -> Registry:
    """Return what the files of all wings define, those of ``_host`` first.

    :raises ValueError: two functions have one name
    """
    functions: dict[str, Function] = {}
    statements: dict[str, str] = {}
    for path in sorted(_ROOT.glob("_*/*.sh"), key=lambda it: (it.parent.name != "_host", it)):
        file = str(path.relative_to(_ROOT))
        statements[file] = read_functions(path.read_text(), file, functions)
    return Registry(functions, statements)


def read_functions(text: str, file: str, functions: dict[str, Function]) -> str:
    """Take the functions out of a file and return the statements that are left."""
    left: list[str] = []
    usages: dict[str, tuple[str, ...]] = {}
    lines = iter(text.splitlines(keepends=True))
    for line in lines:
        if found := _USAGE.match(line):
            usages[found[1]] = tuple(found[2].split())
        elif begin := _BEGIN.match(line):
            body = line + "".join(_until_end(lines))
            _add(functions, Function(begin[1], usages.get(begin[1], ()), file, body))
        elif line.strip() and not line.startswith("#"):
            left.append(line)
    return "".join(left)


def _until_end(lines: t.Iterator[str]) -> t.Iterator[str]:
    for line in lines:
        if not line.lstrip().startswith("# "):
            yield line
        if line.rstrip() in ("}", ")"):
            return


def _add(functions: dict[str, Function], function: Function) -> None:
    if twin := functions.get(function.name):
        raise ValueError(f"{function.name} is in {twin.file} and in {function.file}")
    functions[function.name] = function


def script(*words: str, then: tuple[str, ...] = ()) -> Script:
    """Return a script that calls one shell function with arguments.

    This is the one place where data becomes shell: every word is quoted.

    :param words: the function's name and its arguments
    :param then: another call, which follows when this one succeeds
    :raises LookupError: there is no such function
    :raises ValueError: its usage has another number of words
    """
    calls = [call for call in (words, then) if call]
    names = [name for call in calls for name in registry().named(call)]
    text = registry().text(names) + " && ".join(shlex.join(call) for call in calls)
    return Script(text, tuple(calls))


# Words of these names in the usage of a function may be secret.
_SECRET = {"COMMAND", "CONTENT", "EXPRESSION", "FILES", "NETRC", "SETTINGS", "TEXT", "WHY", "WORD"}


def _hidden(usage: t.Sequence[str], given: t.Sequence[str]) -> list[str]:
    names = [_NAME.findall(word)[0] for word in usage if _NAME.search(word)]
    if _SECRET.isdisjoint(names):
        return list(given)
    if "..." in " ".join(usage):
        return ["***"]
    named = zip(names, given, strict=False)
    return ["***" if name in _SECRET else word for name, word in named]
