# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: the variables of the role deploy, as what they mean.

Ansible checks a role's variables by its argument spec and leaves them as they are: the ``false`` of
``-e``, of an INI inventory or of a survey is a text, and a text is true. Here they become values.
"""

from __future__ import annotations

import json
import typing as t

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.closure.nixos.plugins.module_utils._deploy.action import Action
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._specs import with_lists

Options = dict[str, t.Any]

_PREFIX = "deploy_"
# The least that a number may be: a trial of no seconds would be no trial.
_LEAST = {
    "confirm_timeout": 1,
    "check_timeout": 1,
    "activation_timeout": 1,
    "reboot_timeout": 1,
    "confirm_port": 1,
    "keep": 1,
    "bwlimit": 0,
    "history": 0,
    "min_healthy": 0,
}


# Files of tasks of the user's, by when they run. Those of a batch or a run belong to several hosts.
HOOKS = tuple(f"{when}_{what}" for when in ("before", "after") for what in ("run", "batch", "host"))
_SHARED = tuple(name for name in HOOKS if not name.endswith("_host"))


def read_options(spec: dict[str, t.Any], given: dict[str, t.Any]) -> Options:
    """Return all options of the role, without the prefix of their names, with their types.

    ``deploy_path`` is either ``path``, of a store, or ``archive``. ``secrets`` and ``only_checks``
    are no variables of the role, and false.

    :param spec: the ``options`` of the role's argument spec
    :param given: the variables that there are; an empty text means that nobody has said anything
    :raises ClosureError: values that do not fit, all of them
    """
    said = {name: value for name, value in given.items() if value is not None and value != ""}
    checked = ArgumentSpecValidator(spec).validate(with_lists(spec, said))
    if checked.error_messages:
        raise ClosureError(_refusal(checked.error_messages))
    found = checked.validated_parameters
    options = {name.removeprefix(_PREFIX): found.get(name) for name in spec} | {"archive": None}
    options |= {"secrets": False, "only_checks": False}
    if options["path"] and not options["path"].startswith("/nix/store/"):
        options |= {"path": None, "archive": options["path"]}
    if problems := [*_too_small(options), *_contradictions(options)]:
        raise ClosureError(_refusal(problems))
    return options


def check_secrets(given: t.Any) -> None:
    """Refuse ``deploy_secrets`` that are no dictionary, without a word of what they are.

    :raises ClosureError: they are none, and no text of JSON that says one
    """
    try:
        said = json.loads(given) if isinstance(given, str) and given else given
    except ValueError:
        said = given
    if not isinstance(said or {}, dict):
        raise ClosureError(_refusal(["deploy_secrets has to be a dictionary of secrets"]))


def checked_spec(written: dict[str, t.Any]) -> dict[str, t.Any]:
    """Return the options of the role's argument spec as they are checked here.

    They are without those that nobody may see, because what is returned is shown and kept, and
    without words for people, because each validation copies all.
    """
    return {
        name: _without_words(_with_elements(option))
        for name, option in written.items()
        if not option.get("no_log")
    }


def _with_elements(option: dict[str, t.Any]) -> dict[str, t.Any]:
    """Return a list of dictionaries as one; Ansible is told raw, or it would refuse a text."""
    is_list = option["type"] == "list" and "options" in option
    return option | {"elements": "dict"} if is_list else option


def _without_words(spec: dict[str, t.Any]) -> dict[str, t.Any]:
    return {
        key: _without_words(it) if isinstance(it, dict) else it
        for key, it in spec.items()
        if key != "description"
    }


def without_hooks(options: Options) -> Options:
    """Return options for a run that changes no host, so that nothing is to be drained for it."""
    return options | {name: [] for name in HOOKS}


def steps(options: Options, tried: list[str], announced: bool = False) -> list[str]:
    """Return the files of tasks for a host that gets another system, in their order.

    :param tried: those for a system that runs and is to be looked at
    :param announced: whether an earlier batch has run what comes before the run
    """
    if options["only_checks"]:
        return list(options["checks"])
    if options["stop_after"] == "build":
        return profiles(options)
    if options["stop_after"] == "copy":
        return ["copy.yml", *profiles(options)]
    prepare = ["prepare_secrets.yml"] if options["secrets"] else []
    before = [*_named(options, "before_batch"), *options["before_host"]]
    if not announced:
        before = [*_named(options, "before_run"), *before]
    return ["copy.yml", *profiles(options), *before, *prepare, *_way(options, tried)]


def profiles(options: Options) -> list[str]:
    """Return the files of tasks that bring a host its other profiles, without activating them."""
    if not options["profiles"]:
        return []
    bring = [] if options["stop_after"] == "build" else ["profiles_copy.yml"]
    return ["profiles_build.yml", *bring]


def live(options: Options) -> list[str]:
    """Return those for what follows when a host runs its system: secrets, and other profiles."""
    put = ["put_secrets.yml"] if options["secrets"] else []
    return [*put, *(["profiles_activate.yml"] if options["profiles"] else [])]


def in_order(files: list[str]) -> list[list[str]]:
    """Return each file behind all that come before it, for a loop of include_tasks.

    Ansible includes what several hosts ask for once, where the first of them asks for it. So a host
    with another file between two others would get that last: its check after its confirmation.
    Only what has the same past is the same.
    """
    return [files[: number + 1] for number in range(len(files))]


def end(options: Options) -> list[str]:
    """Return the files of tasks for the end of a host's deployment, however it went."""
    # A host serves again before the next one is taken out, whatever all roll back to later.
    together = options["rollback_scope"] == "batch" and not options["stop_after"]
    now = [*(["together.yml"] if together else []), *_named(options, "after_host")]
    now += _named(options, "after_batch")
    return now if options["finish_later"] else [*now, *finish(options)]


def end_left(options: Options) -> list[str]:
    """Return those for a host that was left as it is: the run may end with it.

    They are all of them, as hosts with other tasks would not wait for each other.
    """
    return end(options) if options["after_run"] else []


def finish(options: Options) -> list[str]:
    """Return those of them that wait until nothing rolls back any more."""
    record = ["leave_record.yml"] if options["history"] else []
    keep = ["keep.yml"] if options["keep"] else []
    retain = ["retain.yml"] if options["retention"] else []
    old = [] if options["stop_after"] else [*keep, *retain]
    return [*record, *old, *_named(options, "after_run")]


def steps_there(options: Options) -> list[str]:
    """Return the files of tasks for a host that has its system already."""
    brought = [*profiles(options), *([] if options["stop_after"] else live(options))]
    # The role ends there where nothing comes after it.
    ends = not (brought or end_left(options) or options["finish_later"])
    return ["unchanged.yml"] if ends else brought


def with_reboot(options: Options, tried: list[str]) -> list[str]:
    """Return how a host comes to run a system by a reboot."""
    return [*([] if options["confirm"] else ["record.yml"]), "reboot.yml", *tried]


def without_reboot(options: Options, tried: list[str]) -> list[str]:
    """Return how a host comes to run, or boot later, a system that it has."""
    # With boot, nothing of the system runs that could be tried.
    action = Action(options["action"])
    if not action.runs_now:
        return ["plain.yml"]
    if not options["confirm"]:
        return ["plain.yml", *live(options)]
    if confirms_at_once(options, tried):
        return ["trial.yml"]
    return ["auto.yml"] if action is Action.AUTO else ["trial.yml", *tried]


def confirms_at_once(options: Options, tried: list[str]) -> bool:
    """Whether the task that activates a system confirms it too: nothing is to be done between.

    Hosts that roll back together are confirmed when all of them run, and one that moves to another
    address is confirmed there.
    """
    moves = options["confirm_host"] or options["confirm_port"]
    here = options["confirm_connection"] == "new" and not moves
    alone = options["rollback_scope"] == "host" and tried == ["confirm.yml"]
    boots = Action(options["action"]) in (Action.SWITCH, Action.AUTO)
    return bool(options["confirm"] and boots and alone and here)


def _named(options: Options, hook: str) -> list[str]:
    """Return the file of the role that runs the files of a hook."""
    return [f"{hook}.yml"] if options[hook] else []


def _way(options: Options, tried: list[str]) -> list[str]:
    if Action(options["action"]) is Action.REBOOT or options["reboot"] == "always":
        return with_reboot(options, tried)
    if options["reboot"] == "required":
        return ["required.yml"]
    return without_reboot(options, tried)


def check_play(options: Options, strategy: str, run_once: bool) -> None:
    """Refuse a play that cannot keep what the options promise.

    :raises ClosureError: what is wrong with it
    """
    if run_once:
        raise ClosureError(
            "run_once would deploy one host and say of all that they are deployed. Take it away "
            "from the play, block or role, and use --limit for one host. "
            "No host was changed."
        )
    scope = options["rollback_scope"]
    if scope != "host" and strategy.endswith(("free", "host_pinned")):
        raise ClosureError(
            f"deploy_rollback_scope: {scope} needs the strategy linear, and this play has "
            f"{strategy}: its hosts do not wait for each other, so that one is done before another "
            "fails. Set strategy: linear, or deploy_rollback_scope: host. No host was changed."
        )
    shared = [f"{_PREFIX}{name}" for name in _SHARED if options[name]]
    if shared and strategy.endswith(("free", "host_pinned")):
        raise ClosureError(
            f"{shared[0]} needs the strategy linear, and this play has {strategy}: its hosts do "
            "not wait for each other, so that it has no batches. Set strategy: linear, or use "
            "deploy_before_host and deploy_after_host. No host was changed."
        )


def scope_of(options: Options, at_once: bool) -> str:
    """Return who rolls back together; with one batch, that is the run.

    :param at_once: whether the play has no other batch
    :raises ClosureError: nobody would roll back the hosts of other batches
    """
    scope = str(options["rollback_scope"])
    if scope != "run" or options["finish_later"]:
        return scope
    if at_once:
        return "batch"
    raise ClosureError(
        "deploy_rollback_scope: run needs a second play when there are batches, because a play "
        "knows nothing of its batches any more. Use the playbook closure.nixos.deploy with "
        "-e deploy_serial, which has it, or deploy_rollback_scope: batch. No host was changed."
    )


def _too_small(options: Options) -> t.Iterator[str]:
    for name, least in _LEAST.items():
        value = options[name]
        if value is not None and value < least:
            yield f"{_PREFIX}{name} has to be at least {least}, and is {value}"


def _contradictions(options: Options) -> t.Iterator[str]:
    action, reboot = Action(options["action"]), options["reboot"]
    if reboot != "never" and action.excludes_reboot:
        yield f"deploy_reboot: {reboot} and deploy_action: {action.value} contradict each other"
    word = options["specialisation"]
    boots = action.may_boot or reboot != "never"
    if boots and word not in ("keep", "none"):
        yield (
            f"deploy_specialisation: {word} needs deploy_action switch or test and no reboot, "
            "because a host boots the system itself"
        )
    given = options["path"] or options["archive"]
    if given and options["stop_after"] == "build":
        yield "deploy_path is built already, so deploy_stop_after: build leaves nothing to do"


def _refusal(problems: t.Iterable[str]) -> str:
    return f"{'. '.join(problems)}. No host was changed."
