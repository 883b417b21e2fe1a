# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a job leaves behind when nobody asks after it any more, or somebody kills it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.closure.nixos.plugins.plugin_utils._host.scripts import script

SECRET = "ghp_canary"


def until(true: t.Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    state = tmp_path / "state" / "closure-nixos"
    state.mkdir(mode=0o700, parents=True)
    return state


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with a file on its way, as a login has brought it."""
    place = tmp_path / "it's place"
    place.mkdir(0o700)
    (place / "archive").write_bytes(b"")
    return place


def run(state: Path, *words: str) -> subprocess.CompletedProcess[str]:
    # As root, it would be that of this machine.
    text = script(*words).text.replace("state=/run/closure-nixos", f"state={state}")
    environment = os.environ | {"XDG_STATE_HOME": str(state.parent), "LC_ALL": "C"}
    return subprocess.run(
        ["sh", "-s"], input=text, env=environment, capture_output=True, text=True, check=False
    )


def start(state: Path, command: str, lease: int, name: str = "job") -> None:
    # No unit of this machine's systemd.
    done = run(state, "job_start", name, "", str(lease), command)
    assert done.returncode == 0, done.stderr


CALL = ("request", "run-1", "me", "start", "", "job_start", "job", "", "9")


def take(state: Path, size: int, command: str, sent: bytes) -> int:
    """Start a job that has bytes sent with the call; return the call's exit status."""
    text = script("taking", str(size), *CALL, command).text
    text = text.replace("state=/run/closure-nixos", f"state={state}")
    place = state.parent / "tmp"
    place.mkdir(exist_ok=True)
    place.chmod(0o1777)
    # The shell reads its script from a file, so standard input is the bytes alone.
    file = state.parent / "script"
    file.write_text(text.replace("/var/tmp", str(place)))
    environment = os.environ | {"XDG_STATE_HOME": str(state.parent), "LC_ALL": "C"}
    command_line = ["sh", str(file)]
    done = subprocess.run(command_line, input=sent, env=environment, check=False)
    return done.returncode


def test_a_job_has_what_came_with_its_call_and_a_second_call_leaves_nothing(state: Path) -> None:
    found, content = state.parent / "found", bytes(range(256))
    command = f'cp "$TAKEN/archive" {found}; rm -rf "$TAKEN"'
    for _again in range(2):
        assert take(state, len(content), command, content) == 0
    until((state / "jobs/job/status").exists)
    assert found.read_bytes() == content
    assert list((state.parent / "tmp").iterdir()) == []


def test_what_came_in_part_starts_nothing_and_is_gone(state: Path) -> None:
    assert take(state, 10, "true", b"nine byte") == 65
    assert not (state / "jobs").exists()
    assert list((state.parent / "tmp").iterdir()) == []


def test_what_came_for_a_refused_job_is_gone(state: Path) -> None:
    start(state, "sleep 100", lease=100)
    assert take(state, 1, "true", b"x") == 75
    assert list((state.parent / "tmp").iterdir()) == []
    run(state, "job_stop", "job")


def holds_secret(state: Path) -> list[Path]:
    found = []
    # Not by rglob: a directory may have just gone as well.
    for path in (Path(place, name) for place, _in, names in os.walk(state) for name in names):
        with contextlib.suppress(OSError):
            if path.is_file() and not path.is_symlink() and SECRET in path.read_text():
                found.append(path)
    return found


def slow_import(tmp_path: Path, place: Path) -> str:
    """The command of an import that does not end."""
    (tmp_path / "nix-store").write_text(f"#!/bin/sh\ntouch {tmp_path}/begun\nexec sleep 1000\n")
    (tmp_path / "nix-store").chmod(0o755)
    digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    text = script("unpack", str(place / "archive"), digest, "").text
    return f'PATH="{tmp_path}:$PATH"\n{text.replace("/var/tmp", str(tmp_path / "tmp"))}'


@pytest.mark.parametrize("end", ["lease", "stop"])
def test_what_a_job_was_for_ends_with_it(
    tmp_path: Path, state: Path, place: Path, end: str
) -> None:
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp").chmod(0o1777)
    lease = 1 if end == "lease" else 600
    start(state, slow_import(tmp_path, place), lease)
    until((tmp_path / "begun").exists)
    if end == "stop":
        assert run(state, "job_stop", "job").returncode == 0
        assert run(state, "job_forget", "job").returncode == 0
    until(lambda: not (state / "jobs/job").exists())
    # Both the file that was brought and root's copy of it.
    until(lambda: not place.exists() and not list((tmp_path / "tmp").iterdir()))
    polled = run(state, "job_poll", "job", "token", "0", "0 0")
    assert polled.returncode == 66
    assert "when nobody has asked after it for long" in polled.stderr


WORDS = {
    "a build": ("configured", f"access-tokens = {SECRET}", "looking_up", "/", "true", "machine"),
    "a copy": ("pull", "http://cache", f"machine cache login me password {SECRET}", "/nix/store/x"),
    "another": ("looking_up", f"/{SECRET}", "true", "machine"),
}


@pytest.mark.parametrize("end", ["lease", "stop", "killed", "ends"])
@pytest.mark.parametrize("what", WORDS)
def test_a_token_does_not_stay_with_a_job(tmp_path: Path, state: Path, what: str, end: str) -> None:
    """Neither in its command nor in the file that Nix reads, whatever ends it."""
    program = tmp_path / ("nix" if what == "a copy" else "nproc")
    seconds = 1 if end == "ends" else 1000
    shown = f"tr '\\0' '\\n' </proc/$$/environ; echo \"$@\"; touch {tmp_path}/begun"
    program.write_text(f"#!/bin/sh\n{{ {shown}; }} >{tmp_path}/shown\nexec sleep {seconds}\n")
    program.chmod(0o755)
    command = script(*WORDS[what]).text.replace("state=/run/closure-nixos", f"state={state}")
    start(state, f'PATH="{tmp_path}:$PATH"\n{command}', 1 if end == "lease" else 600)
    until((tmp_path / "begun").exists)
    assert SECRET not in (tmp_path / "shown").read_text()
    if end in ("stop", "killed") and what != "another":
        file = next(it for it in holds_secret(state) if it.name != "command")
        assert file.name.startswith("secret-") and file.stat().st_mode & 0o777 == 0o600
    if end == "stop":
        assert run(state, "job_stop", "job").returncode == 0
    elif end == "killed":
        os.killpg(int((state / "jobs/job/group").read_text()), signal.SIGKILL)
    until(lambda: not holds_secret(state))
    assert run(state, "job_stop", "job").returncode == 0


def test_a_command_that_finds_no_room_is_not_left_in_part(state: Path) -> None:
    text = script("job_start", "job", "", "0", SECRET * 20000).text
    text = text.replace("state=/run/closure-nixos", f"state={state}")
    environment = os.environ | {"XDG_STATE_HOME": str(state.parent)}
    # A file of this shell may have 64 KiB.
    full = f"ulimit -f 128; trap '' XFSZ\n{text}"
    done = subprocess.run(
        ["sh", "-s"], input=full, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 75
    assert "make room there" in done.stderr
    assert not (state / "jobs/job").exists()


@pytest.mark.parametrize("kind", ["jobs", "runs", "requests"])
def test_what_runs_leave_is_bounded_by_number_and_age(state: Path, kind: str) -> None:
    (state / kind).mkdir()
    now = time.time()
    for number in range(230):
        path = state / kind / f"n{number}"
        path.touch() if kind == "runs" else path.mkdir()
        # The first are the oldest; the very first are a week old and more.
        age = 8 * 86400 if number < 20 else 3600 - number
        os.utime(path, (now - age, now - age))
    (state / "jobs/activation").mkdir(parents=True)
    os.utime(state / "jobs/activation", (0, 0))
    if kind == "jobs":
        start(state, "true", 0, "new")
    else:
        done = run(state, "request", "run", "who", "1", "", "boot_id")
        assert done.returncode == 0, done.stderr
    left = {it.name for it in (state / kind).iterdir()} - {"new", "run", "activation"}
    least, most = 198, 200
    assert least <= len(left) <= most
    assert {f"n{number}" for number in range(30, 230)} >= left
    assert (state / "jobs/activation").exists()
