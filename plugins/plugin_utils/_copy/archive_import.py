# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: a closure from an archive on the controller to a target."""

from __future__ import annotations

import dataclasses
import pathlib

from ansible.plugins.connection import ConnectionBase
from ansible_collections.closure.nixos.plugins.module_utils._copy.manifest import Manifest
from ansible_collections.closure.nixos.plugins.module_utils._copy.transport import (
    Answer,
    Transport,
    archive_transport,
    check_room,
    require_signatures,
)
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.plugin_utils._copy.archive import Archive
from ansible_collections.closure.nixos.plugins.plugin_utils._copy.archive_files import read_parts
from ansible_collections.closure.nixos.plugins.plugin_utils._copy.commands import ask
from ansible_collections.closure.nixos.plugins.plugin_utils._copy.monitor import Monitor
from ansible_collections.closure.nixos.plugins.plugin_utils._copy.nix_ssh import (
    access_to,
    login_of,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._host.host import Host


@dataclasses.dataclass(frozen=True)
class ArchiveImport:
    """Imports what a target lacks from an archive on the controller.

    :param connection: Ansible's, to the target
    :param gc_root: the name of the root that keeps it there
    """

    file: pathlib.Path
    manifest: Manifest
    target: Host
    connection: ConnectionBase
    monitor: Monitor
    check_sigs: bool | None
    gc_root: str

    def ask(self, root: bool) -> Answer:
        """Ask the target what it lacks.

        :raises ClosureError: it lacks something that the archive leaves out
        """
        login = login_of(self.connection)
        name = self.gc_root if root else ""
        answer = ask(self.target, self.manifest.path, self.manifest.closure, name, login)
        if absent := sorted(answer.missing.keys() - self.manifest.carried):
            raise ClosureError(
                f"{self.target.name} lacks {len(absent)} paths that {self.file} leaves out, the "
                f"first {absent[0]}. Make the archive with a shorter list of exclude."
            )
        return answer

    def choose(self, answer: Answer) -> Transport:
        """Say whether the target would accept it.

        :raises ClosureError: it would not
        """
        signed = answer.accepts(self.manifest.signatures)
        if self.check_sigs:
            require_signatures(signed)
        reason = f"the closure comes from {self.file}"
        if signed:
            return Transport("archive", f"{reason}; the host trusts its signatures")
        return archive_transport(access_to(self.connection), answer.trusted, reason)

    def bring(self, answer: Answer) -> Transport:
        """Bring the target what it lacks."""
        transport = self.choose(answer)
        check_room(answer, transport.name, self.target.name)
        archive = Archive(str(self.file), self.monitor, bool(self.check_sigs))
        parts = read_parts(self.file, self.manifest, answer.missing)
        archive.unpack(self.target, parts, answer.missing)
        return transport
