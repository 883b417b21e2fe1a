# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is left to do of an activation. Private to the collection."""

from __future__ import annotations

from ansible_collections.closure.nixos.plugins.module_utils._activate.facts import Facts, Step
from ansible_collections.closure.nixos.plugins.module_utils._activate.options import (
    Action,
    SwitchOptions,
)


def needed_steps(wanted: Action, facts: Facts, force: bool = False) -> tuple[Step, ...]:
    """Return what is left to do of an action.

    A system that runs is not activated again; one that runs and is not what the host boots still
    has to become that. The boot loader knows generations only, so that a specialisation is
    activated after its system has become the boot default.
    """
    path, live = str(facts.asked.path), str(facts.live_path)
    action = wanted.on(facts.needs_boot)
    boot = action.changes_boot and (force or not facts.boots(path))
    activate = action.activates and (force or facts.running != live)
    if activate and live == path:
        return (Step(action, path),)
    return (*[Step(Action.BOOT, path)] * boot, *[Step(action.live, live)] * activate)


def left_to_do(options: SwitchOptions, facts: Facts) -> tuple[Step, ...]:
    """Return what is left to do of what a task asks for.

    The links do not tell of units that a killed activation has left stopped.
    """
    again = facts.is_half_switched and options.action.activates
    return needed_steps(options.action, facts, options.force or again)


def on_trial(wanted: Action, steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Return the steps up to the confirmation, of which none makes a system the boot default.

    With ``boot``, and with ``auto`` where only a reboot brings the system, nothing runs before it.
    """
    boots_only = bool(steps) and steps[-1].action is Action.BOOT
    if wanted is Action.BOOT or (wanted is Action.AUTO and boots_only):
        return steps
    return tuple(Step(Action.TEST, step.path) for step in steps if step.action is not Action.BOOT)
