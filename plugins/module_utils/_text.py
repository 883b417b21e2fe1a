# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Text of hosts for people. Private to the collection.

What a host says may hold control characters, which a terminal obeys: they are shown instead. And
what a program says may hold a URL with its password.
"""

from __future__ import annotations

import re
import typing as t

# All but tab and newline: of C0, of C1, what turns the direction of a text (Unicode TR 9), what
# ends a line, and what no output can be encoded with.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)

_PASSWORD = re.compile(r"(://[^\s/:@]*):[^\s/]*@")
# In a result, what programs have said and what is said of it.
_SAID = {"msg", "cmd", "stdout", "stderr", "trace", "exception"}


def printable(text: str) -> str:
    """Return a text in which control characters are shown as a Python string would: ``\\x1b``."""
    return _CONTROL.sub(lambda found: _shown(found[0]), text.replace("\r\n", "\n"))


def _shown(character: str) -> str:
    number = ord(character)
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}"


def without_password(text: str) -> str:
    """Return a text with ``***`` in the place of passwords in URLs."""
    return _PASSWORD.sub(r"\1:***@", text)


def shown_result(value: t.Any, said: bool = False) -> t.Any:
    """Return a task's result in which all texts are printable, also the keys.

    :param said: whether it is what a program has said, without passwords in URLs
    """
    if isinstance(value, str):
        if said and _PASSWORD.search(value):
            return printable(without_password(value))
        # Of another type when Ansible has marked it, as what must not be templated.
        return value if not _CONTROL.search(value) else printable(value)
    if isinstance(value, dict):
        return {
            shown_result(key): shown_result(it, said or key in _SAID) for key, it in value.items()
        }
    if isinstance(value, list | tuple):
        return [shown_result(it, said) for it in value]
    return value


def without_empty(value: t.Any) -> t.Any:
    """Return a value without what says nothing in it, because people see all of a failed result.

    That is null, and what has no length. Numbers, false and the items of lists stay.
    """
    if not isinstance(value, dict):
        return value
    found = {key: without_empty(it) for key, it in value.items()}
    return {key: it for key, it in found.items() if it is not None and it not in ("", [], {})}
