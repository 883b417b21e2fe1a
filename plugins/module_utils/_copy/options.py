# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a task of M(closure.nixos.nix_copy_closure) asks for. Private to the collection."""

from __future__ import annotations

import dataclasses
import pathlib
import re
import typing as t

from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._store.root import check_root

# The links to the parts of a closure have a directory of that name.
_ROOT = re.compile(r"(?!.*-parts$)[A-Za-z0-9_][A-Za-z0-9_.+-]*")


@dataclasses.dataclass(frozen=True)
class CopyOptions:
    """The validated options of a copy, named as in the module's documentation.

    :param path: empty when the closure comes from ``src_archive``
    :param root: where the target has the root of a system to install, empty for its own store
    :param dest_is_cache: whether ``dest_archive`` is a binary cache and not a file
    :param bwlimit: KiB a second, 0 for no limit
    :param gc_root: the name of the garbage collector's root on the target
    :param timeout: seconds, as ``stall_timeout``
    """

    path: str
    root: str
    build_host: str
    src_archive: pathlib.Path | None
    dest_archive: pathlib.Path | None
    dest_is_cache: bool
    exclude: tuple[str, ...]
    exclude_host: str | None
    transport: str
    cache: str
    cache_upload: str
    substitute_on_destination: bool
    compress: bool
    bwlimit: int
    check_sigs: bool | None
    sign_key_file: str | None
    check_copy: bool
    gc_root: str
    stall_timeout: int
    timeout: int

    @classmethod
    def of(cls, arguments: dict[str, t.Any], find: t.Callable[[str], str]) -> CopyOptions:
        """Return validated arguments as options.

        :param find: gives the whole path of a file on the controller
        :raises ClosureError: a value has no meaning
        """
        if arguments["bwlimit"] < 0:
            raise ClosureError(
                f"bwlimit is {arguments['bwlimit']}: set KiB a second, or 0 for no limit"
            )
        if not _ROOT.fullmatch(arguments["gc_root"]):
            raise ClosureError(
                f"gc_root: {arguments['gc_root']!r} cannot name a garbage collector's root. Use "
                "letters, digits and any of _ . + -, and no -parts at the end."
            )
        files = {
            name: pathlib.Path(find(arguments[name])) if arguments[name] else None
            for name in ("src_archive", "dest_archive")
        }
        values = (
            arguments
            | files
            | {"path": arguments["path"] or "", "exclude": tuple(arguments["exclude"])}
        )
        values["root"] = check_root(arguments["root"]) if arguments["root"] else ""
        values["dest_is_cache"] = (arguments["dest_archive"] or "").endswith("/")
        values["cache"] = arguments["cache"] or ""
        values["cache_upload"] = arguments["cache_upload"] or values["cache"]
        return cls(**values)

    @property
    def auto(self) -> bool:
        """Whether the transport is ours to choose."""
        return self.transport == "auto"
