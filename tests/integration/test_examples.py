# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What people copy: the playbooks in the documentation, and the example fleet with its demo."""

from __future__ import annotations

import os
import pathlib
import re
import secrets
import subprocess

import pytest
import yaml
from ansible_collections.closure.nixos.tests.integration._harness import TESTBED, Fleet, Play

ROOT = pathlib.Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
EXAMPLE = ROOT / "examples/fleet"
NIXPKGS = TESTBED.with_name("nixpkgs")

_BLOCK = re.compile(r"^(<!-- run -->\n)?```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What differs from run to run, or tells a reader nothing.
_VARIES = re.compile(
    r"(?<=/nix/store/)\w{32}|(?<=\()\w{7}(?=\))|(?<=ok=)\d+ *|(?<=skipped=)\d+ *| +\d+ s$| +$"
)
_SYSTEMS = """
builtins.mapAttrs (name: _: import @nixpkgs@/nixos {
  configuration = {
    boot.loader.systemd-boot.enable = true;
    networking.hostName = name;
    environment.etc.nonce.text = "@nonce@";
  };
}) { node1 = null; node2 = null; node3 = null; }
"""


def documented_playbooks() -> list[tuple[str, str, bool]]:
    """Where each playbook of the documentation stands, its text, and whether to run it."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in _BLOCK.finditer(text):
            if "hosts" in yaml.safe_load(block[2])[0]:
                line = text.count("\n", 0, block.start(2))
                found.append((f"{page.name}:{line}", block[2], bool(block[1])))
    return found


PLAYBOOKS = documented_playbooks()
WRITTEN = [*ROOT.glob("examples/*/deploy.yml"), *ROOT.glob("playbooks/*.yml")]


def lines_of(output: str) -> set[str]:
    return {_VARIES.sub("", line) for line in output.splitlines()}


def test_all_playbooks_pass_the_syntax_check(
    environment: dict[str, str], tmp_path: pathlib.Path
) -> None:
    """Those of the documentation and those in files: one ansible-playbook names a bad one."""
    for at, text, _run in PLAYBOOKS:
        (tmp_path / f"{at}.yml").write_text(text, encoding="utf-8")
    playbooks = [*tmp_path.iterdir(), *WRITTEN]
    assert len(playbooks) == len(PLAYBOOKS) + len(WRITTEN)
    command = ["ansible-playbook", "--syntax-check", "-i", "localhost,", *map(str, playbooks)]
    env = os.environ | environment
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith("playbook: ")] == [
        f"playbook: {playbook}" for playbook in playbooks
    ]


@pytest.mark.soak
def test_the_documented_playbooks_do_what_they_say(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    """One after the other: going back needs a generation to come from."""
    subprocess.run([NIXPKGS / "prepare"], check=True)
    marked = [(at, text) for at, text, run in PLAYBOOKS if run]
    assert marked
    for at, text in marked:
        new = _SYSTEMS.replace("@nixpkgs@", str(NIXPKGS)).replace("@nonce@", secrets.token_hex(8))
        (tmp_path / "nixos.nix").write_text(new)
        playbook = tmp_path / "playbook.yml"
        playbook.write_text(text, encoding="utf-8")
        played = play(playbook)
        assert played.rc == 0, f"{at}\n{played.text}"
        for host in fleet.hosts:
            assert played.stats[host]["changed"] > 0, f"{at}\n{played.text}"
            links = "readlink -f /run/current-system /nix/var/nix/profiles/system"
            running, recorded = fleet.exec(host, links).split()
            assert running == recorded, at


def test_the_demo_is_as_it_says() -> None:
    """It checks every step itself, and ends with an error when one is otherwise."""
    fleet = f"demo-{secrets.token_hex(4)}"
    command, env = [str(EXAMPLE / "demo")], os.environ | {"DEMO_FLEET": fleet}
    done = subprocess.run(
        command, env=env, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Checked: changed=0 on every host" in done.stdout
    shown = "".join(_CONSOLE.findall((ROOT / "README.md").read_text(encoding="utf-8")))
    assert shown
    assert lines_of(shown) <= lines_of(done.stdout), "README.md shows what the demo does not print"
    left = subprocess.run([TESTBED, "status", "--fleet", fleet], capture_output=True, check=False)
    assert left.returncode != 0
