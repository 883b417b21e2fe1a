# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import itertools
import json

import pytest
from ansible_collections.closure.nixos.plugins.module_utils._build.build_log import BuildLog
from ansible_collections.closure.nixos.plugins.module_utils._build.nix_errors import failed_builders
from hypothesis import given
from hypothesis import strategies as st

HASH = "0123456789abcdfghijklmnpqrsvwxyz"
DRV = f"/nix/store/{HASH}-linux-6.12.drv"


def lines(*records: dict[str, object]) -> bytes:
    return b"".join(b"@nix " + json.dumps(record).encode() + b"\n" for record in records)


def start(number: int, kind: int, *fields: object) -> dict[str, object]:
    return {"action": "start", "id": number, "type": kind, "fields": list(fields)}


def result(number: int, kind: int, *fields: object) -> dict[str, object]:
    return {"action": "result", "id": number, "type": kind, "fields": list(fields)}


def message(text: str, level: int = 0) -> dict[str, object]:
    return {"action": "msg", "level": level, "msg": text}


BUILDING = (
    start(1, 102),
    start(2, 104),
    result(2, 105, 3, 41, 1, 0),
    result(1, 106, 100, 310 * 1024**2),
    start(3, 100, "/nix/store/x", "a", "b"),
    result(3, 105, 120 * 1024**2, 200 * 1024**2, 0, 0),
    start(4, 105, DRV, "", 1, 1),
)


def fed(*pieces: bytes) -> BuildLog:
    log = BuildLog()
    for piece in pieces:
        log.feed(piece)
    return log


def test_the_summary_has_builds_bytes_and_what_is_built() -> None:
    building = "building 3/41, fetched 120/310 MiB, linux-6.12 for 0 s"
    assert fed(lines(*BUILDING)).summary == building


def test_the_summary_has_how_long_a_build_takes_and_its_last_line() -> None:
    log = BuildLog()
    log.feed(lines(*BUILDING), 1000)
    log.feed(lines(result(4, 101, "CC \x1b[2J\rmain.o" + "x" * 100), result(4, 101, "\t")), 1080.4)
    assert log.summary.endswith(f"linux-6.12 for 80 s: CC [2Jmain.o{'x' * 48}")


@pytest.mark.parametrize(
    ("records", "summary"),
    [
        ((), ""),
        (BUILDING[:3], "building 3/41"),
        ((*BUILDING, {"action": "stop", "id": 4}), "building 3/41, fetched 120/310 MiB"),
        (
            (*BUILDING, start(5, 105, DRV.replace("linux-6.12", "bash-5"), "", 1, 1)),
            "bash-5 for 0 s",
        ),
    ],
)
def test_the_summary_has_only_what_there_is(
    records: tuple[dict[str, object], ...], summary: str
) -> None:
    assert fed(lines(*records)).summary.endswith(summary)
    assert bool(summary) == bool(fed(lines(*records)).summary)


@given(st.lists(st.integers(0, 1500), max_size=6))
def test_a_log_cut_anywhere_says_the_same(cuts: list[int]) -> None:
    data = lines(*BUILDING, result(4, 101, "über"), message("\x1b[31;1merror:\x1b[0m bad"))
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[a:b] for a, b in itertools.pairwise(places)]
    assert fed(*pieces).summary == fed(data).summary
    assert fed(*pieces).text == fed(data).text == "error: bad\n"


@pytest.mark.parametrize(
    "error",
    [
        f"\x1b[31;1merror:\x1b[0m builder for '\x1b[35;1m{DRV}\x1b[0m' failed with exit code 3",
        f"error: Cannot build '{DRV}'.\n       Reason: builder failed with exit code 3.",
        # With this log format Lix says no more than that (lix, libstore/build/derivation-goal.cc).
        f"\x1b[31;1merror:\x1b[0m builder for '\x1b[35;1m{DRV}\x1b[0m' failed with exit code 3",
    ],
    ids=["Nix 2.8", "Nix 2.30 and Determinate Nix 3.16", "Lix 2.93"],
)
def test_the_end_of_a_failed_builders_log_stands_in_its_error(error: str) -> None:
    log = [result(4, 101, f"line {n}") for n in range(30)]
    said = fed(lines(*BUILDING, *log, message(error), message("noise", level=3))).text
    assert "> line 29\n" in said and "> line 5\n" in said
    assert "line 4\n" not in said and "noise" not in said
    assert "> line 29" in failed_builders(said)[DRV]


def test_a_line_that_is_not_whole_is_shown_as_it_is() -> None:
    text = fed(b'@nix {"action": "stoWarning: x\n', lines(message("error: bad"))).text
    assert text == '@nix {"action": "stoWarning: x\nerror: bad\n'


def test_a_log_that_nix_shows_itself_is_not_shown_twice() -> None:
    error = f"error: builder for '{DRV}' failed;\n       last 1 log lines:\n       > once"
    said = fed(lines(*BUILDING, result(4, 101, "once"), message(error))).text
    assert said.count("once") == 1


def test_what_a_newer_nix_adds_to_its_log_is_passed_over() -> None:
    assert fed(lines(*BUILDING, {"action": "span", "name": "x"}, message("then"))).text == "then\n"


def test_lines_of_others_are_kept() -> None:
    said = fed(b"nobody has asked after this job\n", lines(message("a warning", 1)), b"cut").text
    assert said == "nobody has asked after this job\na warning\ncut\n"
