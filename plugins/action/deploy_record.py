# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action of M(closure.nixos.deploy_record): leaves a record of a deployment on the host."""

from __future__ import annotations

import getpass
import json
import platform
import time
import typing as t

from ansible.errors import AnsibleConnectionFailure
from ansible_collections.closure.nixos.plugins.module_utils._deploy.record import (
    has_acted,
    record_of,
)
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._specs import DEPLOY_RECORD
from ansible_collections.closure.nixos.plugins.plugin_utils._host.action import ClosureAction
from ansible_collections.closure.nixos.plugins.plugin_utils._host.host import require_success

# Seconds for a connection that is lost: a record is not worth more.
_RETRY_FOR = 10


class ActionModule(ClosureAction):
    """Write one line, by the results that the role has registered."""

    spec = DEPLOY_RECORD

    def act(self, args: dict[str, t.Any]) -> dict[str, t.Any]:
        """Leave the record, unless nothing was done to the host."""
        options = self.task_vars["__deploy_taken"]["options"]
        if self.check or not has_acted(self.task_vars):
            return {"changed": False, "skipped": True, "msg": "nothing was done to the host"}
        name, run = self.task_vars["inventory_hostname"], self.task_run.id
        who = {"user": getpass.getuser(), "controller": platform.node(), "run": run}
        record = record_of(name, self.task_vars, who, time.time(), args["cause"] or "")
        result = {"changed": False, "record": record}
        # What happened to the host is more than that it was written down.
        try:
            self._leave(options["history_directory"], options["history"], json.dumps(record))
        except (AnsibleConnectionFailure, ClosureError) as error:
            return result | {"warnings": [f"{name}: its deployment is not recorded there: {error}"]}
        return result

    def _leave(self, directory: str, count: int, line: str) -> None:
        host = self.target()
        host.retry_for = _RETRY_FOR
        reply = host.run_once("history_add", directory, str(count), line, request="history")
        require_success(host, reply, "does not keep the record of its deployment")
