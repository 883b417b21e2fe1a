# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is left to do for secrets, by what a host says; its words are a recorded answer."""

from __future__ import annotations

import dataclasses

import pytest
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._secrets.plan import (
    Directory,
    Look,
    Report,
    There,
    check_host,
    diff,
    parse_look,
    parse_report,
    plan_steps,
    summary,
    without_looking,
)
from ansible_collections.closure.nixos.plugins.module_utils._secrets.secret import File

ANSWER = """\
user=root
systemd=257
state=tmpfs
uid=app\t
uid=root\t0
gid=root\t0
gid=web\t33
directory=/run/keys\t/run\t/run\ttmpfs
directory=/srv/a b\t/srv/a b\t/data/a b\text2/ext3
file=5\t0\t0\t400\tregular file\t/run/keys/a
ours=5 2026-11-27 04:40:06.176308806 +0000\t/run/keys/a
ours=6 2026-11-27 04:40:06.176308806 +0000\t/run/keys/b
ours=7 2026-11-27 04:40:06.176308806 +0000\t/run/keys/gone
now=5 2026-11-27 04:40:06.176308806 +0000\t/run/keys/a
now=6 2026-11-27 05:00:00.176308806 +0000\t/run/keys/b
"""


def look(**other: object) -> Look:
    return dataclasses.replace(parse_look(ANSWER), **other)  # type: ignore[arg-type]


def file(name: str = "a", content: bytes = b"12345", **other: object) -> File:
    return dataclasses.replace(File(name, f"/run/keys/{name}", content), **other)  # type: ignore[arg-type]


def test_an_answer_is_read() -> None:
    said = look()
    assert said.uids == {"app": None, "root": 0} and said.gids == {"root": 0, "web": 33}
    assert said.files == {"/run/keys/a": There(5, 0, 0, 0o400, "regular file")}
    assert said.directories["/srv/a b"] == Directory("/srv/a b", "/data/a b", "ext2/ext3")
    assert said.ours == {"/run/keys/a"} and said.changed == {"/run/keys/b"}


@pytest.mark.parametrize(
    ("other", "asked", "why"),
    [
        ({"user": "deploy"}, file(), "deploy cannot keep secrets there. Set become: true"),
        ({"state": "ext2/ext3"}, file(), "/run is on ext2/ext3, not in memory"),
        ({"systemd": 0}, file(tell=("restart:x.service",)), "There is no systemd"),
        ({}, file(path="/srv/a b/c"), "a: /srv/a b is a link to /data/a b"),
        (
            {"directories": {"/run/keys": Directory("/run/keys", "", "tmpfs")}},
            file(),
            "a: /run/keys is not a directory",
        ),
        (
            {"directories": {"/run/keys": Directory("/run", "/run", "ext2/ext3")}},
            file(),
            "a: /run/keys is on ext2/ext3, not in memory (tmpfs or ramfs)",
        ),
        ({"files": {"/run/keys/a": There(0, 0, 0, 0, "directory")}}, file(), "is a directory"),
        ({"files": {"/run/keys/a": There(0, 0, 0, 0, "symbolic link")}}, file(), "symbolic link"),
        (
            {"systemd": 249, "directories": {"/etc/credstore.encrypted": Directory("/", "/", "x")}},
            file(path="/etc/credstore.encrypted/a", key="host"),
            "a: systemd 249 cannot encrypt credentials, which takes 250",
        ),
    ],
)
def test_a_host_that_cannot_keep_it_is_refused(
    other: dict[str, object], asked: File, why: str
) -> None:
    with pytest.raises(ClosureError) as raised:
        check_host(look(**other), [asked], bool(asked.tell))
    assert why in raised.value.message


@pytest.mark.parametrize(
    ("asked", "verb"),
    [
        (file(), "compare"),
        (file(content=b"54321"), "compare"),
        (file(content=b"1"), "write"),
        (file(mode=0o440), "own"),
        (file(group="web"), "own"),
        (file(content=b"1", key="host"), "compare"),
        (file("new"), "add"),
    ],
)
def test_only_what_may_be_the_same_is_compared(asked: File, verb: str) -> None:
    ((step,), waiting) = plan_steps(look(), [asked], prune=False, lenient=False)
    assert (step.verb, waiting) == (verb, ())


def test_an_owner_who_is_not_there_yet_gets_it_later() -> None:
    asked = [file("x", owner="app", mode=0o440)]
    with pytest.raises(ClosureError, match="x: there is no user app"):
        plan_steps(look(), asked, prune=False, lenient=False)
    ((step,), waiting) = plan_steps(look(), asked, prune=False, lenient=True)
    assert (step.uid, step.file.mode, waiting) == (0, 0o400, ("x",))
    assert step.words[5] == "0377"


def test_only_what_is_ours_and_unchanged_is_removed() -> None:
    steps, _waiting = plan_steps(look(), [file("new")], prune=True, lenient=False)
    assert [(step.verb, step.file.path) for step in steps] == [
        ("add", "/run/keys/new"),
        ("remove", "/run/keys/a"),
    ]
    assert without_looking(steps) == Report(
        {"/run/keys/new": "added", "/run/keys/a": "removed"}, (), False
    )
    kept, _waiting = plan_steps(look(), [file("a")], prune=True, lenient=False)
    assert [step.verb for step in kept] == ["compare"] and without_looking(kept) is None


def test_a_key_unit_that_is_removed_is_stopped() -> None:
    path = "/etc/systemd/system.attached/a-key.service"
    steps, _waiting = plan_steps(look(ours=frozenset({path})), [], prune=True, lenient=False)
    assert steps[0].file.tell == ("stop:a-key.service", "reread:units")
    assert summary(steps, Report({path: "removed"}, (), False))["removed"] == []


def test_a_report_is_read_and_shown_without_contents() -> None:
    report = parse_report(
        "updated\ta\t/run/keys/a\nadded\tb\t/run/keys/b\nunchanged\tc\t/run/keys/c\n"
        "restart=x.service\nwaiting=/run/closure-nixos/due\n"
    )
    assert report.told == (("restart", "x.service"),) and report.due
    steps, _waiting = plan_steps(look(), [file(), file("b"), file("c")], False, False)
    lists = summary(steps, report)
    assert (lists["added"], lists["updated"], lists["unchanged"]) == (["b"], ["a"], ["c"])
    assert diff(look(), steps, report) == {
        "before": "/run/keys/a 0:0 0400\n",
        "after": "/run/keys/a 0:0 0400 (new content)\n/run/keys/b 0:0 0400\n",
    }
