# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Nix's errors mean for the reader. Private to the collection.

Old ones (2.8) write an error and then its trace, from the innermost frame outwards; newer ones write
the trace first, from the outermost frame inwards, and the error last.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
from collections.abc import Iterator, Sequence

from ansible_collections.closure.nixos.plugins.module_utils._build.request import Request, show_attr

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_ERROR = re.compile(r"^ *error:(?: +|$)", re.MULTILINE)
_FRAME = re.compile(r"^ *… (.*)$", re.MULTILINE)
# A line of the code that Nix shows beside a position.
_CODE = re.compile(r" *\d*\|")
_AT = re.compile(r"^ *at (/[^\n]*):(\d+):(\d+):?$", re.MULTILINE)
# What nixpkgs' lib/modules.nix adds to a trace.
_OPTION = re.compile(r"while evaluating the option [`']([^`']+)'")
_DEFINITIONS = re.compile(r"while evaluating definitions from [`']([^`']+)'")
_ARGUMENT = re.compile(r"while evaluating the module argument [`']([^`']+)' in \"([^\"]+)\"")
# Of nixpkgs itself, and of what we sent.
_MODULE_SYSTEM = "/lib/modules.nix"
_OURS = re.compile(r"^/var/tmp/closure-nixos-\w+/")

_NO_ATTRIBUTE = re.compile(r"closure\.nixos: no attribute (\{.*\})")
_UNSUPPORTED = re.compile(r"[Mm]odule [`']([^`'\n]+)' has an unsupported attribute [`']([^`'\n]+)'")
_SEARCHED = re.compile(r"file '([^'\n]+)' was not found in the Nix search path")
_POSITION = re.compile(r"\bat (\S+:\d+):\d+")
_HASH_MISMATCH = re.compile(
    r"hash mismatch in file downloaded from '(?P<url>[^']+)':"
    r"\s+specified: *(?P<specified>\S+)\s+got: *(?P<got>\S+)"
)
_NO_INPUT = re.compile(r"the flag '--override-input (\S+) .*' does not match any input")
# As Nix 2.8 says it, and as newer ones do.
_NO_FILE = re.compile(
    r"error: (?:(?:getting status of|opening file) '([^']+)': No such file"
    r"|path '([^']+)' does not exist)"
)
_ADVICE = {
    "closure.nixos: not a derivation": "{name}: {attr} is not a NixOS system. Name an attribute "
    "that is one, such as web1.system.",
    "closure.nixos: no package": "{name}: {attr} is no package. Name an attribute that is one, such "
    "as pkgs.hello.",
    "closure.nixos: no variant": "{name}: {attr} has no variant to try, because it is not what "
    "nixpkgs' nixos/default.nix or lib.nixosSystem returns. Name such an attribute.",
    "closure.nixos: no options": "{name}: {attr} has no options, because it is not what nixpkgs' "
    "nixos/default.nix or lib.nixosSystem returns. Name such an attribute.",
    "closure.nixos: no extendModules": "{name}: {attr} takes no args, because it is not what "
    "lib.nixosSystem returns. Name such an attribute, or leave args out.",
    "closure.nixos: no pin in": "{name} is not evaluated: its nixpkgs is a file without url and "
    "hash. It has to be of npins, of niv (both with a pin nixpkgs), or of "
    "closure.nixos.nixpkgs_pin.",
    "closure.nixos: a path that is no URL": "{name} is not evaluated: the Nix of the build host is "
    "older than 2.19 and finds no Git tree whose path has a blank, a % or a letter beyond ASCII. "
    "Rename the directory, or install a newer Nix there.",
    "requires lock file changes": "{name} is not evaluated: its flake.lock does not pin all "
    "inputs. Run nix flake lock there and commit flake.lock.",
}
# Nix up to 2.29, then from 2.30 on, which says the same of what depends on it.
_FAILED_BUILDER = re.compile(
    r"error: (?:builder for '(\S+?\.drv)' failed[^\n]*"
    r"|Cannot build '(\S+?\.drv)'\.(?!\n *Reason: \d+ dependenc))"
    r"((?:\n(?! *error: ).*)*)"
)


@dataclasses.dataclass(frozen=True)
class EvaluationError:
    """What a failed evaluation says, as far as it is of use to whoever wrote the configuration.

    :param said: the error without its trace
    :param option: the NixOS option that was evaluated
    :param place: the innermost position in a file that is not nixpkgs', or the file alone
    :param argument: a module's argument that was evaluated, and that module
    """

    said: str
    option: str | None = None
    place: str | None = None
    argument: tuple[str, str] | None = None


def unmatched_inputs(stderr: str) -> tuple[str, ...]:
    """Return the inputs to override that a flake does not have. Nix only warns of those."""
    return tuple(dict.fromkeys(_NO_INPUT.findall(plain(stderr))))


def explain_evaluation(stderr: str, request: Request, search_path: bool = False) -> str:
    """Say why a system was not evaluated, in Nix's own words, where, and what to do about it.

    :param stderr: what Nix said with ``--show-trace``
    :param search_path: whether ``NIX_PATH`` counted
    """
    text = plain(stderr)
    # Not the trace, which shows lines of our own Nix files.
    said = without_trace(text)
    if missing := _NO_ATTRIBUTE.search(said):
        return _no_attribute(request, **json.loads(missing[1]))
    if mismatch := _HASH_MISMATCH.search(text):
        return explain_hash_mismatch(**mismatch.groupdict())
    for mark, advice in _ADVICE.items():
        if mark in said:
            attr = show_attr(request.attrs[0]) if request.attrs else ""
            return advice.format(name=request.name, attr=attr or "all of it")
    return f"{request.name} does not evaluate: {_reason(text, said, search_path)}"


def _reason(text: str, said: str, search_path: bool) -> str:
    if found := search_path_use(text):
        return _not_found(*found, search_path)
    if gone := _NO_FILE.search(said):
        return _no_file(gone[1] or gone[2])
    error = evaluation_error(text)
    return "\n".join([error.said, *filter(None, [_where(error), _cure(error)])])


def evaluation_error(stderr: str) -> EvaluationError:
    """Read an error and its trace."""
    text = plain(stderr)
    said, trace = _said_and_trace(text)
    nixpkgs = tuple({place.removesuffix(_MODULE_SYSTEM) + "/" for place in _modules_nix(text)})
    own = [line for line in trace if not _is_foreign(line, nixpkgs)]
    option, argument = (_first(pattern, trace) for pattern in (_OPTION, _ARGUMENT))
    positions = (_AT.search(line) for line in own)
    place = next((":".join(it.groups()) for it in positions if it), None)
    defined = _first(_DEFINITIONS, own)
    return EvaluationError(
        _without_excerpt(said, nixpkgs),
        option[1] if option else None,
        place or (defined[1] if defined else None),
        (argument[1], argument[2]) if argument else None,
    )


def _said_and_trace(text: str) -> tuple[str, list[str]]:
    """Return the error, and the lines of its trace from the innermost frame outwards."""
    before, *errors = _ERROR.split(text)
    if not errors:
        return text.strip(), []
    said, *after = errors[-1].partition("\n       … ")
    frames = [f"… {part}" for part in "".join([*errors[:-1], before]).split("… ")[1:]]
    behind = [f"… {part}" for part in "".join(after).split("… ")[1:]]
    ordered = behind or list(reversed(frames))
    lines = (line for frame in [said, *ordered] for line in frame.splitlines())
    return said.strip(), [line for line in lines if not _CODE.match(line)]


def _modules_nix(text: str) -> Iterator[str]:
    return (found[1] for found in _AT.finditer(text) if found[1].endswith(_MODULE_SYSTEM))


def _is_foreign(line: str, nixpkgs: tuple[str, ...]) -> bool:
    found = _AT.search(line) or _DEFINITIONS.search(line)
    return found is not None and (found[1].startswith(nixpkgs) or bool(_OURS.search(found[1])))


def _first(pattern: re.Pattern[str], lines: Sequence[str]) -> re.Match[str] | None:
    return next((found for line in lines if (found := pattern.search(line))), None)


def _without_excerpt(said: str, nixpkgs: tuple[str, ...]) -> str:
    """Leave out a position, with its lines of code, that is none of the reader's files."""
    head, *_at = _AT.split(said, maxsplit=1)
    foreign = any(_is_foreign(line, nixpkgs) for line in said.splitlines())
    hint = "(use '--show-trace' to show detailed location information)"
    return (head if foreign else said).replace(hint, "").strip()


def _where(error: EvaluationError) -> str:
    place = error.place if error.place and error.place not in error.said else None
    if error.option:
        return f"That is in the option {error.option}" + (f", at {place}." if place else ".")
    return f"That is at {place}." if place else ""


def _cure(error: EvaluationError) -> str:
    if unsupported := _UNSUPPORTED.search(error.said):
        return _no_module(*unsupported.groups())
    if "unexpected argument" in error.said:
        return (
            "A module is called with more arguments than it names: end their list with three dots, "
            "as in { pkgs, ... }: { }."
        )
    if error.argument and "missing" in error.said:
        name, module = error.argument
        return (
            f"The module {module} asks for the argument {name}, and nothing gives it: set "
            f"{name} in args of the task (or in specialArgs of lib.nixosSystem), or set "
            f"_module.args.{name} in a module."
        )
    if "infinite recursion" in error.said and error.option:
        return (
            f"The value of {error.option} depends on itself: do not read config.{error.option} "
            "where that is set. To replace what another module sets, use lib.mkForce."
        )
    return ""


def _no_module(module: str, attribute: str) -> str:
    name = "The configuration of the task" if ":anon" in module else module
    return (
        f"{name} is no module. Either it holds a whole system, which goes into the option file or "
        f"expression; or it sets {attribute} beside config or options: move {attribute} into "
        "config. In a module pkgs is an argument: { pkgs, ... }: { }."
    )


def plain(stderr: str) -> str:
    """Return what Nix said without colours."""
    return _ANSI.sub("", stderr)


def without_trace(stderr: str) -> str:
    """Return what Nix said without what ``--show-trace`` adds."""
    text = plain(stderr)
    before, *errors = _ERROR.split(text)
    if not errors:
        return text
    return f"{before}error: {errors[-1].partition(chr(10) + '       … ')[0].strip()}\n"


def shortened(text: str, ends: int = 12) -> str:
    """Return the first and the last lines of a trace, which are those that people read."""
    lines = text.splitlines()
    if len(lines) <= 2 * ends:
        return text
    left_out = f"[{len(lines) - 2 * ends} lines are left out here, -vvv shows them.]"
    return "\n".join([*lines[:ends], left_out, *lines[-ends:]])


def _not_found(name: str, position: str, search_path: bool) -> str:
    if search_path:
        return (
            f"<{name}> at {position} is not in the NIX_PATH of who evaluates. Pin nixpkgs and "
            "import the pin there instead."
        )
    return (
        f"<{name}> at {position} is looked up in NIX_PATH, which is not consulted here. Take it "
        "from the arguments of the module (pkgs, lib, modulesPath), or from a pin."
    )


def _no_file(path: str) -> str:
    if not path.startswith(("/nix/store/", "«")):
        return (
            f"{path} does not exist on the build host. Correct the path, or bring the file there."
        )
    return (
        f"{path} does not exist on the build host. Of a Git tree only what Git tracks is copied: "
        "for a new file of the tree itself, run git add. A submodule's files come with a flake only "
        "by ?submodules=1 in its URL, and a link that leads out of the tree leads nowhere."
    )


def search_path_use(stderr: str) -> tuple[str, str] | None:
    """Say what was looked up in ``NIX_PATH`` in vain, and the position of that."""
    text = plain(stderr)
    found = _SEARCHED.search(text)
    position = _POSITION.search(text, found.end()) if found else None
    return (found[1], position[1]) if found and position else None


def explain_hash_mismatch(url: str, specified: str, got: str) -> str:
    """Say that a download is not what its hash promises, and how to get its hash."""
    return (
        f"{url} is not what was pinned: the hash given is {specified}, and what is there has {got}."
        " If that is a new version you want, pin it: ansible localhost -m "
        f"closure.nixos.nixpkgs_pin -a 'path=PIN_FILE url={url}', or set the hash to {got}. Else "
        "look who changed it."
    )


def _no_attribute(request: Request, name: str, among: list[str]) -> str:
    attr = show_attr(request.attrs[0]) if request.attrs else name
    if not among:
        return f"{request.name} has no attribute {attr}: what should hold {name} is not a set."
    near = difflib.get_close_matches(name, among, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(sorted(among)[:20])}."
    return f"{request.name} has no attribute {attr}: {name} does not exist. {hint}"


def failed_builders(stderr: str) -> dict[str, str]:
    """Return what Nix says of each failed builder: derivation to the end of its log."""
    return {
        old or new: said.strip("\n") for old, new, said in _FAILED_BUILDER.findall(plain(stderr))
    }


def explain_build(stderr: str, drv: str, planned: Sequence[str]) -> str:
    """Say why a system was not built: the failed derivation and the end of its log.

    :param planned: the derivations that this system needed to be built
    """
    failed = failed_builders(stderr)
    own = [name for name in (drv, *planned) if name in failed]
    culprit = next(iter(own or failed), drv)
    log = failed.get(culprit) or plain(stderr).strip()[-2000:]
    stopped = f"{drv} is not built, because Nix stopped at another derivation. "
    return (
        f"{stopped if failed and not own else ''}{culprit} does not build:\n{log}\n"
        f"For its full log run on the build host: nix-store --read-log {culprit}"
    )


def warnings_in(stderr: str) -> list[str]:
    """Return the warnings of an evaluation: Nix's own and those of modules (``trace: warning``).

    But that Nix waits for another Nix is nothing to warn of.
    """
    lines = plain(stderr).splitlines()
    found = (line.removeprefix("evaluation ").removeprefix("trace: ") for line in lines)
    warnings = [line.removeprefix("warning: ") for line in found if line.startswith("warning: ")]
    return [warning for warning in warnings if "SQLite database" not in warning]
