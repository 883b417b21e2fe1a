# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: a system's unit plan before the system is copied.

Only what a dry run reads is sent, and only that dry run sees it (``early.sh``).
"""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import typing as t

from ansible_collections.closure.nixos.plugins.module_utils._activate.expected import (
    expect_by_files,
    parse_outlook,
)
from ansible_collections.closure.nixos.plugins.module_utils._activate.report import UnitPlan
from ansible_collections.closure.nixos.plugins.module_utils._store.store_path import format_bytes
from ansible_collections.closure.nixos.plugins.plugin_utils._activate.target import (
    NoDryRunError,
    plan,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._host.host import Host, require_success
from ansible_collections.closure.nixos.plugins.plugin_utils._host.scripts import Script, script
from ansible_collections.closure.nixos.plugins.plugin_utils._host.temporary import (
    temporary_directory,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._store.closure import (
    closure_of,
    lacks,
)

# Bytes of programs. They are in the host's memory for the time of the plan.
LIMIT = 64 * 1024**2
_DEADLINE = 600
_STORE = "/nix/store/"


@dataclasses.dataclass(frozen=True)
class EarlyPlan:
    """What activating a system would do that the host does not have.

    :param units: ``None`` when another switch has the lock
    :param sent: bytes that were sent to the host
    :param why: why the units are planned by their files alone, "" when NixOS has planned them
    """

    units: UnitPlan | None
    sent: int
    why: str = ""


def plan_early(source: Host, target: Host, path: str, skip_checks: bool) -> EarlyPlan:
    """Ask what activating a system of another host would do. Changes nothing on either.

    :raises ClosureError: the target cannot be switched to it, or a host does not answer
    """
    sent = 0
    try:
        with _shown(source, target, path) as (shown, sent):
            return EarlyPlan(plan(target, path, skip_checks, shown), sent)
    except NoDryRunError as error:
        return EarlyPlan(_by_files(source, target, path), sent, error.message)


@contextlib.contextmanager
def _shown(
    source: Host, target: Host, system: str
) -> t.Iterator[tuple[t.Callable[[Script], Script], int]]:
    """Give what has scripts run where the target's store has the system, and what that took."""
    names = _names(source, target, system)
    with source.directory() as origin, target.directory() as place, temporary_directory() as here:
        packed, file = f"{origin}/early", f"{place}/early"
        reply = source.run(script("early_pack", packed, *names), _DEADLINE)
        require_success(source, reply, f"does not pack what a dry run of {system} reads")
        local = packed if source.is_here else f"{here}/early"
        if not source.is_here:
            source.fetch(packed, local, _DEADLINE)
        target.send(local, file, _DEADLINE)
        checksum = reply.text.strip()
        yield (
            lambda it: script("early", file, checksum, it.text),
            pathlib.Path(local).stat().st_size,
        )


def _names(source: Host, target: Host, system: str) -> list[str]:
    """Return what the target lacks for a dry run, below the store.

    :raises NoDryRunError: it is too much
    """
    reply = source.run(script("early_needs", system), 120)
    require_success(source, reply, f"does not say what a dry run of {system} reads")
    lines = reply.text.splitlines()
    files = [line for line in lines if not line.startswith("program=")]
    programs = [line.partition("=")[2] for line in lines if line.startswith("program=")]
    needed = closure_of(source, *programs) if programs else {}
    missing = lacks(target, {*needed, *map(_path_of, files)})
    lacking = {path: size for path, size in needed.items() if path in missing}
    if (total := sum(lacking.values())) > LIMIT:
        raise NoDryRunError(
            f"the host lacks {format_bytes(total)} of programs that plan the activation, which is "
            f"more than the {format_bytes(LIMIT)} that are sent for a plan: copy the system first"
        )
    return [
        *(path.removeprefix(_STORE) for path in lacking),
        *(file for file in files if _path_of(file) in missing - lacking.keys()),
    ]


def _path_of(file: str) -> str:
    return _STORE + file.partition("/")[0]


def _by_files(source: Host, target: Host, path: str) -> UnitPlan:
    """Return what is expected where nothing can be asked: the files of the units differ."""
    old, new = (
        _unit_sources(host, f"{system}/etc/systemd/system")
        for host, system in ((target, "/run/current-system"), (source, path))
    )
    reply = target.run(script("units_to_come", "/run/current-system"))
    require_success(target, reply, "does not say which units it has")
    return UnitPlan(expected=expect_by_files(old, new, parse_outlook(reply.text)))


def _unit_sources(host: Host, directory: str) -> frozenset[tuple[str, str]]:
    reply = host.run(script("unit_sources", directory))
    require_success(host, reply, f"does not say which units {directory} has")
    lines = (line.partition("\t") for line in reply.text.splitlines())
    return frozenset((file, link) for file, _tab, link in lines)
