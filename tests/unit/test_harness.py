# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the integration tests stand on."""

from __future__ import annotations

import signal
import subprocess

from ansible_collections.closure.nixos.tests.integration._harness import kill


def test_a_process_that_has_just_ended_is_no_error() -> None:
    process = subprocess.Popen(["sleep", "1000"])
    kill(process.pid)
    assert process.wait() == -signal.SIGKILL
    kill(process.pid)
