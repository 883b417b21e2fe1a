# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a build host says of systems: what it would do, and what it has done. Private."""

from __future__ import annotations

import dataclasses
import re
import typing as t
from collections.abc import Mapping

from ansible_collections.closure.nixos.plugins.module_utils._store.store_path import check_store_path

_PATH = re.compile(r"^  (/\S+)$")
_AMOUNTS = re.compile(r"\(([\d.]+) (\w+) download, ([\d.]+) (\w+) unpacked\)")
# Nix up to 2.32 always says MiB.
_UNITS = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "TiB": 1024**4}


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """A system or package that Nix has evaluated: its derivation and the path it will build.

    :param output: the one output that is meant, empty for all of them
    """

    drv: str
    out: str
    output: str = ""

    @property
    def wanted(self) -> str:
        """What Nix is asked to realise."""
        return f"{self.drv}!{self.output}" if self.output else self.drv


def read_evaluated(found: Mapping[str, t.Any]) -> Evaluated:
    """Read what ``system.nix`` or ``package.nix`` found.

    :raises ClosureError: it has no store paths
    """
    drv, out = (check_store_path(found[name]) for name in ("drv", "out"))
    return Evaluated(drv, out, found.get("output", ""))


@dataclasses.dataclass(frozen=True)
class BuildPlan:
    """What Nix would do for a system, as its dry run says.

    The bytes are as exact as what Nix prints, two digits behind the point.
    """

    derivations: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    download_bytes: int = 0
    unpacked_bytes: int = 0


@dataclasses.dataclass(frozen=True)
class Built:
    """A path that is there; ``platform`` and ``version`` are empty where it is no system."""

    platform: str
    version: str
    closure_bytes: int


def parse_build_plans(text: str) -> dict[str, BuildPlan]:
    """Read the plan of each host in what ``plan`` printed (``build.sh``)."""
    sections = re.split(r"^@(?=plan |built )", text, flags=re.MULTILINE)
    heads = (section.partition("\n") for section in sections)
    return {
        head.removeprefix("plan "): parse_build_plan(body)
        for head, _newline, body in heads
        if head.startswith("plan ")
    }


def parse_build_plan(text: str) -> BuildPlan:
    """Read what ``nix-store --realise --dry-run`` says."""
    derivations: list[str] = []
    paths: list[str] = []
    into, amounts = derivations, (0, 0)
    for line in text.splitlines():
        if match := _PATH.match(line):
            into.append(match[1])
        elif "will be built" in line:
            into = derivations
        elif "will be fetched" in line:
            into, amounts = paths, _amounts(line)
        else:
            # Such as "don't know how to build these paths": they are neither.
            into = []
    return BuildPlan(tuple(derivations), tuple(paths), *amounts)


def _amounts(line: str) -> tuple[int, int]:
    match = _AMOUNTS.search(line)
    if match is None:
        return 0, 0
    download, unit, unpacked, other = match.groups()
    return round(float(download) * _UNITS[unit]), round(float(unpacked) * _UNITS[other])


def parse_built(text: str) -> dict[str, Built]:
    """Read the systems that are there in what ``build`` printed (``build.sh``)."""
    lines = (line.split(" ") for line in text.splitlines() if line.startswith("@built "))
    return {
        host: Built(platform.strip("-"), version.strip("-"), int(size))
        for _built, host, platform, version, size in lines
    }
