# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A system on trial, and the guard that rolls the host back. Private to the collection.

Decides what the answer of ``guard_facts`` (``plugin_utils/_activate/guard.sh``) means.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from ansible_collections.closure.nixos.plugins.module_utils._store.generations import name_system

_DEPLOYMENT = "deployment_"


@dataclasses.dataclass(frozen=True)
class Guard:
    """What rolls a host back from a system that nobody confirms.

    :param state: armed, then confirmed (the system becomes the boot default) and done, or back (the
        host rolls back) and then returned or lost; or void when nothing was activated, overtaken by
        somebody else's switch, or ended by hand
    :param old: the system that it rolls back to, :param to: the system that is on trial
    :param runs: what runs on trial: that system, or its specialisation
    :param boots: whether that system is to boot once it is confirmed
    :param who: who began it, :param run: in which run, :param why: why the host rolled back
    :param attended: names the process that looks after it, see ``plugin_utils/_activate/trial.py``
    :param left: seconds until the host rolls back by itself
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
    attended: str
    left: int
    failed_before: tuple[str, ...]

    @property
    def waits(self) -> bool:
        """Whether it is not decided yet which system the host stays with."""
        return self.state in ("armed", "confirmed", "back")

    @property
    def rolled_back(self) -> bool:
        """Whether it rolled the host back, or tried to."""
        return self.state in ("back", "returned", "lost")

    @property
    def claim(self) -> str:
        """Who has the host while it waits, since when, and for how long."""
        left = max(self.left, 0)
        stories = {
            "armed": f"nobody has confirmed it yet, and the host rolls back in {left} s",
            "confirmed": "it was confirmed, and becomes the boot default",
            "back": "the host is rolling back",
        }
        return f"a switch to {name_system(self.to)} by {self.who}: {stories[self.state]}"

    @property
    def story(self) -> str:
        """What became of the trial, as a sentence without the host's name."""
        old, new, why = name_system(self.old), name_system(self.to), self.why.strip()
        stories = {
            "returned": f"rolled back to {old}, because {why}.",
            "back": f"is rolling back to {old}, because {why}.",
            "lost": f"could not roll back to {old} as a whole, because {why}.",
            "void": f"has activated nothing of {new}.",
            "overtaken": f"ended its trial of {new}, because {why}; that stays as it is.",
            "ended": f"has {new} on trial no more: somebody has ended the guard by hand.",
        }
        return stories.get(self.state, f"stays with {new}, which was confirmed.")


def parse_guard(lines: Iterable[tuple[str, str]]) -> Guard | None:
    """Read the lines ``guard...=`` of the host's answer; None where there was no guard."""
    found = [(name, value) for name, value in lines if name.partition("_")[0] == "guard"]
    one = dict(found)
    if not one.get("guard"):
        return None
    names = ("old", "to", "runs", "who", "run", "why", "attended")
    failed = tuple(value for name, value in found if name == "guard_failed")
    words = {name: one.get(f"guard_{name}", "") for name in names}
    boots, left = bool(one.get("guard_boots")), one.get("guard_left", "")
    # Of a guard that was cut nobody knows for how long it waits.
    seconds = int(left) if left.lstrip("-").isdecimal() else 0
    return Guard(state=one["guard"], boots=boots, left=seconds, failed_before=failed, **words)


def parse_deployment(one: Mapping[str, str]) -> dict[str, str] | None:
    """Read the lines ``deployment_...=``; None where the host remembers no deployment."""
    return {
        name.removeprefix(_DEPLOYMENT): value
        for name, value in one.items()
        if name.startswith(_DEPLOYMENT)
    } or None
