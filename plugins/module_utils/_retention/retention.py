# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which generations a host keeps, and what a collection freed. Private to the collection."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta

from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._store.generations import (
    Generation,
    profile_path,
)

_AGE = re.compile(r"(\d+)\s*([hdw])")
_HOURS = {"h": 1, "d": 24, "w": 24 * 7}
_UNITS = {"B": 0, "KiB": 1, "MiB": 2, "GiB": 3, "TiB": 4}

# Nix 2.8 to 2.30 say "12 store paths deleted, 3.50 MiB freed", newer ones in the unit that fits.
_DELETED = re.compile(r"^(\d+) store paths deleted, (-?[\d.]+) (B|KiB|MiB|GiB|TiB) freed", re.M)
_OPTIMISED = re.compile(r"^(-?[\d.]+) (B|KiB|MiB|GiB|TiB) freed by hard-linking (\d+) files", re.M)


@dataclasses.dataclass(frozen=True)
class RetentionOptions:
    """What a host keeps.

    :param keep: how many of the newest generations, :param since: and those younger than that;
        None for all of them
    :param delete: numbers of generations that go in any case
    :param profiles: paths of profiles
    :param max_freed: bytes after which a collection ends, None for no limit
    """

    keep: int | None
    since: timedelta | None
    delete: frozenset[int]
    profiles: tuple[str, ...]
    collect: bool
    optimise: bool
    max_freed: int | None
    timeout: int

    def __post_init__(self) -> None:
        """Refuse to keep nothing; raises ClosureError."""
        if self.keep is not None and self.keep < 1:
            raise ClosureError(f"keep: {self.keep} would delete all generations. Keep at least 1.")

    @classmethod
    def of(
        cls,
        *,
        keep: int | None,
        keep_since: str | None,
        delete_generations: Iterable[int],
        profiles: Iterable[str],
        collect: bool,
        optimise: bool,
        max_freed: int | None,
        timeout: int,
    ) -> RetentionOptions:
        """Make them of what nix_collect_garbage is asked, by its own words; raises ClosureError.

        :param keep_since: an age, as :func:`parse_age` reads it
        :param profiles: their names, or paths
        """
        paths = tuple(it if it.startswith("/") else profile_path(it) for it in profiles)
        since = parse_age(keep_since)
        delete = frozenset(delete_generations)
        return cls(keep, since, delete, paths, collect, optimise, max_freed, timeout)

    @property
    def ages(self) -> bool:
        """Whether generations go because they are old."""
        return self.keep is not None or self.since is not None


def parse_age(text: str | None) -> timedelta | None:
    """Read an age such as 30d, 12h or 2w.

    :raises ClosureError: it is none
    """
    if text is None:
        return None
    found = _AGE.fullmatch(text.strip())
    if found is None:
        raise ClosureError(
            f"keep_since: {text!r} is no age. Write a number with h, d or w, such as 30d."
        )
    return timedelta(hours=int(found[1]) * _HOURS[found[2]])


def outdated(
    generations: Sequence[Generation],
    options: RetentionOptions,
    now: float,
    spared: Collection[str | None],
) -> tuple[Generation, ...]:
    """Return the generations that go: neither among the newest, nor young, nor needed.

    :param now: the host's own time, in seconds since 1970
    :param spared: store paths that somebody needs; the current generation stays as well
    :raises ClosureError: one that is to go in any case is needed
    """
    needed = [it for it in generations if it.current or it.path in spared]
    if named := [it.number for it in needed if it.number in options.delete]:
        raise ClosureError(
            f"delete_generations: {named[0]} is what the host runs, boots or rolls back to. Deploy "
            "another system first. Nothing was deleted."
        )
    newest = sorted(entry.number for entry in generations)[-(options.keep or 1) :]
    return tuple(
        it
        for it in generations
        if it.number in options.delete
        or (
            options.ages
            and it.number not in newest
            and it not in needed
            and not _is_young(it, options.since, now)
        )
    )


def _is_young(entry: Generation, since: timedelta | None, now: float) -> bool:
    """Whether it is younger; one without a date is, where age counts at all."""
    if since is None:
        return False
    if entry.date is None:
        return True
    made = datetime.strptime(entry.date, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    return datetime.fromtimestamp(now, UTC) - made < since


@dataclasses.dataclass(frozen=True)
class Freed:
    """What a collection did: paths that it deleted, and bytes that it freed."""

    paths: int
    bytes: int
    optimised_files: int
    optimised_bytes: int


def parse_freed(text: str) -> Freed:
    """Read what ``nix-store --gc`` and ``--optimise`` say at their end."""
    deleted, optimised = _DELETED.search(text), _OPTIMISED.search(text)
    return Freed(
        int(deleted[1]) if deleted else 0,
        _bytes(deleted[2], deleted[3]) if deleted else 0,
        int(optimised[3]) if optimised else 0,
        _bytes(optimised[1], optimised[2]) if optimised else 0,
    )


def _bytes(number: str, unit: str) -> int:
    return int(float(number) * 1024.0 ** _UNITS[unit])
