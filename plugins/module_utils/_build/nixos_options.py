# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The values of NixOS options. Private to the collection.

Decides what to ask of a system (``option.nix``), and what is said of options without a value.
"""

from __future__ import annotations

import dataclasses
import difflib
import typing as t
from collections.abc import Mapping, Sequence

from ansible_collections.closure.nixos.plugins.module_utils._build.evaluation import (
    Answer,
    Answers,
    Unit,
)
from ansible_collections.closure.nixos.plugins.module_utils._build.request import (
    parse_attr,
    show_attr,
)


@dataclasses.dataclass(frozen=True)
class NixosOptions:
    """What the options of one host are.

    :param values: of those that have one
    :param errors: why the others have none
    :param details: what the module system says of each, where that was asked
    :param trace: what Nix said of those that do not evaluate
    """

    values: dict[str, t.Any]
    errors: dict[str, str]
    details: dict[str, Mapping[str, t.Any]]
    trace: str


def option_units(host: str, options: Sequence[str], details: bool) -> list[Unit]:
    """Return what to ask of a host's system: whether it has options, and then each of them.

    :raises ClosureError: one of them is no path of attributes
    """
    asked = {option: {"names": parse_attr(option), "details": details} for option in options}
    units = [Unit(host, it, option) for option, it in asked.items()]
    return [Unit(host, {}, leads=True), *units]


def read_options(
    answers: Answers, units: Sequence[Unit], explain: t.Callable[[Answer], str]
) -> NixosOptions:
    """Return the values of one host's options.

    :param explain: makes a sentence of what Nix said of an option that does not evaluate
    """
    lead, *_rest = (answers[unit] for unit in units)
    found = {unit.key: answers[unit] for unit in units if not unit.leads}
    whole = explain(lead) if lead.found is None else ""
    errors = {
        option: whole or _problem(option, it, explain)
        for option, it in found.items()
        if it.found is None or "value" not in it.found
    }
    values = {option: it.found["value"] for option, it in found.items() if option not in errors}
    details = {option: it.found for option, it in found.items() if it.found and "type" in it.found}
    trace = dict.fromkeys(it.stderr for it in found.values() if it.found is None)
    return NixosOptions(values, errors, details, "\n".join(trace))


def _problem(option: str, answer: Answer, explain: t.Callable[[Answer], str]) -> str:
    """Say why an option has no value that could be shown."""
    found = answer.found
    if found is None:
        return f"{option}: {explain(answer)}"
    if what := found.get("problem"):
        return f"The value of {option} has no form in JSON: it holds {what}. Ask for a part of it."
    among: list[str] = found["among"]
    listed = ", ".join(among[:20])
    if "missing" not in found:
        return f"{option} is not an option but a set of them: {listed or 'an empty one'}."
    near = difflib.get_close_matches(found["missing"], among, n=1, cutoff=0.5)
    if not near:
        there = f"there are: {listed}" if listed else "there is nothing"
        return f"There is no option {option}. Where {found['missing']} should be, {there}."
    names = [near[0] if name == found["missing"] else name for name in parse_attr(option)]
    return f"There is no option {option}. Did you mean {show_attr(names)}?"
