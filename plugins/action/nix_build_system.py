# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action of M(closure.nixos.nix_build_system): evaluates and builds systems."""

from __future__ import annotations

import typing as t

from ansible_collections.closure.nixos.plugins.module_utils._build.build_options import (
    SYSTEM,
    BuildOptions,
    evaluation_options,
)
from ansible_collections.closure.nixos.plugins.module_utils._build.inputs import Asked
from ansible_collections.closure.nixos.plugins.module_utils._specs import NIX_BUILD_SYSTEM
from ansible_collections.closure.nixos.plugins.plugin_utils._build.builder import BuildAction
from ansible_collections.closure.nixos.plugins.plugin_utils._build.evaluation import Outcome


class ActionModule(BuildAction):
    """Evaluate all systems together, and build them together."""

    spec = NIX_BUILD_SYSTEM

    def act(self, args: dict[str, t.Any]) -> Outcome:
        """Return the host's system, or all of `systems`."""
        asked = Asked.of(args)
        host = self.build_host(asked.build_host)
        dry = self.check and not args["check_build"]
        roots = self.roots(host, args["roots"])
        variant = args["variant"]
        options = BuildOptions(
            evaluation_options(args), roots, dry, variant or SYSTEM, variant or ""
        )
        return self.ask(asked, host, options)
