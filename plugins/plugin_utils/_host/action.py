# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: what all its action plugins do, arguments in and a result out."""

from __future__ import annotations

import abc
import typing as t

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import (
    become_loader,
    connection_loader,
    filter_loader,
    shell_loader,
    test_loader,
)
from ansible_collections.closure.nixos.plugins.module_utils._errors import (
    ClosureError,
    as_result,
    unreadable,
)
from ansible_collections.closure.nixos.plugins.module_utils._specs import (
    misfits,
    with_lists,
)
from ansible_collections.closure.nixos.plugins.module_utils._text import (
    shown_result,
    without_empty,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._host.connections import (
    build_connection,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._host.host import Host
from ansible_collections.closure.nixos.plugins.plugin_utils._host.progress import Progress
from ansible_collections.closure.nixos.plugins.plugin_utils._host.run import Run, this_run
from ansible_collections.closure.nixos.plugins.plugin_utils._host.scripts import registry

Result = dict[str, t.Any]

# Read here by the process that forks a worker for each task and host.
SCRIPTS = registry().needed
for _loader, _plugin in (
    (connection_loader, "ssh"),
    (shell_loader, "sh"),
    (become_loader, "sudo"),
    (filter_loader, "default"),
    (test_loader, "defined"),
):
    _loader.get(f"ansible.builtin.{_plugin}", class_only=True)

# What reading an answer raises that is not what was asked for. RecursionError: of JSON.
UNREADABLE = (ValueError, LookupError, ArithmeticError, RecursionError)


class ClosureAction(ActionBase, abc.ABC):
    """An action that runs on the controller and sends shell to the task's host."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    #: the module's argument spec, from ``module_utils/_specs.py``
    spec: t.ClassVar[dict[str, t.Any]]

    task_run: Run
    task_vars: dict[str, t.Any]

    def run(
        self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None
    ) -> dict[str, t.Any]:
        """Validate the arguments, act, and say expected failures as results."""
        result: Result = super().run(tmp, task_vars)
        self.task_vars = task_vars or {}
        self.task_run = this_run()
        self._hosts: list[Host] = []
        try:
            result |= self.act(self.validated(self._task.args))
        except ClosureError as error:
            result |= as_result(error)
        except UNREADABLE as error:
            if not (host := self._last_heard()):
                raise
            result |= as_result(unreadable(host.name, error))
        result = shown_result(result)
        return t.cast(Result, without_empty(result) if result.get("failed") else result)

    def _last_heard(self) -> Host | None:
        """Return the host that has answered last, if one has."""
        heard = [host for host in self._hosts if host.heard]
        return max(heard, key=lambda host: host.heard, default=None)

    def _known(self, host: Host) -> Host:
        self._hosts.append(host)
        return host

    @abc.abstractmethod
    def act(self, args: dict[str, t.Any]) -> Result:
        """Do what the task asks for and return the module's result."""

    @property
    def check(self) -> bool:
        """Whether the task runs in check mode."""
        return bool(self._task.check_mode)

    @property
    def diff(self) -> bool:
        """Whether people want to see the change."""
        return bool(self._task.diff)

    def validated(self, args: dict[str, t.Any]) -> dict[str, t.Any]:
        """Return arguments with their defaults and types.

        :raises ClosureError: they do not fit the module's spec
        """
        given = with_lists(self.spec["argument_spec"], args)
        result = ArgumentSpecValidator(**self.spec).validate(given)
        if result.error_messages:
            raise ClosureError(f"{self._task.action}: {misfits(result)}")
        return t.cast(dict[str, t.Any], result.validated_parameters)

    def target(self, store: str = "") -> Host:
        """Return the host that the task changes.

        :param store: URL of the store that Nix uses there, if it is not the host's own
        """
        environment = self._environment() | ({"NIX_REMOTE": store} if store else {})
        host = Host(self._connection, self.host_name, self.task_run, environment=environment)
        return self._known(host)

    def _environment(self) -> dict[str, str]:
        """Return the environment of play, block and task, which speaks of the task's own host."""
        found: dict[str, t.Any] = {}
        self._compute_environment_string(found)
        return {str(name): str(value) for name, value in found.items()}

    def fresh_connection(self, retry_for: float = 10) -> Host:
        """Return the task's host as somebody finds it who has no connection to it yet."""
        connection, name, run = self._connection, self.host_name, self.task_run
        host = Host(
            connection,
            name,
            run,
            retry_for=retry_for,
            answers=True,
            fresh=True,
            environment=self._environment(),
        )
        return self._known(host)

    def build_host(self, name: str | None) -> Host:
        """Return a host that builds, for this run and others: the task's own when none is named."""
        own = name is None or name == self.host_name
        connection = self._connection if own else build_connection(self, self.task_vars, str(name))
        environment = self._environment() if own else {}
        host = Host(
            connection,
            name or self.host_name,
            self.task_run,
            shared=True,
            environment=environment,
        )
        return self._known(host)

    def progress(self) -> Progress:
        """Return where to show signs of life of this task."""
        name, quiet = self.task_vars["inventory_hostname"], bool(self._task.no_log)
        return Progress(name, quiet, self._task.get_name(include_role_fqcn=False))

    @property
    def host_name(self) -> str:
        """The name of the host that Ansible connected this task to."""
        return str(self._task.delegate_to or self.task_vars["inventory_hostname"])
