# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: asking configurations, on the controller, which hosts there are."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import pathlib
import subprocess
import typing as t

from ansible_collections.closure.nixos.plugins.module_utils._build.fleet import (
    Fleet,
    parse_fleet,
    parse_names,
)
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError

_EXPRESSION = pathlib.Path(__file__).with_name("inventory.nix")
_HIVE = pathlib.Path(__file__).parents[3] / "nix" / "hive.nix"
_SETTINGS = ("--extra-experimental-features", "nix-command flakes")


@dataclasses.dataclass(frozen=True)
class FleetSource:
    """Where the configurations of a fleet are.

    :param where: an absolute path, or the reference of a flake
    """

    kind: t.Literal["file", "hive", "flake"]
    where: str

    @functools.cached_property
    def digest(self) -> str:
        """Names the state of the sources: of all files beside them, by size and time."""
        place = pathlib.Path(self.where.removeprefix("path:").partition("#")[0])
        root = place if place.is_dir() else place.parent
        found = hashlib.sha256(f"{self.kind} {self.where}".encode())
        for path in sorted(_files(root) if place.exists() else ()):
            state = path.lstat()
            found.update(f"{path} {state.st_size} {state.st_mtime_ns}\n".encode())
        return found.hexdigest()[:20]

    def describe(self) -> Fleet:
        """Evaluate all hosts at once, and one by one where an error ends that.

        :raises ClosureError: not even the hosts' names are to be had
        """
        done = self._evaluate("")
        if done.returncode == 0:
            return parse_fleet(done.stdout)
        names = self._evaluate("?")
        if names.returncode != 0:
            raise ClosureError(f"{self.where} has no hosts to tell: {_said(names)}")
        return functools.reduce(Fleet.__or__, map(self._alone, parse_names(names.stdout)))

    def _alone(self, name: str) -> Fleet:
        done = self._evaluate(name)
        return parse_fleet(done.stdout) if done.returncode == 0 else Fleet((), (name,))

    def _evaluate(self, only: str) -> subprocess.CompletedProcess[str]:
        words = {"kind": self.kind, "source": self.where, "hive": str(_HIVE), "only": only}
        command = ["nix-instantiate", *_SETTINGS, "--eval", "--json", "--strict"]
        arguments = [word for name, value in words.items() for word in ("--argstr", name, value)]
        try:
            return subprocess.run(
                [*command, *arguments, str(_EXPRESSION)],
                capture_output=True,
                text=True,
                check=False,
            )
        except FileNotFoundError as error:
            raise ClosureError(
                "nix-instantiate is not on the controller's PATH, and the inventory's hosts are "
                "what Nix evaluates. Install Nix there."
            ) from error


def _files(root: pathlib.Path) -> list[pathlib.Path]:
    inside = (path for path in root.rglob("*") if ".git" not in path.relative_to(root).parts)
    return [path for path in inside if not path.is_dir()]


def _said(done: subprocess.CompletedProcess[str]) -> str:
    errors = [line for line in done.stderr.splitlines() if line.strip().startswith("error:")]
    return (errors or [done.stderr.strip()])[-1].strip()
