# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands that say what failed."""

from __future__ import annotations

import subprocess


class TestbedError(Exception):
    """A sentence for the user: what failed and what to do next."""


def run(*argv: str, stdin: str | None = None) -> str:
    """Run a command to its end and return its stdout."""
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise TestbedError(f"`{' '.join(argv)}` failed with exit code {done.returncode}: {said}")
    return done.stdout
