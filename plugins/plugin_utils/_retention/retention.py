# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: deleting generations on a host, and what nothing needs any more."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping

from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._retention.retention import (
    Freed,
    RetentionOptions,
    outdated,
    parse_freed,
)
from ansible_collections.closure.nixos.plugins.module_utils._store.generations import (
    Generation,
    parse_generations,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._host.host import Host, require_success
from ansible_collections.closure.nixos.plugins.plugin_utils._host.job import run_leased
from ansible_collections.closure.nixos.plugins.plugin_utils._host.progress import Progress
from ansible_collections.closure.nixos.plugins.plugin_utils._host.scripts import script

Generations = Mapping[str, tuple[Generation, ...]]


@dataclasses.dataclass(frozen=True)
class Retention:
    """What a host keeps, and how it loses the rest.

    :param spared: store paths whose generations stay whatever their age
    """

    host: Host
    options: RetentionOptions
    spared: Collection[str | None]

    def look(self) -> tuple[Generations, Generations]:
        """Return the generations of each profile, and those of them that go."""
        reply = self.host.run(script("retained", *self.options.profiles))
        require_success(self.host, reply, "does not say which generations it has")
        now = float(reply.text.partition("\n")[0].removeprefix("now="))
        there = {it: parse_generations(reply.text, it) for it in self.options.profiles}
        go = {it: outdated(found, self.options, now, self.spared) for it, found in there.items()}
        return there, go

    def would_free(self, go: Generations) -> Freed:
        """Return what a collection would delete once these generations are gone."""
        if not self.options.collect:
            return Freed(0, 0, 0, 0)
        links = [
            word
            for profile, found in go.items()
            for entry in found
            for word in (f"{profile}-{entry.number}-link", entry.path)
        ]
        reply = self.host.run(script("would_free", *links), deadline=300)
        require_success(self.host, reply, "does not say what a garbage collection would free")
        said = dict(line.split("=") for line in reply.text.split())
        return Freed(int(said["paths"]), int(said["bytes"]), 0, 0)

    def delete(self, go: Generations) -> None:
        """Delete the generations."""
        for number, (profile, found) in enumerate(go.items()):
            pairs = [word for entry in found for word in (str(entry.number), entry.path)]
            if pairs:
                request = f"delete-generations-{number}"
                reply = self.host.run_once("delete_generations", profile, *pairs, request=request)
                require_success(self.host, reply, f"does not delete generations of {profile}")

    def collect(self, progress: Progress) -> Freed:
        """Delete what nothing needs any more.

        :raises ClosureError: Nix does not
        """
        if not self.options.collect:
            return Freed(0, 0, 0, 0)
        limit = "" if self.options.max_freed is None else str(self.options.max_freed)
        command = script("collect", limit, str(self.options.optimise).lower())
        counter = _Counter(progress)
        ended = run_leased(self.host, "collect", command, self.options.timeout, counter.hear)
        if ended.exit_code != 0:
            said = ended.stderr.strip().rpartition("\n")[2]
            raise ClosureError(
                f"{self.host.name} did not collect its garbage: {said}. What it had deleted until "
                "then is gone, all else is whole. Run the task again.",
                rc=ended.exit_code,
                stderr=ended.stderr,
            )
        return parse_freed(f"{ended.stdout}\n{ended.stderr}")


class _Counter:
    """Says how far a collection is."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._deleted = 0

    def hear(self, _out: bytes, err: bytes) -> None:
        self._deleted += err.count(b"deleting '")
        if self._deleted:
            self._progress.say(f"deletes what nothing needs: {self._deleted} store paths")
