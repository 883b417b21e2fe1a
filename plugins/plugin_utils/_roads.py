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
from ansible_collections.closure.nixos.plugins.module_utils._copy import (
    Answer,
    Road,
    archive_road,
    check_room,
    choose_road,
    explain_copy,
    fall_back,
)
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._manifest import Manifest
from ansible_collections.closure.nixos.plugins.module_utils._ssh_config import alias, ssh_config
from ansible_collections.closure.nixos.plugins.plugin_utils._archive import (
    Archive,
    read_parts,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._copy import (
    Copy,
    Limits,
    ask,
    sign,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._host import Host
from ansible_collections.closure.nixos.plugins.plugin_utils._job import Ended
from ansible_collections.closure.nixos.plugins.plugin_utils._progress import Progress
from ansible_collections.closure.nixos.plugins.plugin_utils._ssh import (
    login_of,
    remote_program,
    ssh_options,
    way_to,
)


@dataclasses.dataclass
class Roads:
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

    def choose(self, answer: Answer, signing: bool = False) -> Road:
        """Choose the road of what is missing.

        :param signing: the closure would be signed before it is copied
        :raises ClosureError: the target would accept it by none
        """
        way = way_to(self.connection)
        if self.args["transport"] != "auto":
            sudo = way.root_by in ("sudo", "wire") and not answer.trusted
            return Road(self.args["transport"], "the task asks for it", sudo)
        signed = signing or self.copy.signed(answer)
        try:
            return choose_road(way, answer.trusted, signed, self.args["check_sigs"])
        except ClosureError as error:
            what = f"{self.copy.path} was not copied to {self.copy.target.name}"
            raise ClosureError(f"{what}: {error}") from error

    def bring(self, answer: Answer) -> Road:
        """Bring the target what it lacks, and say by which road."""
        if self.args["transport"] == "cache":
            self._fill_cache()
        elif self.args["sign_key_file"]:
            sign(self.copy.source, self.args["sign_key_file"], answer.missing)
        road = self.choose(answer)
        if self.args["substitute_on_destination"] and answer.said.get("substituters"):
            self.copy.substitute(answer.missing, self.args["timeout"])
            answer = self.ask(root=True)
        if not answer.missing:
            return Road("substituted", "the host's own caches have all that it lacked")
        check_room(answer, road.transport, self.copy.target.name)
        return self._take(road, answer)

    def _take(self, road: Road, answer: Answer) -> Road:
        if road.transport == "archive":
            self._by_archive(answer)
            return road
        ended = self._by_cache() if road.transport == "cache" else self._by_ssh(road, answer)
        if ended.exit_code == 0:
            return road
        way, auto = way_to(self.connection), self.args["transport"] == "auto"
        if auto and (other := fall_back(road, way, answer.trusted, ended.stderr)):
            return self._take(other, answer)
        raise self._failure(ended, self.copy.source.name, self.copy.target.name)

    def _failure(self, ended: Ended, source: str, target: str) -> ClosureError:
        message = explain_copy(ended.stderr, self.copy.path, source, target)
        return ClosureError(message, rc=ended.exit_code, stderr=ended.stderr)

    def _fill_cache(self) -> None:
        """Write the closure to the binary cache, once for all hosts of the run that get it."""
        url = self.args["cache_upload"] or self.args["cache"]
        name = hashlib.sha256(f"{url} {self.copy.path}".encode()).hexdigest()
        with self.copy.source.run.locked(f"cache-{name}") as done:
            if done.exists():
                return
            if self.args["sign_key_file"]:
                sign(self.copy.source, self.args["sign_key_file"], self.closure)
            ended = self.copy.push(url, self.args["timeout"])
            if ended.exit_code != 0:
                raise self._failure(ended, self.copy.source.name, url)
            done.touch()

    def _by_cache(self) -> Ended:
        flags = [] if self.args["check_sigs"] else ["--no-check-sigs"]
        return self.copy.pull(self.args["cache"], flags, self.args["timeout"])

    def _by_ssh(self, road: Road, answer: Answer) -> Ended:
        options = ssh_options(self.connection, self.copy.target.name)
        program = "nix-daemon" if road.transport == "ssh-ng" else "nix-store"
        query = [remote_program(self.connection, program)] if road.sudo else []
        query += ["compress=true"] if self.args["compress"] else []
        url = f"{road.transport}://{alias(options)}?{'&'.join(query)}".removesuffix("?")
        flags = [] if self.args["check_sigs"] else ["--no-check-sigs"]
        limits = Limits(self.args["timeout"], self.args["stall_timeout"])
        return self.copy.run(url, ssh_config(options), flags, answer, limits)

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
        archive = Archive(copy.path, copy.source.name, copy.progress, self.args["timeout"])
        parts = archive.pack(copy.source, answer.missing, self.args["compress"])
        archive.unpack(copy.target, parts, answer.missing)


@dataclasses.dataclass
class FromFile:
    """The road of a closure from an archive on the controller to a target."""

    file: pathlib.Path
    manifest: Manifest
    target: Host
    connection: ConnectionBase
    progress: Progress
    timeout: float

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

    def choose(self, answer: Answer) -> Road:
        """Say whether the target would accept it.

        :raises ClosureError: it would not
        """
        reason = f"the closure comes from {self.file}"
        return archive_road(way_to(self.connection), answer.trusted, reason)

    def bring(self, answer: Answer) -> Road:
        """Bring the target what it lacks."""
        road = self.choose(answer)
        check_room(answer, road.transport, self.target.name)
        archive = Archive(self.manifest.path, str(self.file), self.progress, self.timeout)
        archive.unpack(self.target, read_parts(self.file, self.manifest), answer.missing)
        return road
