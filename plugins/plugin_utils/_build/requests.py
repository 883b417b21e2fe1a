# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: what actions share that evaluate systems, once for many hosts."""

from __future__ import annotations

import abc
import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import typing as t

from ansible.errors import AnsibleConnectionFailure
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.parsing.vault import VaultHelper
from ansible.template import Templar
from ansible_collections.closure.nixos.plugins.module_utils._build.build_options import (
    EvaluationOptions,
)
from ansible_collections.closure.nixos.plugins.module_utils._build.inputs import (
    NAMES,
    Absolute,
    Asked,
    Inputs,
)
from ansible_collections.closure.nixos.plugins.module_utils._build.request import Request
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError, as_result
from ansible_collections.closure.nixos.plugins.module_utils._specs import INPUTS, misfits
from ansible_collections.closure.nixos.plugins.plugin_utils._build.evaluation import (
    Evaluator,
    Outcome,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._build.source import (
    bring_source,
    refuse_home,
    tree_of,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._host.action import ClosureAction
from ansible_collections.closure.nixos.plugins.plugin_utils._host.connections import variables_of
from ansible_collections.closure.nixos.plugins.plugin_utils._host.host import Host

Outcomes = dict[str, Outcome]
Requests = dict[str, Request | str]
# Takes the outcome of a host before all are done.
Ready = t.Callable[[str, Outcome], None]
Options = t.TypeVar("Options")


class _TakenError(Exception):
    """A host need not wait for all: its own outcome is there."""

    def __init__(self, name: str, outcome: Outcome) -> None:
        super().__init__(name)
        self.name = name
        self.outcome = outcome


class RequestsAction(ClosureAction, t.Generic[Options]):
    """Ask for all hosts that are named, once in a run, and return what is this host's."""

    def ask(self, asked: Asked, host: Host, options: Options) -> Outcome:
        """Return this host's outcome, or those of `systems`.

        The first task of a run that gets the lock asks for all; the others find its result, a
        failure as well.

        :param host: the build host, :param options: what else the task says
        """
        sources = _Sources(self, host, asked)
        make = self._named if asked.systems else self._for_hosts
        requests = functools.cache(functools.partial(make, asked, sources.absolute))

        def answer(name: str) -> Outcomes:
            evaluator = self._evaluator(host, options, sources, requests())
            ready = functools.partial(self._tell, name) if self._goes_alone(asked) else None
            return self._answer(evaluator, options, requests(), ready)

        words = (type(self).__module__, host.name, self.check, options)
        own = self._own(asked, sources.absolute)
        ask = functools.partial(self._told, host, options, answer)
        try:
            outcomes = self._answers(asked, own, words, requests, ask)
        except _TakenError as taken:
            outcomes = self._as_first(options, taken.name, {self._name: taken.outcome})
        if asked.systems:
            return _together(outcomes)
        if asked.all_or_none:
            _require_all(outcomes, self._name)
        return outcomes[self._name]

    def _answers(
        self,
        asked: Asked,
        own: Request | None,
        words: tuple[t.Any, ...],
        requests: t.Callable[[], Requests],
        ask: t.Callable[[str], Outcomes],
    ) -> Outcomes:
        """Return the answers to all requests, which are kept by a name of what was asked.

        To tell what all hosts ask takes the variables of all. So the first one keeps it, and one that
        finds its own request there asks no other.

        :param ask: returns those of a name, and makes them if there are none
        """
        if own is None:
            return ask(f"systems-{_key(words, requests())}")
        mine, lock = _key(own), f"asked-{_key(words, self._task._uuid, asked.hosts)}"
        look = functools.partial(self._look, lock, mine) if self._goes_alone(asked) else None
        with self.task_run.locked(lock, look) as kept:
            known = json.loads(kept.read_text("utf-8")) if kept.exists() else None
            if not known or known["hosts"].get(self._name) != mine:
                name = f"systems-{_key(words, requests())}"
                if not known:
                    hosts = {host: _key(request) for host, request in requests().items()}
                    _write(kept, {"answers": name, "hosts": hosts})
                # Another one that was faster would have to find out once more what all ask.
                return ask(name)
        return ask(str(known["answers"]))

    def _told(
        self, host: Host, options: Options, answer: t.Callable[[str], Outcomes], name: str
    ) -> Outcomes:
        """Return the answers of that name."""
        outcomes = self.kept(host, name, functools.partial(answer, name))
        return self._as_first(options, name, outcomes)

    def _as_first(self, options: Options, name: str, outcomes: Outcomes) -> Outcomes:
        """Return the answers of that name; a later task of the same host did nothing for them."""
        if self.task_run.is_first(name, self._name):
            return outcomes
        return {each: self.again(options, it) for each, it in outcomes.items()}

    def _goes_alone(self, asked: Asked) -> bool:
        """Whether hosts of the play go on each for itself, so that one need not wait for all."""
        strategy = str(self._task.get_play().strategy)
        return strategy.endswith(("free", "host_pinned")) and not asked.all_or_none

    def _tell(self, name: str, host: str, outcome: Outcome) -> None:
        """Have a host's task find its own among the answers of that name, while they are made."""
        _write(self._place(name, host), outcome)

    def _look(self, lock: str, mine: str) -> None:
        """Look for it, while another task makes them.

        :raises _TakenError: it is there
        """
        known = _read(self.task_run.directory / lock)
        if known and known["hosts"].get(self._name) == mine:
            name = str(known["answers"])
            if outcome := _read(self._place(name, self._name)):
                raise _TakenError(name, outcome)

    def _place(self, name: str, host: str) -> pathlib.Path:
        return self.task_run.directory / f"{name}-{_key(host)}"

    def _own(self, asked: Asked, absolute: Absolute) -> Request | None:
        """Return what the task's own host asks; None where the task speaks of no host."""
        if asked.systems:
            return None
        self._refuse_vaulted(asked.inputs, asked)
        return asked.inputs.request(self._name, absolute)

    def roots(self, host: Host, path: str | None) -> str:
        """Return the directory for links on the build host, empty for the default.

        :raises ClosureError: it is relative there
        """
        if path and host.is_here:
            return str(self._loader.path_dwim(path))
        if not path or path.startswith(("/", "~/")):
            return path or ""
        raise ClosureError(
            f"roots has to be a whole path on {host.name} or begin with ~/, and is {path}."
        )

    @abc.abstractmethod
    def evaluation(self, options: Options) -> EvaluationOptions:
        """Return how to evaluate."""

    @abc.abstractmethod
    def answer(
        self,
        evaluator: Evaluator,
        options: Options,
        requests: dict[str, Request],
        ready: Ready | None,
    ) -> Outcomes:
        """Return the outcome of each host; a host that fails has its failure as outcome.

        :param ready: gets those of hosts that need not wait for the others
        """

    def again(self, options: Options, outcome: Outcome) -> Outcome:
        """Return an outcome as it is when everything is done already."""
        return outcome

    def _evaluator(
        self, host: Host, options: Options, sources: _Sources, requests: Requests
    ) -> Evaluator:
        directory = "/"
        if any(isinstance(it, Request) and "expression" in it.source for it in requests.values()):
            directory = sources.absolute(self._loader.get_basedir())
        how = self.evaluation(options)
        return Evaluator(host, self.progress(), how, directory, sources.origin)

    def _answer(
        self, evaluator: Evaluator, options: Options, requests: Requests, ready: Ready | None
    ) -> Outcomes:
        asked = {host: it for host, it in requests.items() if isinstance(it, Request)}
        unasked = {host: it for host, it in requests.items() if isinstance(it, str)}
        failures: Outcomes = {host: {"failed": True, "msg": it} for host, it in unasked.items()}
        return failures | (
            self.answer(evaluator, options, asked, ready) if asked else {}
        )

    def kept(self, host: Host, name: str, make: t.Callable[[], t.Any]) -> t.Any:
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

    def _for_hosts(self, asked: Asked, absolute: Absolute) -> Requests:
        own = {self._name: asked.inputs.request(self._name, absolute)}
        others = [host for host in asked.hosts if host != self._name]
        return own | {host: self._request_of(host, absolute) for host in others}

    def _named(self, asked: Asked, absolute: Absolute) -> Requests:
        """Return the requests of `systems`: what the task says, and each of them for itself."""
        return {
            name: self._named_one(asked, name, own, absolute)
            for name, own in asked.systems.items()
        }

    def _named_one(
        self, asked: Asked, name: str, own: t.Any, absolute: Absolute
    ) -> Request | str:
        """Return the request of one of `systems`, or why there is none."""
        if not isinstance(own, dict) or not own.keys() <= NAMES:
            names = ", ".join(sorted(NAMES))
            return f"It has to be a dictionary in systems, with nothing else than {names}."
        try:
            inputs = dataclasses.replace(asked.inputs, **_validated_inputs(own))
            self._refuse_vaulted(inputs, asked)
            return inputs.request(name, absolute)
        except ClosureError as error:
            return str(error)

    def _request_of(self, host: str, absolute: Absolute) -> Request | str:
        """Return what this task would ask on another host, or why that cannot be told."""
        templar = Templar(loader=self._loader, variables=variables_of(self, self.task_vars, host))
        try:
            asked = Asked.of(self.validated(self._task.args | templar.template(self._written_args())))
            self._refuse_vaulted(asked.inputs, asked)
            return asked.inputs.request(host, absolute)
        except Exception as error:  # whatever a host's variables hold: it is that host's failure
            return f"{host}: {str(error).removeprefix(f'{host}: ')}"

    def _refuse_vaulted(self, inputs: Inputs, asked: Asked) -> None:
        """Refuse what a vault held, which would be for all to read in the store.

        :raises ClosureError: there is such a value
        """
        values = {"args": inputs.args, "configuration": inputs.configuration}
        place = next((it for name in values if (it := _vaulted(name, values[name]))), None)
        if place and not asked.args_may_be_public:
            raise ClosureError(
                f"{place} is encrypted by Ansible Vault, and what Nix evaluates may come into the "
                "store, which all users of a host can read. Bring it to the host as a secret, or "
                "set args_may_be_public: true if all may know it."
            )

    def _written_args(self) -> dict[str, t.Any]:
        """Return what says which system is meant as it was written, not templated for its own host.

        The other arguments may name what another host, of a later batch, does not have yet.
        """
        written = self._task.get_ds()
        name = str(self._task.resolved_action or self._task.action)
        names = {self._task.action, name, name.rpartition(".")[2]}
        blocks = [written[key] for key in ("args", *names) if written.get(key)]
        given = {option: value for block in blocks for option, value in block.items()}
        return {option: value for option, value in given.items() if option in NAMES}


class _Sources:
    """Where the files of a task are on its build host."""

    def __init__(self, action: RequestsAction[t.Any], host: Host, asked: Asked) -> None:
        self._action = action
        self._host = host
        self._asked = asked
        #: a directory there, and where on the controller it is from
        self.origin: dict[str, str] = {}
        if asked.source and not host.is_here:
            self._bring(self._here(asked.source))

    def absolute(self, path: str) -> str:
        """Return a path of the task as one of the build host, where it is brought if need be."""
        full = os.path.normpath(self._here(path))
        if self._host.is_here:
            return full
        if (there := self._there(full)) is None and self._asked.bring_source:
            if tree := tree_of(full):
                self._bring(tree)
                there = self._there(full)
        if there is None:
            refuse_home(self._host, path)
        return there or full

    def _here(self, path: str) -> str:
        return str(self._action._loader.path_dwim(path))

    def _there(self, full: str) -> str | None:
        for there, root in self.origin.items():
            if pathlib.Path(full).is_relative_to(root):
                return str(there / pathlib.Path(full).relative_to(root))
        return None

    def _bring(self, root: str) -> None:
        """Bring a directory there, once in a run."""
        name = f"source-{_key(self._host.name, root)}"
        make = functools.partial(bring_source, self._host, pathlib.Path(root))
        self.origin[self._action.kept(self._host, name, make)] = root


def _write(file: pathlib.Path, content: object) -> None:
    """Write it in one step: others read it while it is written."""
    new = file.with_name(f"{file.name}.new")
    new.write_text(json.dumps(content, default=str), encoding="utf-8")
    new.replace(file)


def _read(file: pathlib.Path) -> dict[str, t.Any] | None:
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None


def _validated_inputs(own: dict[str, t.Any]) -> dict[str, t.Any]:
    """Return what one of `systems` says, in its types."""
    result = ArgumentSpecValidator(argument_spec=INPUTS).validate(own)
    if result.error_messages:
        raise ClosureError(misfits(result))
    return {name: result.validated_parameters[name] for name in own}


def _vaulted(place: str, value: t.Any) -> str | None:
    """Return where in a value there is one that was decrypted by Ansible Vault."""
    if VaultHelper.get_ciphertext(value, with_tags=False):
        return place
    inner: t.Iterable[tuple[t.Any, t.Any]] = ()
    if isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, list):
        inner = enumerate(value)
    found = (_vaulted(f"{place}.{key}", each) for key, each in inner)
    return next((it for it in found if it), None)


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


def _key(*words: t.Any) -> str:
    text = json.dumps(words, sort_keys=True, default=dataclasses.asdict)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _require_all(outcomes: Outcomes, name: str) -> None:
    """Refuse what one host has when others have nothing; a failure of its own is said as ever.

    :raises ClosureError: which hosts have nothing
    """
    failed = [host for host, outcome in outcomes.items() if outcome.get("failed")]
    if failed and name not in failed:
        raise ClosureError(
            f"{name} is left as it is, because require is all, and these hosts have no system: "
            f"{', '.join(failed)}. Their own messages say why."
        )


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
