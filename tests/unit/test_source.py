# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import os
import pathlib
import subprocess
import tarfile

import pytest
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.plugin_utils._build.source import source_files
from ansible_collections.closure.nixos.plugins.plugin_utils._host.scripts import script


def git(directory: pathlib.Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=directory, check=True, capture_output=True)


def test_of_a_git_tree_only_what_is_tracked_is_taken(tmp_path: pathlib.Path) -> None:
    directory = tmp_path / "below"
    directory.mkdir()
    for name in ("a b\nc.nix", "gone.nix", ".hidden", "untracked"):
        (directory / name).touch()
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "below/a b\nc.nix", "below/gone.nix", "below/.hidden")
    (directory / "gone.nix").unlink()
    assert sorted(source_files(directory)) == [".hidden", "a b\nc.nix"]


def test_of_a_submodule_only_what_is_tracked_is_taken(tmp_path: pathlib.Path) -> None:
    other, directory = tmp_path / "other", tmp_path / "main"
    for tree in (other, directory):
        tree.mkdir()
        git(tree, "init", "-q")
    (other / "tracked").touch()
    git(other, "add", "tracked")
    git(other, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "a")
    add = ("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(other), "sub")
    git(directory, *add)
    (directory / "sub/untracked").touch()
    assert sorted(source_files(directory)) == [".gitmodules", "sub/tracked"]


def test_without_a_git_tree_all_is_taken(tmp_path: pathlib.Path) -> None:
    assert source_files(tmp_path) == ["."]


def test_where_git_does_not_answer_nothing_is_taken(tmp_path: pathlib.Path) -> None:
    (tmp_path / ".git").mkdir()
    with pytest.raises(ClosureError, match="Git does not say"):
        source_files(tmp_path)


def test_a_source_has_to_be_there(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ClosureError, match="There is no directory"):
        source_files(tmp_path / "missing")


def test_a_source_that_is_sent_again_is_taken_again(tmp_path: pathlib.Path) -> None:
    """Its answer may be lost on the way, and what was begun may have been cut."""
    state, archive = tmp_path / "state/closure-nixos", tmp_path / "brought/source.tar"
    archive.parent.mkdir(0o700)
    state.mkdir(0o700, parents=True)
    (tmp_path / "nixos.nix").write_text("{ }")
    with tarfile.open(archive, "w") as tar:
        tar.add(tmp_path / "nixos.nix", "nixos.nix")
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    words = script("add_source", str(archive), digest).text
    # As root, it would be that of this machine.
    text = words.replace("state=/run/closure-nixos", f"state={state}")
    env = os.environ | {"XDG_STATE_HOME": str(state.parent)}
    answers = [
        subprocess.run(
            ["sh", "-s"], input=text, env=env, capture_output=True, text=True, check=True
        )
        for _time in range(2)
    ]
    first, again = (pathlib.Path(answer.stdout.strip()) for answer in answers)
    assert first == again and (first / "nixos.nix").read_text() == "{ }"
    assert (state / "roots/.source").resolve() == first
