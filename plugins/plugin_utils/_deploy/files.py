# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: files on the controller that people hand to the role deploy."""

from __future__ import annotations

import os
import pathlib
import typing as t

from ansible.errors import AnsibleError
from ansible.playbook.block import Block
from ansible.playbook.helpers import load_list_of_tasks
from ansible.playbook.task import Task
from ansible.plugins.action import ActionBase
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError

# A host that leaves the play is neither confirmed nor rolled back by it.
_LEAVES = {"end_host", "end_play", "end_batch", "end_role"}


def find(name: str, option: str, task_vars: dict[str, t.Any]) -> str:
    """Return the path of a file that an option names.

    It is looked for beside the inventory, which a host made by ``add_host`` does not have, and then
    beside the playbook.

    :raises ClosureError: it is in neither place
    """
    places = [task_vars.get(place) for place in ("inventory_dir", "playbook_dir")]
    directories = dict.fromkeys(place for place in places if place)
    paths = [os.path.normpath(pathlib.Path(directory, name)) for directory in directories]
    for path in paths:
        if pathlib.Path(path).exists():
            return path
    looked = " and no ".join(dict.fromkeys(paths))
    raise ClosureError(f"{option} names {name}, and there is no {looked}. No host was changed.")


def require_tasks(action: ActionBase, path: str, option: str) -> None:
    """Refuse a file that Ansible would not run to its end.

    It would end the whole run at the moment that a host has its new system on trial. So Ansible
    loads it here as it will then, before a host is touched.

    :raises ClosureError: it does not load, or takes the host out of the play
    """
    try:
        tasks = _load(action, path)
    except AnsibleError as error:
        raise ClosureError(
            f"{option} names {path}, which Ansible does not load: {error}. No host was changed."
        ) from error
    for task in _walk(tasks):
        if task._get_meta() in _LEAVES:
            raise ClosureError(
                f"{option} names {path}, which has meta: {task._get_meta()}: the host would "
                "leave the play with its system neither confirmed nor rolled back. Use a condition "
                "(when) instead. No host was changed."
            )


def _load(action: ActionBase, path: str) -> list[t.Any]:
    loader, task = action._loader, action._task
    written = loader.load_from_file(path, cache="none")
    if not isinstance(written, list) or not all(isinstance(it, dict) for it in written):
        raise AnsibleError("it is no list of tasks")
    return list(
        load_list_of_tasks(
            written,
            play=task.get_play(),
            role=task._role,
            variable_manager=task.get_variable_manager(),
            loader=loader,
        )
    )


def _walk(tasks: list[t.Any]) -> t.Iterator[Task]:
    for task in tasks:
        if isinstance(task, Block):
            yield from _walk([*task.block, *task.rescue, *task.always])
        else:
            yield task
