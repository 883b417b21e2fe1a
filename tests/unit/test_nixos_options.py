# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.closure.nixos.plugins.module_utils._build.evaluation import Answer
from ansible_collections.closure.nixos.plugins.module_utils._build.nixos_options import (
    option_units,
    read_options,
)
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError

PROBLEMS: dict[str, tuple[str, dict[str, t.Any], str]] = {
    "near": (
        'networking.firewal."a.b"',
        {"missing": "firewal", "among": ["firewall", "hostName"]},
        'Did you mean networking.firewall."a.b"?',
    ),
    "far": ("zzz", {"missing": "zzz", "among": ["a", "b"]}, "there are: a, b."),
    "a part of a value that has none": (
        'fileSystems."/"',
        {"missing": "/", "among": []},
        "Where / should be, there is nothing.",
    ),
    "an empty set": ("a", {"among": []}, "a set of them: an empty one."),
    "a set": ("a", {"among": ["b", "c"]}, "a is not an option but a set of them: b, c."),
    "a function": ("a", {"problem": "a function at .0"}, "it holds a function at .0"),
}


def explain(answer: Answer) -> str:
    return f"explained {answer.stderr}"


@pytest.mark.parametrize(("option", "found", "said"), PROBLEMS.values(), ids=PROBLEMS)
def test_an_option_without_a_value_is_explained(
    option: str, found: dict[str, t.Any], said: str
) -> None:
    lead, *units = option_units("h", [option, "good"], details=False)
    answers = dict(zip(units, [Answer(found, ""), Answer({"value": None}, "")], strict=True))
    options = read_options(answers | {lead: Answer({}, "")}, [lead, *units], explain)
    assert said in options.errors[option]
    assert (options.values, options.trace) == ({"good": None}, "")


def test_an_option_that_does_not_evaluate_harms_no_other() -> None:
    lead, *units = option_units("h", ["a", "b"], details=False)
    found = [Answer(None, "error", 1), Answer({"value": 2, "type": "int"}, "")]
    answers = {lead: Answer({}, "")} | dict(zip(units, found, strict=True))
    options = read_options(answers, [lead, *units], explain)
    assert (options.values, options.errors) == ({"b": 2}, {"a": "a: explained error"})
    assert (list(options.details), options.trace) == (["b"], "error")


def test_of_a_system_that_does_not_evaluate_one_thing_is_said() -> None:
    units = option_units("h", ["a", "b"], details=False)
    options = read_options(dict.fromkeys(units, Answer(None, "error", 1)), units, explain)
    assert set(options.errors.values()) == {"explained error"}


def test_what_is_no_name_is_refused() -> None:
    with pytest.raises(ClosureError, match="is no attribute path"):
        option_units("h", ['a."b'], details=False)
