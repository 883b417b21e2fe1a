# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Molecule's scenarios: ours in extensions/molecule, and the example fleet's, which people copy."""

from __future__ import annotations

import os
import pathlib
import re
import secrets
import subprocess
import sys

import pytest
from ansible_collections.closure.nixos.tests.integration._harness import TESTBED

ROOT = pathlib.Path(__file__).parents[2]
FLEET = ROOT / "examples/fleet"
SCENARIOS = {path.parent.name for path in ROOT.glob("extensions/molecule/*/molecule.yml")}
MOLECULE = pathlib.Path(sys.executable).with_name("molecule")
# The end of a run names each step: "default > verify: Executed: Successful".
_STEP = re.compile(r"^(\w+) \S (\w+): Executed: (\w+)", re.MULTILINE)

# It has to sit beside ansible-core, which requirements/tools.txt does for the oldest one alone.
pytestmark = pytest.mark.skipif(not MOLECULE.exists(), reason="molecule runs on the oldest core")


def molecule(
    project: pathlib.Path, *runs: str, environment: dict[str, str], own: pathlib.Path
) -> list[tuple[str, str]]:
    """Run ``molecule test`` once for each line of options, on one fleet of its own.

    :return: the last run's steps by scenario, which all succeed
    """
    fleet = f"molecule-{secrets.token_hex(4)}"
    env = os.environ | environment
    del env["ANSIBLE_CONFIG"]  # molecule writes one
    env |= {"MOLECULE_FLEET": fleet, "MOLECULE_EPHEMERAL_DIRECTORY": str(own)}
    env |= {"CLOSURE_NIXOS": str(ROOT), "NO_COLOR": "1"}
    try:
        for options in runs:
            done = subprocess.run(
                [MOLECULE, "test", *options.split()],
                cwd=project,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stdout
        left = subprocess.run([TESTBED, "status", "--fleet", fleet], check=False).returncode
        assert left != 0, "the fleet is still there"
    finally:
        subprocess.run([TESTBED, "down", "--fleet", fleet], check=True)
    steps = _STEP.findall(done.stdout.rpartition("DETAILS")[2])
    assert {how for _scenario, _step, how in steps} == {"Successful"}, done.stdout
    return [(scenario, step) for scenario, step, _how in steps]


def test_the_default_scenario(environment: dict[str, str], tmp_path: pathlib.Path) -> None:
    steps = molecule(ROOT, "-s default", environment=environment, own=tmp_path)
    assert steps == [
        ("default", step) for step in ("create", "converge", "idempotence", "verify", "destroy")
    ]


@pytest.mark.soak
def test_all_scenarios(environment: dict[str, str], tmp_path: pathlib.Path) -> None:
    """From clean, and again on the hosts as the first run left them."""
    runs = "--all --destroy never", "--all"
    steps = molecule(ROOT, *runs, environment=environment, own=tmp_path)
    verified = {scenario for scenario, step in steps if step == "verify"}
    assert verified == SCENARIOS == {"airgap", "bootstrap", "default", "rollback", "secrets"}
    assert {scenario for scenario, step in steps if step == "idempotence"} == SCENARIOS - {
        "rollback"
    }


@pytest.mark.soak
def test_the_example_fleet_is_tested_on_containers(
    environment: dict[str, str], tmp_path: pathlib.Path
) -> None:
    """Its scenario is the template, so it runs in a repository that holds nothing else."""
    project, own = tmp_path / "fleet", tmp_path / "own"
    subprocess.run(["cp", "-r", FLEET, project], check=True)
    steps = molecule(project, "", environment=environment, own=own)
    assert [step for _scenario, step in steps] == [
        *("destroy", "create", "converge", "idempotence", "verify", "destroy"),
    ]
