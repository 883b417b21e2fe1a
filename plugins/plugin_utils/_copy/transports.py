# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: the roads of a closure to a target, and which one it takes."""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
import typing as t
from collections.abc import Mapping

from ansible.plugins.connection import ConnectionBase
from ansible_collections.closure.nixos.plugins.module_utils._copy.manifest import Manifest
from ansible_collections.closure.nixos.plugins.module_utils._copy.ssh_config import (
    alias,
    ssh_config,
)
from ansible_collections.closure.nixos.plugins.module_utils._copy.transport import (
    Answer,
    Transport,
    archive_transport,
    check_room,
    choose_transport,
    explain_copy,
    fall_back,
    limit_cache,
    require_signatures,
)
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.plugin_utils._copy.archive import Archive
from ansible_collections.closure.nixos.plugins.plugin_utils._copy.archive_files import read_parts
from ansible_collections.closure.nixos.plugins.plugin_utils._copy.copy_commands import (
    Copy,
    ask,
    sign,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._copy.monitor import Watch
from ansible_collections.closure.nixos.plugins.plugin_utils._copy.nix_ssh import (
    login_of,
    remote_program,
    ssh_options,
    way_to,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._host.host import Host
from ansible_collections.closure.nixos.plugins.plugin_utils._host.job import JobResult


@dataclasses.dataclass
class Transports:
    """The roads of one closure to one target.

    :param connection: Ansible's, to the target
    :param args: of M(closure.nixos.nix_copy_closure)
    """

    copy: Copy
    closure: Mapping[str, int]
    connection: ConnectionBase
    args: Mapping[str, t.Any]

    def ask(self, root: bool) -> Answer:
        """Ask the target what it lacks."""
        login = login_of(self.connection)
        return ask(self.copy.target, self.copy.path, self.closure, root, login)

    def choose(self, answer: Answer, signing: bool = False) -> Transport:
        """Choose the road of what is missing.

        :param signing: the closure would be signed before it is copied
        :raises ClosureError: the target would accept it by none
        """
        try:
            road = self._choose(answer, signing)
            self._limited(road.transport, answer)
            return road
        except ClosureError as error:
            what = f"{self.copy.path} was not copied to {self.copy.target.name}"
            raise ClosureError(f"{what}: {error}") from error

    def _choose(self, answer: Answer, signing: bool) -> Transport:
        way, auto = way_to(self.connection), self.args["transport"] == "auto"
        signed = signing or ((auto or self._checks) and self.copy.signed(answer))
        if self._checks and self.args["transport"] != "cache":  # where Nix itself checks all of it
            require_signatures(signed)
        if auto:
            return choose_transport(way, answer.trusted, signed)
        sudo = way.root_by in ("sudo", "wire") and not answer.trusted
        return Transport(self.args["transport"], "the task asks for it", sudo)

    def _limited(self, transport: str, answer: Answer) -> list[str]:
        """Hold a road to the limit of bandwidth, and return what Nix's options add to that.

        :raises ClosureError: this road cannot be limited
        """
        bwlimit = self.args["bwlimit"]
        if transport == "cache" and bwlimit:
            return limit_cache(self.args["cache"], answer, bwlimit)
        if transport == "archive":
            for host in (self.copy.source, self.copy.target):
                host.limit_files(bwlimit)
        return []

    @property
    def _checks(self) -> bool:
        """Whether signatures are checked for a login too that the target trusts."""
        return bool(self.args["check_sigs"])

    def bring(self, answer: Answer) -> Transport:
        """Bring the target what it lacks, and say by which road."""
        if self.args["transport"] == "cache":
            self._fill_cache()
        elif self.args["sign_key_file"]:
            sign(self.copy.source, self.args["sign_key_file"], answer.missing)
        road = self.choose(answer)
        if self.args["substitute_on_destination"] and answer.said.get("substituters"):
            self.copy.substitute(answer.missing)
            answer = self.ask(root=True)
        if not answer.missing:
            return Transport("substituted", "the host's own caches have all that it lacked")
        check_room(answer, road.transport, self.copy.target.name)
        return self._take(road, answer)

    def _take(self, road: Transport, answer: Answer) -> Transport:
        if road.transport == "archive":
            self._by_archive(answer)
            return road
        take = self._by_cache if road.transport == "cache" else self._by_ssh
        ended = take(road, answer)
        if ended.exit_code == 0:
            return road
        auto = self.args["transport"] == "auto"
        way = way_to(self.connection)
        if auto and (other := fall_back(road, way, answer.trusted, ended.stderr)):
            self._limited(other.transport, answer)
            return self._take(other, answer)
        raise self._failure(ended, self.copy.source.name, self.copy.target.name)

    def _failure(self, ended: JobResult, source: str, target: str) -> ClosureError:
        message = explain_copy(ended.stderr, self.copy.path, source, target)
        return ClosureError(message, rc=ended.exit_code, stderr=ended.stderr)

    def _fill_cache(self) -> None:
        """Write the closure to the binary cache, once for all hosts of the run that get it."""
        url = self.args["cache_upload"] or self.args["cache"]
        name = hashlib.sha256(f"{url} {self.copy.path}".encode()).hexdigest()
        with self.copy.source.task_run.locked(f"cache-{name}") as done:
            if done.exists():
                return
            if self.args["sign_key_file"]:
                sign(self.copy.source, self.args["sign_key_file"], self.closure)
            ended = self.copy.push(self.closure, url)
            if ended.exit_code != 0:
                raise self._failure(ended, self.copy.source.name, url)
            done.touch()

    def _by_cache(self, _road: Transport, answer: Answer) -> JobResult:
        flags = ["--no-check-sigs"] if self.args["check_sigs"] is False else []
        return self.copy.pull(answer, self.args["cache"], flags + self._limited("cache", answer))

    def _by_ssh(self, road: Transport, answer: Answer) -> JobResult:
        options = ssh_options(self.connection, self.copy.target.name)
        program = "nix-daemon" if road.transport == "ssh-ng" else "nix-store"
        query = [remote_program(self.connection, program)] if road.sudo else []
        query += ["compress=true"] if self.args["compress"] else []
        url = f"{road.transport}://{alias(options)}?{'&'.join(query)}".removesuffix("?")
        # The target's daemon heeds this only of a login that it trusts (Nix, libstore/daemon.cc).
        flags = [] if self._checks else ["--no-check-sigs"]
        return self.copy.run(answer, url, ssh_config(options), self.args["bwlimit"], flags)

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
        archive = Archive(copy.source.name, copy.watch)
        parts = archive.pack(copy.source, answer.missing, self.args["compress"])
        archive.unpack(copy.target, parts, answer.missing)


@dataclasses.dataclass
class FromFile:
    """The road of a closure from an archive on the controller to a target."""

    file: pathlib.Path
    manifest: Manifest
    target: Host
    connection: ConnectionBase
    watch: Watch
    check_sigs: bool | None

    def ask(self, root: bool) -> Answer:
        """Ask the target what it lacks.

        :raises ClosureError: it lacks something that the archive leaves out
        """
        login = login_of(self.connection)
        answer = ask(self.target, self.manifest.path, self.manifest.closure, root, login)
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
        return archive_transport(way_to(self.connection), answer.trusted, reason)

    def bring(self, answer: Answer) -> Transport:
        """Bring the target what it lacks."""
        road = self.choose(answer)
        check_room(answer, road.transport, self.target.name)
        archive = Archive(str(self.file), self.watch, bool(self.check_sigs))
        parts = read_parts(self.file, self.manifest, answer.missing)
        archive.unpack(self.target, parts, answer.missing)
        return road
