# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action of M(closure.nixos.nixpkgs_pin): writes and updates the file that pins a nixpkgs."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.closure.nixos.plugins.module_utils._build.pin import (
    PinOptions,
    describe,
    pin_text,
    read_pin,
    same_source,
)
from ansible_collections.closure.nixos.plugins.module_utils._specs import NIXPKGS_PIN
from ansible_collections.closure.nixos.plugins.plugin_utils._build.pin_file import (
    PinFile,
    fetch_pin,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._build.source import refuse_home
from ansible_collections.closure.nixos.plugins.plugin_utils._host.action import ClosureAction


class ActionModule(ClosureAction):
    """Ask Nix what is upstream, and write that into the file."""

    spec = NIXPKGS_PIN

    def act(self, args: dict[str, t.Any]) -> dict[str, t.Any]:
        """Write the pin unless it is the same."""
        options, host = PinOptions(**args), self.build_host(None)
        refuse_home(host, options.path)
        file = PinFile(host, str(self._loader.path_dwim(options.path)))
        source, before = options.source(), file.read()
        old = read_pin(before, file.path)
        new = fetch_pin(host, self.progress(), source, options.timeout)
        changed = not same_source(old, new)
        after = pin_text(new) if changed else before
        if changed and not self.check:
            file.write(after)
        return {
            "changed": changed,
            "path": file.path,
            **dataclasses.asdict(new),
            "diff": {
                "before": before,
                "after": after,
                "before_header": file.path,
                "after_header": file.path,
            },
            "msg": describe(old, new, file.path),
        }
