# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action of M(closure.nixos.nixos_install): installs a system below a mounted root."""

from __future__ import annotations

import typing as t

from ansible_collections.closure.nixos.plugins.module_utils._install.installation import (
    InstallOptions,
)
from ansible_collections.closure.nixos.plugins.module_utils._specs import NIXOS_INSTALL
from ansible_collections.closure.nixos.plugins.module_utils._store.root import store_of
from ansible_collections.closure.nixos.plugins.plugin_utils._host.action import ClosureAction
from ansible_collections.closure.nixos.plugins.plugin_utils._install.installer import Installer


class ActionModule(ClosureAction):
    """Install what the store below the root has, and say which keys the host will show."""

    spec = NIXOS_INSTALL

    def act(self, args: dict[str, t.Any]) -> dict[str, t.Any]:
        """Take the steps that are left, or in check mode name them."""
        options = InstallOptions.of(args)
        host = self.target(store_of(options.root))
        return Installer(host, options, self.progress()).install(self.check)
