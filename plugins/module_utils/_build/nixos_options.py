# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The values of NixOS options. Private to the collection.

Decides the Nix expression that finds them, and what is said of those that it does not find.
"""

from __future__ import annotations

import dataclasses
import difflib
import typing as t
from collections.abc import Mapping, Sequence

from ansible_collections.closure.nixos.plugins.module_utils._build.inputs import as_nix
from ansible_collections.closure.nixos.plugins.module_utils._build.nix import (
    Goal,
    parse_attr,
    show_attr,
)


@dataclasses.dataclass(frozen=True)
class Options:
    """What Nix said of each option."""

    found: Mapping[str, Mapping[str, t.Any]]


# `problem` looks for what JSON cannot hold before builtins.toJSON does, whose error nothing can
# catch. Package sets hold themselves, hence the depth.
_OPTIONS = """
let
  isOption = x: x._type or null == "option";
  problem = depth: at: x:
    let
      inner = if builtins.isAttrs x then builtins.attrValues
          (builtins.mapAttrs (name: problem (depth + 1) "${at}.${name}") x)
        else builtins.genList (n: problem (depth + 1) "${at}.${toString n}" (builtins.elemAt x n))
          (builtins.length x);
      bad = builtins.filter (p: p != null) inner;
    in
      if builtins.isFunction x then "a function${if at == "" then "" else " at ${at}"}"
      else if builtins.isAttrs x && (x ? outPath || x ? __toString) then null
      else if !(builtins.isAttrs x || builtins.isList x) then null
      else if depth > 20 then "too deep a set"
      else if bad == [ ] then null else builtins.head bad;
  plain = x:
    if builtins.isAttrs x then
      if x ? outPath || x ? __toString then toString x else builtins.mapAttrs (_: plain) x
    else if builtins.isList x then map plain x
    else if builtins.isPath x then toString x
    else x;
  json = x:
    let p = problem 0 "" x; in if p == null then { value = plain x; } else { problem = p; };
  text = x: if x ? text then x.text else if builtins.isString x then x else null;
  safe = x:
    let tried = builtins.tryEval (builtins.deepSeq x x);
    in if tried.success then tried.value else null;
  files = xs: map (x: toString x.file or x) xs;
  about = opt: {
    type = safe (opt.type.description or opt.type.name or null);
    default =
      if opt ? defaultText then safe (text opt.defaultText)
      else safe ((json opt.default or null).value or null);
    description = safe (text opt.description or null);
    declared_in = safe (files opt.declarations or [ ]);
    defined_in = safe (files opt.files or [ ]);
  };
  into = names: x:
    let name = builtins.head names; in
    if names == [ ] then json x
    else if builtins.isAttrs x && x ? ${name} then into (builtins.tail names) x.${name}
    else { missing = name; among = if builtins.isAttrs x then builtins.attrNames x else [ ]; };
  find = names: x:
    let name = builtins.head names; in
    if isOption x then into names x.value // (if @details@ then about x else { })
    else if names == [ ] then { among = builtins.attrNames x; }
    else if x ? ${name} then find (builtins.tail names) x.${name}
    else { missing = name; among = builtins.attrNames x; };
in
  if system ? options then map (names: find names system.options) @names@
  else throw "closure.nixos: no options"
"""


def options_goal(options: Sequence[str], details: bool) -> Goal[Options]:
    """Return what to ask of a system: the values of these options.

    :raises ClosureError: one of them is no path of attributes
    """
    names = [parse_attr(option) for option in options]
    expression = _OPTIONS.replace("@details@", str(details).lower())
    return Goal(
        expression.replace("@names@", as_nix(names)),
        lambda found: Options(dict(zip(options, found, strict=True))),
    )


def values_of(options: Options) -> dict[str, t.Any]:
    """Return the values of those options that have one."""
    return {option: it["value"] for option, it in options.found.items() if "value" in it}


def problems_of(options: Options) -> list[str]:
    """Say of each option without a value why it has none."""
    return [_problem(option, it) for option, it in options.found.items() if "value" not in it]


def _problem(option: str, found: Mapping[str, t.Any]) -> str:
    if what := found.get("problem"):
        return f"The value of {option} has no form in JSON: it holds {what}. Ask for a part of it."
    among: list[str] = found["among"]
    listed = ", ".join(among[:20])
    if "missing" not in found:
        return f"{option} is not an option but a set of them: {listed}."
    near = difflib.get_close_matches(found["missing"], among, n=1, cutoff=0.5)
    if not near:
        return (
            f"There is no option {option}. Where {found['missing']} should be, there are: {listed}."
        )
    names = [near[0] if name == found["missing"] else name for name in parse_attr(option)]
    return f"There is no option {option}. Did you mean {show_attr(names)}?"
