# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files on their way, on the controller."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible import constants as C
from ansible_collections.closure.nixos.plugins.plugin_utils._host import temporary

NAMES = ("closure-nixos-file", "closure-nixos-directory", "closure-nixos-link", "another")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.setattr(temporary, "PLACE", str(place))
    return place


@pytest.mark.parametrize(("hours", "left"), [(50, 1), (1, 4)])
def test_what_killed_runs_left_is_swept_when_it_is_older_than_a_day(
    tmp_path: Path, place: Path, hours: int, left: int
) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "file").touch()
    (place / NAMES[1] / "deeper").mkdir(parents=True)
    (place / NAMES[2]).symlink_to(victim)
    for name in (NAMES[0], NAMES[3]):
        (place / name).touch()
    then = time.time() - hours * 3600
    for name in NAMES:
        os.utime(place / name, (then, then), follow_symlinks=False)
    with temporary.temporary_file(), temporary.temporary_directory() as directory:
        assert Path(directory).stat().st_mode & 0o777 == 0o700
        assert len(list(place.iterdir())) == left + 2
    assert len(list(place.iterdir())) == left
    assert (victim / "file").exists()


def test_parts_that_killed_runs_left_in_their_own_directories_are_swept(
    tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(C, "DEFAULT_LOCAL_TMP", str(tmp_path / "ansible-local-1"))
    runs = [tmp_path / f"ansible-local-{number}" / "closure-nixos" for number in (1, 2)]
    for run in runs:
        run.mkdir(parents=True)
        for name in ("part-old", "part-new", "asked-old"):
            (run / name).touch()
        for name in ("part-old", "asked-old"):
            os.utime(run / name, (0, 0))
    with temporary.temporary_file():
        assert {path.name for run in runs for path in run.iterdir()} == {"part-new", "asked-old"}


def test_three_kills_leave_nothing_for_ever(place: Path) -> None:
    text = (
        "import os, sys; from ansible_collections.closure.nixos.plugins.plugin_utils._host import "
        f"temporary; temporary.PLACE = {str(place)!r}; file = temporary.temporary_file(); "
        "file.write(bytes(1000)); file.flush(); os.kill(os.getpid(), 9)"
    )
    environment = os.environ | {"PYTHONPATH": ":".join(sys.path)}
    for _time in range(3):
        assert subprocess.run([sys.executable, "-c", text], env=environment, check=False).returncode
    assert len(list(place.iterdir())) == 3
    for path in place.iterdir():
        os.utime(path, (0, 0))
    with temporary.temporary_file():
        assert len(list(place.iterdir())) == 1
