# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is left to do for secrets on a host. Private to the collection.

Decides from what a host says of its files which of them are new, which are to be compared and which
are to go, and what the host's answer to that means.
"""

from __future__ import annotations

import collections
import dataclasses
import re
import typing as t
from collections.abc import Iterable, Sequence

from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._secrets.secret import (
    BOOT_SCRIPT,
    ENCRYPTED,
    KEYS,
    UNITS,
    VOLATILE,
    File,
)

# Whose content is in memory only, whoever put the directory there.
_IN_MEMORY = (KEYS, VOLATILE)
_MEMORY = ("tmpfs", "ramfs")
# ImportCredential= has its own version, but systemd-creds came with this one (systemd-creds(1)).
_ENCRYPTS = 250

_SPECIAL = re.compile(rb"[^ -\[\]-~\t\n]")

Outcome = t.Literal["unchanged", "owned", "updated", "removed", "added"]
#: The last of these that is true of one of its files is true of a secret.
OUTCOMES: tuple[Outcome, ...] = t.get_args(Outcome)


@dataclasses.dataclass(frozen=True)
class There:
    """A file that a host has."""

    size: int
    uid: int
    gid: int
    mode: int
    kind: str


@dataclasses.dataclass(frozen=True)
class Directory:
    """A directory that a file is in.

    :param there: itself, or what there is of the way to it
    :param real: where that is; empty if it is no directory
    :param file_system: as ``stat -f`` calls it
    """

    there: str
    real: str
    file_system: str


@dataclasses.dataclass(frozen=True)
class Look:
    """What a host says of itself, its accounts and its files.

    :param systemd: its version, 0 without one
    :param uids: by the name that was asked for, ``None`` for nobody
    :param ours: paths of files that are as we left them
    :param changed: paths of files that were ours, and that somebody has changed since
    """

    user: str
    systemd: int
    state: str
    uids: dict[str, int | None]
    gids: dict[str, int | None]
    directories: dict[str, Directory]
    files: dict[str, There]
    ours: frozenset[str]
    changed: frozenset[str]


def parse_look(text: str) -> Look:
    """Read the answer of ``secrets_look``."""
    said: dict[str, list[list[str]]] = collections.defaultdict(list)
    for line in text.splitlines():
        key, _equals, value = line.partition("=")
        said[key].append(value.split("\t"))
    ours, now = ({path: stamp for stamp, path in said[key]} for key in ("ours", "now"))
    return Look(
        user=said["user"][0][0],
        systemd=int(said["systemd"][0][0] or 0),
        state=said["state"][0][0],
        uids={name: int(uid) if uid else None for name, uid in said["uid"]},
        gids={name: int(gid) if gid else None for name, gid in said["gid"]},
        directories={path: Directory(*rest) for path, *rest in said["directory"]},
        files={
            path: There(int(size), int(uid), int(gid), int(mode, 8), kind)
            for size, uid, gid, mode, kind, path in said["file"]
        },
        ours=frozenset(path for path in now if ours.get(path) == now[path]),
        changed=frozenset(path for path in now if ours.get(path) != now[path]),
    )


@dataclasses.dataclass(frozen=True)
class Step:
    """What to do about a file.

    :param verb: ``add``, ``write``, ``own`` (owner or mode differ), ``compare`` or ``remove``
    """

    verb: str
    file: File
    uid: int = 0
    gid: int = 0

    @property
    def words(self) -> tuple[str, ...]:
        """The record of ``secrets.sh``."""
        file = self.file
        return (
            self.verb,
            file.name,
            file.path,
            str(self.uid),
            str(self.gid),
            f"{0o777 & ~file.mode:04o}",
            file.key,
            " ".join(file.tell),
            for_printf(file.content),
        )


def for_printf(content: bytes) -> str:
    r"""Return bytes as ``printf %b`` reads them in every shell, ``\0ooo`` for what is special."""
    return _SPECIAL.sub(lambda found: b"\\0%03o" % found[0][0], content).decode()


def check_host(look: Look, files: Iterable[File], tells: bool) -> None:
    """Refuse a host that cannot keep these files.

    :param tells: whether units are to be told
    :raises ClosureError: with what is missing there
    """
    if look.user != "root":
        raise ClosureError(f"{look.user} cannot keep secrets there. Set become: true for the task.")
    if look.state not in _MEMORY:
        raise ClosureError(
            f"/run is on {look.state}, not in memory (tmpfs), so nothing can be kept there for a "
            "while without a trace on a disk."
        )
    if tells and not look.systemd:
        raise ClosureError("There is no systemd, so there are no units and no credentials.")
    for file in files:
        _check_file(look, file)


def in_memory(look: Look, files: Iterable[File]) -> list[File]:
    """Return the files that a host has in memory, and that a reboot has taken."""
    return [it for it in files if look.directories[it.directory].file_system in _MEMORY]


def _check_file(look: Look, file: File) -> None:
    directory = look.directories[file.directory]
    if directory.real != directory.there:
        what = "is not a directory" if not directory.real else f"is a link to {directory.real}"
        raise ClosureError(
            f"{file.name}: {directory.there} {what}. Links are not followed; name the directory."
        )
    if file.directory in _IN_MEMORY and directory.file_system not in _MEMORY:
        raise ClosureError(
            f"{file.name}: {file.directory} is on {directory.file_system}, not in memory (tmpfs or "
            "ramfs). Mount one there, or give the secret a path or persistent: true."
        )
    if file.directory == ENCRYPTED and look.systemd < _ENCRYPTS:
        raise ClosureError(
            f"{file.name}: systemd {look.systemd} cannot encrypt credentials, which takes "
            f"{_ENCRYPTS} or newer. Use credstore: volatile."
        )
    there = look.files.get(file.path)
    if there and there.kind not in ("regular file", "regular empty file"):
        raise ClosureError(f"{file.name}: {file.path} is a {there.kind}. Name another path.")


def plan_steps(
    look: Look, files: Sequence[File], prune: bool, lenient: bool
) -> tuple[tuple[Step, ...], tuple[str, ...]]:
    """Return what to do, and the names of those whose owner or group is not there yet.

    :param lenient: whether such a secret is root's until then
    :raises ClosureError: an owner or a group does not exist
    """
    steps, waiting = [], []
    for file in files:
        uid, gid = look.uids[file.owner], look.gids[file.group]
        if uid is None or gid is None:
            if not lenient:
                raise ClosureError(_no_account(file, uid))
            waiting.append(file.name)
            uid, gid, file = 0, 0, dataclasses.replace(file, mode=0o400)
        steps.append(Step(_verb(look.files.get(file.path), file, uid, gid), file, uid, gid))
    listed = {file.path for file in files}
    gone = sorted(look.ours - listed) if prune else []
    removals = [Step("remove", _surplus(path)) for path in gone]
    steps.sort(key=lambda step: (step.file.directory, step.file.path))
    return (*steps, *removals), tuple(dict.fromkeys(waiting))


def _no_account(file: File, uid: int | None) -> str:
    what, name = ("user", file.owner) if uid is None else ("group", file.group)
    return f"{file.name}: there is no {what} {name}. Create it first, or use state: prepared."


def _verb(there: There | None, file: File, uid: int, gid: int) -> str:
    if there is None:
        return "add"
    # A credential is longer than its content.
    if not file.key and there.size != len(file.content):
        return "write"
    alike = (there.uid, there.gid, there.mode) == (uid, gid, file.mode)
    return "compare" if alike else "own"


def _surplus(path: str) -> File:
    """A file that was ours and that nobody lists any more."""
    base = path.rpartition("/")[2]
    if path != BOOT_SCRIPT and not path.startswith(f"{UNITS}/"):
        return File(base, path, b"")
    stop = (f"stop:{base}",) if base.endswith("-key.service") else ()
    return File(base, path, b"", tell=(*stop, "reread:units"), helper=True)


@dataclasses.dataclass(frozen=True)
class Report:
    """What a host has done, or would do.

    :param outcomes: by path
    :param told: units that were told, as ``(VERB, UNIT)``
    :param due: whether units wait to be told
    """

    outcomes: dict[str, Outcome]
    told: tuple[tuple[str, str], ...]
    due: bool


def parse_report(text: str) -> Report:
    """Read the answer of ``secrets_put`` or ``secrets_compare``."""
    outcomes: dict[str, Outcome] = {}
    told, due = [], False
    for line in text.splitlines():
        if "\t" in line:
            outcome, _name, path = line.split("\t")
            outcomes[path] = t.cast(Outcome, outcome)
        else:
            verb, _equals, unit = line.partition("=")
            due = due or verb == "waiting"
            told.append((verb, unit))
    return Report(outcomes, tuple(entry for entry in told if entry[0] != "waiting"), due)


def without_looking(steps: Iterable[Step]) -> Report | None:
    """Return the report that needs no comparison on the host, if there is one."""
    words: dict[str, Outcome] = {"add": "added", "write": "updated", "remove": "removed"}
    steps = tuple(steps)
    if any(step.verb not in words for step in steps):
        return None
    return Report({step.file.path: words[step.verb] for step in steps}, (), False)


def summary(steps: Iterable[Step], report: Report) -> dict[str, list[str]]:
    """Return the secrets by what became of them; each is in one list."""
    ranks: dict[str, int] = {}
    for step in steps:
        if not step.file.helper:
            rank = OUTCOMES.index(report.outcomes[step.file.path])
            ranks[step.file.name] = max(rank, ranks.get(step.file.name, 0))
    return {
        outcome: sorted(name for name, rank in ranks.items() if OUTCOMES[rank] == outcome)
        for outcome in OUTCOMES
    }


def diff(look: Look, steps: Iterable[Step], report: Report) -> dict[str, str]:
    """Return what people see: paths, owners and modes, and that a content is another one."""
    before, after = [], []
    for step in steps:
        file, outcome = step.file, report.outcomes[step.file.path]
        there = look.files.get(file.path)
        if outcome == "unchanged":
            continue
        if outcome != "added":
            old = f" {there.uid}:{there.gid} {there.mode:04o}" if there else ""
            before.append(f"{file.path}{old}\n")
        if outcome != "removed":
            content = " (new content)" if outcome == "updated" else ""
            after.append(f"{file.path} {step.uid}:{step.gid} {file.mode:04o}{content}\n")
    return {"before": "".join(before), "after": "".join(after)}
