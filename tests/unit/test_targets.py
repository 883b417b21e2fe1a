# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each module has a target of ansible-test."""

from __future__ import annotations

import pathlib

ROOT = pathlib.Path(__file__).parents[2]
TARGETS = ROOT / "tests/integration/targets"
# The role's own modules are used by nobody else.
BY_ROLE = {"deploy_options", "deploy_outcome", "deploy_preflight", "deploy_record"}


def test_each_module_is_used_by_the_target_of_its_name() -> None:
    modules = {file.stem for file in ROOT.glob("plugins/modules/*.py")}
    targets = {file.parent.name for file in TARGETS.glob("*/runme.sh")}
    assert targets == modules - BY_ROLE | {"deploy"}
    for name in targets - {"deploy"}:
        assert f"closure.nixos.{name}:\n" in (TARGETS / name / "test.yml").read_text("utf-8")


def test_the_role_uses_the_modules_that_have_no_target() -> None:
    assert "role: closure.nixos.deploy\n" in (TARGETS / "deploy/test.yml").read_text("utf-8")
    tasks = "".join(file.read_text("utf-8") for file in ROOT.glob("roles/deploy/tasks/*.yml"))
    assert {name for name in BY_ROLE if f"closure.nixos.{name}:\n" in tasks} == BY_ROLE
