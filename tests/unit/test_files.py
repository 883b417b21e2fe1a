# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files on their way: what somebody has planted is refused, replaced or copied, never followed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import time
from pathlib import Path

import pytest
from ansible_collections.closure.nixos.plugins.plugin_utils._host.scripts import script

GOOD = hashlib.sha256(b"good\n").hexdigest()


def call(*words: str, umask: str = "022") -> subprocess.CompletedProcess[str]:
    text = f"umask {umask}\n{script(*words).text}"
    return subprocess.run(["sh", "-c", text], capture_output=True, text=True, check=False)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    place = tmp_path / "place"
    place.mkdir(0o700)
    return place


@pytest.mark.parametrize("umask", ["000", "022", "077"])
def test_a_directory_is_ours_alone_whatever_the_umask(umask: str) -> None:
    made = Path(call("make_directory", umask=umask).stdout.strip())
    try:
        found = made.stat()
        assert (found.st_uid, found.st_mode & 0o7777) == (os.getuid(), 0o700)
        assert call("ours", str(made)).returncode == 0
    finally:
        made.rmdir()


@pytest.mark.parametrize("planted", ["link", "open", "file", "pipe", "nothing", "other"])
def test_what_is_planted_is_not_ours(tmp_path: Path, place: Path, planted: str) -> None:
    path = tmp_path / "planted"
    if planted == "link":
        path.symlink_to(place)
    elif planted == "file":
        path.touch(0o700)
    elif planted == "pipe":
        os.mkfifo(path, 0o700)
    elif planted != "nothing":
        path.mkdir(0o750 if planted == "open" else 0o700)
    if planted == "other":
        if os.getuid() != 0:
            pytest.skip("only root can make a directory of somebody else")
        os.chown(path, 65534, 65534)
    assert call("ours", str(place)).returncode == 0
    assert call("ours", str(path)).returncode != 0


@pytest.mark.parametrize("own", [True, False], ids=["ours", "of a login"])
def test_what_was_brought_is_taken_as_it_was_checked(place: Path, own: bool) -> None:
    place.chmod(0o700 if own else 0o750)
    file = place / "archive"
    file.write_text("good\n")
    got = Path(call("receive", str(file), GOOD).stdout.strip())
    try:
        assert call("ours", str(got)).returncode == 0
        if not own:
            # Whoever brought it goes on to write.
            file.write_text("evil\n")
        assert (got / "file").read_text() == "good\n"
    finally:
        (got / "file").unlink()
        got.rmdir()


@pytest.mark.parametrize("own", [True, False], ids=["ours", "of a login"])
@pytest.mark.parametrize(
    ("text", "status", "sentence"),
    [
        ("evil\n", 65, "its checksum is wrong"),
        ("goo", 65, "its checksum is wrong"),
        (None, 66, "cannot be read"),
    ],
)
def test_what_is_not_what_was_sent_is_refused_and_not_left(
    place: Path, own: bool, text: str | None, status: int, sentence: str
) -> None:
    place.chmod(0o700 if own else 0o750)
    if text is not None:
        (place / "archive").write_text(text)
    done = call("receive", str(place / "archive"), GOOD)
    assert (done.returncode, done.stdout) == (status, "")
    assert sentence in done.stderr
    for other in Path("/var/tmp").glob("closure-nixos-*/file"):
        with contextlib.suppress(OSError):  # of another test
            assert other.read_text() not in (text, "")


@pytest.mark.parametrize("planted", ["link", "pipe", "pipe with a writer", "directory", "device"])
def test_what_a_login_plants_for_root_is_not_read(
    tmp_path: Path, place: Path, planted: str
) -> None:
    """Not what the link leads to, though its checksum is right, and without waiting for anybody."""
    place.chmod(0o750)
    file = place / "archive"
    with contextlib.ExitStack() as stack:
        if planted == "link":
            (tmp_path / "good").write_text("good\n")
            file.symlink_to(tmp_path / "good")
        elif planted == "device":
            file.symlink_to("/dev/zero")
        elif planted == "directory":
            file.mkdir()
        else:
            os.mkfifo(file)
        if planted == "pipe with a writer":
            stack.callback(os.close, os.open(file, os.O_RDWR))
        done = call("receive", str(file), GOOD)
    assert done.stdout == ""
    assert (done.returncode, "cannot be read" in done.stderr) == (66, True) or (
        planted == "pipe" and done.returncode == 65
    ), done.stderr


@pytest.mark.parametrize("own", [True, False], ids=["ours", "of a login"])
def test_a_hard_link_that_a_login_keeps_changes_nothing_that_root_has_read(
    tmp_path: Path, place: Path, own: bool
) -> None:
    """Another name for what was brought, or for a file of root that is not what was sent."""
    place.chmod(0o700 if own else 0o750)
    kept = tmp_path / "kept"
    kept.write_text("good\n")
    (place / "archive").hardlink_to(kept)
    got = Path(call("receive", str(place / "archive"), GOOD).stdout.strip())
    try:
        if not own:
            kept.write_text("evil\n")
        assert (got / "file").read_text() == "good\n"
    finally:
        (got / "file").unlink()
        got.rmdir()
    kept.write_text("of root alone\n")
    done = call("receive", str(place / "archive"), GOOD)
    assert (done.returncode, done.stdout) == (65, "")
    assert "of root alone" not in done.stderr


@pytest.mark.parametrize("planted", ["nothing", "file", "link", "link to a directory"])
def test_a_file_is_handed_over_in_the_place_of_what_is_there(
    tmp_path: Path, place: Path, planted: str
) -> None:
    victim, file = tmp_path / "victim", tmp_path / "file"
    file.write_text("good\n")
    if planted == "link to a directory":
        victim.mkdir()
    else:
        victim.write_text("old\n")
    if planted.startswith("link"):
        (place / "archive").symlink_to(victim)
    elif planted == "file":
        (place / "archive").write_text("evil\n")
    assert call("hand_over", str(file), str(place / "archive")).returncode == 0
    assert not (place / "archive").is_symlink()
    assert (place / "archive").read_text() == "good\n"
    assert victim.is_dir() or victim.read_text() == "old\n"
    assert not victim.is_dir() or not list(victim.iterdir())


def test_a_file_is_not_handed_to_where_others_can_enter(tmp_path: Path, place: Path) -> None:
    (tmp_path / "file").write_text("good\n")
    place.chmod(0o755)
    done = call("hand_over", str(tmp_path / "file"), str(place / "archive"))
    assert (done.returncode, list(place.iterdir())) == (77, [])
    assert "can be entered by others" in done.stderr


def test_a_file_is_not_handed_to_where_a_link_leads(tmp_path: Path, place: Path) -> None:
    """A login may put a link to a directory of root in the place of its own."""
    (tmp_path / "file").write_text("good\n")
    (tmp_path / "link").symlink_to(place)
    done = call("hand_over", str(tmp_path / "file"), str(tmp_path / "link/archive"))
    assert (done.returncode, list(place.iterdir())) == (77, [])
    assert "is a link" in done.stderr


def test_what_is_older_than_a_day_is_swept(place: Path) -> None:
    for name, hours in (("it-old", 50), ("it-new", 1), ("other", 50)):
        (place / name).mkdir()
        (place / name / "file").touch()
        then = time.time() - hours * 3600
        os.utime(place / name, (then, then))
    assert call("sweep", str(place), "it-*").returncode == 0
    assert {it.name for it in place.iterdir()} == {"it-new", "other"}


@pytest.mark.parametrize("end", ["exit 3", "kill -TERM $$", "kill -HUP $$; sleep 5", ":"])
def test_a_directory_ends_with_its_shell(tmp_path: Path, end: str) -> None:
    place = tmp_path / "it's place"
    place.mkdir()
    (place / "file").touch()
    text = f"{script('until_exit', str(place)).text}\n{end}"
    subprocess.run(["sh", "-c", text], capture_output=True, check=False, timeout=10)
    assert not place.exists()
