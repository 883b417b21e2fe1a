# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What people copy: the playbooks in the documentation, and the example fleet with its demo."""

from __future__ import annotations

import json
import os
import pathlib
import re
import secrets
import shutil
import subprocess

import pytest
import yaml
from ansible_collections.closure.nixos.tests.integration._harness import TESTBED, Fleet, Play

ROOT = pathlib.Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
EXAMPLE = ROOT / "examples/fleet"
NIXPKGS = TESTBED.with_name("nixpkgs")

_FILE = re.compile(r"^<!-- file: (\S+) -->\n(?:<!-- run -->\n)?```\w+\n(.*?)^```$", re.M | re.S)
_SHELL = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NIX = re.compile(r"^```nix\n(.*?)^```$", re.MULTILINE | re.DOTALL)
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
    """Where each playbook of the documentation stands, its text, and whether to run it.

    A list of tasks is the play that has them.
    """
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in _BLOCK.finditer(text):
            data = yaml.safe_load(block[2])
            # Others are variables of hosts.
            if isinstance(data, list):
                line = text.count("\n", 0, block.start(2))
                tasks = [] if "hosts" in data[0] else [{"hosts": "all", "tasks": data}]
                play = json.dumps(tasks) if tasks else block[2]
                found.append((f"{page.name}:{line}", play, bool(block[1])))
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


def test_all_nix_of_the_documentation_parses(tmp_path: pathlib.Path) -> None:
    """What is no expression by itself is lines of a set, as in a module."""
    texts = [text for page in PAGES for text in _NIX.findall(page.read_text(encoding="utf-8"))]
    for number, text in enumerate(texts):
        lines_of_a_set = re.match(r"(#.*\n|\s)*[\w.]+ = ", text)
        whole = f"{{ nixpkgs, config, lib, pkgs }}: {{\n{text}}}" if lines_of_a_set else text
        (tmp_path / f"{number}.nix").write_text(whole, encoding="utf-8")
    assert texts
    command = ["nix-instantiate", "--parse", *map(str, tmp_path.iterdir())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_start_guides_files_evaluate_and_ci_builds_them(tmp_path: pathlib.Path) -> None:
    """With a stand-in for nixpkgs, and lines of another guide for a host's hardware."""
    guide = (ROOT / "docs/start.md").read_text(encoding="utf-8")
    files = dict(_FILE.findall(guide))
    assert {"web1.nix", "nixos.nix", "flake.nix", "inventory.yml", "deploy.yml"} == set(files)
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    lines = _NIX.findall((ROOT / "docs/secrets.md").read_text(encoding="utf-8"))
    module = ["{", *lines, 'nixpkgs.hostPlatform = "x86_64-linux";', "}"]
    (tmp_path / "hardware-web1.nix").write_text("\n".join(module))
    make = [str(TESTBED.with_name("make-nixpkgs-tarball")), str(tmp_path)]
    (tmp_path / "nixpkgs.json").write_bytes(subprocess.check_output(make))

    plain = ["nix-instantiate", str(tmp_path / "nixos.nix"), "-A", "web1.system"]
    flake = ["nix", "--extra-experimental-features", "nix-command flakes", "eval", "--raw"]
    flake += ["--no-write-lock-file", "--override-input", "nixpkgs", f"path:{NIXPKGS}"]
    flake += [f"path:{tmp_path}#nixosConfigurations.web1.config.system.build.toplevel.drvPath"]
    # README.md has the same files in short.
    system, output = _NIX.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    assert system == files["nixos.nix"]
    (tmp_path / "readme").mkdir()
    for name in ("web1.nix", "hardware-web1.nix"):
        shutil.copy(tmp_path / name, tmp_path / "readme")
    outputs = f"{{ outputs = {{ nixpkgs, ... }}: {{ {output} }}; }}"
    (tmp_path / "readme/flake.nix").write_text(outputs)
    readme = [*flake[:-1], flake[-1].replace("#", "/readme#")]
    for command in (plain, flake, readme):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert "-nixos-system-web1-" in done.stdout, done.stderr
    hosts = yaml.safe_load(files["inventory.yml"])["all"]["hosts"]
    assert list(hosts) == ["web1"]

    production = (ROOT / "docs/production.md").read_text(encoding="utf-8")
    (tmp_path / "ci.sh").write_text("\n".join(["set -eu", *_SHELL.findall(production)]))
    key, cache = tmp_path / "key", tmp_path / "cache"
    make_key = ["nix-store", "--generate-binary-cache-key", "test-1", str(key), f"{key}.pub"]
    subprocess.run(make_key, check=True)
    env = os.environ | {"SIGNING_KEY_FILE": str(key), "CACHE": f"{cache.as_uri()}?compression=none"}
    subprocess.run(["sh", "ci.sh"], cwd=tmp_path, env=env, check=True)
    built = (tmp_path / "system").resolve()
    info = cache / f"{built.name.partition('-')[0]}.narinfo"
    assert "Sig: test-1:" in info.read_text()


@pytest.mark.soak
def test_the_documented_playbooks_do_what_they_say(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    """One after the other: a rollback needs a generation to come from."""
    subprocess.run([NIXPKGS / "prepare"], check=True)
    marked = [(at, text) for at, text, run in PLAYBOOKS if run]
    assert marked
    for at, text in marked:
        new = _SYSTEMS.replace("@nixpkgs@", str(NIXPKGS)).replace("@nonce@", secrets.token_hex(8))
        (tmp_path / "nixos.nix").write_text(new)
        playbook = tmp_path / "playbook.yml"
        playbook.write_text(text, encoding="utf-8")
        # A busy machine may need longer for a trial than a guide says.
        played = play(playbook, "-e", "deploy_confirm_timeout=600")
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
