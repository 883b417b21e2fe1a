# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action of M(closure.nixos.nix_copy_closure): brings a closure to the task's host."""

from __future__ import annotations

import pathlib
import time
import typing as t

from ansible_collections.closure.nixos.plugins.module_utils._copy.transport import Transport
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._specs import NIX_COPY_CLOSURE
from ansible_collections.closure.nixos.plugins.module_utils._store.store_path import (
    check_store_path,
    closure_diff,
    format_bytes,
    render_diff,
)
from ansible_collections.closure.nixos.plugins.module_utils._store.toplevel import show_boot_changes
from ansible_collections.closure.nixos.plugins.plugin_utils._copy.archive import Archive
from ansible_collections.closure.nixos.plugins.plugin_utils._copy.archive_files import (
    holds,
    read_manifest,
    write_cache,
    write_file,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._copy.copy_commands import (
    Copy,
    sign,
    without,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._copy.monitor import Limits, Watch
from ansible_collections.closure.nixos.plugins.plugin_utils._copy.transports import (
    FromFile,
    Transports,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._host.action import ClosureAction
from ansible_collections.closure.nixos.plugins.plugin_utils._host.host import Host
from ansible_collections.closure.nixos.plugins.plugin_utils._store.closure import (
    closure_of,
    has_path,
    lacks,
    read_toplevel,
)

_RUNNING = "/run/current-system"

_UNKNOWN: dict[str, t.Any] = {
    "missing_paths": None,
    "missing_bytes": None,
    "closure_paths": None,
    "closure_bytes": None,
    "transport": None,
    "reason": None,
}


class ActionModule(ClosureAction):
    """Ask the target what it lacks, and bring it that from the build host or from an archive."""

    spec = NIX_COPY_CLOSURE

    #: whether nothing may be copied
    _dry: bool

    def act(self, args: dict[str, t.Any]) -> dict[str, t.Any]:
        """Copy what is missing, or write it to a file."""
        if args["bwlimit"] < 0:
            raise ClosureError(
                f"bwlimit is {args['bwlimit']}: set KiB a second, or 0 for no limit."
            )
        start = time.monotonic()
        self._dry = self.check and not args["check_copy"]
        result = self._import(args) if args["src_archive"] else self._from_host(args)
        return result | {"seconds": round(time.monotonic() - start, 3)}

    def _from_host(self, args: dict[str, t.Any]) -> dict[str, t.Any]:
        path = check_store_path(args["path"])
        source = self.build_host(args["build_host"])
        if self.check and not has_path(source, path):
            message = f"{path} is not built yet, so its missing paths are not known."
            return {**_UNKNOWN, "path": path, "changed": True, "msg": message}
        closure = closure_of(source, path)
        if args["dest_archive"]:
            return self._export(source, closure, args)
        copy = Copy(source, self.target(), path, self._watch(path, args))
        roads = Transports(copy, closure, self._connection, args)
        answer = roads.ask(root=not self._dry)
        road = None
        if answer.missing and self._dry:
            road = roads.choose(answer, signing=bool(args["sign_key_file"]))
        elif answer.missing:
            road = roads.bring(answer)
        result = self._result(path, closure, answer.missing, road)
        if answer.missing and self._shows:
            result["diff"]["prepared"] += self._boot_changes(source, path)
        return result

    def _import(self, args: dict[str, t.Any]) -> dict[str, t.Any]:
        file = self._file(args["src_archive"])
        manifest = read_manifest(file)
        target, watch = self.target(), self._watch(manifest.path, args)
        target.limit_files(args["bwlimit"])
        way = FromFile(file, manifest, target, self._connection, watch, args["check_sigs"])
        answer = way.ask(root=not self._dry)
        road = None
        if answer.missing:
            road = way.choose(answer) if self._dry else way.bring(answer)
        return self._result(manifest.path, manifest.closure, answer.missing, road)

    def _export(
        self, source: Host, closure: dict[str, int], args: dict[str, t.Any]
    ) -> dict[str, t.Any]:
        file = self._file(args["dest_archive"])
        packed = self._packed(source, closure, args)
        road = Transport("archive", f"the task asks for the file {file}")
        there = file.exists() and holds(file, args["path"], packed)
        if not (there or self.check):
            if args["sign_key_file"]:
                sign(source, args["sign_key_file"], packed)
            source.limit_files(args["bwlimit"])
            self._write(source, file, closure, packed, args)
        return self._result(args["path"], closure, packed, road) | {"changed": not there}

    def _packed(
        self, source: Host, closure: dict[str, int], args: dict[str, t.Any]
    ) -> dict[str, int]:
        packed = without(source, closure, args["exclude"])
        if not (packed and args["exclude_host"]):
            return packed
        lacking = lacks(self.build_host(args["exclude_host"]), packed)
        return {path: size for path, size in packed.items() if path in lacking}

    def _write(
        self,
        source: Host,
        file: pathlib.Path,
        closure: dict[str, int],
        packed: dict[str, int],
        args: dict[str, t.Any],
    ) -> None:
        cache = args["dest_archive"].endswith("/")
        write = write_cache if cache else write_file
        archive = Archive(source.name, self._watch(args["path"], args))
        parts = archive.pack(source, packed, args["compress"], cache)
        try:
            write(file, args["path"], closure, parts)
        except OSError as error:
            raise ClosureError(f"The archive {file} was not written: {error}.") from error

    def _watch(self, path: str, args: dict[str, t.Any]) -> Watch:
        return Watch(path, self.progress(), Limits(args["timeout"], args["stall_timeout"]))

    def _file(self, path: str) -> pathlib.Path:
        return pathlib.Path(self._loader.path_dwim(path))

    def _result(
        self, path: str, closure: dict[str, int], missing: dict[str, int], road: Transport | None
    ) -> dict[str, t.Any]:
        size = format_bytes(sum(missing.values()))
        how = f", by {road.transport}: {road.reason}" if road else ""
        return {
            "changed": bool(missing),
            "path": path,
            "missing_paths": sorted(missing),
            "missing_bytes": sum(missing.values()),
            "closure_paths": len(closure),
            "closure_bytes": sum(closure.values()),
            "transport": road and road.transport,
            "reason": road and road.reason,
            "diff": {"prepared": self._difference(closure) if missing else ""},
            "msg": f"{len(missing)} of {len(closure)} paths, {size}{how}",
        }

    @property
    def _shows(self) -> bool:
        """Whether to show what would change; in a real run nixos_switch does, from the target."""
        return self.diff and self.check and not self._task.args.get("dest_archive")

    def _difference(self, closure: dict[str, int]) -> str:
        if not self._shows:
            return ""
        return render_diff(closure_diff(closure_of(self.target(), _RUNNING), closure))

    def _boot_changes(self, source: Host, path: str) -> str:
        """Show what of a system takes effect only after a reboot."""
        running, new = read_toplevel(self.target(), _RUNNING), read_toplevel(source, path)
        return show_boot_changes(running, new) if running and new and new.nixos_version else ""
