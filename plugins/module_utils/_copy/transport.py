# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a closure gets to a host. Private to the collection.

Decides what a target's answer means, by which transports it would accept a closure, in which parts
that travels, and what an error means.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping

from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._host.become import SUDO_ASKS
from ansible_collections.closure.nixos.plugins.module_utils._store.store_path import (
    check_store_path,
    format_bytes,
)
from ansible_collections.closure.nixos.plugins.module_utils._text import without_password

# What travels as one file, so that a retry has little to repeat and a host needs room for little
# more than the closure.
BATCH_BYTES = 128 * 1024 * 1024
# What travels behind a script, by way of the controller's memory, of which each fork takes so much;
# and the paths of such a part, which is larger than they are.
CALL_BYTES = 32 * 1024 * 1024
CALL_BATCH_BYTES = 30 * 1024 * 1024
# What the parts of a run that several hosts get may take on the controller until its end.
SHARED_BYTES = 1024 * 1024 * 1024
# `nix-store --import` needs 1.5 times a path's size in memory (measured: 1048 MB for 700 MB).
# Above this a path travels as the NAR of a binary cache, which Nix unpacks as a stream.
IMPORT_BYTES = 64 * 1024 * 1024

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_UNSIGNED = re.compile("lacks a (?:signature by a trusted key|valid signature)")
# Characters that are kept of why a transport does not carry.
REASON = 300
_KEY_CHANGED = "REMOTE HOST IDENTIFICATION HAS CHANGED"


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a target says when it is asked for the paths of a closure.

    :param missing: what it lacks with sizes, a path's references before the path
    :param said: its facts for the choice, when it lacks something (``copy.sh``, ``facts_for_copy``)
    """

    missing: dict[str, int]
    said: dict[str, str]

    def words(self, name: str) -> list[str]:
        """Return a fact that is a list."""
        return self.said.get(name, "").split()

    @property
    def trusted(self) -> bool:
        """Whether the login may add what nobody signed (nix.conf(5), ``trusted-users``)."""
        groups = {f"@{group}" for group in self.words("groups")}
        names = {"*", self.said.get("login", ""), *groups}
        return self.said.get("login") == "root" or not names.isdisjoint(self.words("trusted-users"))

    def accepts(self, signatures: Mapping[str, frozenset[str]]) -> bool:
        """Say whether each missing path is signed by a key that the target trusts.

        A path whose name proves its content needs no signature.
        """
        if self.said.get("require-sigs") == "false":
            return True
        keys = {key.partition(":")[0] for key in self.words("trusted-public-keys")}
        return all(signatures.get(path, frozenset()) & (keys | {"ca"}) for path in self.missing)


def parse_answer(text: str, closure: Mapping[str, int]) -> Answer:
    """Read the answer of ``expect``: missing paths, then ``name=value`` lines.

    :raises ClosureError: a line is neither, or a path was not asked for
    """
    lines = [line for line in text.splitlines() if line]
    facts = [line for line in lines if not line.startswith("/")]
    lacking = {check_store_path(line) for line in lines if line.startswith("/")}
    if strangers := sorted(lacking - closure.keys()):
        raise ClosureError(f"{strangers[0]} was not asked for, and the host says that it lacks it.")
    missing = {path: size for path, size in closure.items() if path in lacking}
    return Answer(
        missing, {name: value for name, _equals, value in (line.partition("=") for line in facts)}
    )


def parse_signatures(text: str) -> dict[str, frozenset[str]]:
    """Read ``nix path-info --sigs``: path -> names of the keys that signed it.

    Among them stands ``ca`` for a path whose name proves its content.
    """
    lines = (line.split() for line in text.splitlines() if line.startswith("/"))
    return {
        path: frozenset(word.partition(":")[0] for word in words if ":" in word)
        for path, *words in lines
    }


@dataclasses.dataclass(frozen=True)
class Access:
    """What Ansible's connection to a target offers to Nix.

    :param obstacle: why Nix's own ssh cannot go there, or ``""``
    :param root_by: how the target's side of Nix becomes root: ``login`` when it is root anyway,
        ``sudo`` when that asks for no password, ``connection`` when only Ansible can, or ``""``
    """

    obstacle: str
    root_by: str


@dataclasses.dataclass(frozen=True)
class Transport:
    """How a closure is carried, and why so.

    :param sudo: whether Nix's side on the target is started with sudo
    """

    name: str
    reason: str
    sudo: bool = False


def choose_transports(access: Access, trusted: bool, signed: bool) -> list[Transport]:
    """Return the transports by which a target would accept a closure, the best one first.

    ssh-ng wherever it goes: on a near host it is about as fast as ssh, on a far one several times
    faster. Of a login that the host trusts it takes what is not signed, as ssh does, when it is
    asked to. Files through Ansible's connection carry where Nix's own ssh does not.

    :raises ClosureError: there is none
    """
    if access.obstacle:
        return [archive_transport(access, trusted, access.obstacle)]
    if not (signed or trusted or access.root_by):
        raise ClosureError(f"the host trusts neither this login nor a signature. {WAYS_OUT}")
    last = [Transport("archive", "")] if trusted or access.root_by else []
    if signed:
        sudo = access.root_by == "sudo" and not trusted
        return [Transport("ssh-ng", "the host trusts the closure's signatures", sudo), *last]
    if trusted:
        return [Transport("ssh-ng", "the host trusts the login"), *last]
    if access.root_by == "sudo":
        who = "sudo asks the login for no password"
        return [Transport("ssh-ng", f"{who}; the closure is not signed", sudo=True), *last]
    return [archive_transport(access, trusted, "Nix cannot become root as Ansible does")]


def require_signatures(signed: bool) -> None:
    """Hold a closure to the check that the task demands of every login, by every transport.

    :raises ClosureError: the closure does not pass
    """
    if not signed:
        raise ClosureError(
            "check_sigs is true, and the host trusts no signature of the closure. Sign it "
            "(sign_key_file) with a key of the host's trusted-public-keys, or leave check_sigs out."
        )


def is_for_people(stderr: str, check_sigs: bool) -> bool:
    """Say whether another transport must not be tried after this failure.

    It would go around a host key that changed, or a check of signatures that the task demands.
    """
    return _KEY_CHANGED in stderr or (check_sigs and bool(_UNSIGNED.search(stderr)))


def instead_of(failed: Transport, following: Transport, stderr: str) -> Transport:
    """Return the transport that follows one which did not carry, with that as its reason."""
    # Each ssh of a chain of jumps says the same.
    lines = dict.fromkeys(readable(stderr).splitlines())
    why = " ".join(" ".join(lines).split())
    if len(why) > REASON:
        why = f"{why[: REASON // 2]} ... {why[-REASON // 2 :]}"
    return dataclasses.replace(following, reason=f"{failed.name} does not carry: {why}")


def readable(said: str) -> str:
    """Return what a program said, without colours, passwords and bytes that are no text."""
    text = _ANSI.sub("", said).replace("\r", "")
    text = "".join(c for c in text if c.isprintable() or c in "\n\t").replace("\ufffd", "")
    return without_password(text).strip()


def limit_cache(url: str, answer: Answer, bwlimit: int) -> list[str]:
    """Return the options of a target's Nix that limit what it fetches from a cache.

    :raises ClosureError: it cannot
    """
    if not url.startswith(("http://", "https://")):
        raise ClosureError(f"Nix limits the rate of http and https only, not of {url}: no bwlimit.")
    if "download-speed" not in answer.said:
        raise ClosureError(
            "The host's Nix is too old to limit what it fetches (download-speed): leave bwlimit "
            "out, or copy by another transport."
        )
    return ["--option", "download-speed", str(bwlimit)]


def archive_transport(access: Access, trusted: bool, reason: str) -> Transport:
    """Return the transport by files without signatures: only root or a trusted login takes it.

    :raises ClosureError: the target would not accept them
    """
    if trusted or access.root_by:
        return Transport("archive", reason)
    raise ClosureError(f"the host would not accept it, because {reason}. {WAYS_OUT}")


WAYS_OUT = (
    "Become root there (become: true), or sign the closure (sign_key_file) with a key of the "
    "target's trusted-public-keys, or log in as one of its trusted-users."
)


def check_room(
    answer: Answer, transport: str, target: str, root: str = "", limit: int = BATCH_BYTES
) -> None:
    """Compare the missing bytes with the room that the target has.

    :param root: what its store is below, empty for the host's own
    :param limit: bytes of paths in a part of an archive
    :raises ClosureError: there is not enough, or there would not be for the files on the way
    """
    needed = sum(answer.missing.values())
    store = f"{root}/nix/store"
    rooms = {store: needed}
    if transport == "archive":
        # What another login has brought, root copies before it reads it.
        copies = 1 if answer.said.get("login") == "root" else 2
        rooms["/var/tmp"] = copies * max(map(_weight, batches(answer.missing, limit)), default=0)
    for place, bytes_needed in rooms.items():
        free = answer.said.get(f"free {place}")
        if free and int(free) * 1024 < bytes_needed:
            raise ClosureError(
                f"{format_bytes(bytes_needed)} are to come to {target}, and {place} there has "
                f"{format_bytes(int(free) * 1024)} left. Collect garbage or give it room."
            )


def batches(missing: Mapping[str, int], limit: int = BATCH_BYTES) -> Iterator[dict[str, int]]:
    """Split missing paths into parts that can be imported one after another, in their order.

    A path that is too large to be imported is a part of its own.

    :param limit: bytes of paths in a part, of which each has one at least
    """
    batch: dict[str, int] = {}
    for path, size in missing.items():
        if batch and (size > IMPORT_BYTES or _weight(batch) + size > limit):
            yield batch
            batch = {}
        batch[path] = size
        if size > IMPORT_BYTES:
            yield batch
            batch = {}
    if batch:
        yield batch


def is_large(batch: Mapping[str, int]) -> bool:
    """Whether a part is a path that has to travel as the NAR of a binary cache."""
    return max(batch.values()) > IMPORT_BYTES


def _weight(batch: Mapping[str, int]) -> int:
    return sum(batch.values())


def explain_copy(stderr: str, path: str, source: str, target: str) -> str:
    """Say why a closure was not copied, and what lets it through."""
    said = readable(stderr)
    what = f"{path} was not copied from {source} to {target}"
    if _UNSIGNED.search(said):
        return (
            f"{what}: {target} trusts no signature of the closure. Sign it (sign_key_file) with a "
            f"key of {target}'s trusted-public-keys. Without one, root (become: true) and its "
            "trusted-users may add it, what comes from a cache only with check_sigs: false."
        )
    if SUDO_ASKS.search(said):
        return (
            f"{what}: sudo asks for a password there, and Nix cannot give one. "
            f"Set transport: archive.\n{said}"
        )
    if _KEY_CHANGED in said:
        return (
            f"{what}: the host key of {target} is not the one that {source} knows. If it was "
            f"installed anew, correct known_hosts on {source}; else find out who answers.\n{said}"
        )
    return f"{what}:\n{said[-2000:]}"


def explain_stall(seconds: float, path: str, target: str, serving: str) -> str:
    """Say what may hold a copy that makes no progress.

    :param target: the host whose store is written, or whose command does not go on
    :param serving: the Nix servers there, ``PID SECONDS COMMAND`` a line. One that lost
        its client can keep the locks of paths for ever (NixOS/nix#2699).
    """
    what = f"The copy of {path} made no progress for {seconds:g} s and was stopped."
    if not serving.strip():
        return f"{what} No other copy on {target} holds it: look at the line between the hosts."
    pid = serving.split()[0]
    return (
        f"{what} On {target} these serve a Nix that may be gone, and can hold locks that the copy "
        f"waits for (process, age in seconds, command):\n{serving.strip()}\n"
        f"End the oldest there with `kill {pid}`, then run this again: it copies what is left."
    )
