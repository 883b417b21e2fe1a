# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""No task of the role is without a failure in the tests on real hosts."""

from __future__ import annotations

import pathlib
import typing as t

import yaml
from ansible_collections.closure.nixos.tests.integration._failures import CASES

TASKS = pathlib.Path(__file__).parents[2] / "roles/deploy/tasks"
# Of the playbooks status and drift, and of the roles python, which builds before it changes a host,
# and try, which changes none.
ELSEWHERE = {"evaluate.yml", "package.yml", "variant.yml"}
# With --tags check, in test_deploy.py.
WITH_TAGS = {"Check the host as it is"}


def names(tasks: list[dict[str, t.Any]]) -> t.Iterator[str]:
    """The names of the tasks that may fail: those of blocks, and no blocks, imports nor meta."""
    for task in tasks:
        if "block" in task:
            yield from names([*task["block"], *task.get("rescue", []), *task.get("always", [])])
        elif not {"ansible.builtin.import_tasks", "ansible.builtin.meta"} & task.keys():
            yield task["name"]


def test_each_task_of_the_role_fails_in_a_case() -> None:
    files = [file for file in TASKS.glob("*.yml") if file.name not in ELSEWHERE]
    there = {name for file in files for name in names(yaml.safe_load(file.read_text()))}
    failing = {name for case in CASES.values() for tasks in case.fails.values() for name in tasks}
    assert there == failing | WITH_TAGS
