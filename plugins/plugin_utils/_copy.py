# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: copying a closure from a build host to a target."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Iterable, Mapping

from ansible_collections.closure.nixos.plugins.module_utils._copy import (
    Answer,
    explain_stall,
    parse_answer,
    parse_signatures,
)
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._store import (
    check_store_path,
    format_bytes,
    parse_path_infos,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._host import Host
from ansible_collections.closure.nixos.plugins.plugin_utils._job import Ended, run_leased
from ansible_collections.closure.nixos.plugins.plugin_utils._progress import Progress
from ansible_collections.closure.nixos.plugins.plugin_utils._scripts import script

_SOURCES = ("store", "copy", "cache")
_COPYING = re.compile(rb"^copying path '", re.MULTILINE)


def has_path(host: Host, path: str) -> bool:
    """Say whether a host's store has a path."""
    return not lacks(host, [path])


def lacks(host: Host, paths: Iterable[str]) -> set[str]:
    """Return those of the paths that a host's store does not have."""
    return set(host.read(script("missing", *paths, sources=_SOURCES)).text.split())


def closure_of(host: Host, *paths: str) -> dict[str, int]:
    """Return the paths of closures on a host with their sizes in bytes, references first.

    :raises ClosureError: the host does not have a path
    """
    reply = host.read(script("closure", *paths, sources=_SOURCES), deadline=120)
    if reply.rc != 0:
        raise ClosureError(
            f"{host.name} does not have {' '.join(paths)} in its store: {reply.stderr.strip()}",
            path=paths[0],
            stderr=reply.stderr,
        )
    return parse_path_infos(reply.text)


def sign(source: Host, key_file: str, paths: Iterable[str]) -> None:
    """Sign paths on the host that has them, with a key that stays there.

    :raises ClosureError: Nix does not sign them
    """
    reply = source.read(script("sign", key_file, *paths, sources=_SOURCES), deadline=600)
    if reply.rc != 0:
        raise ClosureError(
            f"{source.name} does not sign with {key_file}: {reply.stderr.strip()}. Make a key with "
            "nix-store --generate-binary-cache-key, and sign as a user whom its Nix trusts.",
            rc=reply.rc,
            stderr=reply.stderr,
        )


def without(host: Host, closure: dict[str, int], exclude: list[str]) -> dict[str, int]:
    """Return a closure without some paths, and without the closures of those that the host has."""
    known = [check_store_path(path) for path in exclude]
    lacking = lacks(host, known) if known else set()
    closures = [path for path in known if path not in lacking]
    left_out = {*known, *(closure_of(host, *closures) if closures else ())}
    return {path: size for path, size in closure.items() if path not in left_out}


def ask(target: Host, path: str, closure: Mapping[str, int], root: bool, login: str) -> Answer:
    """Ask a target which paths of a closure it lacks, and what there is to know about the way.

    :param root: have the target root the closure from now on
    :param login: who logs in there
    """
    words = ("expect", "root" if root else "", login, path, *closure)
    reply = target.read(script(*words, sources=_SOURCES), deadline=120)
    if reply.rc != 0:
        raise ClosureError(
            f"{target.name} does not say which store paths it has: {reply.stderr.strip()}. "
            "Is Nix on that login's PATH, and may it use the store?",
            rc=reply.rc,
            stderr=reply.stderr,
        )
    return parse_answer(reply.text, closure)


class _StalledError(Exception):
    """A copy makes no progress."""


@dataclasses.dataclass
class Copy:
    """The way of one closure from the build host to the target."""

    source: Host
    target: Host
    path: str
    progress: Progress

    def signed(self, answer: Answer) -> bool:
        """Say whether the target trusts the signatures of all that it lacks."""
        reply = self.source.read(script("signatures", *answer.missing, sources=_SOURCES), 120)
        return answer.accepts(parse_signatures(reply.text))

    def substitute(self, paths: Iterable[str], limit: float) -> None:
        """Have the target fetch what its own caches have. What they do not give comes from us."""
        command = script("substitute", *paths, sources=_SOURCES)
        run_leased(self.target, "substitute", command, limit, self._repeat)

    def run(self, url: str, config: str, flags: list[str], answer: Answer, limits: Limits) -> Ended:
        """Copy with ``nix copy`` over ssh.

        :param url: of the target's store, :param config: ssh_config(5) that leads there
        :raises ClosureError: it took too long, or made no progress
        """
        watch = _Watch(self.progress, answer.missing, limits.stall)
        command = script("copy", self.path, url, config, *flags, sources=_SOURCES)
        try:
            return run_leased(self.source, "copy", command, limits.total, watch.hear)
        except _StalledError as error:
            serving = self.target.read(script("serving", sources=_SOURCES)).text
            message = explain_stall(limits.stall, self.path, self.target.name, serving)
            raise ClosureError(message) from error

    def push(self, url: str, limit: float) -> Ended:
        """Write the closure to a binary cache, from the build host."""
        return self._cached(self.source, "push", limit, url, self.path)

    def pull(self, url: str, flags: list[str], limit: float) -> Ended:
        """Fetch the closure from a binary cache, on the target."""
        return self._cached(self.target, "pull", limit, url, self.path, *flags)

    def _cached(self, host: Host, verb: str, limit: float, *words: str) -> Ended:
        return run_leased(host, verb, script(verb, *words, sources=_SOURCES), limit, self._repeat)

    def _repeat(self, _out: bytes, err: bytes) -> None:
        if lines := err.decode(errors="replace").splitlines():
            self.progress.say(lines[-1])


@dataclasses.dataclass(frozen=True)
class Limits:
    """Seconds for a copy, :param total: in all, :param stall: without any progress."""

    total: float
    stall: float


class _Watch:
    """Follows a copy and ends it when nothing goes on."""

    def __init__(self, progress: Progress, missing: Mapping[str, int], stall: float) -> None:
        self._progress = progress
        self._missing = missing
        self._stall = stall
        self._copied = 0
        self._sent = 0
        self._moved = time.monotonic()

    def hear(self, out: bytes, err: bytes) -> None:
        """Take what the copy said: bytes sent on ``out``, Nix's messages on ``err``."""
        sent = max([self._sent, *map(int, out.split())])
        if err or sent > self._sent:
            self._moved = time.monotonic()
        self._sent = sent
        self._copied += len(_COPYING.findall(err))
        if time.monotonic() - self._moved > self._stall:
            raise _StalledError
        size = f"{format_bytes(sent)} of {format_bytes(sum(self._missing.values()))}"
        self._progress.say(f"copying path {self._copied} of {len(self._missing)}, {size}")
