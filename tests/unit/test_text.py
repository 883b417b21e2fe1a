# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a terminal would obey is shown."""

from __future__ import annotations

import unicodedata

import pytest
from ansible_collections.closure.nixos.plugins.module_utils._text import (
    printable,
    shown_result,
    without_empty,
)
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("as ever\n\tÄ → ✓", "as ever\n\tÄ → ✓"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x9b2J", "\\x9b2J"),
        ("over\rwritten", "over\\x0dwritten"),
        ("a line\r\nof Windows", "a line\nof Windows"),
        ("back\x08\x7f", "back\\x08\\x7f"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("a\u2028b", "a\\u2028b"),
        ("not UTF-8: \udcff", "not UTF-8: \\udcff"),
    ],
)
def test_control_characters_are_shown(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text(alphabet=st.characters(codec=None)))
def test_nothing_is_left_that_a_terminal_obeys(text: str) -> None:
    shown = printable(text)
    assert not [it for it in shown if it not in "\t\n" and unicodedata.category(it) in ("Cc", "Cs")]
    shown.encode()
    assert printable(shown) == shown


def test_all_of_a_result_is_printable() -> None:
    result = {"msg": "\x1b", "rc": 1, "diff": {"prepared": "\x1b"}, "\x1b": [("\x1b", None, True)]}
    shown = {"msg": "\\x1b", "rc": 1, "diff": {"prepared": "\\x1b"}}
    assert shown_result(result) == shown | {"\\x1b": [["\\x1b", None, True]]}


def test_what_says_nothing_is_left_out() -> None:
    report = {"failed_units": ["a.service"], "started": [], "user_units": {"stopped": ()}}
    result = {"changed": False, "rc": 0, "plan": None, "stdout": "", "logs": {}, "report": report}
    shown = {"failed_units": ["a.service"]}
    kept = {"changed": False, "rc": 0, "report": shown}
    assert without_empty(shown_result(result)) == kept
    assert without_empty({"items": [None, "", {"empty": []}]}) == {
        "items": [None, "", {"empty": []}]
    }


def test_a_password_in_a_url_is_in_nothing_that_is_said() -> None:
    """But a value that somebody asked for, such as that of an option, stays what it is."""
    url, shown = "https://me:pw@a.org/x", "https://me:***@a.org/x"
    failed = {"msg": url, "trace": f"a\n{url}\n", "stderr": url, "results": [{"stdout": url}]}
    systems = {"web1": {"failed": True, "msg": url, "cmd": ["curl", url]}}
    result = failed | {"systems": systems, "option_values": {"url": url}}
    assert str(shown_result(result)) == str(result | {"option_values": 0}).replace(
        url, shown
    ).replace("'option_values': 0", f"'option_values': {{'url': '{url}'}}")
