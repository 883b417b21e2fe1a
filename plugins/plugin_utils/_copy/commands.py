# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: copying a closure from a build host to a target."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from ansible_collections.closure.nixos.plugins.module_utils._copy.cache_url import CacheUrl
from ansible_collections.closure.nixos.plugins.module_utils._copy.transport import (
    Answer,
    parse_answer,
    parse_signatures,
    readable,
)
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._store.store_path import (
    check_store_path,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._copy.monitor import Monitor
from ansible_collections.closure.nixos.plugins.plugin_utils._host.host import Host
from ansible_collections.closure.nixos.plugins.plugin_utils._host.job import JobResult
from ansible_collections.closure.nixos.plugins.plugin_utils._host.scripts import script
from ansible_collections.closure.nixos.plugins.plugin_utils._store.closure import closure_of, lacks

# With which `plant` refuses, and `require_root_mounted`: in words for people.
_NO_ROOM, _NOT_MOUNTED = 75, 78


def sign(source: Host, key_file: str, paths: Iterable[str]) -> None:
    """Sign paths on the host that has them, with a key that stays there.

    :raises ClosureError: Nix does not sign them
    """
    reply = source.run(script("sign", key_file, *paths), deadline=600)
    if reply.rc != 0:
        raise ClosureError(
            f"{source.name} does not sign with {key_file}: {readable(reply.stderr)}. Make a key "
            "with nix-store --generate-binary-cache-key, and sign as a user whom its Nix trusts.",
            rc=reply.rc,
            stderr=readable(reply.stderr),
        )


def without(host: Host, closure: dict[str, int], exclude: Iterable[str]) -> dict[str, int]:
    """Return a closure without some paths, and without the closures of those that the host has."""
    known = [check_store_path(path) for path in exclude]
    lacking = lacks(host, known) if known else set()
    closures = [path for path in known if path not in lacking]
    left_out = {*known, *(closure_of(host, *closures) if closures else ())}
    return {path: size for path, size in closure.items() if path not in left_out}


def ask(target: Host, path: str, closure: Mapping[str, int], root: str, login: str) -> Answer:
    """Ask a target which paths of a closure it lacks, and what there is to know for the transport.

    :param root: the name of the root by which the target keeps the closure from now on, "" for none
    :param login: who logs in there
    """
    words = ("expect", root, login, path, *closure)
    reply = target.run(script(*words), deadline=120)
    if reply.rc in (_NO_ROOM, _NOT_MOUNTED):
        raise ClosureError(f"{target.name}: {readable(reply.stderr)}.", rc=reply.rc)
    if reply.rc != 0:
        raise ClosureError(
            f"{target.name} does not say which store paths it has: {readable(reply.stderr)}. "
            "Is Nix on that login's PATH, and may it use the store?",
            rc=reply.rc,
            stderr=readable(reply.stderr),
        )
    return parse_answer(reply.text, closure)


@dataclasses.dataclass(frozen=True)
class Ssh:
    """What Nix's own ssh gets.

    :param config: ssh_config(5) that leads to the target
    :param directory: what relative paths in it start from, empty for the login's home
    :param socket: of a connection to the target that it may share, empty without one
    """

    config: str
    directory: str
    socket: str


@dataclasses.dataclass(frozen=True)
class Copy:
    """One closure, from the build host to the target."""

    source: Host
    target: Host
    path: str
    monitor: Monitor

    def signed(self, answer: Answer, closure: Iterable[str]) -> bool:
        """Say whether the target trusts the signatures of all that it lacks.

        One task asks for all of the run, and each again where somebody may have signed since then.
        """
        name = f"signatures {self.source.name} {self.path}"
        said, earlier = self.source.task_run.ask_once(name, lambda: self._signatures(closure))
        accepted = answer.accepts(parse_signatures(said))
        if accepted or not earlier:
            return accepted
        return answer.accepts(parse_signatures(self._signatures(answer.missing)))

    def _signatures(self, paths: Iterable[str]) -> str:
        return self.source.run(script("signatures", *paths), 120).text

    def substitute(self, missing: Mapping[str, int]) -> None:
        """Have the target fetch what its own caches have. What they do not give comes from us."""
        try:
            self._run(self.target, missing, "substitute", *missing)
        except ClosureError as error:
            self.monitor.progress.warn(f"{error} The build host sends what is left.")

    def reach(self, url: str, ssh: Ssh) -> JobResult:
        """Ask a target's store for a sign of life, as a copy by ssh would begin."""
        return self._by_ssh({}, "reach", url, ssh)

    def run(self, answer: Answer, url: str, ssh: Ssh, bwlimit: int, flags: list[str]) -> JobResult:
        """Copy with ``nix copy`` over ssh.

        :param url: of the target's store, :param bwlimit: KiB a second, 0 for no limit
        """
        return self._by_ssh(answer.missing, "copy", url, ssh, str(bwlimit), *flags, self.path)

    def push(self, closure: Mapping[str, int], cache: CacheUrl) -> JobResult:
        """Write the closure to a binary cache, from the build host."""
        return self._run(self.source, closure, "push", cache.url, cache.netrc, self.path)

    def pull(self, answer: Answer, cache: CacheUrl, flags: list[str]) -> JobResult:
        """Fetch the closure from a binary cache, on the target."""
        words = ("pull", cache.url, cache.netrc, self.path, *flags)
        return self._run(self.target, answer.missing, *words)

    def _by_ssh(
        self, missing: Mapping[str, int], verb: str, url: str, ssh: Ssh, *words: str
    ) -> JobResult:
        call = (verb, url, ssh.config, ssh.directory, *words)
        command = script("sharing", ssh.socket, *call)
        return self.monitor.run(self.source, verb, command, missing, self.target)

    def _run(self, host: Host, missing: Mapping[str, int], verb: str, *words: str) -> JobResult:
        receiver = self.source if verb == "push" else self.target
        command = script(verb, *words)
        return self.monitor.run(host, verb, command, missing, receiver)
