# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A connection to a host that is not there: it runs its system, and answers after a set time."""

from __future__ import annotations

import pathlib
import re
import time

from ansible.plugins.connection import ConnectionBase

DOCUMENTATION = """
name: simulated
short_description: a host that runs the system that it is to run
description: Answers what a real host did, in `facts` beside this file.
options:
  system:
    description: The store path of that system.
    vars: [{name: simulated_system}]
  delay:
    description: Seconds until it answers.
    type: float
    vars: [{name: simulated_delay}]
"""
FACTS = pathlib.Path(__file__).with_name("facts")
BOOT = "0001f8fe-bf14-418a-a468-a4e3facbeee6"


class Connection(ConnectionBase):
    """Knows one question."""

    transport = "simulated"
    has_pipelining = True

    def _connect(self) -> Connection:
        return self

    def exec_command(
        self, cmd: str, in_data: bytes | None = None, sudoable: bool = True
    ) -> tuple[int, bytes, bytes]:
        """Answer, as the frame of host.py wants it."""
        script = (in_data or b"").decode()
        (nonce,) = set(re.findall(r"printf '\S+ begin \S+ (\w+)", script))
        if "\nhost_facts " not in script:
            return 1, b"", b"a simulated host knows nothing but its facts"
        time.sleep(self.get_option("delay"))
        facts = FACTS.read_text().replace("@SYSTEM@", self.get_option("system"))
        return 0, f"{nonce} begin {BOOT}\n{facts}\n{nonce} end 0\n".encode(), b""

    def put_file(self, in_path: str, out_path: str) -> None:
        """Carry nothing."""
        raise NotImplementedError

    def fetch_file(self, in_path: str, out_path: str) -> None:
        """Carry nothing."""
        raise NotImplementedError

    def close(self) -> None:
        """Have nothing to close."""
        self._connected = False
