# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action of M(closure.nixos.nixpkgs_pin): writes and updates the file that pins a nixpkgs."""

from __future__ import annotations

import dataclasses
import json
import typing as t

from ansible_collections.closure.nixos.plugins.module_utils._build.pin import (
    Pin,
    describe,
    fetched_pin,
    pin_expression,
    pin_source,
    pin_text,
    read_pin,
    same_source,
)
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._specs import NIXPKGS_PIN
from ansible_collections.closure.nixos.plugins.plugin_utils._build.evaluation import Evaluator
from ansible_collections.closure.nixos.plugins.plugin_utils._build.source import refuse_home
from ansible_collections.closure.nixos.plugins.plugin_utils._host.action import ClosureAction
from ansible_collections.closure.nixos.plugins.plugin_utils._host.host import Host, Reply
from ansible_collections.closure.nixos.plugins.plugin_utils._host.scripts import script

# What is upstream now, not what was there an hour ago (the default of nix.conf).
_FRESH = "tarball-ttl = 0\n"


class ActionModule(ClosureAction):
    """Ask Nix what is upstream, and write that into the file."""

    spec = NIXPKGS_PIN

    def act(self, args: dict[str, t.Any]) -> dict[str, t.Any]:
        """Write the pin unless it is the same."""
        host = self.build_host(None)
        refuse_home(host, args["path"])
        path = str(self._loader.path_dwim(args["path"]))
        source = pin_source(args)
        text = _said(host, path, host.run(script("pin_read", path))).text
        old, new = read_pin(text, path), self._fetch(host, source, args["timeout"])
        changed = not same_source(old, new)
        after = pin_text(new) if changed else text
        if changed and not self.check:
            _said(host, path, _write(host, path, after.rstrip("\n")))
        return {
            "changed": changed,
            "path": path,
            **dataclasses.asdict(new),
            "diff": {"before": text, "after": after, "before_header": path, "after_header": path},
            "msg": describe(old, new, path),
        }

    def _fetch(self, host: Host, source: dict[str, str], limit: float) -> Pin:
        evaluator = Evaluator(host, self.progress(), settings=_FRESH, timeout=limit)
        ended = evaluator.ask(pin_expression(source))
        if ended.exit_code != 0:
            where = source.get("url") or f"github:{source['owner']}/{source['repo']}"
            raise ClosureError(
                f"{host.name} does not get {where}: {ended.stderr.strip()}",
                rc=ended.exit_code,
                stderr=ended.stderr,
            )
        return fetched_pin(source, json.loads(ended.stdout.partition("\n")[0]))


def _write(host: Host, path: str, text: str) -> Reply:
    return host.run_once("pin_write", path, text, request="pin")


def _said(host: Host, path: str, reply: Reply) -> Reply:
    if reply.rc != 0:
        raise ClosureError(
            f"{path} on {host.name} cannot be read or written: {reply.stderr.strip()}",
            rc=reply.rc,
            stderr=reply.stderr,
        )
    return reply
