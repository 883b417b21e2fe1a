# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action of M(closure.nixos.nix_build): evaluates and builds packages."""

from __future__ import annotations

import typing as t

from ansible_collections.closure.nixos.plugins.module_utils._build.build_options import (
    package_options,
)
from ansible_collections.closure.nixos.plugins.module_utils._build.inputs import Asked
from ansible_collections.closure.nixos.plugins.module_utils._specs import NIX_BUILD
from ansible_collections.closure.nixos.plugins.plugin_utils._build.builder import BuildAction
from ansible_collections.closure.nixos.plugins.plugin_utils._build.evaluation import Outcome


class ActionModule(BuildAction):
    """Evaluate the packages of all hosts together, and build them together."""

    spec = NIX_BUILD

    def act(self, args: dict[str, t.Any]) -> Outcome:
        """Return the host's package."""
        asked = Asked.of(args)
        host = self.build_host(asked.build_host)
        dry = self.check and not args["check_build"]
        return self.ask(asked, host, package_options(args, dry, self.roots(host, args["roots"])))
