# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: a target's facts, its profile and its activation."""

from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Iterable

from ansible_collections.closure.nixos.plugins.module_utils._activate.expected import (
    expect,
    parse_outlook,
)
from ansible_collections.closure.nixos.plugins.module_utils._activate.facts import (
    Asked,
    Facts,
    Step,
    check_room,
    parse_facts,
    remember,
)
from ansible_collections.closure.nixos.plugins.module_utils._activate.options import SwitchOptions
from ansible_collections.closure.nixos.plugins.module_utils._activate.report import (
    UnitPlan,
    UnitState,
    outcome,
    parse_logs,
    parse_looks,
    parse_report,
    parse_unit_plan,
)
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._store.generations import (
    Generation,
    parse_generations,
)
from ansible_collections.closure.nixos.plugins.module_utils._store.store_path import (
    check_store_path,
)
from ansible_collections.closure.nixos.plugins.module_utils._store.toplevel import (
    check_toplevel,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._host.host import Host, require_success
from ansible_collections.closure.nixos.plugins.plugin_utils._host.job import Job, JobResult
from ansible_collections.closure.nixos.plugins.plugin_utils._host.progress import Progress
from ansible_collections.closure.nixos.plugins.plugin_utils._host.scripts import Script, script

# nixos-rebuild's name for it, so that the two shut each other out.
UNIT = "nixos-rebuild-switch-to-configuration"

JOB = "activation"
# What system.sh and early.sh exit with where a dry run cannot be had (sysexits.h).
UNAVAILABLE = 69
# Its outputs, on a host that root activates.
LOGS = f"/run/closure-nixos/jobs/{JOB}"


def read_facts(
    host: Host, profile: str, path: str = "", specialisation: str = "", acknowledged: bool = False
) -> Facts:
    """Ask a host what it is, in one round trip.

    :param profile: the path of the profile whose generations to list
    :param path: a store path or a link to one, to look at as well, and at its specialisation of
        that name
    :param acknowledged: whether we have heard how our last activation ended
    """
    function = "acknowledged_facts" if acknowledged else "system_facts"
    reply = host.run(script(function, profile, path, specialisation))
    require_success(host, reply, "does not say what it is")
    return parse_facts(reply.text, profile)


def all_facts(host: Host, profile: str, history: tuple[str, int]) -> Facts:
    """Ask a host all that it says of itself, in one round trip.

    :param history: the directory of the records of its deployments, and how many to read
    """
    directory, count = history
    reply = host.run(script("host_facts", profile, directory, str(count)))
    require_success(host, reply, "does not say what it is")
    return parse_facts(reply.text, profile)


def ssh_host_keys(host: Host) -> list[str]:
    """The public keys that a host's sshd shows, each ``TYPE KEY``."""
    reply = host.run(script("ssh_host_keys"))
    require_success(host, reply, "does not say which keys its sshd has")
    return reply.text.splitlines()


def hardware_config(host: Host) -> str:
    """What a host would write as its ``hardware-configuration.nix``."""
    reply = host.run(script("hardware_config"))
    require_success(host, reply, "does not say what its hardware is")
    return reply.text


def look_again(host: Host, profile: str, asked: Asked, ended: JobResult) -> Facts:
    """Return what a host is after an activation whose end we have heard.

    :param ended: of a job of :func:`activation_job`, which may have said it
    """
    if ended.after:
        return parse_facts(ended.after, profile)
    return read_facts(host, profile, str(asked.path), asked.specialisation, acknowledged=True)


def activation_job(host: Host, profile: str, asked: Asked) -> Job:
    """Return the job of an activation, at whose end the host says what it is then."""
    after = ("heard_facts", profile, str(asked.path), asked.specialisation)
    return Job(host, JOB, UNIT, after=after)


def require_room(host: Host, facts: Facts, profile: str) -> None:
    """Refuse a system for which the host is too full.

    :raises ClosureError: a generation does not fit beside the profile, or its boot files into /boot
    """
    try:
        check_room(facts, profile)
    except ClosureError as error:
        raise ClosureError(f"{host.name}: {error.message}", path=facts.asked.path) from error


def require_system(host: Host, facts: Facts) -> None:
    """Refuse what was asked for unless it is a system that the host can run.

    :raises ClosureError: it is not there, not a NixOS system, or one for another platform
    """
    path = str(facts.asked.path)
    system = facts.toplevels.get(path)
    if not facts.asked.valid or system is None:
        raise ClosureError(
            f"{host.name} does not have {path} in its store. Copy it there first, with "
            "closure.nixos.nix_copy_closure.",
            path=path,
        )
    check_toplevel(system, facts.platform)


def set_profile(
    host: Host,
    profile: str,
    path: str,
    number: int | None = None,
    surplus: Iterable[Generation] = (),
) -> tuple[Generation, ...]:
    """Point a profile at a path, a new generation unless it points there; return its generations.

    :param number: of the generation to roll back to, if it still holds the path
    :param surplus: generations to delete then
    """
    old = [word for entry in surplus for word in (str(entry.number), entry.path)]
    words = ("profile_update", profile, check_store_path(path), str(number or ""), *old)
    reply = host.run_once(*words, request="profile-set")
    require_success(host, reply, f"does not set {profile} to {path}")
    return parse_generations(reply.text, profile)


def start_reboot(host: Host, boot_id: str) -> None:
    """Reboot a host, unless it is on another boot than the one of that name."""
    reply = host.run_once("reboot_host", boot_id, request="reboot", any_boot=True)
    require_success(host, reply, "does not reboot")


def boot_words(options: SwitchOptions) -> tuple[str, str]:
    """Return the words INSTALL and SKIP of ``activate`` and ``commit``."""
    return str(int(options.install_bootloader)), str(int(options.skip_checks))


class NoDryRunError(ClosureError):
    """The host has no way to run a dry run that cannot change it."""


def plan(
    host: Host,
    path: str,
    skip_checks: bool,
    shown: t.Callable[[Script], Script] = lambda it: it,
) -> UnitPlan | None:
    """Ask what activating a system would do. Changes nothing on the host.

    :param shown: makes a script one that runs where the system is in the store
    :returns: ``None`` when another switch has the lock, which planning needs as well
    :raises NoDryRunError: the host cannot plan
    :raises ClosureError: the host cannot be switched to it
    """
    dry_run = script("dry_activate", path, str(int(skip_checks)))
    reply = host.run(shown(dry_run), deadline=180)
    report = parse_report(reply.text, "")
    if report.lock_busy:
        return None
    if reply.rc == UNAVAILABLE:
        why = " ".join((reply.stderr or reply.text).split())
        raise NoDryRunError(
            f"{host.name} does not plan the activation of {path}: {why}",
            rc=reply.rc,
            stderr=reply.stderr,
        )
    if reply.rc and reply.text.strip():
        found = outcome(reply.rc, report)
        sentence = found.sentence.replace(" was not activated", " would not be activated")
        raise ClosureError(
            f"{host.name}: {sentence}",
            path=path,
            outcome=found.name,
            exit_code=reply.rc,
            stderr=reply.text,
        )
    require_success(host, reply, f"does not plan the activation of {path}")
    planned = parse_unit_plan(reply.text)
    units = host.run(shown(script("units_to_come", path)))
    require_success(host, units, f"does not say which units {path} has")
    return dataclasses.replace(planned, expected=expect(planned, parse_outlook(units.text)))


def activate(
    host: Host,
    facts: Facts,
    steps: tuple[Step, ...],
    options: SwitchOptions,
    progress: Progress,
    guard: tuple[str, ...] = (),
) -> JobResult:
    """Take the steps of an activation, detached from the connection, and wait for their end.

    :param facts: what the host is
    :param guard: the words of ``guard_arm`` for one that watches over it, and which ends one that
        hangs a little later
    :raises ClosureError: it is still running after the limit; it is left to finish
    """
    taken = [word for step in steps for word in (step.action.value, step.path)]
    how = "guarded" if guard else "noted"
    command = script(how, "activate", *boot_words(options), remember(facts), *taken)
    job = activation_job(host, options.profile, facts.asked)
    try:
        if guard:
            job.start_by("guarded_start", UNIT, command.text, *guard, request="start-guarded")
        else:
            job.start(command)
    except ClosureError as error:
        said = str(error.details.get("stderr"))
        if not parse_report(said, "").lock_busy:
            raise
        return JobResult(None, "not started", "", said)
    return follow(host, options.timeout + (60 if guard else 0), progress, job)


def follow(host: Host, limit: float, progress: Progress, job: Job | None = None) -> JobResult:
    """Wait for the end of an activation.

    :param job: the one that was started last, also by an earlier run, if none is given
    :raises ClosureError: it is still running after the limit; it is left to finish
    """
    job = job or Job(host, JOB, UNIT)
    try:
        return job.wait(limit, _Listener(progress))
    except TimeoutError as error:
        raise ClosureError(
            f"{host.name} is still activating after {limit:g} s. It goes on there; see "
            f"`systemctl status {UNIT}` on the host, and run the task again for its result."
        ) from error


def look_at(host: Host, units: tuple[str, ...]) -> tuple[dict[str, UnitState], ...]:
    """Look at units that have failed, once those that systemd starts again have had their time."""
    reply = host.run(script("settled_units", *units))
    require_success(host, reply, f"does not say what became of {', '.join(units)}")
    return parse_looks(reply.text)


def logs_of(host: Host, units: tuple[str, ...]) -> dict[str, list[str]]:
    """Return the last lines that units have printed, of those that have printed any."""
    return parse_logs(host.run(script("unit_logs", *units)).text) if units else {}


def same_snippets(host: Host, before: str, after: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return those parts of the activation script that two systems have in common."""
    reply = host.run(script("same_snippets", before, after, *names))
    require_success(host, reply, "does not say what its activation script is")
    return tuple(reply.text.split("\n"))


class _Listener:
    """Shows what an activation prints: its last line now and then, and with -v all of them."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        # What has come of a line whose end has not.
        self._rests = [b"", b""]

    def __call__(self, *new: bytes) -> None:
        """Hear what came new on stdout and stderr."""
        for index, part in enumerate(new):
            *lines, self._rests[index] = (self._rests[index] + part).split(b"\n")
            shown = [_shown(line) for line in lines if line.strip()]
            for line in shown:
                self._progress.tell(line)
            if shown and index == 1:
                self._progress.say(shown[-1])


def _shown(line: bytes) -> str:
    """Return a line without what would control a terminal."""
    return "".join(each if each.isprintable() else "?" for each in line.decode(errors="replace"))
