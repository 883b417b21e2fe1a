# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From a task's options to what Nix evaluates. Private to the collection."""

from __future__ import annotations

import json
import re
import typing as t
from collections.abc import Callable, Mapping

from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._build.nix import (
    Request,
    nix_string,
    parse_attr,
)

Args = Mapping[str, t.Any]
Absolute = Callable[[str], str]

INPUTS = ("file", "expression", "configuration", "flake")
# What says which system is meant, of the options that a task has.
OF_A_SYSTEM = {*INPUTS, "attr", "nixpkgs", "args"}
# It is the name of a link as well, and a word between blanks in what hosts answer.
_NAME = re.compile(r"[^\s/.][^\s/]*")

# `specialArgs` came to nixpkgs' nixos/default.nix with 24.05.
_CONFIGURATION = """
let
  nixos = import "${@nixpkgs@}/nixos";
  args = @args@;
  special = builtins.functionArgs nixos ? specialArgs;
in nixos ({
  configuration.imports = @modules@ ++ (if special then [ ] else [ { _module.args = args; } ]);
} // (if special then { specialArgs = args; } else { }))
"""

# What npins, niv and we write: {"pins": {"nixpkgs": {url, hash}}}, {"nixpkgs": {url, sha256}} and
# {url, sha256}.
_PIN = """(
  let
    file = @file@;
    pins = builtins.fromJSON (builtins.readFile file);
    pin = pins.pins.nixpkgs or pins.nixpkgs or pins;
    sha256 = pin.sha256 or pin.hash or null;
  in
    if pin.url or null == null || sha256 == null then throw "closure.nixos: no pin in ${file}"
    else builtins.fetchTarball { inherit (pin) url; inherit sha256; }
)"""

# Nix's command line looks for the Git repository that a path is in, builtins.getFlake does not. Of
# a repository only what Git tracks is copied.
_LOCAL_FLAKE = """
let
  root = @path@;
  find = directory: below:
    if builtins.pathExists "${directory}/.git" then "git+file://${directory}?dir=${below}"
    else if directory == "/" then "path:${root}"
    else find (dirOf directory)
      (baseNameOf directory + (if below == "" then "" else "/${below}"));
in builtins.getFlake (find root "")
"""


def request_of(args: Args, host: str, absolute: Absolute) -> Request:
    """Return what a task asks Nix for one host.

    :param absolute: makes a path of the controller absolute
    :raises ClosureError: the options do not say, or what they say has no sense
    """
    if not _NAME.fullmatch(host):
        raise ClosureError(
            f"{host!r} cannot be the name of a system: it has a blank, a slash or a dot in front."
        )
    given = [name for name in INPUTS if args.get(name)]
    if len(given) != 1:
        raise ClosureError(f"{host}: give one of {', '.join(INPUTS)}, not {len(given)} of them.")
    args = {**args, "args": as_json(args["args"] or {}, f"{host}: args")}
    makers = {"file": _of_file, "expression": _of_expression, "flake": _of_flake}
    return makers.get(given[0], _of_configuration)(args, host, absolute)


def _of_file(args: Args, _host: str, absolute: Absolute) -> Request:
    file = absolute(args["file"])
    source = f"import {nix_string(file)}"
    return Request(source, file, _attrs(args), args["args"], files=(file,))


def _of_expression(args: Args, _host: str, _absolute: Absolute) -> Request:
    return Request(args["expression"], "the expression", _attrs(args), args["args"])


def _of_configuration(args: Args, host: str, absolute: Absolute) -> Request:
    modules = [
        absolute(it)
        if isinstance(it, str)
        else {"_file": "the task", "imports": [as_json(it, f"{host}: configuration")]}
        for it in args["configuration"]
    ]
    if not args["nixpkgs"]:
        raise ClosureError(
            f"{host}: configuration needs nixpkgs beside it: a pin file, {{url, sha256}} or a path."
        )
    words = {
        "nixpkgs": nixpkgs_expression(args["nixpkgs"], absolute),
        "args": as_nix(args["args"]),
        "modules": as_nix(modules),
    }
    named = [it for it in modules if isinstance(it, str)]
    name = ", ".join(named) or "the configuration"
    source = _fill(_CONFIGURATION, **words)
    return Request(source, name, ((),), search_path=False, files=tuple(named))


def _of_flake(args: Args, host: str, absolute: Absolute) -> Request:
    flake, _hash, fragment = args["flake"].partition("#")
    local = flake.startswith((".", "/", "~")) or not flake
    path = absolute(flake or ".").rstrip("/")
    text = (
        _fill(_LOCAL_FLAKE, path=nix_string(path))
        if local
        else f"builtins.getFlake {nix_string(flake)}"
    )
    names = parse_attr(fragment) or (host,)
    attrs = tuple(parse_attr(it) for it in args["attr"])
    # As nixos-rebuild has it, `.#web1` is a name in nixosConfigurations.
    attrs = attrs or (("nixosConfigurations", *names), names)
    special = args["args"]
    return Request(text, path if local else flake, attrs, special=special, search_path=False)


def nixpkgs_expression(nixpkgs: t.Any, absolute: Absolute) -> str:
    """Return a Nix expression for the directory of a nixpkgs: a pin, a pin file or a path.

    :raises ClosureError: it is something else
    """
    if isinstance(nixpkgs, str):
        path = nix_string(absolute(nixpkgs))
        return _fill(_PIN, file=path) if nixpkgs.endswith(".json") else path
    if not isinstance(nixpkgs, Mapping) or not {"url", "sha256"} <= nixpkgs.keys():
        raise ClosureError(
            "nixpkgs has to be a path, a pin file (.json) or a dictionary with url and sha256, "
            f"and it is {json.dumps(nixpkgs)}. Without its sha256 nothing says that it stays "
            "the same: closure.nixos.nixpkgs_pin finds it out."
        )
    return f"(builtins.fetchTarball {as_nix({key: nixpkgs[key] for key in ('url', 'sha256')})})"


def as_json(value: t.Any, name: str) -> t.Any:
    """Return a task's value without the marks that Ansible's values carry.

    :raises ClosureError: JSON has no such value
    """
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ClosureError(
            f"{name} holds what JSON has no word for ({error}). Quote a date, so that it is a text."
        ) from error


def as_nix(value: t.Any) -> str:
    """Write a JSON value as a Nix expression of that value, byte for byte."""
    return f"(builtins.fromJSON {nix_string(json.dumps(value))})"


def _attrs(args: Args) -> tuple[tuple[str, ...], ...]:
    return tuple(parse_attr(attr) for attr in args["attr"]) or ((),)


def _fill(template: str, **words: str) -> str:
    parts = template.split("@")
    return "".join(words[part] if n % 2 else part for n, part in enumerate(parts))


def nix_config(args: Args) -> str:
    """Write the options that go on to Nix as lines of nix.conf.

    :raises ClosureError: a value would not stay in its line
    """
    named = ("max_jobs", "cores", "builders", "substituters", "keep_going")
    settings = {name.replace("_", "-"): args[name] for name in named} | args["nix_options"]
    return "".join(
        f"{name} = {_setting(name, value)}\n"
        for name, value in settings.items()
        if value is not None
    )


def _setting(name: str, value: t.Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
    # A line of nix.conf ends there, whatever stands around it.
    if set(text) & set("#\n\r"):
        raise ClosureError(f"{name}: {text!r} has a # or a line break, which nix.conf cannot hold.")
    return text
