# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: what all its action plugins do, arguments in and a result out."""

from __future__ import annotations

import abc
import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError, as_result
from ansible_collections.closure.nixos.plugins.plugin_utils._connections import build_connection
from ansible_collections.closure.nixos.plugins.plugin_utils._host import Host
from ansible_collections.closure.nixos.plugins.plugin_utils._run import Run, this_run

Result = dict[str, t.Any]


class ClosureAction(ActionBase, abc.ABC):  # type: ignore[misc]  # ansible-core has no types
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
        _validated, args = self.validate_argument_spec(**self.spec)
        try:
            return result | self.act(args)
        except ClosureError as error:
            return result | as_result(error)

    @abc.abstractmethod
    def act(self, args: dict[str, t.Any]) -> Result:
        """Do what the task asks for and return the module's result."""

    @property
    def check(self) -> bool:
        """Whether the task runs in check mode."""
        return bool(self._task.check_mode)

    def target(self) -> Host:
        """Return the host that the task runs on."""
        return Host(self._connection, self._host_name(), self.task_run)

    def other(self, name: str) -> Host:
        """Return another host of the inventory; its own variables say how it is reached."""
        if name == self._host_name():
            return self.target()
        return Host(build_connection(self, self.task_vars, name), name, self.task_run)

    def _host_name(self) -> str:
        return str(self._task.delegate_to or self.task_vars["inventory_hostname"])
