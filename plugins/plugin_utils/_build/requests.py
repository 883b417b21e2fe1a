# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: what actions share that evaluate systems, once for many hosts."""

from __future__ import annotations

import abc
import dataclasses
import hashlib
import json
import os
import pathlib
import typing as t

from ansible.errors import AnsibleConnectionFailure
from ansible.template import Templar
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError, as_result
from ansible_collections.closure.nixos.plugins.module_utils._build.inputs import (
    OF_A_SYSTEM,
    Absolute,
    request_of,
)
from ansible_collections.closure.nixos.plugins.module_utils._build.nix import Request
from ansible_collections.closure.nixos.plugins.plugin_utils._host.action import ClosureAction
from ansible_collections.closure.nixos.plugins.plugin_utils._build.builder import Builder
from ansible_collections.closure.nixos.plugins.plugin_utils._host.connections import variables_of
from ansible_collections.closure.nixos.plugins.plugin_utils._build.evaluation import Outcome
from ansible_collections.closure.nixos.plugins.plugin_utils._host.host import Host
from ansible_collections.closure.nixos.plugins.plugin_utils._build.source import (
    bring_source,
    refuse_home,
)

Outcomes = dict[str, Outcome]


class RequestsAction(ClosureAction):
    """Ask for all hosts that are named, once in a run, and return what is this host's."""

    def act(self, args: dict[str, t.Any]) -> Outcome:
        """Return this host's outcome, or those of `systems`.

        The first task of a run that gets the lock asks for all; the others find its result, a
        failure as well. The key is what was asked, so every host computes the same.
        """
        builder = self.evaluator(args)
        origin = self._brought(builder.host, args["source"])
        absolute = self._absolute(builder.host, origin)
        directory = absolute(self._loader.get_basedir())
        builder = dataclasses.replace(builder, directory=directory, origin=origin)
        make = self._named if args["systems"] else self._for_hosts
        requests = make(args, absolute)
        key = _key(type(self).__module__, builder.host.name, self.check, _shared(args), requests)
        outcomes: Outcomes = self._kept(
            builder.host, f"systems-{key}", lambda: self._answer(builder, args, requests)
        )
        return _together(outcomes) if args["systems"] else outcomes[self._name]

    @abc.abstractmethod
    def answer(
        self, builder: Builder, args: dict[str, t.Any], requests: dict[str, Request]
    ) -> Outcomes:
        """Return the outcome of each host; a host that fails has its failure as outcome."""

    @abc.abstractmethod
    def evaluator(self, args: dict[str, t.Any]) -> Builder:
        """Return what evaluates."""

    def _answer(
        self, builder: Builder, args: dict[str, t.Any], requests: dict[str, Request | str]
    ) -> Outcomes:
        asked = {host: it for host, it in requests.items() if isinstance(it, Request)}
        unasked = {host: it for host, it in requests.items() if isinstance(it, str)}
        failures: Outcomes = {host: {"failed": True, "msg": it} for host, it in unasked.items()}
        return failures | self.answer(builder, args, asked)

    def _kept(self, host: Host, name: str, make: t.Callable[[], t.Any]) -> t.Any:
        """Return what is made once in a run, on a host.

        That it cannot be made is kept as well: no other host waits for the same end again. Only
        the host that met it may have done something against it, and tries again.
        """
        with self.task_run.locked(name) as kept:
            text = kept.read_text(encoding="utf-8") if kept.exists() else ""
            if not text or _is_to_try_again(json.loads(text), self._name):
                text = json.dumps(_tried(make) | {"by": self._name}, default=str)
                kept.write_text(text, encoding="utf-8")
        found = json.loads(text)
        if found["unreachable"]:
            message = f"The build host {host.name} is not reached: {found['unreachable']}"
            raise AnsibleConnectionFailure(message)
        if error := found["error"]:
            raise ClosureError(error.pop("msg"), **error)
        return found["made"]

    @property
    def _name(self) -> str:
        return str(self.task_vars["inventory_hostname"])

    def _brought(self, host: Host, source: str | None) -> dict[str, str]:
        """Return where the source is on another host, and where it is from; brought once a run."""
        if not source or host.is_here:
            return {}
        root = self._loader.path_dwim(source)
        name = f"source-{_key(host.name, root)}"
        there = self._kept(host, name, lambda: bring_source(host, pathlib.Path(root)))
        return {there: root}

    def _absolute(self, host: Host, origin: dict[str, str]) -> Absolute:
        """Return what makes a path of the task one of the build host."""
        here = self._loader.path_dwim
        if host.is_here:
            return here

        def absolute(path: str) -> str:
            full = pathlib.Path(os.path.normpath(here(path)))
            for there, root in origin.items():
                if full.is_relative_to(root):
                    return str(there / full.relative_to(root))
            refuse_home(host, path)
            return str(full)

        return absolute

    def _for_hosts(self, args: dict[str, t.Any], absolute: Absolute) -> dict[str, Request | str]:
        hosts = [host for host in args["hosts"] or [] if host != self._name]
        own = request_of(args, self._name, absolute)
        return {self._name: own} | {host: self._request_of(host, absolute) for host in hosts}

    def _named(self, args: dict[str, t.Any], absolute: Absolute) -> dict[str, Request | str]:
        """Return the requests of `systems`: what the task says, and each of them for itself."""
        common = {key: value for key, value in args.items() if key != "systems" and value}
        return {
            name: self._named_one(common, name, own, absolute)
            for name, own in args["systems"].items()
        }

    def _named_one(
        self, common: dict[str, t.Any], name: str, own: t.Any, absolute: Absolute
    ) -> Request | str:
        """Return the request of one of `systems`, or why there is none."""
        if not isinstance(own, dict) or not own.keys() <= OF_A_SYSTEM:
            names = ", ".join(sorted(OF_A_SYSTEM))
            return f"It has to be a dictionary in systems, with nothing else than {names}."
        try:
            return request_of(self.validated(common | own), name, absolute)
        except ClosureError as error:
            return str(error)

    def _request_of(self, host: str, absolute: Absolute) -> Request | str:
        """Return what this task would ask on another host, or why that cannot be told."""
        templar = Templar(loader=self._loader, variables=variables_of(self, self.task_vars, host))
        try:
            args = self._task.args | templar.template(self._written_args())
            return request_of(self.validated(args), host, absolute)
        except Exception as error:  # whatever a host's variables hold: it is that host's failure
            return f"{host}: {str(error).removeprefix(f'{host}: ')}"

    def _written_args(self) -> dict[str, t.Any]:
        """Return the task's arguments as they were written, not templated for its own host."""
        written = self._task.get_ds()
        name = str(self._task.resolved_action or self._task.action)
        names = {self._task.action, name, name.rpartition(".")[2]}
        blocks = [written[key] for key in ("args", *names) if written.get(key)]
        return {option: value for block in blocks for option, value in block.items()}


def _tried(make: t.Callable[[], t.Any]) -> dict[str, t.Any]:
    """Return what was made, or the task's error, or why a host is unreachable."""
    tried: dict[str, t.Any] = {"made": None, "error": None, "unreachable": None}
    try:
        return tried | {"made": make()}
    except ClosureError as error:
        return tried | {"error": as_result(error)}
    except AnsibleConnectionFailure as error:
        # Its own words are enough; ansible-core adds those of all its causes.
        error.__cause__ = None
        return tried | {"unreachable": str(error)}


def _is_to_try_again(tried: dict[str, t.Any], name: str) -> bool:
    return tried["by"] == name and bool(tried["error"] or tried["unreachable"])


def _shared(args: dict[str, t.Any]) -> dict[str, t.Any]:
    """Return the options that are not in the requests."""
    own = {*OF_A_SYSTEM, "systems", "hosts"}
    return {key: value for key, value in args.items() if key not in own}


def _key(*words: t.Any) -> str:
    text = json.dumps(words, sort_keys=True, default=dataclasses.asdict)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _together(outcomes: Outcomes) -> Outcome:
    """Return one result for many systems; it fails when one does, and has the others in it."""
    failures = [
        f"{name}: {it['msg'].removeprefix(f'{name}: ')}"
        for name, it in outcomes.items()
        if it.get("failed")
    ]
    changed = any(it.get("changed") for it in outcomes.values())
    result: Outcome = {"systems": outcomes, "changed": changed}
    return result | ({"failed": True, "msg": "\n".join(failures)} if failures else {})
