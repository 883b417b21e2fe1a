# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From a task's options to what Nix evaluates. Private to the collection."""

from __future__ import annotations

import dataclasses
import json
import os.path
import re
import typing as t
import urllib.parse
from collections.abc import Callable, Mapping

from ansible_collections.closure.nixos.plugins.module_utils._build.request import Request, parse_attr
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError

Absolute = Callable[[str], str]

KINDS = ("file", "expression", "configuration", "flake")
# It is the name of a link as well, and a word between blanks in what hosts answer.
_NAME = re.compile(r"[^\s/.][^\s/]*")
_IN_A_URL = "/:@!$&'()*+,;=-._~"


@dataclasses.dataclass(frozen=True)
class Inputs:
    """Which system is meant, as the options of a task say it."""

    file: str | None = None
    expression: str | None = None
    configuration: list[t.Any] | None = None
    flake: str | None = None
    override_inputs: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    attr: list[str] = dataclasses.field(default_factory=list)
    nixpkgs: t.Any = None
    args: dict[str, t.Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, arguments: Mapping[str, t.Any]) -> Inputs:
        """Take them from a task's validated arguments."""
        return cls(**{name: arguments[name] for name in NAMES & arguments.keys()})

    def request(self, host: str, absolute: Absolute) -> Request:
        """Return what to ask Nix for one host.

        :param absolute: makes a path of the controller absolute
        :raises ClosureError: the options do not say, or what they say has no sense
        """
        if not _NAME.fullmatch(host):
            raise ClosureError(
                f"{host!r} cannot be the name of a system: it has a blank, a slash or a dot in "
                "front."
            )
        given = [name for name in KINDS if getattr(self, name)]
        if len(given) != 1:
            raise ClosureError(f"{host}: give one of {', '.join(KINDS)}, not {len(given)} of them.")
        if self.override_inputs and not self.flake:
            raise ClosureError(f"{host}: override_inputs needs flake beside it, not {given[0]}.")
        plain = dataclasses.replace(self, args=as_json(self.args or {}, f"{host}: args"))
        makers = {"file": _of_file, "expression": _of_expression, "flake": _of_flake}
        return makers.get(given[0], _of_configuration)(plain, host, absolute)


@dataclasses.dataclass(frozen=True)
class Asked:
    """What a task asks: of which systems, and who answers.

    :param systems: by name, what differs from ``inputs``; then the task speaks of no host
    :param hosts: for which the same task asks too, each with its own variables
    :param source: directory of the controller that goes to another build host
    :param bring_source: whether what is not in ``source`` goes there by itself
    :param args_may_be_public: whether ``args`` may hold what a vault held
    :param all_or_none: whether one failure is that of all
    """

    inputs: Inputs
    systems: dict[str, t.Any]
    hosts: tuple[str, ...]
    build_host: str | None
    source: str | None
    bring_source: bool
    args_may_be_public: bool
    all_or_none: bool = False

    @classmethod
    def of(cls, arguments: Mapping[str, t.Any]) -> Asked:
        """Take it from a task's validated arguments."""
        return cls(
            Inputs.of(arguments),
            arguments.get("systems") or {},
            tuple(arguments["hosts"] or ()),
            arguments["build_host"],
            arguments["source"],
            arguments["bring_source"],
            arguments["args_may_be_public"],
            arguments.get("require") == "all",
        )


#: the options of a task that say which system is meant
NAMES = frozenset(field.name for field in dataclasses.fields(Inputs))


def _of_file(inputs: Inputs, _host: str, absolute: Absolute) -> Request:
    file = absolute(str(inputs.file))
    return Request({"file": file}, file, _attrs(inputs), inputs.args)


def _of_expression(inputs: Inputs, _host: str, _absolute: Absolute) -> Request:
    text = str(inputs.expression)
    source = {"expression": text}
    return Request(source, "the expression", _attrs(inputs), inputs.args, expression=text)


def _of_configuration(inputs: Inputs, host: str, absolute: Absolute) -> Request:
    modules = [
        absolute(it)
        if isinstance(it, str)
        else {"_file": "the task", "imports": [as_json(it, f"{host}: configuration")]}
        for it in inputs.configuration or []
    ]
    if not inputs.nixpkgs:
        raise ClosureError(
            f"{host}: configuration needs nixpkgs beside it: a pin file, {{url, sha256}} or a path."
        )
    nixpkgs = nixpkgs_source(inputs.nixpkgs, absolute)
    source = {"modules": modules, "nixpkgs": nixpkgs, "args": inputs.args}
    name = ", ".join(it for it in modules if isinstance(it, str)) or "the configuration"
    return Request({"configuration": source}, name, ((),), search_path=False)


def _of_flake(inputs: Inputs, host: str, absolute: Absolute) -> Request:
    flake, _hash, fragment = str(inputs.flake).partition("#")
    local = flake.startswith((".", "/", "~")) or not flake
    path = absolute(flake or ".").rstrip("/") or "/"
    source: dict[str, t.Any] = _local_flake(path) if local else {"url": flake}
    names = parse_attr(fragment) or (host,)
    # As nixos-rebuild has it, `.#web1` is a name in nixosConfigurations.
    attrs = _attrs(inputs) or (("nixosConfigurations", *names), names)
    name = path if local else flake
    if inputs.override_inputs:
        source["overrides"] = _overrides(inputs.override_inputs, host, absolute)
    return Request({"flake": source}, name, attrs, special=inputs.args, search_path=False)


def _overrides(inputs: Mapping[str, t.Any], host: str, absolute: Absolute) -> dict[str, str]:
    """Return the references of other inputs, with the paths that the build host knows."""
    for name, reference in inputs.items():
        if not isinstance(reference, str) or not reference or name.startswith("-"):
            raise ClosureError(
                f"{host}: override_inputs has to be a dictionary of the flake's inputs with the "
                f"reference of a flake for each, and that of {name} is {json.dumps(reference)}."
            )
    return {
        name: f"path:{in_url(absolute(it))}" if it.startswith((".", "/", "~")) else it
        for name, it in inputs.items()
    }


def _local_flake(path: str) -> dict[str, t.Any]:
    """Return what ``flake.nix`` takes for the flake of a directory."""
    trees, directory = [], path
    while directory != "/":
        below = urllib.parse.quote(path.removeprefix(directory).lstrip("/"))
        url = f"git+file://{in_url(directory)}" + (f"?dir={below}" if below else "")
        trees.append({"directory": directory, "url": url})
        directory = os.path.dirname(directory)
    url = f"path:{in_url(path)}"
    return {"url": url, "root": path, "plain": url == f"path:{path}", "trees": trees}


def in_url(path: str) -> str:
    """Write a path as a URL has it (RFC 3986)."""
    return urllib.parse.quote(path, safe=_IN_A_URL)


def nixpkgs_source(nixpkgs: t.Any, absolute: Absolute) -> dict[str, str]:
    """Return what ``nixpkgs.nix`` takes for a nixpkgs: of a pin, a pin file or a path.

    :raises ClosureError: it is something else
    """
    if isinstance(nixpkgs, str):
        return {"pin" if nixpkgs.endswith(".json") else "path": absolute(nixpkgs)}
    if not isinstance(nixpkgs, Mapping) or not {"url", "sha256"} <= nixpkgs.keys():
        raise ClosureError(
            "nixpkgs has to be a path, a pin file (.json) or a dictionary with url and sha256, "
            f"and it is {json.dumps(nixpkgs)}. Without its sha256 nothing says that it stays "
            "the same: closure.nixos.nixpkgs_pin finds it out."
        )
    return {key: str(nixpkgs[key]) for key in ("url", "sha256")}


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


def _attrs(inputs: Inputs) -> tuple[tuple[str, ...], ...]:
    return tuple(parse_attr(attr) for attr in inputs.attr or [])
