# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Systems on trial: what the host says of them, and what is tried at all."""

from __future__ import annotations

import pytest
from ansible_collections.closure.nixos.plugins.module_utils._activate.facts import Step
from ansible_collections.closure.nixos.plugins.module_utils._activate.guard_state import (
    parse_deployment,
    parse_guard,
)
from ansible_collections.closure.nixos.plugins.module_utils._activate.options import Action
from ansible_collections.closure.nixos.plugins.module_utils._activate.steps import on_trial

OLD, NEW = "/nix/store/old-nixos-system-a-1", "/nix/store/new-nixos-system-a-2"
SPECIAL = f"{NEW}/specialisation/night"
LINES = [
    ("user", "root"),
    ("guard", "armed"),
    ("guard_old", OLD),
    ("guard_to", NEW),
    ("guard_runs", NEW),
    ("guard_boots", "1"),
    ("guard_who", "me"),
    ("guard_left", "58"),
    ("guard_failed", "a.service"),
    ("guard_failed", "b.service"),
    ("deployment_outcome", "unconfirmed"),
    ("deployment_from", OLD),
]


def test_a_guard_is_read() -> None:
    guard = parse_guard(LINES)
    assert guard
    assert (guard.state, guard.old, guard.to, guard.boots) == ("armed", OLD, NEW, True)
    assert guard.failed_before == ("a.service", "b.service")
    assert guard.left == 58
    cut = parse_guard([("guard", "armed"), ("guard_left", "1 x")])
    assert cut and cut.left == 0
    assert parse_guard([("guard", ""), ("guarded", "x")]) is None
    assert parse_deployment(dict(LINES)) == {"outcome": "unconfirmed", "from": OLD}
    assert parse_deployment({"user": "root"}) is None


@pytest.mark.parametrize(
    ("state", "waits", "story"),
    [
        ("armed", True, None),
        ("confirmed", True, None),
        ("done", False, "stays with nixos-system-a-2 (new), which was confirmed."),
        ("back", True, "is rolling back to nixos-system-a-1 (old), because it hung."),
        ("returned", False, "rolled back to nixos-system-a-1 (old), because it hung."),
        (
            "lost",
            False,
            "could not roll back to nixos-system-a-1 (old) as a whole, because it hung.",
        ),
        ("void", False, "has activated nothing of nixos-system-a-2 (new)."),
        (
            "overtaken",
            False,
            "ended its trial of nixos-system-a-2 (new), because it hung; that stays as it is.",
        ),
        (
            "ended",
            False,
            "has nixos-system-a-2 (new) on trial no more: somebody has ended the guard by hand.",
        ),
    ],
)
def test_what_a_guard_did(state: str, waits: bool, story: str | None) -> None:
    why = [("guard_why", "it hung ")]
    guard = parse_guard([*LINES[:1], ("guard", state), *LINES[2:], *why])
    assert guard and guard.waits is waits
    if story:
        assert guard.story == story


@pytest.mark.parametrize(
    ("state", "rest"),
    [
        ("armed", "nobody has confirmed it yet, and the host rolls back in 58 s"),
        ("confirmed", "it was confirmed, and becomes the boot default"),
        ("back", "the host is rolling back"),
    ],
)
def test_who_has_a_host_and_for_how_long(state: str, rest: str) -> None:
    guard = parse_guard([("guard", state), *LINES[2:]])
    assert guard and guard.waits
    assert guard.claim == f"a switch to nixos-system-a-2 (new) by me: {rest}"


SWITCH, BOOT, TEST = (Step(action, NEW) for action in (Action.SWITCH, Action.BOOT, Action.TEST))
NIGHT = Step(Action.TEST, SPECIAL)


@pytest.mark.parametrize(
    ("action", "steps", "tried"),
    [
        pytest.param(Action.SWITCH, (SWITCH,), (TEST,), id="a switch is tried"),
        pytest.param(Action.SWITCH, (BOOT,), (), id="what runs already is not tried"),
        pytest.param(Action.SWITCH, (BOOT, NIGHT), (NIGHT,), id="specialisation"),
        pytest.param(Action.TEST, (TEST,), (TEST,), id="a test"),
        pytest.param(Action.AUTO, (BOOT,), (BOOT,), id="auto, which only a reboot brings"),
        pytest.param(Action.AUTO, (SWITCH,), (TEST,), id="auto, live"),
        pytest.param(Action.BOOT, (BOOT,), (BOOT,), id="boot"),
        pytest.param(Action.SWITCH, (), (), id="nothing left"),
    ],
)
def test_what_is_tried(action: Action, steps: tuple[Step, ...], tried: tuple[Step, ...]) -> None:
    assert on_trial(action, steps) == tried
