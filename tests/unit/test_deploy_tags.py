# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a deployment does whose tags name steps, as the command line has them."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.closure.nixos.plugins.module_utils._deploy.options import (
    HOOKS,
    end,
    end_left,
    steps,
)
from ansible_collections.closure.nixos.plugins.module_utils._deploy.tags import (
    TAGS,
    warning_of_tags,
    with_tags,
)
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.tests.unit.test_deploy_options import options

CHECKS = ["/infra/health.yml"]
HOOKED = {f"deploy_{name}": ["x.yml"] for name in HOOKS}
BUILT = {"deploy_path": "/nix/store/00000000000000000000000000000000-nixos-system-web1"}


def asked_of(only: str, skip: str) -> set[str]:
    """The tags of which tasks run, as Ansible says it of tasks with one of them each."""
    asked = set(TAGS) if not only else set(only.split(",")) & set(TAGS)
    return asked - set(skip.split(","))


def given_tags(only: str, skip: str = "", **given: t.Any) -> dict[str, t.Any]:
    before = options(deploy_checks=CHECKS, **given)
    return with_tags(before, asked_of(only, skip), set(skip.split(",")))


@pytest.mark.parametrize(
    ("only", "skip", "given", "expected"),
    [
        ("", "", {}, None),
        ("build", "", {}, "build"),
        ("copy", "", {}, "copy"),
        ("build,copy", "", {}, "copy"),
        # A step needs those before it.
        ("activate", "", {}, None),
        ("build,activate", "", {}, None),
        ("activate,check", "", {}, None),
        # Nothing is on trial that could be checked.
        ("copy,check", "", {}, "copy"),
        ("", "check", {}, None),
        ("", "activate", {}, "copy"),
        ("", "activate,check", {}, "copy"),
        ("", "copy,activate", {}, "build"),
        ("", "build", BUILT, None),
        ("copy", "", BUILT, "copy"),
        ("copy,activate", "build", BUILT, None),
        # Whoever stops earlier is heard.
        ("activate", "", {"deploy_stop_after": "build"}, "build"),
        ("copy", "", {"deploy_stop_after": "build"}, "build"),
        ("build", "", {"deploy_stop_after": "copy"}, "build"),
        ("", "", {"deploy_stop_after": "copy"}, "copy"),
    ],
)
def test_tags_say_how_far_a_deployment_goes(
    only: str, skip: str, given: dict[str, t.Any], expected: str | None
) -> None:
    found = given_tags(only, skip, **given)
    assert (found["stop_after"], found["only_checks"]) == (expected, False)


@pytest.mark.parametrize(
    ("only", "skip", "given", "message"),
    [
        ("", "build", {}, "tag build .* because activate needs .* Skip build,copy,activate to end"),
        ("", "copy", {}, "tag copy .* because activate needs .* Skip copy,activate to end"),
        ("", "build,activate", {}, "tag build .* because copy needs"),
        ("build,activate", "copy", {}, "tag copy cannot be skipped, because activate needs"),
        ("build", "", BUILT, "deploy_path is built already"),
        ("", "copy,activate", BUILT, "deploy_path is built already"),
        ("check", "", {"deploy_checks": []}, "deploy_checks names no file"),
    ],
)
def test_what_would_leave_out_a_step_in_the_middle_is_refused(
    only: str, skip: str, given: dict[str, t.Any], message: str
) -> None:
    before = options(**{"deploy_checks": CHECKS} | given)
    with pytest.raises(ClosureError, match=rf"{message}.*No host was changed\.$"):
        with_tags(before, asked_of(only, skip), set(skip.split(",")))


@pytest.mark.parametrize(("only", "skip"), [("check", ""), ("", "build,copy,activate")])
def test_the_tag_check_alone_does_nothing_but_the_checks(only: str, skip: str) -> None:
    given = {"deploy_rollback_scope": "run", "deploy_keep": 5, "deploy_min_healthy": 9}
    found = given_tags(only, skip, **HOOKED, **given)
    assert found["only_checks"]
    assert steps(found, ["confirm.yml"]) == CHECKS
    assert end(found) == end_left(found) == []


@pytest.mark.parametrize(
    ("only", "skip", "checks", "warns"),
    [
        ("", "", CHECKS, False),
        ("", "check", CHECKS, True),
        ("activate", "", CHECKS, True),
        ("activate", "", [], False),
        ("copy", "", CHECKS, False),
        ("", "activate,check", CHECKS, False),
        ("check", "", CHECKS, False),
    ],
)
def test_a_trial_without_its_checks_is_said(
    only: str, skip: str, checks: list[str], warns: bool
) -> None:
    asked = asked_of(only, skip)
    found = with_tags(options(deploy_checks=checks), asked, set(skip.split(",")))
    assert ("leave out deploy_checks" in warning_of_tags(found, asked)) is warns
