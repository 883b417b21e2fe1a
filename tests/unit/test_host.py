# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The frame of a script, in every shell there is here; tests/integration has the rest."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import types

import pytest
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.plugin_utils._host.host import (
    _BOOT_ID,
    Host,
    _frame,
)

SHELLS = {"dash": ["dash"], "bash": ["bash", "--posix"], "busybox": ["busybox", "sh"]}
HERE = [command for name, command in SHELLS.items() if shutil.which(name)]


def run(shell: list[str], script: bytes) -> tuple[int, bytes]:
    done = subprocess.run([*shell, "-s"], input=script, capture_output=True, check=False)
    return done.returncode, done.stdout


@pytest.mark.parametrize("shell", HERE, ids=" ".join)
@pytest.mark.parametrize(
    ("text", "status", "output"),
    [
        ("echo out", 0, b"out\n"),
        ("printf out", 0, b"out"),
        ("exit 3", 3, b""),
        ("return 4", 4, b""),
        ("exit 255", 254, b""),
        ("cat; echo after", 0, b"after\n"),
        ("echo end # of a comment", 0, b"end\n"),
        ("cat <<'TEXT'\n$HOME }\nTEXT", 0, b"$HOME }\n"),
        ("set -e; false; echo never", 1, b""),
        ("kill -9 $$; echo on", -9, None),
    ],
)
def test_a_frame_marks_the_output_and_the_end(
    shell: list[str], text: str, status: int, output: bytes | None
) -> None:
    begin = b"n0nce begin " + pathlib.Path(_BOOT_ID).read_bytes()
    end = b"%b\nn0nce end %d\n" % (output or b"", status)
    expected = begin + end if output is not None else begin
    rc, stdout = run(shell, _frame(text, "n0nce"))
    assert rc == status
    assert stdout.startswith(expected)


@pytest.mark.parametrize("shell", HERE, ids=" ".join)
def test_a_script_that_arrives_in_part_does_nothing(
    shell: list[str], tmp_path: pathlib.Path
) -> None:
    file = tmp_path / "ran"
    whole = _frame(f"touch {file}; echo done", "n0nce")
    # Without its last newline it is whole: the end of the input ends a command too.
    for length in range(len(whole) - 1):
        _rc, stdout = run(shell, whole[:length])
        assert not file.exists(), whole[:length]
        assert b"begin" not in stdout
    run(shell, whole)
    assert file.exists()


@pytest.mark.parametrize("shell", HERE, ids=" ".join)
@pytest.mark.parametrize("content", [b"\n", bytes(range(256)) * 1000, b"\x03\x04" * 70000])
def test_a_file_behind_a_script_arrives_byte_for_byte(
    shell: list[str], content: bytes, tmp_path: pathlib.Path
) -> None:
    file, arrived = tmp_path / "sent", tmp_path / "arrived"
    file.write_bytes(content)
    script = _frame(f"echo out; head -c {len(content)} >{arrived}; cat", "n0nce", str(file))
    rc, stdout = run(shell, script)
    assert (rc, arrived.read_bytes() == content) == (0, True)
    assert stdout.endswith(b"out\n\nn0nce end 0\n")


@pytest.mark.parametrize("shell", HERE, ids=" ".join)
def test_a_file_that_nobody_reads_is_no_lost_connection(
    shell: list[str], tmp_path: pathlib.Path
) -> None:
    """Who sends it could not write its end."""
    file = tmp_path / "sent"
    file.write_bytes(bytes(1 << 20))
    command = [*shell, "-s"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin and process.stdout
        process.stdin.write(_frame("exit 5", "n0nce", str(file)))
        process.stdin.close()
        assert process.stdout.read().endswith(b"n0nce end 5\n")


@pytest.mark.parametrize(
    ("transport", "found", "unless_known", "sentence"),
    [
        ("ssh", "new", False, ""),
        ("ssh", "new", True, ""),
        ("ssh", "old", False, "Take ControlPath, ControlMaster and -S out of its ssh arguments"),
        ("ssh", "old", True, "Take ControlPath, ControlMaster and -S out of its ssh arguments"),
        ("ssh", "unknown", False, "deploy_confirm_connection: any"),
        ("ssh", "unknown", True, ""),
        ("paramiko_ssh", "old", False, "Take ControlPath"),
        ("local", "unknown", False, ""),
        ("community.general.incus", "unknown", False, ""),
        ("community.general.incus", "old", False, "Take ControlPath"),
    ],
)
def test_an_old_connection_confirms_nothing(
    monkeypatch: pytest.MonkeyPatch, transport: str, found: str, unless_known: bool, sentence: str
) -> None:
    host = Host.__new__(Host)
    host.name = "web1"
    host._connection = types.SimpleNamespace(transport=transport)  # type: ignore[assignment]
    monkeypatch.setattr(host, "connection_is", lambda _age: found)
    if not sentence:
        host.require_new_connection(None, unless_known)
        return
    with pytest.raises(ClosureError, match=sentence):
        host.require_new_connection(None, unless_known)
