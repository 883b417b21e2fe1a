# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether somebody looks after a trial that a run finds on a host."""

from __future__ import annotations

import dataclasses
import os
import subprocess

import pytest
from ansible_collections.closure.nixos.plugins.module_utils._activate.guard_state import parse_guard
from ansible_collections.closure.nixos.plugins.plugin_utils._activate.attendance import (
    attendant,
    is_attended,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._host.run import this_run

OURS = this_run()


def dead() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


HERE = attendant(OURS).rpartition(" ")[0]


@pytest.mark.parametrize(
    ("run", "attended", "expected"),
    [
        pytest.param("another", f"{HERE} {os.getpid()}", True, id="it lives"),
        pytest.param("another", f"{HERE} {dead()}", False, id="it has ended"),
        pytest.param("another", f"elsewhere:pid:[1] {dead()}", True, id="on another machine"),
        pytest.param("another", "", True, id="nobody knows where"),
        pytest.param(OURS.id, f"{HERE} {os.getpid()}", False, id="it is our own"),
    ],
)
def test_who_looks_after_a_trial(run: str, attended: str, expected: bool) -> None:
    guard = parse_guard([("guard", "armed"), ("guard_run", run), ("guard_attended", attended)])
    assert guard and is_attended(guard, OURS) is expected


def test_a_run_names_its_ansible_playbook() -> None:
    child = dataclasses.replace(OURS, parent=4711)
    assert attendant(child).endswith(" 4711") and HERE
