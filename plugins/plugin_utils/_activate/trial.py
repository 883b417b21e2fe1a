# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: a switch on trial, its confirmation, and rolling it back.

The host decides, and keeps all of it (``guard.sh``): its guard rolls back by itself when no
confirmation comes, whatever became of us.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
import typing as t

from ansible.errors import AnsibleConnectionFailure
from ansible_collections.closure.nixos.plugins.module_utils._activate.facts import (
    Asked,
    Facts,
    Step,
)
from ansible_collections.closure.nixos.plugins.module_utils._activate.options import (
    Action,
    SwitchOptions,
    TrialOptions,
)
from ansible_collections.closure.nixos.plugins.module_utils._activate.result import Result
from ansible_collections.closure.nixos.plugins.module_utils._activate.steps import (
    left_to_do,
    on_trial,
)
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._store.generations import name_system
from ansible_collections.closure.nixos.plugins.plugin_utils._activate.attendance import (
    attendant,
    is_attended,
    roll_back_unattended,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._activate.plain import judge
from ansible_collections.closure.nixos.plugins.plugin_utils._activate.target import (
    activate,
    activation_job,
    boot_words,
    follow,
    look_again,
    read_facts,
    require_room,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._host.host import Host, demand
from ansible_collections.closure.nixos.plugins.plugin_utils._host.job import Job, JobResult
from ansible_collections.closure.nixos.plugins.plugin_utils._host.progress import Progress
from ansible_collections.closure.nixos.plugins.plugin_utils._host.scripts import Script, script

# What guard_confirm_plain ends with where it has changed nothing.
UNDECIDED = 79
# Seconds that a host may take to roll back, beyond those it waits for a confirmation.
WAY_BACK = 300


@dataclasses.dataclass
class Trial:
    """The procedure of a switch that the host rolls back unless it is confirmed.

    :param fresh_connection: makes a connection of its own to the host
    :param looks: whether the task leaves the host alone
    :param runs_since: for how many hundredths of a second the host had been up when the new system
        ran, once it is to be confirmed at once
    """

    host: Host
    options: SwitchOptions
    trial: TrialOptions
    fresh_connection: t.Callable[[], Host]
    progress: Progress
    looks: bool
    runs_since: int | None = None

    def __post_init__(self) -> None:
        """Give a host up that the new system cuts off: it rolls back by itself.

        Soon, because the other hosts of its batch wait for it, and have to be confirmed in time.
        """
        self.host.retry_for = self.trial.confirm_timeout / 2

    def meets(self, facts: Facts) -> bool:
        """Take over a trial of the same system that nobody attends; have another rolled back."""
        guard, run = facts.guard, self.host.task_run
        same = guard and guard.state == "armed" and guard.runs == facts.live_path
        if not guard or not same or is_attended(guard, run):
            return roll_back_unattended(facts, self.host)
        self.progress.say("takes over the trial of an earlier run")
        demand(self.host, "guard_adopt", attendant(run), request="guard-adopt")
        self._come_in(facts)
        return True

    def left(self, facts: Facts) -> tuple[Step, ...]:
        """Return what is left to try; where only the boot default is, what to confirm is ours.

        :raises ClosureError: there is nothing to roll back to
        """
        if self._boots_once and facts.boot.once == facts.asked.path:
            return ()
        needed = left_to_do(self.options, facts)
        steps = on_trial(self.options.action, needed)
        if steps and not self._boots_once and not facts.running:
            raise ClosureError(
                f"{self.host.name} runs no system of NixOS to roll back to, so nothing can be on "
                "trial. Deploy its first one with deploy_confirm: false, or without "
                "confirm_timeout."
            )
        if needed and not steps and not self.looks:
            demand(self.host, "guard_forget", request="guard-forget")
        return steps

    @property
    def _boots_once(self) -> bool:
        """Whether the next boot is the trial."""
        return self.options.action is Action.BOOT

    def require_ready(self, facts: Facts, steps: tuple[Step, ...]) -> None:
        """Refuse a system that could not become the boot default once it is confirmed."""
        require_room(self.host, facts, self.options.profile)

    def take(self, facts: Facts, steps: tuple[Step, ...]) -> tuple[JobResult, Facts]:
        """Arm the guard, take the steps, and see whether the guard has rolled back."""
        with self._rolls_back():
            if steps[-1].action is Action.BOOT:
                ended = self._boot(facts.asked, steps[-1].path)
            else:
                guard = self._guard(facts, steps[-1].path)
                ended = activate(self.host, facts, steps, self.options, self.progress, guard)
            after = look_again(self.host, self.options.profile, facts.asked, ended)
            if after.guard and after.guard.state == "back":
                self.host.retry_for = WAY_BACK
                after = settled(self.host, self.options.profile, after, self.progress)
            return ended, after

    @contextlib.contextmanager
    def _rolls_back(self) -> t.Iterator[None]:
        """Say of a host that is lost now what will become of it."""
        try:
            yield
        except AnsibleConnectionFailure as error:
            raise ClosureError(
                f"{self.host.name} does not answer any more since it has the new system on trial, "
                f"and rolls back by itself unless it is confirmed in time: {error}",
                unconfirmed=True,
            ) from error

    def _boot(self, asked: Asked, path: str) -> JobResult:
        """Have the host boot a system: once, or with auto from now on, since nobody reboots it."""
        job = activation_job(self.host, self.options.profile, asked)
        if self._boots_once:
            job.start(script("boot_once", self.options.profile, path))
        else:
            start_commit(job, self.options, path)
        return follow(self.host, self.options.timeout, self.progress, job)

    def _guard(self, facts: Facts, runs: str) -> tuple[str, ...]:
        """Return the words that arm the guard."""
        options, trial = self.options, self.trial
        boots = options.action is not Action.TEST
        armed = {
            "profile": options.profile,
            "to": facts.asked.path,
            "runs": runs,
            "install": int(options.install_bootloader) if boots else "",
            "skip": int(options.skip_checks),
            "confirm": trial.confirm_timeout,
            "check": trial.check_timeout,
            "limit": options.timeout,
            "on_failure": trial.on_rollback_failure,
            "attended": attendant(self.host.task_run),
            "command": script("guard_run").text,
        }
        return tuple(f"{name}={value}" for name, value in armed.items())

    def judge(
        self, steps: tuple[Step, ...], before: Facts, after: Facts, ended: JobResult
    ) -> Result:
        """Tell what was done, whether the host rolls back, and whether it waits for us."""
        with self._rolls_back():
            result = judge(self.host, self.options, steps[-1], before, after, ended)
        guard = after.guard
        if self._boots_once:
            return result | _once(after)
        if guard and guard.rolled_back and steps[-1].action is not Action.BOOT:
            said = f" {result['msg']}" if result.get("failed") else ""
            message = f"{self.host.name} {guard.story}{said}"
            return result | {"failed": True, "rolled_back": True, "msg": message}
        if guard and guard.state in ("overtaken", "ended"):
            return result | {"failed": True, "msg": f"{self.host.name} {guard.story}"}
        unconfirmed = bool(guard and guard.waits)
        if self.trial.confirm:
            self.runs_since = after.login.uptime
        elif unconfirmed and not result.get("failed"):
            self._come_in(after)
        return result | {"unconfirmed": unconfirmed}

    def _come_in(self, after: Facts) -> None:
        """Show the guard that people can still log in.

        From here on nobody is shut out, and the checks may have to wait for other hosts: Ansible
        begins no task before all hosts of a batch have ended the one before. Who cannot come in may
        do so later, when the confirmation is for another address.

        :param after: what the host was when the new system ran
        """
        with contextlib.suppress(AnsibleConnectionFailure, ClosureError):
            host = self.fresh_connection()
            demand(host, "guard_reached", str(after.login.uptime), request="guard-reached")
            self.host.task_run.note_trial(self.host.name, host.boot)


def _once(after: Facts) -> Result:
    if after.boot.once != after.asked.path:
        return {"changed": False}
    message = f"boots {name_system(after.asked.path)} once, at the next reboot"
    return {"changed": True, "unconfirmed": True, "msg": message}


def settled(host: Host, profile: str, facts: Facts, progress: Progress) -> Facts:
    """Return a host's facts once its guard has done what it does.

    :raises ClosureError: that takes too long
    """
    end = time.monotonic() + max(host.retry_for, WAY_BACK)
    while facts.guard and facts.guard.waits:
        if time.monotonic() > end:
            raise ClosureError(
                f"{host.name} is still rolling back, because {facts.guard.why}. Look there at "
                "`systemctl status closure-nixos-guard`, and run the task again for its result."
            )
        progress.say("waits for the host to roll back")
        time.sleep(2)
        facts = read_facts(host, profile, str(facts.asked.path))
    return facts


def confirm(job: Job, profile: str, path: str) -> None:
    """Confirm the system that is on trial; from then on the host makes it its boot default.

    :param job: the one that does it, unless the system is not to boot
    """
    words = ("guard_confirm", path, _commit(profile, path).text)
    job.start_by(*words, request="guard-confirm")


def confirm_plain(job: Job, profile: str, path: str, since: int | None = None) -> bool:
    """Confirm it if the host itself can see that all is well, and say whether it has.

    :param job: as of :func:`confirm`
    :param since: as ``runs_since`` of :class:`Trial`, where nobody has come in by a new connection
        yet
    """
    first = "" if since is None else str(since)
    words = ("guard_confirm_plain", profile, path, _commit(profile, path).text, first)
    try:
        job.start_by(*words, request="guard-confirm-plain")
    except ClosureError as error:
        if error.details.get("rc") == UNDECIDED:
            return False
        raise
    return True


def start_commit(job: Job, options: SwitchOptions, path: str) -> None:
    """Start to make a system the one that boots, the profile first."""
    job.start(_commit(options.profile, path, *boot_words(options)))


def _commit(profile: str, path: str, install: str = "0", skip: str = "0") -> Script:
    return script("noted", "commit", install, skip, profile, path)
