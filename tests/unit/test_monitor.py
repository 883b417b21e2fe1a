# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When a command of a copy counts as stuck, by a clock of the test's own."""

from __future__ import annotations

import types
import typing as t

import pytest
from ansible_collections.closure.nixos.plugins.plugin_utils._copy import monitor
from ansible_collections.closure.nixos.plugins.plugin_utils._copy.monitor import (
    _StalledError,
    _Steps,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._host.progress import Progress

Heard = tuple[float, bytes, bytes]


@pytest.fixture
def follow(monkeypatch: pytest.MonkeyPatch) -> t.Callable[..., list[str]]:
    """Follow a command that says these things, with 10 s for a step, and return the progress."""

    def run(*heard: Heard) -> list[str]:
        clock, lines = [0.0], []
        monkeypatch.setattr(monitor, "time", types.SimpleNamespace(monotonic=lambda: clock[0]))
        monkeypatch.setattr(Progress, "say", lambda _self, text: lines.append(text))
        steps = _Steps("pull", Progress("web1"), {"a": 1024, "b": 2048}, 10)
        for clock[0], out, err in heard:
            steps.hear(out, err)
        return lines

    return run


@pytest.mark.parametrize(
    "heard",
    [
        [(1, b"io 5 5\n", b""), (12, b"io 5 5\n", b"")],
        [(1, b"io 5 5\n", b""), (12, b"", b"")],
        [(1, b"io 5 5\n", b""), (9, b"io 6 5\n", b""), (20, b"io 6 5\nio 6 5\n", b"")],
    ],
)
def test_a_command_that_neither_reads_nor_writes_is_stuck(
    follow: t.Callable[..., list[str]], heard: list[Heard]
) -> None:
    with pytest.raises(_StalledError):
        follow(*heard)


@pytest.mark.parametrize(
    "heard",
    [
        [(1, b"io 5 5\n", b""), (12, b"io 6 5\n", b"")],
        [(1, b"io 5 5\n", b""), (12, b"io 5 5\n", b"copying path 'a' ...\n")],
        # The line to the host was down meanwhile.
        [(1, b"io 5 5\n", b""), (60, b"io 9 9\nio 9 9\n", b"")],
        # A host that does not say what a process reads and writes.
        [(1, b"", b""), (60, b"", b"")],
    ],
)
def test_a_command_that_goes_on_or_may_do_so_is_not(
    follow: t.Callable[..., list[str]], heard: list[Heard]
) -> None:
    assert len(follow(*heard)) == len(heard)


def test_progress_names_paths_and_bytes_of_all(follow: t.Callable[..., list[str]]) -> None:
    heard = [(1, b"io 0 512\n", b""), (2, b"io 0 9999\nio 0 1", b"copying path 'a'\n")]
    first, second = follow(*heard)
    assert first == "pull of 2 paths, 512 B of 3.0 KiB"
    assert second == "copying path 1 of 2, 3.0 KiB of 3.0 KiB"
