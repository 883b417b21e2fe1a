# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which parts of two activation scripts are the same."""

from __future__ import annotations

import pathlib
import subprocess

from ansible_collections.closure.nixos.plugins.plugin_utils._host.scripts import script

# The heads are those of nixpkgs, activation-script.nix.
PART = """#### Activation script snippet %s:
_localstatus=0
%s

"""


def system(directory: pathlib.Path, **parts: str) -> str:
    directory.mkdir()
    text = "#!/bin/sh\nsystemConfig='@out@'\n" + "".join(PART % part for part in parts.items())
    (directory / "activate").write_text(text)
    return str(directory)


def test_a_part_is_the_same_when_its_text_is(tmp_path: pathlib.Path) -> None:
    old = system(tmp_path / "old", etc="setup", users="update", gone="x", last="false")
    new = system(tmp_path / "new", etc="setup", users="update 2", new="x", last="false")
    names = ("etc", "users", "gone", "new", "last", "et.")
    command = ["sh", "-c", script("same_snippets", old, new, *names).text]
    assert subprocess.check_output(command, text=True).split() == ["etc", "last"]
