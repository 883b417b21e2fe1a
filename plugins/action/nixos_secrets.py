# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action of M(closure.nixos.nixos_secrets): puts secrets beside the store."""

from __future__ import annotations

import resource
import typing as t

from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._secrets.secret import parse_secrets
from ansible_collections.closure.nixos.plugins.module_utils._specs import NIXOS_SECRETS
from ansible_collections.closure.nixos.plugins.plugin_utils._host.action import ClosureAction
from ansible_collections.closure.nixos.plugins.plugin_utils._secrets.contents import read_content
from ansible_collections.closure.nixos.plugins.plugin_utils._secrets.keeping import Keeping


class ActionModule(ClosureAction):
    """Ask the host what is there, and send it what may differ."""

    spec = NIXOS_SECRETS

    def act(self, args: dict[str, t.Any]) -> dict[str, t.Any]:
        """Put the secrets, or put back what a deployment has replaced."""
        # This process holds them from here on.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        keeping = Keeping(self.target(), self.check)
        try:
            if args["state"] == "restored":
                return keeping.restore()
            prepare, lost = args["state"] == "prepared", args["state"] == "memory"
            prune = args["prune"] and not lost
            secrets = [it for it in parse_secrets(args) if not lost or it.is_lost]
            late = [secret.name for secret in secrets if secret.late and prepare]
            now = [secret for secret in secrets if secret.name not in late]
            contents = [read_content(self, secret) for secret in now]
            directory = args["persistent_directory"]
            result = keeping.put(now, contents, directory, prune and not prepare, prepare, lost)
        except ClosureError as error:
            raise ClosureError(f"{self.host_name}: {error.message}", **error.details) from error
        result["waiting"] = sorted({*result["waiting"], *late})
        result["pending"] = prepare and bool(result["waiting"] or result["pending"] or prune)
        return result
