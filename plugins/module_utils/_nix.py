# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What we say to Nix and what Nix says to us. Private to the collection.

Decides the expression that evaluates systems, and what Nix's errors mean for the reader.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
from collections.abc import Mapping, Sequence

from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._store import check_store_path

# `call` is nix-build's rule: a function is called with its defaults (nix, libexpr/eval.cc,
# autoCallFunction). `toplevel` takes what nixpkgs' nixos/default.nix and lib.nixosSystem return.
_EVALUATE = """
let
  requests = builtins.fromJSON @requests@;
  call = value: if builtins.isFunction value then value { } else value;
  leads = names: value:
    let set = call value; name = builtins.head names; rest = builtins.tail names;
    in names == [ ] || builtins.isAttrs set && set ? ${name} && leads rest set.${name};
  follow = names: value:
    let set = call value; name = builtins.head names; rest = builtins.tail names;
    in if names == [ ] then set
       else if builtins.isAttrs set && set ? ${name} then follow rest set.${name}
       else throw "closure.nixos: no attribute ${builtins.toJSON {
         inherit name;
         among = if builtins.isAttrs set then builtins.attrNames set else [ ];
       }}";
  evaluate = { file, attrs }:
    let
      value = import file;
      leading = builtins.filter (names: leads names value) attrs;
      system = follow (builtins.head (leading ++ attrs)) value;
      toplevel = system.config.system.build.toplevel or system;
    in
      if toplevel.type or null == "derivation"
      then { drv = toplevel.drvPath; out = toplevel.outPath; }
      else throw "closure.nixos: not a derivation";
  attempt = request:
    let tried = builtins.tryEval (let system = evaluate request; in builtins.deepSeq system system);
    in if tried.success then tried.value else null;
in builtins.mapAttrs (host: @how@) requests
"""

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_BARE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_'-]*")
_ATTRIBUTE = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([^".]+))\s*(?:\.|$)')
_NO_ATTRIBUTE = re.compile(r"closure\.nixos: no attribute (\{.*\})")
_ERROR = re.compile(r"^ *error: *", re.MULTILINE)
# Nix up to 2.29, then from 2.30 on.
_FAILED_BUILDER = re.compile(
    r"error: (?:builder for '(\S+?\.drv)' failed[^\n]*|Cannot build '(\S+?\.drv)'\.)"
    r"((?:\n(?! *error: ).*)*)"
)


@dataclasses.dataclass(frozen=True)
class Request:
    """What to evaluate for one host.

    :param file: a Nix file on the build host
    :param attrs: attribute paths into it, the first that exists is taken
    """

    file: str
    attrs: tuple[tuple[str, ...], ...]


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """A system that Nix has evaluated: its derivation and the toplevel it will build."""

    drv: str
    out: str


def parse_attr(text: str) -> tuple[str, ...]:
    """Split an attribute path as ``nix-build -A`` does: ``nodes."web1.example.org".system``.

    :raises ClosureError: a quote is not closed, or a name is empty
    """
    names, position = [], 0
    while position < len(text):
        match = _ATTRIBUTE.match(text, position)
        if match is None:
            raise ClosureError(
                f"{text!r} is no attribute path. Write names with dots between them, and quote "
                'a name that has a dot itself: "web1.example.org".system'
            )
        quoted, bare = match.groups()
        names.append(re.sub(r"\\(.)", r"\1", quoted) if bare is None else bare.strip())
        position = match.end()
    return tuple(names)


def show_attr(names: Sequence[str]) -> str:
    """Write an attribute path as people do, with quotes where Nix needs them."""
    return ".".join(n if _BARE_NAME.fullmatch(n) else nix_string(n) for n in names)


def nix_string(text: str) -> str:
    """Write text as a Nix string that means just that text (Nix manual, "String literal")."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("${", "\\${")
    return '"' + escaped.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t") + '"'


def evaluation(requests: Mapping[str, Request], alone: bool = False) -> str:
    """Return the Nix expression that evaluates the requests to JSON, one entry a host.

    :param alone: have an error end the evaluation with its message; else a host whose error Nix
        can catch (``throw``, a failed assertion) becomes null and its neighbours go on
    """
    data = {host: dataclasses.asdict(request) for host, request in requests.items()}
    how = "evaluate" if alone else "attempt"
    return _EVALUATE.replace("@requests@", nix_string(json.dumps(data))).replace("@how@", how)


def parse_evaluation(text: str) -> dict[str, Evaluated | None]:
    """Read what :func:`evaluation` gave: the systems by host, ``None`` where a host failed."""
    return {
        host: system and Evaluated(check_store_path(system["drv"]), check_store_path(system["out"]))
        for host, system in json.loads(text).items()
    }


def explain_evaluation(stderr: str, request: Request) -> str:
    """Say why a system was not evaluated, with Nix's own message and position in it."""
    text = _ANSI.sub("", stderr)
    if missing := _NO_ATTRIBUTE.search(text):
        return _no_attribute(request, **json.loads(missing[1]))
    if "closure.nixos: not a derivation" in text:
        attr = show_attr(request.attrs[0]) or "the whole file"
        return (
            f"{request.file}: {attr} is not a NixOS system. Name an attribute that is one, "
            "such as web1.system."
        )
    said = _ERROR.split(text)[-1] if "error:" in text else text
    trace = "\n(use '--show-trace' to show detailed location information)"
    return f"{request.file} does not evaluate: {said.replace(trace, '').strip()}"


def _no_attribute(request: Request, name: str, among: list[str]) -> str:
    attr = show_attr(request.attrs[0])
    if not among:
        return f"{request.file} has no attribute {attr}: what should hold {name} is not a set."
    near = difflib.get_close_matches(name, among, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(sorted(among)[:20])}."
    return f"{request.file} has no attribute {attr}: {name} does not exist. {hint}"


def failed_builders(stderr: str) -> dict[str, str]:
    """Return what Nix says of each failed builder: derivation to the end of its log."""
    return {
        old or new: _ANSI.sub("", said).strip("\n")
        for old, new, said in _FAILED_BUILDER.findall(_ANSI.sub("", stderr))
    }


def explain_build(stderr: str, drv: str) -> str:
    """Say why a system was not built: the failed derivation and the end of its log."""
    failed = failed_builders(stderr)
    culprit = drv if drv in failed else next(iter(failed), drv)
    log = failed.get(culprit) or _ANSI.sub("", stderr).strip()[-2000:]
    return (
        f"{culprit} does not build:\n{log}\n"
        f"For its full log run on the build host: nix-store --read-log {culprit}"
    )


def explain_copy(stderr: str, path: str, source: str, target: str) -> str:
    """Say why a closure was not copied, and what lets it through."""
    said = _ANSI.sub("", stderr).strip()
    what = f"{path} was not copied from {source} to {target}"
    if "lacks a signature by a trusted key" in said or "lacks a valid signature" in said:
        return (
            f"{what}: {target} trusts neither this login nor the closure's signature. Become root "
            "there (become: true, with sudo that asks no password), or sign the closure with a key "
            "of the target's trusted-public-keys, or log in as one of its trusted-users."
        )
    if "sudo: " in said:
        return f"{what}: sudo asks for a password there, and Nix cannot give one.\n{said}"
    return f"{what}:\n{said[-2000:]}"


def warnings_in(stderr: str) -> list[str]:
    """Return the warnings of an evaluation: Nix's own and those of modules (``trace: warning``)."""
    lines = _ANSI.sub("", stderr).splitlines()
    found = (line.removeprefix("evaluation ").removeprefix("trace: ") for line in lines)
    return [line.removeprefix("warning: ") for line in found if line.startswith("warning: ")]
