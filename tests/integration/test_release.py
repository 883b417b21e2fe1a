# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`make release`, in a clone that is thrown away."""

from __future__ import annotations

import os
import pathlib
import subprocess
import tarfile
import typing as t

import pytest
import yaml

COLLECTION = pathlib.Path(__file__).parents[2]
AUTHOR = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Ann"), ("EMAIL", "ann@example.org"))
}
ENV = {name: it for name, it in os.environ.items() if not name.startswith("ANSIBLE_")} | AUTHOR


class Clone:
    """A clone with the environments of this one."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        subprocess.run(["git", "clone", "-q", COLLECTION, directory], check=True)
        for name in (".venv", ".venv-lint"):
            (directory / name).symlink_to(COLLECTION / name)
        (directory / ".git/info/exclude").write_text(".venv\n.venv-lint\n")

    def git(self, *words: str) -> str:
        command = ["git", "-C", str(self.directory), *words]
        return subprocess.run(
            command, env=ENV, check=True, capture_output=True, text=True
        ).stdout.strip()

    def release(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.directory / "tests/release"), *words]
        return subprocess.run(command, env=ENV, capture_output=True, text=True, check=False)

    @property
    def state(self) -> tuple[str, str, str]:
        """What a release changes."""
        return self.git("rev-parse", "HEAD"), self.git("tag"), self.git("status", "--porcelain")

    def load(self, path: str) -> t.Any:
        return yaml.safe_load((self.directory / path).read_text())


@pytest.fixture
def clone(tmp_path: pathlib.Path) -> Clone:
    return Clone(tmp_path / "clone")


def test_what_cannot_be_released_is_refused_and_nothing_is_changed(clone: Clone) -> None:
    clone.git("tag", "99.1.0")
    (clone.directory / "Makefile").write_text("bad:\n\tfalse\nodd:\n\techo >odd\n")
    clone.git("commit", "-q", "-a", "-m", "Checks of this test")
    before = clone.state
    refusals: dict[tuple[str, ...], str] = {
        (): "a version has three numbers",
        ("1.2",): "a version has three numbers",
        ("v1.2.3",): "a version has three numbers",
        ("01.2.3",): "a version has three numbers",
        ("1.2.3-rc1",): "a version has three numbers",
        ("99.1.0",): "there is a tag 99.1.0",
        ("99.0.9",): "is not newer than the last release, 99.1.0",
        ("99.2.0", "bad"): "make",
    }
    for words, sentence in refusals.items():
        done = clone.release(*words)
        assert done.returncode != 0 and sentence in done.stderr, (words, done.stderr)
        assert clone.state == before, words

    done = clone.release("99.2.0", "odd")
    assert "the checks have changed the tree: ?? odd" in done.stderr
    (clone.directory / "odd").unlink()

    with (clone.directory / "README.md").open("a") as readme:
        readme.write("more\n")
    done = clone.release("99.2.0")
    assert "in no commit:  M README.md" in done.stderr
    clone.git("checkout", "-q", "README.md")

    clone.git("rm", "-q", "-r", "changelogs/fragments")
    clone.git("commit", "-q", "-m", "No fragments")
    assert "there is nothing to release" in clone.release("99.2.0").stderr


@pytest.mark.soak
def test_a_release_is_a_commit_a_tag_and_a_tarball(clone: Clone) -> None:
    """And when it fails on the way, all is as it was."""
    before = clone.state
    (clone.directory / "changelogs/fragments/bad.yml").write_text("no_such_section: [x]\n")
    clone.git("add", ".")
    clone.git("commit", "-q", "-m", "A fragment that is none")
    broken = clone.state
    failed = clone.release("99.0.0")
    assert failed.returncode != 0, failed.stdout
    assert clone.state == broken, failed.stderr
    clone.git("reset", "-q", "--hard", before[0])

    done = clone.release("99.0.0")
    assert done.returncode == 0, done.stdout + done.stderr
    head, tags, status = clone.state
    assert (tags, status) == ("99.0.0", "")
    assert clone.git("rev-parse", "99.0.0^{commit}") == head != before[0]
    assert clone.git("log", "-1", "--format=%s") == "Release 99.0.0"
    assert clone.load("galaxy.yml")["version"] == "99.0.0"
    assert "99.0.0" in clone.load("changelogs/changelog.yaml")["releases"]
    assert "## v99.0.0" in (clone.directory / "CHANGELOG.md").read_text().replace("\\.", ".")
    assert not list((clone.directory / "changelogs").glob("fragments/*.yml"))
    with tarfile.open(clone.directory / "closure-nixos-99.0.0.tar.gz") as tarball:
        assert {"MANIFEST.json", "CHANGELOG.md", "galaxy.yml"} - set(tarball.getnames()) == {
            "galaxy.yml"
        }
    lint = [str(clone.directory / "tests/lint/run"), "yamllint", "reuse"]
    subprocess.run(lint, env=ENV, check=True)
