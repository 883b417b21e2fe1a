# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action of M(closure.nixos.nix_copy_closure): brings a closure to the task's host."""

from __future__ import annotations

import pathlib
import time
import typing as t

from ansible_collections.closure.nixos.plugins.module_utils._copy.options import CopyOptions
from ansible_collections.closure.nixos.plugins.module_utils._copy.result import (
    copy_result,
    unknown_result,
)
from ansible_collections.closure.nixos.plugins.module_utils._copy.transport import Transport
from ansible_collections.closure.nixos.plugins.module_utils._specs import NIX_COPY_CLOSURE
from ansible_collections.closure.nixos.plugins.module_utils._store.root import store_of
from ansible_collections.closure.nixos.plugins.module_utils._store.store_path import (
    check_store_path,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._copy.archive_export import (
    ArchiveExport,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._copy.archive_files import read_manifest
from ansible_collections.closure.nixos.plugins.plugin_utils._copy.archive_import import (
    ArchiveImport,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._copy.commands import Copy
from ansible_collections.closure.nixos.plugins.plugin_utils._copy.monitor import Limits, Monitor
from ansible_collections.closure.nixos.plugins.plugin_utils._copy.preview import (
    preview,
    preview_boot,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._copy.transports import Transports
from ansible_collections.closure.nixos.plugins.plugin_utils._host.action import (
    ClosureAction,
    Result,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._host.host import Host
from ansible_collections.closure.nixos.plugins.plugin_utils._store.closure import (
    closure_for_all,
    has_path,
)


class ActionModule(ClosureAction):
    """Ask the target what it lacks, and bring it that from the build host or from an archive."""

    spec = NIX_COPY_CLOSURE

    def act(self, args: dict[str, t.Any]) -> Result:
        """Copy what is missing, or write it to an archive."""
        start = time.monotonic()
        options = CopyOptions.of(args, self._loader.path_dwim)
        if options.src_archive:
            result = self._from_archive(options, options.src_archive)
        else:
            result = self._from_host(options, check_store_path(options.path))
        if self.check and result["changed"]:
            # Without -v, Ansible does not show the message of a task that goes well.
            self.progress().show(f"would copy {result['msg']}")
        return result | {"seconds": round(time.monotonic() - start, 3)}

    def _from_host(self, options: CopyOptions, path: str) -> Result:
        source = self.build_host(options.build_host)
        if self.check and not has_path(source, path):
            return unknown_result(path)
        closure = closure_for_all(source, path)
        if options.dest_archive:
            return self._to_archive(options, options.dest_archive, source, closure)
        copy = Copy(source, self._receiver(options), path, self._monitor(options, path))
        shared = len(self.task_vars["ansible_play_hosts_all"]) > 1
        transports = Transports(copy, closure, self._connection, options, shared)
        result = self._bring(transports, options, path, closure)
        if result["changed"] and self._shows(options):
            shown = preview(copy.target, closure) + preview_boot(copy.target, source, path)
            result["diff"]["prepared"] = shown
        return result

    def _from_archive(self, options: CopyOptions, file: pathlib.Path) -> Result:
        manifest = read_manifest(file)
        target, monitor = self._receiver(options), self._monitor(options, manifest.path)
        target.limit_files(options.bwlimit)
        archive = ArchiveImport(
            file, manifest, target, self._connection, monitor, options.check_sigs, options.gc_root
        )
        result = self._bring(archive, options, manifest.path, manifest.closure)
        if result["changed"] and self._shows(options):
            result["diff"]["prepared"] = preview(target, manifest.closure)
        return result

    def _bring(
        self,
        way: Transports | ArchiveImport,
        options: CopyOptions,
        path: str,
        closure: dict[str, int],
    ) -> Result:
        dry = self.check and not options.check_copy
        answer = way.ask(root=not dry)
        transport = None
        if answer.missing:
            transport = way.choose(answer) if dry else way.bring(answer)
        return copy_result(path, closure, answer.missing, transport)

    def _to_archive(
        self, options: CopyOptions, file: pathlib.Path, source: Host, closure: dict[str, int]
    ) -> Result:
        receiver = self.build_host(options.exclude_host) if options.exclude_host else None
        monitor = self._monitor(options, options.path)
        archive = ArchiveExport(file, source, receiver, closure, monitor, options)
        packed = archive.packed()
        there = archive.is_there(packed)
        if not (there or self.check):
            archive.write(packed)
        transport = Transport("archive", f"the task asks for the file {file}")
        return copy_result(options.path, closure, packed, transport) | {"changed": not there}

    def _receiver(self, options: CopyOptions) -> Host:
        return self.target(store_of(options.root) if options.root else "")

    def _shows(self, options: CopyOptions) -> bool:
        """Whether people want to see what differs from what runs, which an installer is not."""
        return self.check and self.diff and not options.root

    def _monitor(self, options: CopyOptions, path: str) -> Monitor:
        return Monitor(path, self.progress(), Limits(options.timeout, options.stall_timeout))
