# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action of M(closure.nixos.nix_profile_activate): activates what a profile is to hold."""

from __future__ import annotations

import typing as t

from ansible_collections.closure.nixos.plugins.module_utils._profiles.profile import ProfileRequest
from ansible_collections.closure.nixos.plugins.module_utils._specs import NIX_PROFILE_ACTIVATE
from ansible_collections.closure.nixos.plugins.plugin_utils._host.action import ClosureAction
from ansible_collections.closure.nixos.plugins.plugin_utils._profiles.activate import Profile


class ActionModule(ClosureAction):
    """Activate a closure as its user, record it in the profile, or roll back."""

    spec = NIX_PROFILE_ACTIVATE

    def act(self, args: dict[str, t.Any]) -> dict[str, t.Any]:
        """Activate it, or in check mode say whether that is to be done."""
        request = ProfileRequest.of(**args)
        return Profile(self.target(), request, self.progress()).bring(self.check, self.diff)
