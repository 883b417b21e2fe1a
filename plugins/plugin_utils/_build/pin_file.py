# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: the file that pins a nixpkgs, on the host that holds it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping

from ansible_collections.closure.nixos.plugins.module_utils._build.build_options import (
    EvaluationOptions,
)
from ansible_collections.closure.nixos.plugins.module_utils._build.nix_errors import without_trace
from ansible_collections.closure.nixos.plugins.module_utils._build.pin import Pin, fetched_pin
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.plugin_utils._build.evaluation import Evaluator
from ansible_collections.closure.nixos.plugins.plugin_utils._build.nix_files import nix_files
from ansible_collections.closure.nixos.plugins.plugin_utils._host.host import Host, Reply
from ansible_collections.closure.nixos.plugins.plugin_utils._host.progress import Progress
from ansible_collections.closure.nixos.plugins.plugin_utils._host.scripts import script

# What is upstream now, not what was there an hour ago (the default of nix.conf).
_FRESH = "tarball-ttl = 0\n"


@dataclasses.dataclass(frozen=True)
class PinFile:
    """The file that pins a nixpkgs."""

    host: Host
    path: str

    def read(self) -> str:
        """Return what it holds; nothing when there is none yet.

        :raises ClosureError: it cannot be read
        """
        return self._said(self.host.run(script("pin_read", self.path))).text

    def write(self, text: str) -> None:
        """Replace what it holds.

        :raises ClosureError: it cannot be written
        """
        self._said(self.host.run_once("pin_write", self.path, text.rstrip("\n"), request="pin"))

    def _said(self, reply: Reply) -> Reply:
        if reply.rc != 0:
            raise ClosureError(
                f"{self.path} on {self.host.name} cannot be read or written: "
                f"{reply.stderr.strip()}",
                rc=reply.rc,
                stderr=reply.stderr,
            )
        return reply


def fetch_pin(host: Host, progress: Progress, source: Mapping[str, str], limit: float) -> Pin:
    """Have Nix fetch a source and say what it is.

    :param limit: seconds
    :raises ClosureError: Nix does not get it
    """
    evaluator = Evaluator(host, progress, EvaluationOptions(settings=_FRESH, timeout=limit))
    files = nix_files(json.dumps(dict(source)))
    ended = evaluator.run("fetch", "looking_up", "/", "false", "fetch", files)
    if ended.exit_code != 0:
        where = source.get("url") or f"github:{source['owner']}/{source['repo']}"
        said = without_trace(ended.stderr).strip()
        raise ClosureError(
            f"{host.name} does not get {where}: {said}", rc=ended.exit_code, stderr=ended.stderr
        )
    return fetched_pin(source, json.loads(ended.stdout))
