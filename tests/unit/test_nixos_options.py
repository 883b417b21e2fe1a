# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.closure.nixos.plugins.module_utils._build.nixos_options import (
    Options,
    options_goal,
    problems_of,
    values_of,
)
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError

PROBLEMS: dict[str, tuple[str, dict[str, t.Any], str]] = {
    "near": (
        'networking.firewal."a.b"',
        {"missing": "firewal", "among": ["firewall", "hostName"]},
        'Did you mean networking.firewall."a.b"?',
    ),
    "far": ("zzz", {"missing": "zzz", "among": ["a", "b"]}, "there are: a, b."),
    "a set": ("a", {"among": ["b", "c"]}, "a is not an option but a set of them: b, c."),
    "a function": ("a", {"problem": "a function at .0"}, "it holds a function at .0"),
}


@pytest.mark.parametrize(("option", "found", "said"), PROBLEMS.values(), ids=PROBLEMS)
def test_an_option_without_a_value_is_explained(
    option: str, found: dict[str, t.Any], said: str
) -> None:
    options = Options({option: found, "good": {"value": None}})
    (problem,) = problems_of(options)
    assert said in problem
    assert values_of(options) == {"good": None}


def test_an_answer_belongs_to_the_option_that_was_asked() -> None:
    goal = options_goal(["a", "b"], details=False)
    assert goal.read([{"value": 1}, {"value": 2}]) == Options(
        {"a": {"value": 1}, "b": {"value": 2}}
    )


def test_what_is_no_name_is_refused() -> None:
    with pytest.raises(ClosureError, match="is no attribute path"):
        options_goal(['a."b'], details=False)
