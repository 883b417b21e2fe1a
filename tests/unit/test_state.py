# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""State of a host that was cut or cannot be written: the next run goes on, or says what to do."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest
from ansible_collections.closure.nixos.plugins.plugin_utils._host.scripts import script


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state" / "closure-nixos"


def request(
    state: Path, run: str, identity: str = "1", *words: str
) -> subprocess.CompletedProcess[str]:
    called = words or ("boot_id",)
    text = script("request", run, f"who of {run}", identity, "", *called).text
    # As root, it would be that of this machine.
    text = text.replace("state=/run/closure-nixos", f"state={state}")
    environment = os.environ | {"XDG_STATE_HOME": str(state.parent)}
    return subprocess.run(
        ["sh", "-c", text], env=environment, capture_output=True, text=True, check=False
    )


def test_the_newer_run_counts_and_its_state_is_private(state: Path) -> None:
    assert request(state, "a").returncode == 0
    assert request(state, "b").returncode == 0
    late = request(state, "a", "2")
    assert (late.returncode, late.stdout) == (75, "")
    assert late.stderr == "this run was replaced on this host by a newer one: who of b\n"
    assert state.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("cut", ["empty", "directory", "missing", "unknown"])
def test_a_record_that_was_cut_stops_no_run(state: Path, cut: str) -> None:
    assert request(state, "a").returncode == 0
    current = state / "current"
    current.unlink()
    if cut == "empty":
        current.touch()
    elif cut == "directory":
        current.mkdir()
    elif cut == "unknown":
        current.write_text("nobody\n")
    # Of a record that names nobody the run itself may be the last one.
    run = "b" if cut == "unknown" else "a"
    done = request(state, run, "2")
    assert (done.returncode, done.stderr) == (0, "")
    assert current.read_text() == f"{run}\n"


def test_an_answer_without_its_end_is_no_success(state: Path) -> None:
    assert request(state, "a").returncode == 0
    rc = next(state.glob("requests/a/*/rc"))
    rc.write_text("")
    assert request(state, "a").returncode == 75
    rc.unlink()
    again = request(state, "a")
    assert (again.returncode, "was interrupted before" in again.stderr) == (75, True)


@pytest.mark.parametrize("planted", ["file", "pipe", "link", "broken link", "open", "other"])
def test_a_state_that_cannot_be_or_that_others_planted_is_named(
    tmp_path: Path, state: Path, planted: str
) -> None:
    """Before anything is read or written there: what lies in it says what runs."""
    state.parent.mkdir()
    theirs = tmp_path / "theirs"
    theirs.mkdir(0o700)
    if planted == "file":
        state.write_text("")
    elif planted == "pipe":
        os.mkfifo(state)
    elif planted.endswith("link"):
        state.symlink_to(theirs if planted == "link" else tmp_path / "nowhere")
    else:
        state.mkdir()
        state.chmod(0o770 if planted == "open" else 0o700)
    if planted == "other":
        if os.getuid() != 0:
            pytest.skip("only root can make a directory of somebody else")
        os.chown(state, 65534, 65534)
    done = request(state, "a")
    assert done.returncode == 77
    assert f"{state} on this host is no directory that only" in done.stderr
    assert not any(theirs.iterdir())
    assert not state.is_dir() or not any(state.iterdir())


def test_a_group_that_is_handed_down_hinders_nothing(state: Path) -> None:
    state.parent.mkdir()
    state.parent.chmod(0o2755)
    assert request(state, "a").returncode == 0
    assert state.stat().st_mode & 0o7777 in (0o700, 0o2700)


def test_runs_of_long_ago_are_swept(state: Path) -> None:
    assert request(state, "old").returncode == 0
    assert request(state, "young").returncode == 0
    then = time.time() - 8 * 24 * 3600
    os.utime(state / "runs/old", (then, then))
    assert request(state, "new").returncode == 0
    assert {it.name for it in state.glob("runs/*")} == {"young", "new"}
