# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: activating what a profile is to hold, as its user."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._profiles.profile import (
    Look,
    ProfileRequest,
    explain,
    parse_end,
    parse_look,
    without_end,
)
from ansible_collections.closure.nixos.plugins.module_utils._store.generations import profile_diff
from ansible_collections.closure.nixos.plugins.module_utils._store.store_path import (
    closure_diff,
    render_diff,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._host.host import Host, require_success
from ansible_collections.closure.nixos.plugins.plugin_utils._host.job import Job, JobResult
from ansible_collections.closure.nixos.plugins.plugin_utils._host.progress import Progress
from ansible_collections.closure.nixos.plugins.plugin_utils._host.scripts import script
from ansible_collections.closure.nixos.plugins.plugin_utils._store.closure import closure_of

# With which `as_owner` says that there is no such user.
_NO_USER = 67
# With which a host says that it has not begun: those of `die`.
_REFUSED = (_NO_USER, 69, 75, 77)

Result = dict[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Profile:
    """A profile of a user on a host, and what it is to hold."""

    host: Host
    request: ProfileRequest
    progress: Progress

    def look(self, check: bool) -> Look:
        """Ask the host what it is.

        :param check: whether the user may be one that is still to come
        """
        request = self.request
        command = script("profile_look", request.profile, request.path, request.program)
        reply = self.host.run(script("as_owner", request.user, command.text), deadline=60)
        if check and reply.rc == _NO_USER:
            return Look(request.profile)
        require_success(self.host, reply, f"does not say what {request.label} is")
        return parse_look(reply.text)

    def bring(self, check: bool, show: bool) -> Result:
        """Activate the path unless the profile holds it.

        :param show: whether to say how the closures differ
        :raises ClosureError: it is not there or has no such program, and nothing was done; or its
            activation has failed, and the message says what is now
        """
        before = self.look(check)
        path = self._path(before)
        if self.request.path and not check:
            self._require(before)
        result = _result(self.request, before, path)
        if result["changed"] and show:
            result["diff"]["prepared"] = self._difference(before, path)
        if not result["changed"] or check:
            return result
        ended = self._activate(before, path)
        if ended.exit_code == 0:
            return result | _after(self.look(check)) | _printed(ended)
        end = parse_end(ended.stdout)
        if end.code is None and ended.exit_code in _REFUSED:
            said = ended.stderr.strip().rstrip(".")
            raise ClosureError(f"{self.host.name}: {said}.", path=path, stderr=ended.stderr)
        raise ClosureError(
            f"{self.host.name}: {explain(self.request, path, end, before.old(path))}",
            **result | _after(self.look(check)) | _printed(ended),
            rc=end.code,
            rolled_back=end.back == "old",
        )

    def _path(self, before: Look) -> str:
        try:
            return before.path_of(self.request)
        except ClosureError as error:
            raise ClosureError(f"{self.host.name}: {error.message}") from error

    def _require(self, look: Look) -> None:
        path, program = self.request.path, self.request.program
        if not look.valid:
            raise ClosureError(
                f"{self.host.name} does not have {path} in its store. Copy it there first, with "
                "closure.nixos.nix_copy_closure.",
                path=path,
            )
        if not look.runs:
            raise ClosureError(
                f"{self.host.name}: {path} has no program {program}, so nothing was activated. "
                "Look at kind and command, and whether it is the closure that you mean.",
                path=path,
            )

    def _activate(self, before: Look, path: str) -> JobResult:
        """Have the host do it, also without us."""
        request = self.request
        job = Job(self.host, request.job, f"closure-nixos-{request.job}.service")
        command = script("profile_bring", *before.words(request, path))
        job.start(script("profile_job", request.user, request.root, path, command.text))
        limit = 2 * request.timeout + 120
        try:
            ended = job.wait(limit, self._hear)
        except TimeoutError as error:
            raise ClosureError(
                f"{self.host.name} still activates {request.label} after {limit} s. It goes on "
                "there: run the task again for its result."
            ) from error
        job.forget()
        return ended

    def _hear(self, out: bytes, err: bytes) -> None:
        for line in (out + err).decode(errors="replace").splitlines():
            self.progress.tell(line)

    def _difference(self, before: Look, path: str) -> str:
        """Return how the closures differ, where both are there."""
        if not before.valid:
            return ""
        old = closure_of(self.host, before.holds) if before.holds else {}
        return render_diff(closure_diff(old, closure_of(self.host, path)))


def _result(request: ProfileRequest, before: Look, path: str) -> Result:
    outdated = before.holds != path or before.cut_short
    return {
        "changed": outdated,
        "outdated": outdated,
        "profile": before.profile,
        "user": request.user,
        "name": request.name,
        "path": path,
        "generation_before": before.current and dataclasses.asdict(before.current),
        **_after(before),
        "stdout": "",
        "stderr": "",
        "diff": profile_diff(before.profile, before.holds or None, path),
    }


def _after(look: Look) -> Result:
    return {"generation": look.current and dataclasses.asdict(look.current)}


def _printed(ended: JobResult) -> Result:
    return {"stdout": without_end(ended.stdout), "stderr": ended.stderr}
