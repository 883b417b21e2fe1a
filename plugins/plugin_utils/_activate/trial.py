# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: a switch on trial, its confirmation, and the way back from it.

The host decides, and keeps all of it (``guard.sh``): its guard goes back by itself when no
confirmation comes, whatever became of us.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
import typing as t

from ansible.errors import AnsibleConnectionFailure
from ansible_collections.closure.nixos.plugins.module_utils._activate.facts import (
    Facts,
    Step,
    on_trial,
)
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._store.generations import name_system
from ansible_collections.closure.nixos.plugins.plugin_utils._activate.activation import Activation
from ansible_collections.closure.nixos.plugins.plugin_utils._activate.target import (
    JOB,
    UNIT,
    activate,
    follow,
    read_facts,
    require_room,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._host.host import Host
from ansible_collections.closure.nixos.plugins.plugin_utils._host.job import Job, JobResult
from ansible_collections.closure.nixos.plugins.plugin_utils._host.progress import Progress
from ansible_collections.closure.nixos.plugins.plugin_utils._host.scripts import Script, script

# Seconds that a host may take to go back, beyond those it waits for a confirmation.
WAY_BACK = 300


@dataclasses.dataclass
class Trial(Activation):
    """An activation that the host takes back unless it is confirmed.

    :param fresh_connection: makes a connection of its own to the host
    """

    fresh_connection: t.Callable[[], Host]

    def __post_init__(self) -> None:
        """Give a host up that the new system cuts off: it goes back by itself.

        Soon, because the other hosts of its batch wait for it, and have to be confirmed in time.
        """
        super().__post_init__()
        self.host.retry_for = self.args["confirm_timeout"] / 2

    def _steps(self, facts: Facts) -> tuple[Step, ...]:
        """Return what is left to try; where only the boot default is, what to confirm is ours."""
        if self._boots_once and facts.boot_once == facts.path:
            return ()
        needed = super()._steps(facts)
        steps = on_trial(self.args["action"], needed)
        if needed and not steps and not self._looks:
            _demand(self.host, "guard_forget", request="guard-forget")
        return steps

    @property
    def _boots_once(self) -> bool:
        """Whether the next boot is the trial."""
        return bool(self.args["action"] == "boot")

    def _require_ready(self, facts: Facts, steps: tuple[Step, ...]) -> None:
        require_room(self.host, facts, self.profile)

    def _activate(self, facts: Facts, steps: tuple[Step, ...]) -> dict[str, t.Any]:
        try:
            return super()._activate(facts, steps)
        except AnsibleConnectionFailure as error:
            raise ClosureError(
                f"{self.host.name} does not answer any more since it has the new system on trial, "
                f"and goes back by itself unless it is confirmed in time: {error}",
                unconfirmed=True,
            ) from error

    def _take(self, facts: Facts, steps: tuple[Step, ...]) -> JobResult:
        if steps[-1].action == "boot":
            return self._boot(steps[-1].path)
        self._arm(facts, steps[-1].path)
        # The guard ends an activation that hangs, a little later.
        limit = self.args["timeout"] + 60
        install = self.args["install_bootloader"]
        return activate(self.host, facts, steps, install, limit, self.progress, "guarded")

    def _boot(self, path: str) -> JobResult:
        """Have the host boot a system: once, or with auto from now on, since nobody reboots it."""
        if self._boots_once:
            words = ("boot_once", self.profile, path)
            Job(self.host, JOB, UNIT).start(script(*words))
        else:
            start_commit(self.host, self.profile, path, self.args["install_bootloader"])
        return follow(self.host, self.args["timeout"], self.progress)

    def _arm(self, facts: Facts, runs: str) -> None:
        boots = self.args["action"] != "test"
        words = (
            *("guard_arm", self.profile, str(facts.path), runs),
            str(int(self.args["install_bootloader"])) if boots else "",
            *(str(self.args[name]) for name in ("confirm_timeout", "check_timeout", "timeout")),
            *(self.args["on_rollback_failure"], script("guard_run").text),
        )
        _demand(self.host, *words, request="guard-arm")

    def _outcome(
        self, steps: tuple[Step, ...], before: Facts, after: Facts, ended: JobResult
    ) -> dict[str, t.Any]:
        guard = after.guard
        if guard and guard.state == "back":
            self.host.retry_for = WAY_BACK
            after = settled(self.host, self.profile, after, self.progress)
            guard = after.guard
        result = super()._outcome(steps, before, after, ended)
        if self._boots_once:
            return result | _once(after)
        if guard and guard.went_back and steps[-1].action != "boot":
            said = f" {result['msg']}" if result.get("failed") else ""
            message = f"{self.host.name} {guard.story}{said}"
            return result | {"failed": True, "rolled_back": True, "msg": message}
        unconfirmed = bool(guard and guard.waits)
        if unconfirmed and not result.get("failed"):
            self._come_in()
        return result | {"unconfirmed": unconfirmed}

    def _come_in(self) -> None:
        """Show the guard that people can still log in.

        From here on nobody is shut out, and the checks may have to wait for other hosts: Ansible
        begins no task before all hosts of a batch have ended the one before. Who cannot come in may
        do so later, when the confirmation is for another address.
        """
        with contextlib.suppress(AnsibleConnectionFailure, ClosureError):
            _demand(self.fresh_connection(), "guard_reached", request="guard-reached")


def _once(after: Facts) -> dict[str, t.Any]:
    if after.boot_once != after.path:
        return {"changed": False}
    message = f"boots {name_system(after.path)} once, at the next reboot"
    return {"changed": True, "unconfirmed": True, "msg": message}


def settled(host: Host, profile: str, facts: Facts, progress: Progress) -> Facts:
    """Return a host's facts once its guard has done what it does.

    :raises ClosureError: that takes too long
    """
    end = time.monotonic() + max(host.retry_for, WAY_BACK)
    while facts.guard and facts.guard.waits:
        if time.monotonic() > end:
            raise ClosureError(
                f"{host.name} is still going back, because {facts.guard.why}. Look there at "
                "`systemctl status closure-nixos-guard`, and run the task again for its result."
            )
        progress.say("waits for the host to go back")
        time.sleep(2)
        facts = read_facts(host, profile, str(facts.path))
    return facts


def order_back(host: Host, why: str) -> None:
    """Have the guard go back now."""
    _demand(host, "guard_order", why, request="guard-order")


def confirm(host: Host, profile: str, path: str) -> None:
    """Confirm the system that is on trial; from then on the host makes it its boot default."""
    _demand(host, "guard_confirm", path, _commit(profile, path).text, request="guard-confirm")


def start_commit(host: Host, profile: str, path: str, install: bool) -> None:
    """Start to make a system the one that boots, the profile first."""
    Job(host, JOB, UNIT).start(_commit(profile, path, install))


def _commit(profile: str, path: str, install: bool = False) -> Script:
    return script("noted", "commit", str(int(install)), profile, path)


def _demand(host: Host, *words: str, request: str) -> None:
    reply = host.run_once(*words, request=request)
    if reply.rc != 0:
        raise ClosureError(f"{host.name}: {reply.stderr.strip()}.", rc=reply.rc)
