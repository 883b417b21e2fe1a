# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A system on trial, and the guard that takes the host back. Private to the collection.

Decides what the answer of ``guard_facts`` (``plugin_utils/_activate/guard.sh``) means.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from ansible_collections.closure.nixos.plugins.module_utils._store.generations import name_system

_DEPLOYMENT = "deployment_"


@dataclasses.dataclass(frozen=True)
class Guard:
    """What takes a host back from a system that nobody confirms.

    :param state: armed, then confirmed (the system becomes the boot default) and done, or back (the
        host goes back) and then returned or lost
    :param old: the system that it goes back to, :param to: the system that is on trial
    :param runs: what runs on trial: that system, or its specialisation
    :param boots: whether that system is to boot once it is confirmed
    :param who: who began it, :param run: in which run, :param why: why the host went back
    :param failed_before: the units that had failed before
    """

    state: str
    old: str
    to: str
    runs: str
    boots: bool
    who: str
    run: str
    why: str
    failed_before: tuple[str, ...]

    @property
    def waits(self) -> bool:
        """Whether it is not decided yet which system the host stays with."""
        return self.state in ("armed", "confirmed", "back")

    @property
    def went_back(self) -> bool:
        """Whether it took the host back, or tried to."""
        return self.state in ("back", "returned", "lost")

    @property
    def claim(self) -> str:
        """Who has the host while it waits."""
        return f"a switch to {self.to} by {self.who}, which nobody has confirmed yet"

    @property
    def story(self) -> str:
        """What became of the trial, as a sentence without the host's name."""
        if not self.went_back:
            return f"stays with {name_system(self.to)}, which was confirmed."
        ways = {"returned": "went", "back": "is going", "lost": "could not go all the way"}
        return f"{ways[self.state]} back to {name_system(self.old)}, because {self.why.strip()}."


def parse_guard(lines: Iterable[tuple[str, str]]) -> Guard | None:
    """Read the lines ``guard...=`` of the host's answer; None where there was no guard."""
    found = [(name, value) for name, value in lines if name.partition("_")[0] == "guard"]
    one = dict(found)
    if not one.get("guard"):
        return None
    names = ("old", "to", "runs", "who", "run", "why")
    failed = tuple(value for name, value in found if name == "guard_failed")
    words = {name: one.get(f"guard_{name}", "") for name in names}
    boots = bool(one.get("guard_boots"))
    return Guard(state=one["guard"], boots=boots, failed_before=failed, **words)


def parse_deployment(one: Mapping[str, str]) -> dict[str, str] | None:
    """Read the lines ``deployment_...=``; None where the host remembers no deployment."""
    return {
        name.removeprefix(_DEPLOYMENT): value
        for name, value in one.items()
        if name.startswith(_DEPLOYMENT)
    } or None
