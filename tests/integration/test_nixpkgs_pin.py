# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""nixpkgs_pin with a tarball whose content changes, and what is built from its file."""

from __future__ import annotations

import json
import pathlib
import subprocess

import yaml
from ansible_collections.closure.nixos.plugins.modules import nixpkgs_pin
from ansible_collections.closure.nixos.tests.integration._harness import TESTBED, Play, Played
from ansible_collections.closure.nixos.tests.integration._systems import Task, module, playbook

LOCAL = {"hosts": "localhost", "connection": "local"}


def publish(directory: pathlib.Path, suffix: str) -> dict[str, str]:
    """Put another release of the stand-in nixpkgs upstream, and say how Nix pins it."""
    program = str(TESTBED.with_name("make-nixpkgs-tarball"))
    done = subprocess.run([program, str(directory), suffix], stdout=subprocess.PIPE, check=True)
    return {str(key): str(value) for key, value in json.loads(done.stdout).items()}


def pin(path: pathlib.Path, **arguments: str) -> Task:
    return module("nixpkgs_pin", {"path": str(path)} | arguments, ignore_errors=True)


def pinned(played: Played, task: str = "nixpkgs_pin") -> Task:
    assert "Traceback" not in played.text
    return played.result("localhost", task)


def test_a_pin_is_written_kept_and_updated(play: Play, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "nixpkgs.json"
    upstream = publish(tmp_path, ".1")
    text = playbook(pin(file, url=upstream["url"]), **LOCAL)

    checked = pinned(play(text, "--check", "--diff"))
    assert checked["changed"] and not file.exists()
    first = pinned(play(text, "--diff"))
    assert checked["diff"] == first["diff"] and first["diff"]["after"] == file.read_text()
    assert file.stat().st_mode & 0o777 == 0o644
    assert set(yaml.safe_load(nixpkgs_pin.RETURN)) - {"rc", "stderr"} <= first.keys()
    assert checked.keys() == first.keys()

    file.chmod(0o640)
    again = pinned(play(text))
    assert not again["changed"] and "is up to date" in again["msg"]
    assert again["sha256"] == first["sha256"]

    publish(tmp_path, ".2")
    later = pinned(play(text))
    assert later["changed"] and later["sha256"] != first["sha256"]
    assert json.loads(file.read_text())["sha256"] == later["sha256"]
    assert file.stat().st_mode & 0o777 == 0o640


def test_a_pin_that_nix_prefetch_url_made_is_the_same(play: Play, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "nixpkgs.json"
    upstream = publish(tmp_path, ".1")
    file.write_text(json.dumps(upstream))
    build = module(
        "nix_build_system", {"configuration": [{}], "nixpkgs": str(file)}, ignore_errors=True
    )
    played = play(playbook(pin(file, url=upstream["url"]), build, **LOCAL))
    assert not pinned(played)["changed"]
    assert json.loads(file.read_text()) == upstream
    assert pinned(played, "nix_build_system")["path"].endswith(".1")

    publish(tmp_path, ".2")
    (tmp_path / "nixpkgs.json").write_text(json.dumps(upstream | {"sha256": "0" * 52}))
    moved = play(playbook(build, pin(file, url=upstream["url"]), build, **LOCAL))
    first, second = moved.results("localhost", "nix_build_system")
    assert first["failed"] and "is not what was pinned" in first["msg"]
    assert pinned(moved)["changed"]
    assert second["failed"], "a failure is kept for the run"
    healed = play(playbook(build, **LOCAL))
    assert pinned(healed, "nix_build_system")["path"].endswith(".2")


def test_bad_requests_are_answered_with_sentences(play: Play, tmp_path: pathlib.Path) -> None:
    (tmp_path / "other.json").write_text('{"pins": {}}')
    url = f"file://{tmp_path}/missing.tar.gz"
    cases = {
        "missing": (pin(tmp_path / "a.json", url=url), "localhost does not get file:///"),
        "foreign": (pin(tmp_path / "other.json", url=url), "other.json is no pin"),
        "nothing": (pin(tmp_path / "a.json"), "Give one of url, ref and rev"),
        "directory": (pin(tmp_path, url=url), "cannot be read or written"),
    }
    played = play(playbook(*(task | {"name": name} for name, (task, _s) in cases.items()), **LOCAL))
    for name, (_task, words) in cases.items():
        assert words in pinned(played, name)["msg"], name
