# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.closure.nixos.plugins.module_utils._build.build_plan import (
    BuildPlan,
    Built,
    parse_build_plan,
    parse_build_plans,
    parse_built,
)

MIB = 1024**2

PLANS = {
    "Nix 2.8": (
        "these 2 derivations will be built:\n  /nix/store/a.drv\n  /nix/store/b.drv\n"
        "this path will be fetched (0.50 MiB download, 2.00 MiB unpacked):\n  /nix/store/c\n",
        BuildPlan(("/nix/store/a.drv", "/nix/store/b.drv"), ("/nix/store/c",), MIB // 2, 2 * MIB),
    ),
    "Nix 2.33": (
        "this derivation will be built:\n  /nix/store/a.drv\n"
        "these 2 paths will be fetched (3.00 KiB download, 1.50 GiB unpacked):\n"
        "  /nix/store/c\n  /nix/store/d\n",
        BuildPlan(("/nix/store/a.drv",), ("/nix/store/c", "/nix/store/d"), 3072, 1536 * MIB),
    ),
    # Lix has kept the words and the unit (lix, libmain/shared.cc).
    "Lix 2.92": (
        "this derivation will be built:\n  /nix/store/a.drv\n"
        "these 2 paths will be fetched (1536.00 MiB download, 2048.25 MiB unpacked):\n"
        "  /nix/store/c\n  /nix/store/d\n",
        BuildPlan(
            ("/nix/store/a.drv",),
            ("/nix/store/c", "/nix/store/d"),
            1536 * MIB,
            2048 * MIB + MIB // 4,
        ),
    ),
    # Determinate's is that of Nix 2.33 with one digit (nix-src, libmain/shared.cc).
    "Determinate Nix 3.16": (
        "these 2 derivations will be built:\n  /nix/store/a.drv\n  /nix/store/b.drv\n"
        "this path will be fetched (0.5 KiB download, 1.5 GiB unpacked):\n  /nix/store/c\n",
        BuildPlan(("/nix/store/a.drv", "/nix/store/b.drv"), ("/nix/store/c",), 512, 1536 * MIB),
    ),
    "unknown paths": (
        "don't know how to build these paths:\n  /nix/store/x\nwarning: something\n",
        BuildPlan(),
    ),
    "nothing": ("", BuildPlan()),
}


@pytest.mark.parametrize(("text", "plan"), PLANS.values(), ids=PLANS)
def test_a_dry_run_is_read(text: str, plan: BuildPlan) -> None:
    assert parse_build_plan(text) == plan


def test_plans_and_systems_are_told_apart() -> None:
    text = (
        "@plan web1\nthis derivation will be built:\n  /nix/store/a.drv\n"
        "@plan db1\n"
        "@built web1 x86_64-linux 26.05.1 123\n@built web2 - - 5\n"
    )
    assert parse_build_plans(text) == {"web1": BuildPlan(("/nix/store/a.drv",)), "db1": BuildPlan()}
    assert parse_built(text) == {
        "web1": Built("x86_64-linux", "26.05.1", 123),
        "web2": Built("", "", 5),
    }
