# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: the one place that makes a connection to a second host.

Ansible makes the connection of the task's own host. Another host's is made here from the variables
that ``delegate_to`` would use for it, by the same call of ansible-core's variable manager
(``VariableManager.get_delegated_vars_and_hostname``), so that inventory, vault, play vars, ``-e``
and ``-u`` mean the same in both. Keywords of the play such as ``become: true`` speak of the task's
own host and do not count for the other one: its variables (``ansible_become``) do.
"""

from __future__ import annotations

import typing as t

from ansible import constants as C
from ansible import context as ansible
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.playbook.play_context import PlayContext
from ansible.plugins.action import ActionBase
from ansible.plugins.connection import ConnectionBase
from ansible.plugins.loader import become_loader, connection_loader
from ansible.template import Templar
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError

Variables = dict[str, t.Any]


def variables_of(action: ActionBase, task_vars: Variables, name: str) -> Variables:
    """Return a host's variables as a task on it would see them, not yet templated.

    :raises ClosureError: the inventory has no such host
    """
    hostvars = task_vars["hostvars"]
    host = hostvars._inventory.get_host(name)
    if host is None:
        raise ClosureError(
            f"The inventory has no host {name}. Add it there with its connection variables, "
            "or name localhost for the controller."
        )
    task = action._task
    return t.cast(
        Variables, hostvars._variable_manager.get_vars(play=task.get_play(), host=host, task=task)
    )


def build_connection(action: ActionBase, task_vars: Variables, name: str) -> ConnectionBase:
    """Return a connection to another host of the inventory, with its become plugin if it has one.

    :raises ClosureError: the inventory has no such host, or its connection plugin does not exist
    """
    variables = variables_of(action, task_vars, name)
    templar = Templar(loader=action._loader, variables=variables)
    plugin = templar.template(variables.get("ansible_connection", C.DEFAULT_TRANSPORT))
    passwords = _typed_passwords(action, task_vars)
    # A new one: that of the task holds the variables of the task's own host.
    context = PlayContext(passwords=passwords)
    context.remote_addr = templar.template(variables.get("ansible_host", name))
    connection = connection_loader.get(plugin, context, new_stdin=None)
    if connection is None:
        raise ClosureError(f"{name} has ansible_connection {plugin}, and there is no such plugin.")
    # No keywords of the task: they speak of its own host. The command line counts.
    keys = {
        "remote_user": ansible.CLIARGS.get("remote_user"),
        "password": passwords["conn_pass"],
        "timeout": context.timeout,
    }
    connection.set_options(
        task_keys={key: value for key, value in keys.items() if value},
        var_options=connection._resolve_option_variables(variables, templar),
    )
    _set_options("shell", connection._shell, variables, templar)
    connection.set_become_plugin(_become(variables, templar, passwords["become_pass"]))
    return t.cast(ConnectionBase, connection)


def _typed_passwords(action: ActionBase, task_vars: Variables) -> dict[str, str]:
    """Return what was typed for -k and -K, as far as it is known here.

    The task's context holds it, but for a task's own host that has a password among its variables:
    that one stands in its place, and is not for other hosts.
    """
    own = task_vars
    if name := action._task.delegate_to:
        own = task_vars.get("ansible_delegated_vars", {}).get(name, {})
    typed = {"conn_pass": "password", "become_pass": "become_pass"}
    return {
        key: getattr(action._play_context, attribute) or ""
        if own.keys().isdisjoint(C.MAGIC_VARIABLE_MAPPING[attribute])
        else ""
        for key, attribute in typed.items()
    }


def _become(variables: Variables, templar: Templar, password: str) -> t.Any:
    if not boolean(templar.template(variables.get("ansible_become", False))):
        return None
    method = templar.template(variables.get("ansible_become_method", C.DEFAULT_BECOME_METHOD))
    plugin = become_loader.get(method)
    if plugin is None:
        raise ClosureError(f"There is no become plugin {method}.")
    _set_options("become", plugin, variables, templar, {"become_pass": password})
    return plugin


def _set_options(
    kind: str, plugin: t.Any, variables: Variables, templar: Templar, keys: Variables | None = None
) -> None:
    names = C.config.get_plugin_vars(kind, plugin._load_name)
    options = {name: templar.template(variables[name]) for name in names if name in variables}
    keys = {key: value for key, value in (keys or {}).items() if value}
    plugin.set_options(task_keys=keys, var_options=options)
