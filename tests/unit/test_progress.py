# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When a line of progress is shown, by a clock of the test's own."""

from __future__ import annotations

import types
import typing as t

import pytest
from ansible.utils.display import Display
from ansible_collections.closure.nixos.plugins.plugin_utils._host import progress as module
from ansible_collections.closure.nixos.plugins.plugin_utils._host.progress import Progress

Shown = t.Callable[..., list[str]]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Shown:
    """Say something at each of these times and return what was shown."""

    def run(*times: float, no_log: bool = False) -> list[str]:
        lines: list[str] = []
        now = iter([0.0, *(moment for at in times for moment in (at, at))])
        last = [0.0]

        def clock() -> float:
            last[0] = next(now, last[0])
            return last[0]

        monkeypatch.setattr(module, "time", types.SimpleNamespace(monotonic=clock))
        monkeypatch.setattr(Display, "display", lambda _self, text: lines.append(text))
        progress = Progress("web1", no_log)
        for at in times:
            progress.say(f"at {at:g}")
        return lines

    return run


def test_a_line_begins_with_the_host(shown: Shown) -> None:
    assert shown(6) == ["web1: at 6"]


def test_nothing_is_shown_of_what_takes_less_than_five_seconds(shown: Shown) -> None:
    assert shown(1, 2, 4.9) == []


def test_nothing_is_shown_of_a_task_with_no_log(shown: Shown) -> None:
    assert shown(6, 20, no_log=True) == []


def test_nothing_is_shown_when_the_environment_says_so(
    shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOSURE_NIXOS_PROGRESS", "0")
    assert shown(6, 20) == []


@pytest.mark.parametrize(
    ("callback", "lines"),
    [("default", 1), ("ansible.posix.jsonl", 0), ("ansible.posix.json", 0), ("community.yaml", 1)],
)
def test_nothing_is_shown_where_a_program_reads(
    shown: Shown, monkeypatch: pytest.MonkeyPatch, callback: str, lines: int
) -> None:
    monkeypatch.setenv("ANSIBLE_STDOUT_CALLBACK", callback)
    assert len(shown(6)) == lines
