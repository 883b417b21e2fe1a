# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Profiles with a program that activates what they hold. Private to the collection.

Decides which program that is, where a profile is, whether there is something to do, and what the
host's answers say.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t
from collections.abc import Mapping, Sequence

from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._store.generations import (
    Generation,
    next_set,
    parse_generations,
    what_exists,
)
from ansible_collections.closure.nixos.plugins.module_utils._store.store_path import (
    check_store_path,
)

_HOME = "~/.local/state/nix/profiles"
_GLOBAL = "/nix/var/nix/profiles"

_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
# A name that itself looks like a generation's link would be taken for one of another profile.
_NAME = re.compile(r"(?!.*-\d+-link$)[A-Za-z0-9_][A-Za-z0-9_.+-]*")
_PLACE = re.compile(r"(?!.*/\.\.?(/|$))(?:~|/[\w.+-]+)(?:/[\w.+-]+)+", re.ASCII)
# Relative to the closure.
_PROGRAM = re.compile(r"(?!(?:.*/)?\.\.?(?:/|$))[\w.+-]+(?:/[\w.+-]+)*", re.ASCII)
# What nix_profile_activate takes for what is not said.
_UNSAID = {
    "path": None,
    "generation": None,
    "user": "root",
    "kind": "custom",
    "name": None,
    "profile_path": None,
    "command": (),
    "timeout": 600,
}

_END = re.compile(r"\n@profile (\d+) (none|old|lost)\n$")


@dataclasses.dataclass(frozen=True)
class Kind:
    """What makes such closures.

    :param name: of the profile, :param directory: where it is, "" for the place of the user's
    :param command: the program within the closure, and its arguments
    """

    name: str
    directory: str
    command: tuple[str, ...]


# home-manager looks for its profile in the home, also root's (its activation-init.sh).
KINDS = {
    "home-manager": Kind("home-manager", _HOME, ("activate",)),
    "system-manager": Kind(
        "system-manager", f"{_GLOBAL}/system-manager-profiles", ("bin/activate",)
    ),
    "custom": Kind("", "", ()),
}


@dataclasses.dataclass(frozen=True)
class ProfileRequest:
    """A closure that a user's profile is to hold, and how it is activated.

    :param path: its store path, "" when a generation is asked for
    :param generation: the number of the generation to activate again
    :param profile: the path of the profile; what begins with ``~/`` is in the user's home
    :param command: the program, relative to the closure, and its arguments
    :param root: the name of the garbage collector's root that a copy makes for it
    :param timeout: seconds for the activation, and as many for the one of what was there
    """

    path: str
    generation: int | None
    user: str
    name: str
    profile: str
    command: tuple[str, ...]
    root: str
    timeout: int

    @classmethod
    def of(
        cls,
        *,
        path: str | None,
        generation: int | None,
        user: str,
        kind: str,
        name: str | None,
        profile_path: str | None,
        command: Sequence[str],
        timeout: int,
    ) -> ProfileRequest:
        """Make it of what nix_profile_activate is asked, by its own words.

        :raises ClosureError: they name what cannot be
        """
        known = KINDS[kind]
        named = name or known.name or (profile_path or "").rpartition("/")[2]
        _check(_USER, user, "user", "Name a user as the host does.")
        _check(_NAME, named, "name", "Use letters, digits and any of _ . + -, such as tools.")
        place = profile_path or f"{known.directory or _directory(user)}/{named}"
        _check(_PLACE, place, "profile_path", "Give a whole path, or one that begins with ~/.")
        if place == f"{_GLOBAL}/system" or place.startswith(f"{_GLOBAL}/system-profiles/"):
            raise ClosureError(
                f"profile_path: {place} is for NixOS systems. Use closure.nixos.nix_profile_set "
                "and closure.nixos.nixos_switch, or another name."
            )
        words = (*known.command, *command)
        program = words[0] if words else ""
        _check(_PROGRAM, program, "command", "Name a program of the closure, such as bin/activate.")
        if timeout < 1:
            raise ClosureError(f"timeout has to be at least 1, and is {timeout}.")
        checked = check_store_path(path) if path else ""
        root = f"profile-{user}-{named}"
        return cls(checked, generation, user, named, place, words, root, timeout)

    @property
    def program(self) -> str:
        """The program, relative to the closure."""
        return self.command[0]

    @property
    def label(self) -> str:
        """The profile for people."""
        return f"{self.name} of {self.user}"

    @property
    def job(self) -> str:
        """The name of the job that activates it."""
        return re.sub(r"[^a-z0-9]+", "-", self.root.lower()).strip("-")


def read_profiles(given: Sequence[Mapping[str, t.Any]]) -> list[dict[str, t.Any]]:
    """Return what deploy_profiles has for a host, as nix_profile_activate is asked for each.

    Beside its options stand ``label`` for people, ``root``, by which a copy keeps it, and ``attr``
    where it is to be built, so that ``path`` is none.

    :raises ClosureError: one of them cannot be, or two are the same
    """
    found: list[dict[str, t.Any]] = []
    for entry in given:
        words = {name: value for name, value in entry.items() if value is not None}
        attr = words.pop("attr", None)
        if bool(attr) == bool(words.get("path")):
            raise ClosureError("each profile needs either path or attr")
        request = ProfileRequest.of(**{**_UNSAID, **words})
        if any(it["root"] == request.root for it in found):
            raise ClosureError(f"{request.label} is there twice. Give one of them another name.")
        found.append(
            {
                **{name: words.get(name, value) for name, value in _UNSAID.items()},
                "name": request.name,
                "profile_path": request.profile,
                "attr": attr,
                "label": request.label,
                "root": request.root,
            }
        )
    return found


def _directory(user: str) -> str:
    return _GLOBAL if user == "root" else _HOME


def _check(pattern: re.Pattern[str], text: str, option: str, remedy: str) -> None:
    if not pattern.fullmatch(text):
        raise ClosureError(f"{option}: {text!r} cannot be. {remedy}")


@dataclasses.dataclass(frozen=True)
class Look:
    """What a host says of a profile.

    :param profile: its whole path, :param holds: the store path that it leads to, or ""
    :param cut_short: whether an activation has begun and has not ended well
    :param valid: whether the closure that is asked for is there, :param runs: and its program
    """

    profile: str
    holds: str = ""
    cut_short: bool = False
    valid: bool = False
    runs: bool = False
    generations: tuple[Generation, ...] = ()

    @property
    def current(self) -> Generation | None:
        """The generation that the profile leads to."""
        return next((it for it in self.generations if it.current), None)

    def path_of(self, request: ProfileRequest) -> str:
        """Return the store path that is asked for.

        :raises ClosureError: there is no such generation
        """
        if request.path or request.generation is None:
            return request.path
        for entry in self.generations:
            if entry.number == request.generation:
                return entry.path
        exists = what_exists(self.generations) if self.generations else "It has none."
        raise ClosureError(
            f"{self.profile} has no generation {request.generation}. {exists}",
        )

    def old(self, path: str) -> Generation | None:
        """Return what to activate again when the activation of a path fails, if there is something.

        Where the profile holds the path, as its activation was cut short, it is the one before.
        """
        current = self.current
        if current is None or current.path != path:
            return current
        older = [it for it in self.generations if it.number < current.number and it.path != path]
        return max(older, key=lambda it: it.number, default=None)

    def words(self, request: ProfileRequest, path: str) -> tuple[str, ...]:
        """Return the words of ``profile_bring``."""
        old = self.old(path)
        fresh = next_set(self.generations, path) == "new"
        named = {
            "profile": self.profile,
            "path": path,
            "holds": self.holds,
            "to": request.generation or "",
            **({"old": old.path, "number": old.number} if old else {}),
            "fresh": "1" if fresh else "",
            "limit": request.timeout,
        }
        return (*(f"{name}={value}" for name, value in named.items()), "--", *request.command)


def parse_look(text: str) -> Look:
    """Read what ``profile_look`` prints.

    :raises ClosureError: it is not whole
    """
    said = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    profile = said["profile"]
    flags = {"cut_short": "activating", "valid": "valid", "runs": "program"}
    return Look(
        profile,
        said["holds"],
        generations=parse_generations(text, profile),
        **{name: word in said for name, word in flags.items()},
    )


@dataclasses.dataclass(frozen=True)
class End:
    """How an activation has failed.

    :param code: its exit status; None when nobody saw its end
    :param back: "none" where there was nothing before, "old" when that is back, else "lost"
    """

    code: int | None
    back: str


def parse_end(text: str) -> End:
    """Read the last line of a ``profile_bring`` that has failed."""
    found = _END.search(text)
    return End(int(found[1]), found[2]) if found else End(None, "lost")


def without_end(text: str) -> str:
    """Return what an activation has printed, without our own last line."""
    return _END.sub("", text)


def explain(request: ProfileRequest, path: str, end: End, old: Generation | None) -> str:
    """Say that an activation has failed, and what is now."""
    how = "was interrupted" if end.code is None else f"ended with exit status {end.code}"
    how = f"did not end within {request.timeout} s" if end.code in (124, 137) else how
    first = f"{request.program} of {path} {how}"
    if end.back == "old" and old:
        return f"{first}. {request.label} is rolled back to generation {old.number}, {old.path}."
    if end.back == "none":
        return (
            f"{first}. {request.label} had no generation to roll back to, and is not recorded. "
            "Look at what it has done, mend it and run the task again."
        )
    return (
        f"{first}, and {request.label} could not be rolled back, so that it may be half done. Look "
        "at what it has printed, mend it and run the task again."
    )
