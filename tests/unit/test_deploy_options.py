# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The variables of the role deploy, as texts and as values, and what is refused."""

from __future__ import annotations

import json
import pathlib
import typing as t

import pytest
import yaml
from ansible_collections.closure.nixos.plugins.module_utils._deploy.options import (
    HOOKS,
    check_play,
    check_secrets,
    checked_spec,
    confirms_at_once,
    end,
    end_left,
    finish,
    live,
    read_options,
    scope_of,
    steps,
    steps_there,
    without_hooks,
)
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError

ROLE = pathlib.Path(__file__).parents[2] / "roles/deploy"
ROLE_SPEC: dict[str, dict[str, t.Any]] = yaml.safe_load(
    (ROLE / "meta/argument_specs.yml").read_text()
)["argument_specs"]["main"]["options"]
# Secrets are no options: what is returned of these is shown.
SPEC = checked_spec(ROLE_SPEC)
DEFAULTS: dict[str, t.Any] = yaml.safe_load((ROLE / "defaults/main.yml").read_text())
SECRETS = DEFAULTS.pop("deploy_secrets")
OTHER_PROFILES = [{"attr": "a", "name": "x"}, {"attr": "b", "command": ["run", "now"]}]
TRIED = ["/infra/health.yml", "confirm.yml"]


def options(**given: object) -> dict[str, t.Any]:
    return read_options(SPEC, DEFAULTS | given)


def values(name: str) -> list[t.Any]:
    """Values of an option's type, all that it has or some."""
    spec = SPEC[name]
    if "choices" in spec:
        return list(spec["choices"])
    some: dict[str, list[t.Any]] = {
        "bool": [True, False],
        "int": [7, 90],
        "str": ["a b"],
        "list": [["a.yml", "b.yml"]],
        "dict": [{"keep": 5, "keep_since": "30d"}],
    }
    return [OTHER_PROFILES] if spec.get("elements") == "dict" else some[spec["type"]]


def texts(value: t.Any) -> list[str]:
    """A value as ``-e``, INI and surveys have it."""
    if isinstance(value, dict):
        return [json.dumps(value)]
    if isinstance(value, list):
        commas = [] if isinstance(value[0], dict) else [",".join(value)]
        return [json.dumps(value), *commas]
    return [str(value)]


CASES = [(name, value) for name in SPEC for value in values(name)]


@pytest.mark.parametrize(("name", "value"), CASES)
def test_a_text_is_the_value_that_it_says(name: str, value: t.Any) -> None:
    # A path is either of a store or on the controller.
    short = name.removeprefix("deploy_") if name != "deploy_path" else "archive"
    for said in (value, *texts(value)):
        found = options(**{name: said})[short]
        if value == OTHER_PROFILES:
            found = [{key: it for key, it in each.items() if it is not None} for each in found]
        assert found == value


@pytest.mark.parametrize("text", ["false", "no", "False", "0", "off"])
def test_a_text_that_says_no_is_false(text: str) -> None:
    assert options(deploy_confirm=text)["confirm"] is False
    assert steps(options(deploy_confirm=text), TRIED) == ["copy.yml", "plain.yml"]


@pytest.mark.parametrize("name", [name for name in SPEC if SPEC[name]["type"] != "str"])
def test_what_is_no_value_is_refused_by_name(name: str) -> None:
    nonsense = {"a": 1} if SPEC[name]["type"] == "list" else "perhaps"
    with pytest.raises(ClosureError, match=rf"{name}.*No host was changed\.$"):
        options(**{name: nonsense})


@pytest.mark.parametrize("name", [name for name in SPEC if "choices" in SPEC[name]])
def test_another_word_is_refused_by_name(name: str) -> None:
    with pytest.raises(ClosureError, match=f"{name} must be one of: .*got: perhaps"):
        options(**{name: "perhaps"})


@pytest.mark.parametrize(
    "name", ["deploy_confirm_timeout", "deploy_check_timeout", "deploy_keep", "deploy_confirm_port"]
)
def test_a_number_that_would_undo_a_promise_is_refused(name: str) -> None:
    with pytest.raises(ClosureError, match=f"{name} has to be at least 1, and is 0"):
        options(**{name: "0"})


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(ClosureError, match=r"deploy_confirm_timeout.*deploy_keep"):
        options(deploy_confirm_timeout=0, deploy_keep=0)


def test_an_empty_text_says_nothing() -> None:
    empty = dict.fromkeys(SPEC, "")
    assert options(**empty) == options()


def test_the_defaults_are_those_that_are_documented() -> None:
    documented = {name: spec["default"] for name, spec in SPEC.items() if "default" in spec}
    assert documented == DEFAULTS


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ["copy.yml", "trial.yml", *TRIED]),
        ({"deploy_stop_after": "build"}, []),
        ({"deploy_stop_after": "copy"}, ["copy.yml"]),
        ({"deploy_confirm": False}, ["copy.yml", "plain.yml"]),
        ({"deploy_action": "boot"}, ["copy.yml", "plain.yml"]),
        ({"deploy_action": "auto"}, ["copy.yml", "auto.yml"]),
        ({"deploy_action": "reboot"}, ["copy.yml", "reboot.yml", *TRIED]),
        ({"deploy_reboot": "required"}, ["copy.yml", "required.yml"]),
        ({"deploy_reboot": "always"}, ["copy.yml", "reboot.yml", *TRIED]),
        (
            {"deploy_action": "reboot", "deploy_confirm": False},
            ["copy.yml", "record.yml", "reboot.yml", *TRIED],
        ),
    ],
)
def test_the_steps_of_a_deployment(given: dict[str, t.Any], expected: list[str]) -> None:
    found = steps(options(**given), TRIED)
    assert found == expected
    for step in found:
        assert step in TRIED or (ROLE / "tasks" / step).exists()


ALONE = ["confirm.yml"]


@pytest.mark.parametrize(
    ("given", "tried", "at_once"),
    [
        ({}, ALONE, True),
        ({"deploy_action": "auto"}, ALONE, True),
        # Only what boots is made the boot default.
        ({"deploy_action": "test"}, ALONE, False),
        ({"deploy_action": "boot"}, ALONE, False),
        ({"deploy_confirm": False}, ALONE, False),
        # Something comes between: a check, hosts that wait for each other, another address.
        ({}, TRIED, False),
        ({}, ["put_secrets.yml", *ALONE], False),
        ({"deploy_rollback_scope": "batch"}, ALONE, False),
        ({"deploy_confirm_host": "192.0.2.7"}, ALONE, False),
        ({"deploy_confirm_port": 2222}, ALONE, False),
        ({"deploy_confirm_connection": "any"}, ALONE, False),
    ],
)
def test_who_has_nothing_to_check_confirms_at_once(
    given: dict[str, t.Any], tried: list[str], at_once: bool
) -> None:
    asked = options(**given)
    assert confirms_at_once(asked, tried) is at_once
    assert ("confirm.yml" in steps(asked, tried)) is (
        not at_once and asked["confirm"] and asked["action"] != "boot"
    )


def test_a_reboot_is_confirmed_after_it() -> None:
    asked = options(deploy_reboot="always")
    assert steps(asked, ALONE) == ["copy.yml", "reboot.yml", "confirm.yml"]


@pytest.mark.parametrize(
    ("given", "at_the_end", "later"),
    [
        ({}, ["leave_record.yml"], ["leave_record.yml"]),
        ({"deploy_history": 0}, [], []),
        ({"deploy_finish_later": True}, [], ["leave_record.yml"]),
        (
            {"deploy_rollback_scope": "batch"},
            ["together.yml", "leave_record.yml"],
            ["leave_record.yml"],
        ),
        ({"deploy_keep": 5}, ["leave_record.yml", "keep.yml"], None),
        ({"deploy_retention": {"keep": 5}}, ["leave_record.yml", "retain.yml"], None),
        (
            {"deploy_retention": {"keep": 5}, "deploy_keep": 5, "deploy_stop_after": "copy"},
            ["leave_record.yml"],
            None,
        ),
        (
            {"deploy_retention": {"keep": 5}, "deploy_finish_later": True},
            [],
            ["leave_record.yml", "retain.yml"],
        ),
    ],
)
def test_what_waits_until_nothing_rolls_back(
    given: dict[str, t.Any], at_the_end: list[str], later: list[str] | None
) -> None:
    assert end(options(**given)) == at_the_end
    assert finish(options(**given)) == (at_the_end if later is None else later)
    assert all((ROLE / "tasks" / step).exists() for step in finish(options(**given)))


@pytest.mark.parametrize("action", ["boot", "auto", "reboot"])
def test_no_host_boots_a_specialisation(action: str) -> None:
    assert options(deploy_action=action)["specialisation"] == "keep"
    with pytest.raises(ClosureError, match="deploy_specialisation: night needs deploy_action"):
        options(deploy_action=action, deploy_specialisation="night")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ["copy.yml", "prepare_secrets.yml", "trial.yml", *TRIED]),
        (
            {"deploy_confirm": False},
            ["copy.yml", "prepare_secrets.yml", "plain.yml", "put_secrets.yml"],
        ),
        ({"deploy_action": "boot"}, ["copy.yml", "prepare_secrets.yml", "plain.yml"]),
        ({"deploy_stop_after": "copy"}, ["copy.yml"]),
    ],
)
def test_secrets_stand_around_the_activation(given: dict[str, t.Any], expected: list[str]) -> None:
    found = steps(options(**given) | {"secrets": True}, TRIED)
    assert found == expected
    assert all(step in TRIED or (ROLE / "tasks" / step).exists() for step in found)


@pytest.mark.parametrize("stop", [None, "build", "copy"])
def test_a_host_with_its_system_gets_its_secrets_unless_nothing_shall_change(
    stop: str | None,
) -> None:
    given = options(deploy_stop_after=stop)
    assert steps_there(given) == ["unchanged.yml"]
    found = steps_there(given | {"secrets": True})
    assert found == (["unchanged.yml"] if stop else ["put_secrets.yml"])


@pytest.mark.parametrize(
    "given",
    [
        {"deploy_finish_later": True},
        {"deploy_after_run": ["tell.yml"]},
    ],
)
def test_a_host_with_its_system_stays_where_something_comes_after(given: dict[str, t.Any]) -> None:
    assert steps_there(options(**given)) == []


PROFILES = ["profiles_build.yml", "profiles_copy.yml"]


@pytest.mark.parametrize(
    ("given", "expected", "there"),
    [
        ({}, ["copy.yml", *PROFILES, "trial.yml", *TRIED], [*PROFILES, "profiles_activate.yml"]),
        (
            {"deploy_confirm": False},
            ["copy.yml", *PROFILES, "plain.yml", "profiles_activate.yml"],
            [*PROFILES, "profiles_activate.yml"],
        ),
        ({"deploy_stop_after": "copy"}, ["copy.yml", *PROFILES], PROFILES),
        ({"deploy_stop_after": "build"}, PROFILES[:1], PROFILES[:1]),
    ],
)
def test_other_profiles_are_copied_before_the_host_is_changed(
    given: dict[str, t.Any], expected: list[str], there: list[str]
) -> None:
    asked = options(**given) | {"profiles": [{"path": "/nix/store/x"}]}
    assert (steps(asked, TRIED), steps_there(asked)) == (expected, there)
    assert all(step in TRIED or (ROLE / "tasks" / step).exists() for step in expected)


def test_with_boot_other_profiles_wait_for_the_reboot() -> None:
    asked = options(deploy_action="boot") | {"profiles": [{"path": "/nix/store/x"}]}
    assert steps(asked, TRIED) == ["copy.yml", *PROFILES, "plain.yml"]


def test_what_runs_comes_with_its_secrets_and_then_its_profiles() -> None:
    asked = options() | {"secrets": True, "profiles": [{"path": "/nix/store/x"}]}
    assert live(asked) == ["put_secrets.yml", "profiles_activate.yml"]


def test_a_run_of_one_batch_rolls_back_as_a_batch() -> None:
    run = options(deploy_rollback_scope="run")
    assert scope_of(run, at_once=True) == "batch"
    assert scope_of(run | {"finish_later": True}, at_once=False) == "run"
    assert scope_of(options(), at_once=False) == "host"
    with pytest.raises(ClosureError, match=r"a second play .* -e deploy_serial"):
        scope_of(run, at_once=False)


@pytest.mark.parametrize("given", [None, "", {}, {"a": {"content": "b"}}, '{"a": {}}'])
def test_secrets_are_a_dictionary(given: t.Any) -> None:
    check_secrets(given)


@pytest.mark.parametrize("given", ["s3cret", "s3cret=x", ["s3cret"], '["s3cret"]', 7])
def test_what_is_none_is_refused_without_a_word_of_it(given: t.Any) -> None:
    with pytest.raises(ClosureError, match="deploy_secrets has to be a dictionary") as refused:
        check_secrets(given)
    assert "s3cret" not in str(refused.value)


def test_secrets_are_not_among_the_options() -> None:
    assert SECRETS == {} and ROLE_SPEC.keys() - SPEC.keys() == {"deploy_secrets"}
    assert options()["secrets"] is False


@pytest.mark.parametrize("action", ["boot", "test"])
def test_an_action_that_does_not_reboot_is_not_to_reboot(action: str) -> None:
    with pytest.raises(ClosureError, match="contradict each other"):
        options(deploy_action=action, deploy_reboot="always")


@pytest.mark.parametrize("strategy", ["free", "host_pinned", "ansible.builtin.free"])
def test_hosts_that_do_not_wait_cannot_roll_back_together(strategy: str) -> None:
    check_play(options(), strategy, run_once=False)
    with pytest.raises(ClosureError, match=f"strategy linear, and this play has {strategy}"):
        check_play(options(deploy_rollback_scope="batch"), strategy, run_once=False)
    check_play(options(deploy_rollback_scope="batch"), "linear", run_once=False)


def test_one_host_is_not_deployed_in_the_name_of_all() -> None:
    with pytest.raises(ClosureError, match="run_once would deploy one host"):
        check_play(options(), "linear", run_once=True)


def test_hooks_stand_around_what_changes_a_host() -> None:
    given = options(**{f"deploy_{name}": [f"/infra/{name}.yml"] for name in HOOKS})
    first, later = steps(given, TRIED), steps(given, TRIED, announced=True)
    before = ["before_run.yml", "before_batch.yml", "/infra/before_host.yml"]
    assert first == ["copy.yml", *before, "trial.yml", *TRIED]
    assert later == ["copy.yml", *before[1:], "trial.yml", *TRIED]
    after = ["after_host.yml", "after_batch.yml"]
    assert end(given) == end_left(given) == [*after, "leave_record.yml", "after_run.yml"]
    # The next batch waits for hosts that serve again, and the run is over when all are finished.
    assert end(given | {"finish_later": True}) == after
    assert finish(given) == ["leave_record.yml", "after_run.yml"]
    # Where nobody is told of the end of the run, hosts that were left have no end.
    assert end_left(given | {"after_run": []}) == []
    there = [*before[:2], *after, "after_run.yml"]
    assert all((ROLE / "tasks" / step).exists() for step in there)
    assert steps(without_hooks(given), TRIED) == steps(options(), TRIED)
    assert end(without_hooks(given)) == end(options())


@pytest.mark.parametrize("strategy", ["free", "ansible.builtin.host_pinned"])
def test_hooks_of_several_hosts_need_hosts_that_wait(strategy: str) -> None:
    for name in HOOKS:
        given = options(**{f"deploy_{name}": ["x.yml"]})
        check_play(given, "linear", run_once=False)
        if name.endswith("_host"):
            check_play(given, strategy, run_once=False)
            continue
        with pytest.raises(ClosureError, match=f"deploy_{name} needs the strategy linear"):
            check_play(given, strategy, run_once=False)
