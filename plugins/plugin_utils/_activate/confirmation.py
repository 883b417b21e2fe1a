# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: confirming the system that a host has on trial."""

from __future__ import annotations

import contextlib
import dataclasses
import typing as t

from ansible.errors import AnsibleConnectionFailure
from ansible_collections.closure.nixos.plugins.module_utils._activate.facts import (
    Asked,
    Facts,
    failed_on_trial,
    standing,
)
from ansible_collections.closure.nixos.plugins.module_utils._activate.options import (
    Action,
    ConfirmOptions,
    SwitchOptions,
)
from ansible_collections.closure.nixos.plugins.module_utils._activate.report import (
    last_words,
    parse_report,
)
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._store.generations import (
    name_system,
    profile_diff,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._activate.target import (
    activation_job,
    follow,
    look_again,
    read_facts,
    require_room,
    require_system,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._activate.trial import (
    confirm,
    confirm_plain,
    settled,
    start_commit,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._host.host import Host, require_root
from ansible_collections.closure.nixos.plugins.plugin_utils._host.job import Job, JobResult
from ansible_collections.closure.nixos.plugins.plugin_utils._host.progress import Progress


@dataclasses.dataclass
class Confirmation:
    """Confirming a system on a host, over a connection of its own.

    :param check: only say what would be done
    :param since: as ``runs_since`` of a trial, where nobody has come in by a new connection yet
    """

    host: Host
    options: ConfirmOptions
    progress: Progress
    check: bool
    since: int | None = None

    def run(self) -> dict[str, t.Any]:
        """Return the module's result.

        :raises ClosureError: the host is not what is to be confirmed
        """
        profile, path = self.options.profile, self.options.path
        if path and not self.check and (done := self._confirm_plain(path)):
            return done
        before = after = self._look()
        path = self._path(before)
        changed = _is_open(before, path)
        result: dict[str, t.Any] = {}
        if not self.check:
            self._require_good(before, path)
            if changed:
                known = self.options.connection == "any"
                self.host.require_new_connection(before.login.age, unless_known=known)
                after, result = self._confirm(before, path)
        return self._result(after, path, changed, _difference(profile, before, path)) | result

    def _result(
        self, after: Facts, path: str, changed: bool, diff: dict[str, str]
    ) -> dict[str, t.Any]:
        return {
            "changed": changed,
            "path": path,
            "boots": after.boots(path),
            "connection": self.host.connection_is(after.login.age),
            "rolled_back": False,
            "generation": after.current and dataclasses.asdict(after.current),
            "diff": diff,
            "msg": _sentence(after, path, changed, self.check),
        }

    def _look(self) -> Facts:
        with self._comes_in():
            facts = read_facts(self.host, self.options.profile, self.options.path)
        require_root(self.host, facts.login.user)
        return facts

    @contextlib.contextmanager
    def _comes_in(self) -> t.Iterator[None]:
        """Say of a host that does not let us in what will become of it."""
        try:
            yield
        except AnsibleConnectionFailure as error:
            raise ClosureError(
                f"{self.host.name} does not answer on a new connection: {error}. It rolls back by "
                "itself unless it is confirmed in time."
            ) from error

    def _path(self, facts: Facts) -> str:
        """Return the system to confirm: the one that is named, on trial, or running.

        :raises ClosureError: there is none
        """
        trial = facts.guard.to if facts.guard and facts.guard.state == "armed" else facts.running
        path = self.options.path or trial
        if not path:
            raise ClosureError(
                f"{self.host.name} runs no system of NixOS, so there is none to confirm. Deploy "
                "one first, with the role closure.nixos.deploy."
            )
        return path

    def _require_good(self, facts: Facts, path: str) -> None:
        """Refuse what nobody should stay with.

        :raises ClosureError: another system runs, or units have failed on trial
        """
        name = self.host.name
        guard = facts.guard if facts.guard and facts.guard.to == path else None
        runs = facts.running in (path, guard.runs if guard else path)
        if guard and guard.rolled_back and (guard.waits or not runs):
            raise ClosureError(f"{name} {guard.story}", path=path, rolled_back=True)
        if not runs:
            raise ClosureError(f"{name} does not run {path}: it {standing(facts)}", path=path)
        failed = failed_on_trial(facts, self.options.ignore_units)
        if failed or facts.in_maintenance:
            what = f"these units have failed: {', '.join(failed)}" if failed else standing(facts)
            raise ClosureError(f"{name} is not confirmed: {what}", path=path)

    def _confirm_plain(self, path: str) -> dict[str, t.Any]:
        """Confirm in one round trip, or return nothing where that takes a decision of ours."""
        boot = self.host.boot or self.host.task_run.trial_of(self.host.name)
        if not boot:
            return {}
        # Where the power fails now, the host is no more what was tried.
        self.host.require_boot(boot)
        profile = self.options.profile
        job = activation_job(self.host, profile, Asked(path, valid=True))
        with self._comes_in():
            confirmed = confirm_plain(job, profile, path, self.since)
        if not confirmed:
            return {}
        after, said = self._end(job, path, boots=True)
        old = after.guard.old if after.guard else None
        return self._result(after, path, True, profile_diff(profile, old, path)) | said

    def _confirm(self, before: Facts, path: str) -> tuple[Facts, dict[str, t.Any]]:
        """Confirm, and wait until the host boots the system or is back at its old one."""
        profile = self.options.profile
        state = before.guard.state if before.guard else None
        job = activation_job(self.host, profile, Asked(path, valid=True))
        if state == "armed":
            confirm(job, profile, path)
        elif state != "confirmed":
            asked = before if self.options.path else read_facts(self.host, profile, path)
            require_system(self.host, asked)
            require_room(self.host, asked, profile)
            start_commit(job, SwitchOptions(Action.BOOT, path, profile), path)
        return self._end(job, path, _boots(before))

    def _end(self, job: Job, path: str, boots: bool) -> tuple[Facts, dict[str, t.Any]]:
        """Wait until the host boots the system, if it is to, or is back at its old one."""
        profile = self.options.profile
        ended = follow(self.host, self.options.timeout, self.progress, job)
        after = look_again(self.host, profile, Asked(path, valid=True), ended)
        after = settled(self.host, profile, after, self.progress)
        return after, self._outcome(after, path, ended if boots else None)

    def _outcome(self, after: Facts, path: str, ended: JobResult | None) -> dict[str, t.Any]:
        said = {"stdout": ended.stdout, "stderr": ended.stderr} if ended else {}
        guard = after.guard
        if guard and guard.rolled_back and after.running == guard.old:
            message = f"{self.host.name} {guard.story}{_words(ended)}"
            return said | {"failed": True, "rolled_back": True, "msg": message}
        if ended and not after.boots(path):
            message = f"{self.host.name} runs {path} and did not make it its boot default. It "
            return said | {"failed": True, "msg": f"{message}{standing(after)}{_words(ended)}"}
        return said


def _words(ended: JobResult | None) -> str:
    """What the job said of why it failed, as a sentence of its own."""
    words = last_words(parse_report(ended.stderr, "")) if ended and ended.exit_code else ""
    return f" It said: {words.removesuffix('.')}." if words else ""


def _is_open(facts: Facts, path: str) -> bool:
    """Whether there is something to confirm; what was only to run for a while need not boot."""
    guard = facts.guard
    if guard and (guard.waits or (guard.to == path and not guard.boots)):
        return guard.waits
    return not facts.boots(path)


def _boots(facts: Facts) -> bool:
    """Whether what is confirmed becomes the boot default: not after a mere test."""
    return not (facts.guard and facts.guard.waits) or facts.guard.boots


def _difference(profile: str, before: Facts, path: str) -> dict[str, str]:
    return profile_diff(profile, before.profile, path if _boots(before) else str(before.profile))


def _sentence(facts: Facts, path: str, changed: bool, check: bool) -> str:
    if check and changed:
        return f"would confirm {name_system(path)}"
    if facts.boots(path) and facts.current:
        return f"runs and boots {name_system(path, facts.current.number)}"
    return f"runs {name_system(path)}, which was confirmed and does not boot"
