# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The generations of a system profile. Private to the collection.

Decides where a profile is, which generations its links record, what setting it would do, and
which generation a rollback is to.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._store.store_path import (
    check_store_path,
)

_SHORT_HASH = 7
_PROFILES = "/nix/var/nix/profiles"

_LINE = re.compile(r"(\d+) ([01]) (\d+|-) (/\S+)")
# A name that itself looks like a generation's link would be taken for one of another profile.
_PROFILE_NAME = re.compile(r"(?!.*-\d+-link$)[A-Za-z0-9_][A-Za-z0-9_.+-]*")


@dataclass(frozen=True)
class Generation:
    """What one link of a profile records; `date` is in UTC, by ISO 8601."""

    number: int
    path: str
    date: str | None
    current: bool


def profile_path(name: str = "system") -> str:
    """The path of the system profile `name`, as `nixos-rebuild --profile-name` places it.

    Raises ClosureError for a name that cannot be a file's.
    """
    if not _PROFILE_NAME.fullmatch(name):
        raise ClosureError(
            f"{name!r} cannot name a system profile. Use letters, digits and any of _ . + -, "
            "beginning with a letter, a digit or _, and not ending like the link of a generation."
        )
    return f"{_PROFILES}/system" if name == "system" else f"{_PROFILES}/system-profiles/{name}"


def short_name(path: str | None) -> str:
    """Name a system by its path without the hash, which many can share."""
    return (path or "").rpartition("/")[2].partition("-")[2] or "nothing"


def name_system(path: str | None, number: int | None = None) -> str:
    """Name a system for people so that two differ: by its generation, or else by its hash."""
    name, digest = short_name(path), short_hash(path)
    if number:
        return f"generation {number}, {name}"
    return f"{name} ({digest})" if digest else name


def short_hash(path: str | None) -> str:
    """As much of the hash in a path as tells two systems of a host apart."""
    return (path or "").rpartition("/")[2].partition("-")[0][:_SHORT_HASH]


def parse_generations(text: str, profile: str) -> tuple[Generation, ...]:
    """The generations of `profile` in the output of ``generations.sh``, by their numbers.

    Empty when the profile does not exist. Raises ClosureError when `text` does not have all of
    them, and for a line that is none.
    """
    generations = map(_parse_generation, _block(text, profile))
    return tuple(sorted(generations, key=lambda generation: generation.number))


def _block(text: str, profile: str) -> list[str]:
    lines = text.split("\n")
    try:
        begin = lines.index(f"generations={profile}")
        return lines[begin + 1 : lines.index(f"generations_end={profile}", begin)]
    except ValueError:
        raise ClosureError(
            f"The host's answer has no complete list of the generations of {profile}. "
            "Run the task again."
        ) from None


def _parse_generation(line: str) -> Generation:
    match = _LINE.fullmatch(line)
    if match is None:
        raise ClosureError(
            f"The host printed {line!r} where a generation of a profile was expected. Run the "
            "task again with -vvv to see what it ran."
        )
    number, current, time, path = match.groups()
    return Generation(int(number), path, _date(time), current == "1")


def _date(time: str) -> str | None:
    return None if time == "-" else f"{datetime.fromtimestamp(int(time), UTC):%Y-%m-%dT%H:%M:%SZ}"


def next_set(generations: Sequence[Generation], path: str) -> Literal["unchanged", "relink", "new"]:
    """What recording `path` in the profile takes.

    "unchanged": the current generation holds it, so nothing; `nix-env --set` compares with the
    highest generation, and would make a new one of it after a rollback. "relink": the highest
    holds it, and `nix-env --set` makes that the current one. "new": it makes a new generation.
    Source: nix, libstore/profiles.cc; tried with 2.8.
    """
    if any(generation.current and generation.path == path for generation in generations):
        return "unchanged"
    highest = max(generations, key=lambda generation: generation.number, default=None)
    return "relink" if highest is not None and highest.path == path else "new"


def surplus(
    generations: Sequence[Generation], keep: int | None, set_to: str, spared: Collection[str | None]
) -> tuple[Generation, ...]:
    """The generations that go, so that the `keep` newest stay once the profile is set to a path.

    Those that hold this path or one of the `spared` stay as well.
    """
    if keep is None:
        return ()
    numbers = sorted(entry.number for entry in generations)
    if next_set(generations, set_to) == "new":
        numbers.append(numbers[-1] + 1 if numbers else 1)
    stay = {set_to, *spared}
    return tuple(
        entry
        for entry in generations
        if entry.number not in numbers[-keep:] and entry.path not in stay
    )


@dataclass(frozen=True)
class Target:
    """What a rollback goes to; without a number when no generation holds the path."""

    number: int | None
    path: str


def rollback_target(
    generations: Sequence[Generation], to: str | None, booted: str | None = None
) -> Target:
    """What `to` names: a generation's number, a store path, "booted", or the one before.

    Raises ClosureError, naming what there is, for a generation that does not exist.
    """
    if to is None:
        found = _generation_before(generations)
        return Target(found.number, found.path)
    if to.isdecimal():
        found = _numbered(generations, int(to))
        return Target(found.number, found.path)
    path = _named_path(generations, to, booted)
    holders = [entry for entry in generations if entry.path == path]
    holder = max(holders, key=lambda entry: (entry.current, entry.number), default=None)
    return Target(holder.number if holder else None, path)


def _named_path(generations: Sequence[Generation], to: str, booted: str | None) -> str:
    if to == "booted":
        if booted:
            return booted
        raise ClosureError("It has no /run/booted-system, so it did not boot NixOS.")
    if to.startswith("/"):
        return check_store_path(to)
    raise ClosureError(
        f"to: {to} is neither the number of a generation, nor a store path, nor booted. "
        + what_exists(generations)
    )


def _numbered(generations: Sequence[Generation], number: int) -> Generation:
    for generation in generations:
        if generation.number == number:
            return generation
    raise ClosureError(f"There is no generation {number}. {what_exists(generations)}")


def _generation_before(generations: Sequence[Generation]) -> Generation:
    """The newest that is older than the current one and holds another system."""
    current = next((entry for entry in generations if entry.current), None)
    if current is None:
        raise ClosureError(
            f"The profile points to none of its generations. {what_exists(generations)}"
        )
    older = [
        entry
        for entry in generations
        if entry.number < current.number and entry.path != current.path
    ]
    if not older:
        raise ClosureError(
            f"No generation before {current.number} holds another system. "
            + what_exists(generations)
        )
    return max(older, key=lambda entry: entry.number)


def profile_diff(profile: str, before: str | None, after: str) -> dict[str, str]:
    """What people see of a profile, or another link, that holds another path; empty for none."""
    return {
        "before_header": profile,
        "after_header": profile,
        "before": f"{before}\n" if before else "",
        "after": f"{after}\n" if after else "",
    }


def what_exists(generations: Sequence[Generation]) -> str:
    """A sentence with the generations there are."""
    if not generations:
        return "It has no generations: deploy a system to the host first."
    entries = (
        f"{generation.number}{' (current)' if generation.current else ''}: {generation.path}"
        for generation in generations
    )
    return f"Choose one of these: {', '.join(entries)}."
