# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action of M(closure.nixos.deploy_preflight): whether a host may be deployed."""

from __future__ import annotations

import typing as t

from ansible_collections.closure.nixos.plugins.module_utils._deploy.preflight import (
    preflight,
    require_healthy,
    specialisation_of,
    system_there,
)
from ansible_collections.closure.nixos.plugins.module_utils._specs import DEPLOY_PREFLIGHT
from ansible_collections.closure.nixos.plugins.plugin_utils._host.action import ClosureAction


class ActionModule(ClosureAction):
    """Judge a host by the results that the role has registered; nothing is asked of it."""

    spec = DEPLOY_PREFLIGHT
    _requires_connection = False

    def act(self, args: dict[str, t.Any]) -> dict[str, t.Any]:
        """Return what there is to say of the host."""
        own, name = self.task_vars, self.task_vars["inventory_hostname"]
        options = own["__deploy_taken"]["options"]
        if options["min_healthy"]:
            hosts = {it: own["hostvars"][it] for it in own["ansible_play_hosts_all"]}
            require_healthy(name, hosts, options)
        facts = own["__deploy_host"]["ansible_facts"]["nixos"]
        found = preflight(name, facts, options)
        words = "; ".join(found.notes) or found.skip
        checks = options["only_checks"]
        result = {
            "changed": False,
            "skip": found.skip,
            "deploys": not found.skip and not checks,
            "checks": not found.skip and checks,
            "specialisation": specialisation_of(facts, options),
            "there": system_there(facts, options),
            "msg": words or "it can be deployed",
        }
        return result | ({"warnings": list(found.warnings)} if found.warnings else {})
