# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Limits of time and of output."""

from __future__ import annotations

import resource
import subprocess
import threading
import time

import pytest
from ansible_collections.closure.nixos.plugins.plugin_utils._host.deadline import (
    TooMuchError,
    within,
)

MEBIBYTE = 1024**2


def output_of(*command: str) -> bytes:
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        return b"".join(iter(lambda: process.stdout.read(65536), b""))  # type: ignore[union-attr]


def ends(threads: int) -> None:
    """Wait until no more threads run than before."""
    end = time.monotonic() + 20
    while threading.active_count() > threads:
        assert time.monotonic() < end
        time.sleep(0.05)


def test_what_returns_in_time_is_returned_or_raised() -> None:
    assert within(20, lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        within(20, lambda: 1 // 0)
    assert len(within(60, lambda: output_of("head", "-c", "2000000", "/dev/zero"))) == 2000000


def test_what_does_not_return_is_left_and_its_programs_end() -> None:
    threads = threading.active_count()
    with pytest.raises(TimeoutError):
        within(0.5, lambda: output_of("sleep", "1000"))
    ends(threads)


def test_the_time_counts_from_when_it_has_begun() -> None:
    assert within(0.2, lambda: time.sleep(0.6), begun=lambda: False, before=60) is None
    with pytest.raises(TimeoutError):
        within(0.3, lambda: output_of("sleep", "1000"), begun=lambda: False, before=0.5)


def test_an_endless_answer_ends_and_takes_little_memory() -> None:
    threads = threading.active_count()
    with pytest.raises(TooMuchError):
        within(60, lambda: output_of("cat", "/dev/zero"), limit=MEBIBYTE)
    ends(threads)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(TooMuchError):
        within(60, lambda: output_of("yes"), limit=MEBIBYTE)
    ends(threads)
    # It may read for a moment before anybody looks.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024
