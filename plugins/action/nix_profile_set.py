# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action of M(closure.nixos.nix_profile_set): records a system in a profile."""

from __future__ import annotations

import typing as t

from ansible_collections.closure.nixos.plugins.module_utils._activate.options import (
    ProfileOptions,
    options_of,
)
from ansible_collections.closure.nixos.plugins.module_utils._specs import NIX_PROFILE_SET
from ansible_collections.closure.nixos.plugins.plugin_utils._activate.profile import record
from ansible_collections.closure.nixos.plugins.plugin_utils._host.action import ClosureAction


class ActionModule(ClosureAction):
    """Point the profile at the path, and say what it pointed to before."""

    spec = NIX_PROFILE_SET

    def act(self, args: dict[str, t.Any]) -> dict[str, t.Any]:
        """Set the profile, or in check mode say what that would do."""
        options = options_of(ProfileOptions, args)
        return record(self.target(), options, self.progress(), self.check)
