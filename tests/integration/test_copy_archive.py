# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copies as files through Ansible's own connections."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import functools
import os
import pathlib
import shlex
import subprocess
import time
import typing as t

import pytest
from ansible_collections.closure.nixos.tests.integration._copies import (
    INCOMING,
    REFERENCES,
    SUDO,
    Closure,
    Copies,
    MakeClosure,
    Scissors,
    Variables,
)
from ansible_collections.closure.nixos.tests.integration._harness import (
    RACES,
    Fleet,
    Play,
    Started,
    StartPlay,
    attacked,
    traced,
    until,
)
from ansible_collections.closure.nixos.tests.integration._systems import nix


def test_an_archive_carries_exactly_what_is_missing_large_paths_too(
    copies: Copies, closure: MakeClosure
) -> None:
    """First compressed, to a host whose sudo asks and under attack by a user of it; then from there
    to one it has no key for.
    """
    new = closure(count=3, large=1, size=65 * 1024 * 1024)
    part = next(path for path in new.paths if path.endswith("part2"))
    known = nix("nix-store", "--query", "--requisites", part).split()
    packed = {"transport": "archive", "compress": True}
    with attacked(copies.fleet, "node3"):
        said = copies("node3", {"path": part} | packed, **SUDO)
        first = copies("node3", {"path": new.path} | packed, **SUDO)
        for _race in range(1, RACES):
            raced = closure(count=1)
            assert copies("node3", {"path": raced.path} | packed, **SUDO)["changed"]
            assert copies.lacks("node3", raced) == []
    assert said["missing_paths"] == sorted(known)
    assert set(first.get("missing_paths", ())) == set(new.paths) - set(known), first
    assert (first["reason"], copies.lacks("node3", new)) == ("the task asks for it", [])
    copies.others["node3"] = SUDO
    second = copies("node1", {"path": new.path, "build_host": "node3"})
    assert (second["transport"], copies.lacks("node1", new)) == ("archive", []), second
    assert "ssh-ng does not carry: Host key verification failed" in second["reason"]
    assert [copies.leftovers(host) for host in ("node1", "node3")] == ["", ""]
    own = nix(*REFERENCES, *new.paths).split()
    assert copies.references("node1", new) == copies.references("node3", new) == own


def test_an_altered_archive_is_refused_before_anything_is_imported(
    copies: Copies, closure: MakeClosure, tmp_path: pathlib.Path
) -> None:
    """The way in loses the last byte of each file that it carries."""
    new = closure(count=1)
    enter = copies.enter("node1")
    spoil = tmp_path / "spoil"
    spoil.write_text(
        # A script lacks the end of its last line then, which a shell reads as well.
        '#!/bin/sh\ncase "$*" in *"cat >"*/archive | *"sh -s"*) head -c -1 | "$@" ;;\n'
        '*) exec "$@" ;; esac\n'
    )
    spoil.chmod(0o755)
    enter["testbed_enter"] = [str(spoil), *enter["testbed_enter"]]
    for stdin in (True, False):
        said = copies("node1", new, testbed_stdin=stdin, **enter)
        assert said["failed"] and "cut or altered" in said["msg"]
        assert sorted(copies.lacks("node1", new)) == sorted(new.paths)
        assert copies.leftovers("node1") == ""


def test_a_cut_line_costs_an_archive_nothing_but_time(copies: Copies, closure: MakeClosure) -> None:
    """A closure of 150 paths; the line is cut in the middle of the file."""
    new, cut = closure(146, 2, 4 << 20, "urandom"), Scissors(copies)
    assert len(new.paths) == 150
    said = copies("node1", {"path": new.path, "transport": "archive"}, **cut(5 << 20))
    assert (said.get("changed"), cut.mark.exists()) == (True, False), said
    assert copies.lacks("node1", new) == []
    assert copies.leftovers("node1") == ""


@pytest.mark.soak
def test_a_cable_that_is_pulled_for_a_moment_costs_an_archive_nothing_but_time(
    copies: Copies, closure: MakeClosure
) -> None:
    new = closure(1, 1, 3 << 20, "urandom")
    task = {"path": new.path, "transport": "archive", "bwlimit": 800}
    with concurrent.futures.ThreadPoolExecutor() as pool:
        copy = pool.submit(copies, "node1", task)
        until(lambda: "archive" in copies.fleet.exec("node1", "echo /var/tmp/closure-*/*"))
        copies.fleet.link("node1", "down")
        time.sleep(3)
        copies.fleet.link("node1", "up")
        said = copy.result()
    assert (said["changed"], copies.lacks("node1", new)) == (True, []), said
    assert copies.leftovers("node1") == ""


def test_a_part_is_one_round_trip(copies: Copies, closure: MakeClosure) -> None:
    """The question what is missing is another one. A path that is too large goes as a file."""
    new, large = closure(28, 1, 1 << 20, "urandom"), closure(1, 1, 33 << 20, "urandom")
    trace = copies.directory / "trace"
    traced_copies = dataclasses.replace(copies, environment={"CLOSURE_NIXOS_TRACE": str(trace)})
    hosts = three_ways(copies)
    for one, compress in ((new, True), (closure(), False)):
        task = {"path": one.path, "transport": "archive", "compress": compress}
        first = traced_copies.all(hosts, task)
        part = ["expect", "taking request job_start job_poll"]
        assert trips(trace, *hosts) == dict.fromkeys(hosts, part), first.text
        again = traced_copies.all(hosts, task)
        assert trips(trace, *hosts) == {host: ["expect"] for host in hosts}, again.text
        for host in hosts:
            assert first.result(host)["changed"] and not again.result(host)["changed"]
            assert copies.lacks(host, one) == []
    traced_copies.all(hosts, {"path": large.path, "transport": "archive"})
    for host, said in trips(trace, *hosts).items():
        assert "make_directory" in said
        assert (copies.lacks(host, large), copies.leftovers(host)) == ([], "")


@pytest.mark.parametrize("compress", [False, True])
def test_hosts_that_lack_the_same_get_what_was_packed_once(
    copies: Copies, closure: MakeClosure, compress: bool
) -> None:
    """A host that has a part already gets a part of its own."""
    trace = copies.directory / "trace"
    traced_copies = dataclasses.replace(copies, environment={"CLOSURE_NIXOS_TRACE": str(trace)})
    hosts = three_ways(copies)
    task = {"transport": "archive", "compress": compress}
    for has, packed in (("", 1), ("node2", 2)):
        new = closure()
        if has:
            part = next(path for path in new.paths if path.endswith("part2"))
            copies(has, {"path": part}, **copies.enter(has))
        played = traced_copies.all(hosts, task | {"path": new.path})
        for host in hosts:
            assert played.result(host)["changed"], played.text
            assert copies.lacks(host, new) == []
        here = trips(trace, "localhost")["localhost"]
        assert here.count("request job_start job_poll") == packed


def three_ways(copies: Copies) -> dict[str, dict[str, t.Any]]:
    """The hosts' variables: by ssh as root, without ssh, and by sudo."""
    ways = {"node1": {}, "node2": copies.enter("node2"), "node3": SUDO}
    return {name: copies.fleet.hosts[name] | own for name, own in ways.items()}


def trips(trace: pathlib.Path, *hosts: str) -> dict[str, list[str]]:
    """The round trips to hosts since the last look, but for polls of what takes long."""
    found = {
        host: [name for name, _end in traced(trace, host) if name != "job_poll"] for host in hosts
    }
    trace.unlink()
    return found


JOBS = "ls /run/closure-nixos/jobs 2>/dev/null || :"


@pytest.mark.soak
def test_killed_copies_leave_nothing_for_ever(
    copies: Copies, closure: MakeClosure, start_play: StartPlay, ansible_home: pathlib.Path
) -> None:
    """Killed while two hosts import for ever, and while a third is sent a file, slowly."""
    new, fleet = closure(1, 1, 1 << 20, "urandom"), copies.fleet
    jobs = {host: fleet.exec(host, JOBS) for host in ("node2", "node3")}
    own: dict[str, Variables] = {"node1": {"limit": 8}, "node2": {}, "node3": SUDO}
    hosts = {name: fleet.hosts[name] | more for name, more in own.items()}
    task = {"path": new.path, "transport": "archive"}
    # Nix waits for who else brings a path.
    held = f"systemd-run -q --unit=t-held flock {new.paths[0]}.lock sleep 600"
    for host in ("node2", "node3"):
        fleet.exec(host, held)
    try:
        killed = dataclasses.replace(copies, play=t.cast(Play, start_play))
        slow = task | {"bwlimit": "{{ limit | default(omit) }}"}
        started = t.cast(Started, killed.all(hosts, slow))
        until(lambda: "archive" in fleet.exec("node1", "echo /var/tmp/closure-nixos-*/*"))
        for host in ("node2", "node3"):
            until(functools.partial(imports, fleet, host))
        started.kill()
        assert copies.leftovers("node1")
        # The end of the lease takes the job and its files with it, also those of its login.
        for host in ("node2", "node3"):
            until(functools.partial(is_clean, copies, host))
            assert fleet.exec(host, JOBS) == jobs[host]
    finally:
        for host in ("node2", "node3"):
            fleet.exec(host, "systemctl stop t-held")
    # A day later.
    left = holding(new, ansible_home)
    fleet.exec("node1", "touch -d '25 hours ago' /var/tmp/closure-nixos-*")
    for path in left:
        os.utime(path, (time.time() - 90000,) * 2)
    again = copies("node1", task)
    assert again["changed"], again
    assert copies.leftovers("node1") == ""
    assert left and not any(path.exists() for path in left)


def holding(closure: Closure, home: pathlib.Path) -> list[pathlib.Path]:
    """The parts of runs, on the controller, with a closure in them. Others have theirs."""
    files = map(str, home.glob("tmp/ansible-local-*/closure-nixos/part-*"))
    command = ["grep", "-lsF", closure.path, *files]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    return [pathlib.Path(line) for line in done.stdout.splitlines()]


def is_clean(copies: Copies, host: str) -> bool:
    return not imports(copies.fleet, host) and not copies.leftovers(host)


def imports(fleet: Fleet, host: str) -> bool:
    return bool(fleet.exec(host, "pgrep -f '[n]ix-store --import'", check=False))


@pytest.mark.soak
def test_a_collection_between_two_parts_takes_nothing_that_has_arrived(
    copies: Copies, closure: MakeClosure, tmp_path: pathlib.Path
) -> None:
    """The way in collects garbage whenever a part arrives; the large path is a part of its own."""
    new, log, collect = closure(1, 1, 65 << 20), tmp_path / "log", tmp_path / "collect"
    enter = copies.enter("node1")
    command = shlex.join([*enter["testbed_enter"], "nix-store", "--gc"])
    collect.write_text(
        f'#!/bin/sh\ncase "$*" in *"cat >"*/archive) {command} </dev/null >>{log} 2>&1 ;; esac\n'
        'exec "$@"\n'
    )
    collect.chmod(0o755)
    enter["testbed_enter"] = [str(collect), *enter["testbed_enter"]]
    said = copies("node1", new, testbed_stdin=False, **enter)
    assert (said.get("changed"), copies.lacks("node1", new)) == (True, []), said
    assert log.read_text().count("store paths deleted") > 1
    assert copies("node1", new)["changed"] is False
    roots = "/nix/var/nix/gcroots/closure-nixos"
    assert copies.fleet.exec("node1", f"ls {roots}").split() == ["incoming"]


def test_a_path_that_is_deleted_after_the_question_is_asked_for_once_more(
    copies: Copies, closure: MakeClosure, tmp_path: pathlib.Path
) -> None:
    """The way in deletes it when the archive arrives, which is a file here."""
    new, mark, collect = closure(), tmp_path / "collected", tmp_path / "collect"
    part = next(path for path in new.paths if path.endswith("part2"))
    copies("node1", {"path": part})
    enter = copies.enter("node1")
    delete = ("nix-store", "--delete", "--ignore-liveness", part)
    command = shlex.join([*enter["testbed_enter"], *delete])
    collect.write_text(
        '#!/bin/sh\ncase "$*" in *"cat >"*/archive)\n'
        f"[ -e {mark} ] || {command} </dev/null >{mark} ;;\nesac\n"
        'exec "$@"\n'
    )
    collect.chmod(0o755)
    enter["testbed_enter"] = [str(collect), *enter["testbed_enter"]]
    said = copies("node1", new, testbed_stdin=False, **enter)
    assert (said["changed"], copies.lacks("node1", new)) == (True, []), said
    assert part not in said["missing_paths"] and "1 store paths deleted" in mark.read_text()


def test_a_transport_that_cannot_be_limited_is_refused(
    copies: Copies, closure: MakeClosure
) -> None:
    new = closure()
    said = copies("node1", {"path": new.path, "bwlimit": 400}, "--check", **copies.enter("node1"))
    assert said["failed"] and "cannot be held to bwlimit" in said["msg"]
    said = copies("node1", {"path": new.path, "bwlimit": -1})
    assert said["failed"] and "bwlimit is -1" in said["msg"]


def test_the_controller_can_be_the_target(
    copies: Copies, closure: MakeClosure, tmp_path: pathlib.Path
) -> None:
    """node2 is a name for it here; node1 has the closure."""
    new = closure()
    paths = new.paths
    copies("node1", new)
    for root in tmp_path.glob("*-root"):
        root.unlink()
    nix("nix-store", "--delete", *paths)
    copies.others["node1"] = {}
    try:
        task = {"path": new.path, "build_host": "node1"}
        said = copies("node2", task, ansible_connection="local")
        assert (said["transport"], said["missing_paths"]) == ("archive", sorted(paths)), said
        assert nix("nix-store", "--check-validity", "--print-invalid", *paths) == ""
    finally:
        pathlib.Path(INCOMING).unlink(missing_ok=True)


def test_a_host_without_room_for_the_files_is_told_before_the_start(
    copies: Copies, closure: MakeClosure
) -> None:
    new = closure(1, 1, 2 << 20)
    copies.fleet.exec("node1", "mount -t tmpfs -o size=1m tmpfs /var/tmp")
    try:
        said = copies("node1", {"path": new.path, "transport": "archive"})
    finally:
        copies.fleet.exec("node1", "umount /var/tmp")
    assert said["failed"] and "/var/tmp there has" in said["msg"], said
    assert sorted(copies.lacks("node1", new)) == sorted(new.paths)
