# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which generations go, and what Nix says of what it freed."""

from __future__ import annotations

import datetime

import pytest
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._retention.retention import (
    Freed,
    RetentionOptions,
    outdated,
    parse_age,
    parse_freed,
)
from ansible_collections.closure.nixos.plugins.module_utils._store.generations import Generation

NOW = datetime.datetime(2026, 11, 30, tzinfo=datetime.UTC).timestamp()


def generation(number: int, path: str = "", current: bool = False) -> Generation:
    """One of each day of November 2026, by its number."""
    date = f"2026-11-{number:02}T00:00:00Z" if number < 30 else None
    return Generation(number, path or f"/nix/store/{number}", date, current)


def options(
    keep: int | None = None, since: str | None = None, delete: tuple[int, ...] = ()
) -> RetentionOptions:
    return RetentionOptions(
        keep, parse_age(since), frozenset(delete), ("p",), True, False, None, 60
    )


FIVE = [generation(number) for number in range(20, 25)]


@pytest.mark.parametrize(
    ("generations", "kept", "gone"),
    [
        (FIVE, options(), []),
        (FIVE, options(keep=2), [20, 21, 22]),
        (FIVE, options(keep=9), []),
        (FIVE, options(keep=1, since="8d"), [20, 21, 22]),
        (FIVE, options(since="1h"), [20, 21, 22, 23]),
        (FIVE, options(keep=3, since="1w"), [20, 21]),
        # One that the profile was rolled back to, and one of what runs.
        ([generation(20, current=True), *FIVE[1:]], options(keep=1), [21, 22, 23]),
        ([generation(20, "/nix/store/needed"), *FIVE[1:]], options(keep=1), [21, 22, 23]),
        # Nobody knows how old that is.
        ([generation(30), generation(31)], options(since="1d"), []),
        ([generation(30), generation(31)], options(keep=1), [30]),
        ([], options(keep=1), []),
        # By its number, whatever its age; one that is gone already is no fault.
        (FIVE, options(delete=(9, 23)), [23]),
        (FIVE, options(keep=3, delete=(24,)), [20, 21, 24]),
    ],
)
def test_generations_go(
    generations: list[Generation], kept: RetentionOptions, gone: list[int]
) -> None:
    found = outdated(generations, kept, NOW, {"/nix/store/needed", None})
    assert [entry.number for entry in found] == gone


@pytest.mark.parametrize(("text", "hours"), [("30d", 720), ("12h", 12), (" 2 w ", 336)])
def test_an_age_is_read(text: str, hours: int) -> None:
    assert parse_age(text) == datetime.timedelta(hours=hours)


@pytest.mark.parametrize("text", ["", "30", "d", "-3d", "1m", "30 days"])
def test_what_is_no_age_is_refused(text: str) -> None:
    with pytest.raises(ClosureError, match="is no age"):
        parse_age(text)


@pytest.mark.parametrize(
    "needed", [generation(21, "/nix/store/needed"), generation(21, current=True)]
)
def test_what_is_needed_is_not_deleted_by_its_number(needed: Generation) -> None:
    with pytest.raises(ClosureError, match=r"delete_generations: 21 is what the host runs, boots"):
        outdated([needed, *FIVE[2:]], options(delete=(21, 22)), NOW, {"/nix/store/needed"})


def test_to_keep_nothing_is_refused() -> None:
    with pytest.raises(ClosureError, match="Keep at least 1"):
        options(keep=0)


@pytest.mark.parametrize(
    ("said", "freed"),
    [
        pytest.param(
            "finding garbage collector roots...\n3 store paths deleted, 1.50 MiB freed\n",
            Freed(3, 1572864, 0, 0),
            id="Nix 2.8 and 2.26",
        ),
        pytest.param(
            "3 store paths deleted, 2048.50 MiB freed\n1.00 MiB freed by hard-linking 12 files\n",
            Freed(3, 2148007936, 12, 1048576),
            id="Lix 2.92",  # lix, libmain/shared.cc and libutil's showBytes
        ),
        pytest.param(
            "3 store paths deleted, 2.5 GiB freed\n0.5 KiB freed by hard-linking 12 files\n",
            Freed(3, 2684354560, 12, 512),
            id="Determinate Nix 3.16",  # nix-src, libmain/shared.cc and libutil's renderSize
        ),
        pytest.param("0 store paths deleted, 0.00 MiB freed", Freed(0, 0, 0, 0), id="nothing"),
        pytest.param(
            "3 store paths deleted, 2.0 GiB freed\n1.00 MiB freed by hard-linking 12 files\n",
            Freed(3, 2147483648, 12, 1048576),
            id="optimised",
        ),
        pytest.param("", Freed(0, 0, 0, 0), id="silence"),
    ],
)
def test_what_was_freed_is_read(said: str, freed: Freed) -> None:
    assert parse_freed(said) == freed
