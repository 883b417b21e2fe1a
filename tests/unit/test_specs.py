# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pathlib
import typing as t

import pytest
import yaml
from ansible.playbook.task import Task
from ansible_collections.closure.nixos.plugins.action.nixos_facts import ActionModule
from ansible_collections.closure.nixos.plugins.module_utils import _specs
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError

RUNTIME = pathlib.Path(__file__).parents[2] / "meta" / "runtime.yml"


def test_an_unknown_option_is_told_with_those_that_there_are() -> None:
    task = Task()
    task.action = "closure.nixos.nixos_facts"
    nothing: t.Any = None
    action = ActionModule(task, *[nothing] * 5)
    with pytest.raises(ClosureError) as raised:
        action.validated({"profil": "system"})
    assert str(raised.value) == (
        "closure.nixos.nixos_facts: Unsupported parameters: profil. Supported parameters include: "
        "hardware_config, history, history_directory, profile, ssh_host_keys."
    )


def test_the_group_of_an_option_has_the_modules_that_have_it() -> None:
    groups = yaml.safe_load(RUNTIME.read_text())["action_groups"]
    specs = {name: getattr(_specs, name.upper())["argument_spec"] for name in groups["nixos"]}
    # A user's profile, which nix_profile_activate takes, is another option of this name.
    system = {name for name, spec in specs.items() if spec.get("profile") == _specs._PROFILE}
    assert set(groups["profile"]) == system and len(system) > 1
