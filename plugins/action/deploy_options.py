# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action of M(closure.nixos.deploy_options): takes the variables of the role deploy."""

from __future__ import annotations

import dataclasses
import functools
import json
import time
import typing as t

from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.loader import lookup_loader
from ansible_collections.closure.nixos.plugins.module_utils._deploy.options import (
    Options,
    check_play,
    confirms_at_once,
    end,
    end_left,
    finish,
    in_order,
    live,
    scope_of,
    steps,
    steps_there,
    with_reboot,
    without_hooks,
    without_reboot,
)
from ansible_collections.closure.nixos.plugins.module_utils._deploy.outcome import (
    has_run,
    is_of,
    play_of,
)
from ansible_collections.closure.nixos.plugins.module_utils._deploy.preflight import check_dirty
from ansible_collections.closure.nixos.plugins.module_utils._deploy.tags import (
    NOTHING,
    TAGS,
    warning_of_tags,
    with_tags,
)
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._profiles.profile import (
    read_profiles,
)
from ansible_collections.closure.nixos.plugins.module_utils._retention.retention import (
    RetentionOptions,
)
from ansible_collections.closure.nixos.plugins.module_utils._specs import (
    DEPLOY_OPTIONS,
    NIX_COLLECT_GARBAGE,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._deploy.origin import origin_of
from ansible_collections.closure.nixos.plugins.plugin_utils._deploy.variables import (
    configuration,
    options_of,
    require_secrets,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._host.action import ClosureAction
from ansible_collections.closure.nixos.plugins.plugin_utils._host.connections import variables_of

# Loaded here by the process that forks a worker for each task and host: the build asks it there.
lookup_loader.get("closure.nixos.configuration", class_only=True)

# Of a run whose tags name nothing of the role.
_LEFT = {"left": True, "is_held": False, "ends_here": False, "end_left": []}


class ActionModule(ClosureAction):
    """Convert the variables once, and refuse what is wrong before a host is touched."""

    spec = DEPLOY_OPTIONS
    _requires_connection = False

    def act(self, args: dict[str, t.Any]) -> dict[str, t.Any]:
        """Return the options and what follows from them; nothing is asked of the host."""
        if not self._tags:
            return {"changed": False, "options": NOTHING, **_LEFT}
        options = self._options(self.task_vars)
        require_secrets(self._templar, self.task_vars)
        play = self._task.get_play()
        check_play(options, str(play.strategy), bool(self._task.run_once))
        started = time.time()
        options["profiles"] = [it | {"started": started} for it in options["profiles"]]
        options["rollback_scope"] = scope_of(options, self._is_one_batch())
        asked = self._asked()
        built = bool(options["path"] or options["archive"])
        place = "" if built else configuration(self._templar, self.task_vars).place
        origin = origin_of(self.task_run, place)
        dirty = check_dirty(options["dirty"], dataclasses.asdict(origin))
        warnings = [it for it in (dirty, warning_of_tags(options, self._tags)) if it]
        if self.check or options["stop_after"]:
            options = without_hooks(options)
        left = bool(options["hold"]) or (options["rollback_scope"] == "run" and self._has_failed())
        result = {
            "changed": False,
            "options": options,
            **{name: in_order(those) for name, those in self._files(options).items()},
            "left": left,
            "is_held": bool(options["hold"]),
            "is_built": built,
            "confirms": confirms_at_once(options, self._tried(options)),
            "ends_here": not left and not options["finish_later"],
            "asked": asked,
            "play": play_of(str(play._uuid)),
            "batch": list(self.task_vars["ansible_play_batch"]),
            "started": started,
            "origin": dataclasses.asdict(origin),
        }
        return result | ({"warnings": warnings} if warnings else {})

    def _files(self, options: Options) -> dict[str, list[str]]:
        """Return the files of tasks of each part of a deployment, in their order."""
        tried = self._tried(options)
        return {
            "steps": steps(options, tried, self._is_announced(options)),
            "steps_there": steps_there(options),
            "tried": tried,
            "with_reboot": with_reboot(options, tried),
            "without_reboot": without_reboot(options, tried),
            "end": end(options),
            "end_left": end_left(options),
            "finish": finish(options),
        }

    def _tried(self, options: Options) -> list[str]:
        """Return those for a system that runs on trial."""
        # In check mode nothing new runs that could be looked at.
        looks = "check" in self._tags and not self.check
        return [*live(options), *(options["checks"] if looks else []), "confirm.yml"]

    @functools.cached_property
    def _tags(self) -> frozenset[str]:
        """Return those of our tags with which a task in the place of this one would run."""
        play, place = self._task.get_play(), self._task.copy()
        # Without those of this task, which runs always.
        inherited = self._task._get_parent_attribute("tags", omit=True)

        def runs(tag: str) -> bool:
            place.tags = [*inherited, tag]
            return bool(place.evaluate_tags(play.only_tags, play.skip_tags, self.task_vars))

        return frozenset(filter(runs, TAGS))

    def _options(self, variables: dict[str, t.Any]) -> Options:
        options = options_of(self, variables)
        if options["retention"]:
            _check_retention(options["retention"])
        options["profiles"] = _profiles(options["profiles"])
        return with_tags(options, self._tags, self._task.get_play().skip_tags)

    def _asked(self) -> list[str]:
        """Return the hosts whose systems are built: those that are not held.

        The first host that asks looks at the variables of all, those of later batches too.

        :raises ClosureError: what is wrong with those of another host
        """
        play = play_of(str(self._task.get_play()._uuid))
        with self.task_run.locked(f"options-{play}-{self._task._uuid}") as kept:
            if not kept.exists():
                kept.write_text(json.dumps(self._problems()), encoding="utf-8")
            problems: dict[str, str] = json.loads(kept.read_text(encoding="utf-8"))
        wrong = [host for host, problem in problems.items() if problem]
        if wrong:
            more = f" and {len(wrong) - 1} more" if wrong[1:] else ""
            raise ClosureError(f"The variables of {wrong[0]}{more} are wrong. {problems[wrong[0]]}")
        return list(problems)

    def _problems(self) -> dict[str, str]:
        """Return what is wrong with the variables of each host of the play that is not held."""
        hostvars = self.task_vars["hostvars"]
        hosts = self.task_vars["ansible_play_hosts_all"]
        return {it: self._problem(it) for it in hosts if not hostvars[it].get("deploy_hold")}

    def _problem(self, host: str) -> str:
        try:
            self._options(variables_of(self, self.task_vars, host))
        except ClosureError as error:
            return error.message
        except AnsibleError:
            pass  # they may name what a host of a later batch has only then
        return ""

    def _is_announced(self, options: Options) -> bool:
        """Whether an earlier batch of the play has run what comes before the run, if anything."""
        hostvars, play = self.task_vars["hostvars"], play_of(str(self._task.get_play()._uuid))
        hosts = self.task_vars["ansible_play_hosts_all"] if options["before_run"] else []
        every = (hostvars[host] for host in hosts)
        return any(is_of(it, play) and has_run("before_run.yml", it) for it in every)

    def _is_one_batch(self) -> bool:
        """Whether the play deploys all its hosts at once; those that have left it do not count."""
        hosts, batch = (self.task_vars[f"ansible_play_{name}"] for name in ("hosts", "batch"))
        return len(hosts) == len(batch)

    def _has_failed(self) -> bool:
        """Whether a host of an earlier batch has failed."""
        hostvars = self.task_vars["hostvars"]
        hosts = self.task_vars["ansible_play_hosts_all"]
        return any("__deploy_failure" in hostvars[host] for host in hosts)


def _profiles(given: list[dict[str, t.Any]]) -> list[dict[str, t.Any]]:
    """Return the other profiles as what nix_profile_activate is asked for each.

    :raises ClosureError: what it would refuse when the host has its system
    """
    try:
        return read_profiles(given)
    except ClosureError as error:
        message = error.message.rstrip(".")
        raise ClosureError(f"deploy_profiles: {message}. No host was changed.") from error


def _check_retention(given: dict[str, t.Any]) -> None:
    """Refuse what nix_collect_garbage would refuse when the host has its system.

    :raises ClosureError: what is wrong with it
    """
    checked = ArgumentSpecValidator(**NIX_COLLECT_GARBAGE).validate(given)
    problem = ". ".join(checked.error_messages)
    try:
        if not problem:
            RetentionOptions.of(**checked.validated_parameters)
    except ClosureError as error:
        problem = error.message
    if problem:
        raise ClosureError(f"deploy_retention: {problem.rstrip('.')}. No host was changed.")
