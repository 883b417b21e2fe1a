# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is shown of an activation while it runs."""

from __future__ import annotations

import pytest
from ansible.utils.display import Display
from ansible_collections.closure.nixos.plugins.plugin_utils._activate.target import _Listener
from ansible_collections.closure.nixos.plugins.plugin_utils._host.progress import Progress


def told(monkeypatch: pytest.MonkeyPatch, *parts: tuple[bytes, bytes], no_log: bool) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(Display, "v", lambda _self, text, host: lines.append(f"{host}: {text}"))
    listener = _Listener(Progress("web1", no_log))
    for part in parts:
        listener(*part)
    return lines


PARTS = (b"setting up", b"stopping\nstar"), (b" /etc\n", b"ting \x1b[1mx\n\n"), (b"", b"")


def test_all_lines_are_told_once_and_whole_and_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = told(monkeypatch, *PARTS, no_log=False)
    assert lines == ["web1: stopping", "web1: setting up /etc", "web1: starting ?[1mx"]


def test_nothing_is_told_of_a_task_with_no_log(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(monkeypatch, *PARTS, no_log=True) == []
