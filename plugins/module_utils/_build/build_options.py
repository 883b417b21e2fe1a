# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How to build, as the options of a task say it. Private to the collection."""

from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Mapping

from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._store.roots import check_root_name

Args = Mapping[str, t.Any]

#: what of a source is built: Nix files of these names
SYSTEM, PACKAGE, VM = "system", "package", "vm"


@dataclasses.dataclass(frozen=True)
class EvaluationOptions:
    """How to evaluate.

    :param settings: lines of nix.conf that count
    :param lease: seconds that a command goes on when nobody asks after it
    :param timeout: seconds for a command
    :param memory: bytes that all processes of an evaluation may take together, 0 for no limit given
    :param workers: how many processes evaluate at the same time, a number or ``auto``
    :param program: ``nix``, or ``nix-eval-jobs``
    """

    settings: str = ""
    lease: int = 30
    timeout: float = 86400
    memory: int = 0
    workers: str = "auto"
    program: str = "nix"


@dataclasses.dataclass(frozen=True)
class BuildOptions:
    """How to build.

    :param roots: directory of the garbage collector roots on the build host, empty for the default
    :param dry: whether to say only what would be built
    :param goal: what of each source is built, a Nix file of that name
    :param name: what that is called, for its link in ``roots``; empty for the systems of hosts
    """

    evaluation: EvaluationOptions
    roots: str = ""
    dry: bool = False
    goal: str = SYSTEM
    name: str = ""

    def root_of(self, host: str) -> str:
        """Return the name of a host's link: no system has one with a dot in front."""
        return f".{self.name}.{host}" if self.name else host


def evaluation_options(arguments: Args) -> EvaluationOptions:
    """Take them from the validated arguments of nix_build_system.

    :raises ClosureError: one has a value that makes no sense
    """
    return EvaluationOptions(
        settings=nix_config(arguments),
        lease=arguments["build_lease"],
        timeout=arguments["timeout"],
        memory=arguments["eval_memory_mb"] * 1000**2,
        workers=_workers(arguments["eval_workers"]),
        program=arguments["evaluator"],
    )


def _workers(text: str) -> str:
    if text == "auto" or (text.isascii() and text.isdigit() and int(text) > 0):
        return text
    raise ClosureError(f"eval_workers has to be auto or a number from 1 on, and is {text!r}.")


def package_options(arguments: Args, dry: bool, roots: str) -> BuildOptions:
    """Take them from the validated arguments of nix_build.

    :raises ClosureError: one has a value that makes no sense
    """
    name = check_root_name(arguments["name"])
    evaluation = EvaluationOptions(nix_config(arguments), timeout=arguments["timeout"])
    return BuildOptions(evaluation, roots, dry, PACKAGE, name)


def nix_config(arguments: Args) -> str:
    """Write the options that go on to Nix as lines of nix.conf.

    :raises ClosureError: a value would not stay in its line
    """
    named = ("max_jobs", "cores", "builders", "substituters", "keep_going")
    own = {name.replace("_", "-"): arguments.get(name) for name in named}
    settings = own | arguments["nix_options"]
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
    if set(f"{name}{text}") & set("#\n\r"):
        raise ClosureError(f"{name}: {text!r} has a # or a line break, which nix.conf cannot hold.")
    return text
