# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: the transports of a closure to a target, and which one carries it."""

from __future__ import annotations

import dataclasses
import hashlib
import typing as t
import urllib.parse
from collections.abc import Mapping

from ansible.plugins.connection import ConnectionBase
from ansible_collections.closure.nixos.plugins.module_utils._copy.cache_url import cache_url
from ansible_collections.closure.nixos.plugins.module_utils._copy.options import CopyOptions
from ansible_collections.closure.nixos.plugins.module_utils._copy.ssh_config import (
    SshOptions,
    alias,
    ssh_config,
)
from ansible_collections.closure.nixos.plugins.module_utils._copy.transport import (
    BATCH_BYTES,
    CALL_BATCH_BYTES,
    Answer,
    Transport,
    check_room,
    choose_transports,
    explain_copy,
    instead_of,
    is_for_people,
    limit_cache,
    readable,
    require_signatures,
)
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._store.root import store_of
from ansible_collections.closure.nixos.plugins.module_utils._text import without_password
from ansible_collections.closure.nixos.plugins.plugin_utils._copy.archive import Archive, Packing
from ansible_collections.closure.nixos.plugins.plugin_utils._copy.commands import (
    Copy,
    Ssh,
    ask,
    sign,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._copy.nix_ssh import (
    access_to,
    login_of,
    remote_program,
    ssh_options,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._host.job import JobResult

# Has a transport carry what is missing, and returns how that failed, or None.
Carry = t.Callable[[Transport, Answer], JobResult | None]


@dataclasses.dataclass(frozen=True)
class Transports:
    """The transports of one closure to one target.

    :param connection: Ansible's, to the target
    :param shared: whether other hosts of the run may get the same
    """

    copy: Copy
    closure: Mapping[str, int]
    connection: ConnectionBase
    options: CopyOptions
    shared: bool = False

    def ask(self, root: bool) -> Answer:
        """Ask the target what it lacks."""
        login = login_of(self.connection)
        name = self.options.gc_root if root else ""
        return ask(self.copy.target, self.copy.path, self.closure, name, login)

    def choose(self, answer: Answer) -> Transport:
        """Say what would carry what is missing, which each transport is asked for.

        :raises ClosureError: nothing would
        """
        signing = bool(self.options.sign_key_file)
        return self._first_that(self._would_carry, self._candidates(answer, signing), answer)

    def bring(self, answer: Answer) -> Transport:
        """Bring the target what it lacks, and say what carried it.

        :raises ClosureError: nothing did
        """
        if self.options.transport == "cache":
            self._fill_cache()
        elif self.options.sign_key_file:
            sign(self.copy.source, self.options.sign_key_file, answer.missing)
        candidates = self._candidates(answer)
        if self.options.substitute_on_destination and answer.said.get("substituters"):
            self.copy.substitute(answer.missing)
            answer = self.ask(root=True)
        if not answer.missing:
            return Transport("substituted", "the host's own caches have all that it lacked")
        return self._first_that(self._carry, candidates, answer)

    def _candidates(self, answer: Answer, signing: bool = False) -> list[Transport]:
        """Return the transports to try, one after another.

        :param signing: the closure would be signed before it is copied
        """
        try:
            return self._acceptable(answer, signing)
        except ClosureError as error:
            what = f"{self.copy.path} was not copied to {self.copy.target.name}"
            raise ClosureError(f"{what}: {error}") from error

    def _acceptable(self, answer: Answer, signing: bool) -> list[Transport]:
        options, access = self.options, access_to(self.connection)
        # Of a login that it trusts, a host does not ask for signatures.
        matters = self._checks or (options.auto and not answer.trusted)
        signed = signing or (matters and self.copy.signed(answer, self.closure))
        if self._checks and options.transport != "cache":  # where Nix itself checks all of it
            require_signatures(signed)
        # What Nix trusts a login with counts for the host's own store, and root owns another one.
        trusted = access.root_by == "login" if options.root else answer.trusted
        if options.auto:
            return choose_transports(access, trusted, signed and not options.root)
        sudo = access.root_by in ("sudo", "connection") and not trusted
        return [Transport(options.transport, "the task asks for it", sudo)]

    @property
    def _checks(self) -> bool:
        """Whether signatures are checked for a login too that the target trusts."""
        return bool(self.options.check_sigs)

    def _first_that(self, carry: Carry, candidates: list[Transport], answer: Answer) -> Transport:
        """Return the first transport that carries.

        Ansible's own connection works, so what stops Nix's ssh need not stop the files: a build
        host may lack a key, a name or a route, a login may talk, or a sudo allow nothing but sh.
        """
        first, *others = candidates
        failed = carry(first, answer)
        if failed is None:
            return first
        if not others or is_for_people(failed.stderr, self._checks):
            raise self._failure(failed, self.copy.target.name)
        following = instead_of(first, others[0], failed.stderr)
        try:
            return self._first_that(carry, [following, *others[1:]], self.ask(carry == self._carry))
        except ClosureError as error:
            # The first cause is not to be hidden by that of the last resort.
            raise ClosureError(f"{error}\n{following.reason}", **error.details) from error

    def _would_carry(self, transport: Transport, answer: Answer) -> JobResult | None:
        self._limits(transport, answer)
        if transport.name not in ("ssh", "ssh-ng"):
            return None
        # To ask a store below a root would make it.
        return _failed(self.copy.reach(self._url(transport), self._ssh()))

    def _carry(self, transport: Transport, answer: Answer) -> JobResult | None:
        flags = self._limits(transport, answer)
        root, limit = self.options.root, self._part_limit
        check_room(answer, transport.name, self.copy.target.name, root, limit)
        if transport.name == "archive":
            self._by_archive(answer)
            return None
        if transport.name == "cache":
            return _failed(self.copy.pull(answer, cache_url(self.options.cache), flags))
        # The target's daemon heeds this only of a login that it trusts (Nix, libstore/daemon.cc).
        flags = [] if self._checks else ["--no-check-sigs"]
        url, bwlimit = self._url(transport, self.options.root), self.options.bwlimit
        return _failed(self.copy.run(answer, url, self._ssh(), bwlimit, flags))

    def _limits(self, transport: Transport, answer: Answer) -> list[str]:
        """Hold a transport to the limit of bandwidth, and return what Nix needs for a cache.

        :raises ClosureError: it cannot be limited
        """
        bwlimit = self.options.bwlimit
        if transport.name == "archive":
            for host in (self.copy.source, self.copy.target):
                host.limit_files(bwlimit)
        if transport.name != "cache":
            return []
        flags = ["--no-check-sigs"] if self.options.check_sigs is False else []
        return flags + (limit_cache(self.options.cache, answer, bwlimit) if bwlimit else [])

    def _url(self, transport: Transport, root: str = "") -> str:
        """Return the URL of the target's store, or of the one below a root, for Nix's own ssh."""
        program = "nix-daemon" if transport.name == "ssh-ng" else "nix-store"
        query = [remote_program(self.connection, program)] if transport.sudo else []
        query += ["compress=true"] if self.options.compress else []
        query += [f"remote-store={urllib.parse.quote(store_of(root), safe='/')}"] if root else []
        name = alias(self._ssh_options)
        return f"{transport.name}://{name}?{'&'.join(query)}".removesuffix("?")

    def _ssh(self) -> Ssh:
        options = self._ssh_options
        return Ssh(ssh_config(options), options.directory, self._shared)

    @property
    def _shared(self) -> str:
        """The socket of Ansible's connection, where Nix's ssh runs and finds what it is to have."""
        shares = self.copy.source.is_here and not self.options.compress
        return self.copy.target.control_socket if shares else ""

    @property
    def _ssh_options(self) -> SshOptions:
        return ssh_options(self.connection, self.copy.target.name, self.copy.source.is_here)

    def _failure(self, ended: JobResult, place: str) -> ClosureError:
        message = explain_copy(ended.stderr, self.copy.path, self.copy.source.name, place)
        return ClosureError(message, rc=ended.exit_code, stderr=readable(ended.stderr))

    def _fill_cache(self) -> None:
        """Write the closure to the binary cache, once for all hosts of the run that get it."""
        url = self.options.cache_upload
        name = hashlib.sha256(f"{url} {self.copy.path}".encode()).hexdigest()
        with self.copy.source.task_run.locked(f"cache-{name}") as done:
            if done.exists():
                return
            if self.options.sign_key_file:
                sign(self.copy.source, self.options.sign_key_file, self.closure)
            if failed := _failed(self.copy.push(self.closure, cache_url(url))):
                raise self._failure(failed, without_password(url))
            done.touch()

    def _by_archive(self, answer: Answer) -> None:
        try:
            self._pass(answer)
        except ClosureError:
            again = self.ask(root=True)
            if again.missing.keys() <= answer.missing.keys():
                raise
            # The target has collected a path since it was asked.
            self._pass(again)

    def _pass(self, answer: Answer) -> None:
        copy = self.copy
        archive = Archive(copy.source.name, copy.monitor)
        packing = Packing(self.options.compress, limit=self._part_limit, shared=self.shared)
        parts = archive.pack(copy.source, answer.missing, packing)
        archive.unpack(copy.target, parts, answer.missing)

    @property
    def _part_limit(self) -> int:
        return CALL_BATCH_BYTES if self.copy.target.takes_files else BATCH_BYTES


def _failed(ended: JobResult) -> JobResult | None:
    return None if ended.exit_code == 0 else ended
