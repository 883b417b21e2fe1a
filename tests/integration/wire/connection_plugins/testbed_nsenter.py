# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The smallest connection plugin: into a host of the testbed without a network."""

from __future__ import annotations

import pathlib
import subprocess
import typing as t

from ansible.plugins.connection import ConnectionBase

DOCUMENTATION = """
name: testbed_nsenter
short_description: enter a host of the testbed
description: As root, by nsenter.
options:
  command:
    description: The words that stand before the command that runs in the host.
    type: list
    elements: str
    vars: [{name: testbed_enter}]
  stdin:
    description: Whether commands get a standard input.
    type: bool
    default: true
    vars: [{name: testbed_stdin}]
"""


class Connection(ConnectionBase):
    transport = "testbed_nsenter"
    has_pipelining = True

    def set_options(self, *args: t.Any, **options: t.Any) -> None:
        super().set_options(*args, **options)
        self.has_pipelining = bool(self.get_option("stdin"))

    def _connect(self) -> Connection:
        return self

    def exec_command(
        self, cmd: str, in_data: bytes | None = None, sudoable: bool = True
    ) -> tuple[int, bytes, bytes]:
        return self._enter(cmd, in_data or b"")

    def put_file(self, in_path: str, out_path: str) -> None:
        self._enter(f"cat >{out_path}", pathlib.Path(in_path).read_bytes())

    def fetch_file(self, in_path: str, out_path: str) -> None:
        pathlib.Path(out_path).write_bytes(self._enter(f"cat {in_path}", b"")[1])

    def _enter(self, script: str, stdin: bytes) -> tuple[int, bytes, bytes]:
        command = [*self.get_option("command"), "/bin/sh", "-c", script]
        done = subprocess.run(command, input=stdin, capture_output=True, check=False)
        return done.returncode, done.stdout, done.stderr

    def close(self) -> None:
        self._connected = False
