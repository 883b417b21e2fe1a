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
import typing as t
from collections.abc import Mapping, Sequence

from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._store.store_path import check_store_path

# `call` is nix-build's rule: a function is called with its defaults, and with those arguments that
# it names (nix, libexpr/eval.cc, autoCallFunction).
_EVALUATE = """
let
  sources = [@sources@
  ];
  requests = builtins.fromJSON @requests@;
  call = args: value:
    let names = builtins.functionArgs value;
    in if !builtins.isFunction value then value
       else value (if names == { } then args else builtins.intersectAttrs names args);
  leads = args: names: value:
    let set = call args value; name = builtins.head names; rest = builtins.tail names;
    in names == [ ] || builtins.isAttrs set && set ? ${name} && leads args rest set.${name};
  follow = args: names: value:
    let set = call args value; name = builtins.head names; rest = builtins.tail names;
    in if names == [ ] then set
       else if builtins.isAttrs set && set ? ${name} then follow args rest set.${name}
       else throw "closure.nixos: no attribute ${builtins.toJSON {
         inherit name;
         among = if builtins.isAttrs set then builtins.attrNames set else [ ];
       }}";
  systemOf = { source, attrs, args, special }:
    let
      value = builtins.elemAt sources source;
      leading = builtins.filter (names: leads args names value) attrs;
      system = follow args (builtins.head (leading ++ attrs)) value;
    in
      if special == { } then system
      else if system ? extendModules then system.extendModules { specialArgs = special; }
      else throw "closure.nixos: no extendModules";
  evaluate = request: let system = systemOf request; in (@goal@);
  attempt = request:
    let tried = builtins.tryEval (let found = evaluate request; in builtins.deepSeq found found);
    in if tried.success then tried.value else null;
  named = host: builtins.addErrorContext "closure.nixos: in ${builtins.toJSON host}";
in builtins.mapAttrs (host: request: named host (@how@ request)) requests
"""

# What nixpkgs' nixos/default.nix and lib.nixosSystem return, or the toplevel itself.
_TOPLEVEL = """
  let toplevel = system.config.system.build.toplevel or system; in
  if toplevel.type or null == "derivation" then toplevel
  else throw "closure.nixos: not a derivation"
"""
_SYSTEM = f"let toplevel = ({_TOPLEVEL}); in {{ drv = toplevel.drvPath; out = toplevel.outPath; }}"

Found = t.TypeVar("Found")

_PLACE = re.compile("@([a-z]+)@")
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_BARE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_'-]*")
_ATTRIBUTE = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([^".]+))\s*(?:\.|$)')
_NO_ATTRIBUTE = re.compile(r"closure\.nixos: no attribute (\{.*\})")
_HOST = re.compile(r'closure\.nixos: in ("(?:[^"\\]|\\.)*")')
_ERROR = re.compile(r"^ *error: *", re.MULTILINE)
_PLACE_NAMED = re.compile(r"(?:\bat |the file ')(/[^\n']+)")
_TRACE = re.compile(r"\n+ *… .*", re.DOTALL)
# What Nix says of a file before it evaluates any of it.
_UNPARSED = re.compile(
    r"error: (?:syntax error|undefined variable|attribute '[^\n]*' already defined)[^\n]*"
    r"\s+at ([^\n]+?):\d+:\d+:"
)
_SEARCH_PATH = re.compile(
    r"file '(?P<name>[^']+)' was not found in the Nix search path.*?\bat (?P<position>\S+?:\d+)",
    re.DOTALL,
)
_HASH_MISMATCH = re.compile(
    r"hash mismatch in file downloaded from '(?P<url>[^']+)':"
    r"\s+specified: *(?P<specified>\S+)\s+got: *(?P<got>\S+)"
)
# As Nix 2.8 says it, and as newer ones do.
_NO_FILE = re.compile(
    r"error: (?:(?:getting status of|opening file) '([^']+)': No such file"
    r"|path '([^']+)' does not exist)"
)
_ADVICE = {
    "closure.nixos: not a derivation": "{name}: {attr} is not a NixOS system. Name an attribute "
    "that is one, such as web1.system.",
    "closure.nixos: no options": "{name}: {attr} has no options, because it is not what nixpkgs' "
    "nixos/default.nix or lib.nixosSystem returns. Name such an attribute.",
    "closure.nixos: no extendModules": "{name}: {attr} takes no args, because it is not what "
    "lib.nixosSystem returns. Name such an attribute, or leave args out.",
    "closure.nixos: no pin in": "{name} is not evaluated: its nixpkgs is a file without url and "
    "hash. It has to be of npins, of niv (both with a pin nixpkgs), or of "
    "closure.nixos.nixpkgs_pin.",
    "requires lock file changes": "{name} is not evaluated: its flake.lock does not pin all "
    "inputs. Run nix flake lock there and commit flake.lock.",
    "has an unsupported attribute `pkgs'": "{name} does not evaluate: it is no module. It holds a "
    "whole system (pkgs, config and options), which goes into the option file or expression; or it "
    "sets pkgs beside config, and in a module pkgs is an argument: {{ pkgs, ... }}: {{ }}.",
}
# Nix up to 2.29, then from 2.30 on, which says the same of what depends on it.
_FAILED_BUILDER = re.compile(
    r"error: (?:builder for '(\S+?\.drv)' failed[^\n]*"
    r"|Cannot build '(\S+?\.drv)'\.(?!\n *Reason: \d+ dependenc))"
    r"((?:\n(?! *error: ).*)*)"
)


@dataclasses.dataclass(frozen=True)
class Request:
    """What to evaluate for one host.

    :param source: a Nix expression
    :param name: what messages call it
    :param attrs: attribute paths into it, the first that exists is taken
    :param args: arguments for the functions on the way
    :param special: arguments for the modules of the system that is found, its ``specialArgs``
    :param search_path: whether it may look at ``NIX_PATH``
    :param files: files that are read whatever else is evaluated
    """

    source: str
    name: str
    attrs: tuple[tuple[str, ...], ...]
    args: Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    special: Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    search_path: bool = True
    files: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """A system that Nix has evaluated: its derivation and the toplevel it will build."""

    drv: str
    out: str


@dataclasses.dataclass(frozen=True)
class Goal(t.Generic[Found]):
    """What is asked of each system.

    :param expression: in Nix, of the variable ``system``
    :param read: makes of its JSON what we call it
    :param job: in Nix, the derivation that nix-eval-jobs evaluates for it; empty where it cannot
    """

    expression: str
    read: t.Callable[[t.Any], Found]
    job: str = ""


SYSTEM = Goal(
    _SYSTEM,
    lambda it: Evaluated(check_store_path(it["drv"]), check_store_path(it["out"])),
    _TOPLEVEL,
)


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


def evaluation(
    requests: Mapping[str, Request], goal: Goal[t.Any] = SYSTEM, alone: bool = False
) -> str:
    """Return the Nix expression that evaluates the requests to JSON, one entry a host.

    :param alone: have an error end the evaluation with its message; else a host whose error Nix
        can catch (``throw``, a failed assertion) becomes null and its neighbours go on
    """
    return _expression(requests, goal.expression, "evaluate" if alone else "attempt")


def jobs(requests: Mapping[str, Request], goal: Goal[t.Any]) -> str:
    """Return the Nix expression for nix-eval-jobs: a set of derivations by host."""
    return _expression(requests, goal.job, "evaluate")


def _expression(requests: Mapping[str, Request], goal: str, how: str) -> str:
    sources = {request.source: None for request in requests.values()}
    numbers = {source: number for number, source in enumerate(sources)}
    data = {
        host: {
            "source": numbers[request.source],
            "attrs": request.attrs,
            "args": request.args,
            "special": request.special,
        }
        for host, request in requests.items()
    }
    words = {
        "sources": "".join(f"\n(\n{source}\n)" for source in sources),
        "requests": nix_string(json.dumps(data)),
        "goal": goal,
        "how": how,
    }
    return _PLACE.sub(lambda place: words[place[1]], _EVALUATE)


def parse_evaluation(text: str, goal: Goal[Found]) -> dict[str, Found | None]:
    """Read what ``evaluate`` printed: what was found by host, ``None`` where a host failed."""
    found = json.loads(text.partition("\n")[0])
    return {host: None if it is None else goal.read(it) for host, it in found.items()}


def parse_jobs(text: str, goal: Goal[Found]) -> tuple[dict[str, Found], dict[str, str]]:
    """Read what nix-eval-jobs printed: what was found by host, and the error of a host by host.

    Each line is a JSON object with ``attrPath``, and with ``drvPath`` and ``outputs`` or ``error``
    (nix-eval-jobs, src/worker.cc). A worker that ends early leaves out what it did not come to.
    """
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    named = {line["attrPath"][0]: line for line in lines if line.get("attrPath")}
    found = {
        host: goal.read({"drv": line["drvPath"], "out": line["outputs"]["out"]})
        for host, line in named.items()
        # The output of a content-addressed derivation is not known before it is built.
        if line.get("outputs", {}).get("out")
    }
    return found, {host: line["error"] for host, line in named.items() if "error" in line}


def failed_host(stderr: str) -> str | None:
    """Say which host's system ended an evaluation, when its trace says so."""
    found = _HOST.search(_ANSI.sub("", stderr))
    return str(json.loads(found[1])) if found else None


def without_trace(stderr: str) -> str:
    """Return what Nix said without ``--show-trace``: older ones trace behind it, newer before."""
    head, *errors = _ERROR.split(_ANSI.sub("", stderr))
    return f"{head}error: {_TRACE.sub('', errors[-1]).strip()}\n" if errors else head


def fails_too(stderr: str, failed: Request, other: Request) -> bool:
    """Say whether what ended one evaluation is sure to end the other: text that does not parse."""
    found = _UNPARSED.search(without_trace(stderr))
    if found is None:
        return False
    # Of the text that Nix got from us, no file is named.
    inline = not found[1].startswith("/")
    return failed.source == other.source if inline else found[1] in other.files


def error_place(stderr: str) -> str:
    """Return an error with the place where it arose, where Nix names one.

    That of a ``throw`` is not in the error, but next to it in the trace.
    """
    *before, last = _ERROR.split(_ANSI.sub("", stderr))
    behind, ahead = (_PLACE_NAMED.findall(text) for text in (last, "\n".join(before)))
    return "".join([without_trace(stderr), *(behind[:1] or ahead[-1:])]) if behind or ahead else ""


def heap_bytes(text: str) -> int:
    """Return the memory that an evaluation took, 0 if that is not known."""
    last = text.split("\n")[-2:-1]
    return int(last[0]) if last and last[0].isdigit() else 0


def chunks(hosts: list[str], memory: int, heap: int) -> tuple[list[str], list[str]]:
    """Return which hosts to evaluate together now, and which later.

    :param memory: bytes that an evaluation may take, 0 for no limit
    :param heap: bytes that one host took, 0 before the first is known
    """
    if not memory:
        return hosts, []
    count = max(1, memory // heap) if heap else 1
    return hosts[:count], hosts[count:]


def explain_evaluation(stderr: str, request: Request) -> str:
    """Say why a system was not evaluated, with Nix's own message and position in it."""
    text = _ANSI.sub("", stderr)
    if missing := _NO_ATTRIBUTE.search(text):
        return _no_attribute(request, **json.loads(missing[1]))
    if mismatch := _HASH_MISMATCH.search(text):
        return explain_hash_mismatch(**mismatch.groupdict())
    if found := search_path_use(text):
        return (
            f"{request.name} does not evaluate: <{found['name']}> at {found['position']} is looked "
            "up in NIX_PATH, which is not consulted here. Take it from the arguments of the module "
            "(pkgs, lib, modulesPath), or from a pin."
        )
    if gone := _NO_FILE.search(text):
        return f"{request.name} does not evaluate: {_no_file(gone[1] or gone[2])}"
    for mark, advice in _ADVICE.items():
        if mark in text:
            attr = show_attr(request.attrs[0]) or "all of it"
            return advice.format(name=request.name, attr=attr)
    said = _ERROR.split(without_trace(text))[-1]
    trace = "\n(use '--show-trace' to show detailed location information)"
    return f"{request.name} does not evaluate: {said.replace(trace, '').strip()}"


def _no_file(path: str) -> str:
    copied = path.startswith(("/nix/store/", "«"))
    return f"{path} does not exist on the build host. " + (
        "Of a Git tree only what Git tracks is copied: run git add for the file."
        if copied
        else "Correct the path, or bring the file there."
    )


def search_path_use(stderr: str) -> dict[str, str] | None:
    """Say what was looked up in an empty ``NIX_PATH``, by ``name``, and its ``position``."""
    found = _SEARCH_PATH.search(_ANSI.sub("", stderr))
    return found and found.groupdict()


def explain_hash_mismatch(url: str, specified: str, got: str) -> str:
    """Say that a download is not what its hash promises, and how to get its hash."""
    return (
        f"{url} is not what was pinned: the hash given is {specified}, and what is there has {got}."
        " If that is a new version you want, pin it: ansible localhost -m "
        f"closure.nixos.nixpkgs_pin -a 'path=PIN_FILE url={url}', or set the hash to {got}. Else "
        "look who changed it."
    )


def _no_attribute(request: Request, name: str, among: list[str]) -> str:
    attr = show_attr(request.attrs[0])
    if not among:
        return f"{request.name} has no attribute {attr}: what should hold {name} is not a set."
    near = difflib.get_close_matches(name, among, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(sorted(among)[:20])}."
    return f"{request.name} has no attribute {attr}: {name} does not exist. {hint}"


def failed_builders(stderr: str) -> dict[str, str]:
    """Return what Nix says of each failed builder: derivation to the end of its log."""
    return {
        old or new: _ANSI.sub("", said).strip("\n")
        for old, new, said in _FAILED_BUILDER.findall(_ANSI.sub("", stderr))
    }


def explain_build(stderr: str, drv: str, planned: Sequence[str]) -> str:
    """Say why a system was not built: the failed derivation and the end of its log.

    :param planned: the derivations that this system needed to be built
    """
    failed = failed_builders(stderr)
    own = [name for name in (drv, *planned) if name in failed]
    culprit = next(iter(own or failed), drv)
    log = failed.get(culprit) or _ANSI.sub("", stderr).strip()[-2000:]
    stopped = f"{drv} is not built, because Nix stopped at another derivation. "
    return (
        f"{stopped if failed and not own else ''}{culprit} does not build:\n{log}\n"
        f"For its full log run on the build host: nix-store --read-log {culprit}"
    )


def warnings_in(stderr: str) -> list[str]:
    """Return the warnings of an evaluation: Nix's own and those of modules (``trace: warning``).

    But that Nix waits for another Nix is nothing to warn of.
    """
    lines = _ANSI.sub("", stderr).splitlines()
    found = (line.removeprefix("evaluation ").removeprefix("trace: ") for line in lines)
    warnings = [line.removeprefix("warning: ") for line in found if line.startswith("warning: ")]
    return [warning for warning in warnings if "SQLite database" not in warning]
