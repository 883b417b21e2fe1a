# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The roads of a closure to a host: which is taken, what arrives, and what a cut one leaves."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import pathlib
import re
import secrets
import shlex
import socket
import subprocess
import sys
import time
import typing as t

import pytest
from ansible_collections.closure.nixos.tests.integration._harness import (
    TESTBED,
    Fleet,
    Play,
    Played,
    processes,
    until,
)
from ansible_collections.closure.nixos.tests.integration._systems import nix

INCOMING = "/nix/var/nix/gcroots/closure-nixos/incoming"
WIRE = pathlib.Path(__file__).with_name("wire")
PROXY = pathlib.Path(__file__).with_name("_proxy.py")
# A closure that no store has: small files that refer to one another in a chain, and large ones.
CLOSURE = """
let
  make = name: inputs: script: derivation {
    name = "road-${name}";
    system = builtins.currentSystem;
    builder = "/bin/sh";
    args = [ "-c" "PATH=/bin:/usr/bin; ${script}" ];
    nonce = "@nonce@";
    inherit inputs;
  };
  chain = n: make "part${toString n}" (if n == 0 then [ ] else [ (chain (n - 1)) ])
    "echo $inputs $nonce ${toString n} >$out";
  large = n: make "large${toString n}" [ ] "{ echo $nonce; head -c @size@ /dev/@content@; } >$out";
in make "top" [ (chain @count@) (map large (builtins.genList (n: n) @large@)) ] "echo $inputs >$out"
"""

NIX = ("nix", "--extra-experimental-features", "nix-command")
REFERENCES = ("nix-store", "--query", "--references")

Variables = dict[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Closure:
    """A closure in the controller's store."""

    path: str

    @property
    def paths(self) -> list[str]:
        """All its paths, references first."""
        return nix("nix-store", "--query", "--requisites", self.path).split()


@pytest.fixture
def closure(tmp_path: pathlib.Path) -> t.Callable[..., Closure]:
    """Build a closure of ``count + large + 2`` paths."""

    def make(count: int = 5, large: int = 0, size: int = 0, content: str = "zero") -> Closure:
        values: Variables = {
            "nonce": secrets.token_hex(8),
            "count": count,
            "large": large,
            "size": size,
        }
        values["content"] = content
        text = CLOSURE
        for name, value in values.items():
            text = text.replace(f"@{name}@", str(value))
        file = tmp_path / f"{values['nonce']}.nix"
        file.write_text(text)
        root = tmp_path / f"{values['nonce']}-root"
        return Closure(nix("nix-build", str(file), "--out-link", str(root), "-Q"))

    return make


MakeClosure = t.Callable[..., Closure]


@dataclasses.dataclass(frozen=True)
class Transports:
    """Copies to logins: names for a host and a way into it."""

    fleet: Fleet
    play: Play
    directory: pathlib.Path
    #: variables of hosts that are not the task's own
    others: Variables = dataclasses.field(default_factory=dict)

    def __call__(
        self, host: str, arguments: Variables | Closure, *options: str, **variables: object
    ) -> dict[str, t.Any]:
        """Copy to a host that is reached with these variables, and return the task's result."""
        return self.played(host, arguments, *options, **variables).result(host)

    def played(
        self, host: str, arguments: Variables | Closure, *options: str, **variables: object
    ) -> Played:
        if isinstance(arguments, Closure):
            arguments = {"path": arguments.path}
        own = self.others | {host: variables}
        hosts = {name: self.fleet.hosts[name] | more for name, more in own.items()}
        inventory = self.directory / f"{secrets.token_hex(4)}.json"
        inventory.write_text(json.dumps({"testbed": {"hosts": hosts}}))
        tasks = [{"closure.nixos.nix_copy_closure": arguments}]
        text = json.dumps([{"hosts": host, "gather_facts": False, "tasks": tasks}])
        plugins = {"ANSIBLE_CONNECTION_PLUGINS": str(WIRE / "connection_plugins")}
        return self.play(text, "-i", str(inventory), *options, env=plugins)

    @property
    def known_hosts(self) -> str:
        """The fleet's host keys, a file on the controller."""
        described = json.loads(self.fleet.inventory.with_name("testbed.json").read_text())
        return str(described["known_hosts"])

    @property
    def ssh_arguments(self) -> str:
        """The arguments that the fleet's inventory gives to ssh."""
        files = f"-o UserKnownHostsFile={self.known_hosts} -o GlobalKnownHostsFile=/dev/null"
        return f"{files} -o IdentitiesOnly=yes"

    def enter(self, host: str) -> Variables:
        """Variables for the connection plugin that does without a network."""
        command = [str(TESTBED), "exec", "--fleet", self.fleet.name, host]
        return {"ansible_connection": "testbed_nsenter", "testbed_enter": command}

    def lacks(self, host: str, closure: Closure) -> list[str]:
        """The paths of a closure that are not valid on a host, all others being whole."""
        script = f"nix-store --check-validity --print-invalid {' '.join(closure.paths)}"
        lacking = self.fleet.exec(host, script).split()
        there = " ".join(set(closure.paths) - set(lacking))
        if there:
            self.fleet.exec(host, f"nix-store --verify-path {there}")
        return lacking

    def references(self, host: str, closure: Closure) -> list[str]:
        """What the paths of a closure refer to, as a host's database has it."""
        script = " ".join([*REFERENCES, *closure.paths])
        return self.fleet.exec(host, script).split()

    def leftovers(self, host: str) -> str:
        """Files on their way that a host still has."""
        return self.fleet.exec(host, "ls -d /var/tmp/closure-nixos-* 2>/dev/null", check=False)


@pytest.fixture
def roads(fleet: Fleet, play: Play, tmp_path: pathlib.Path) -> Transports:
    return Transports(fleet, play, tmp_path)


SUDO = {"ansible_user": "deploy", "ansible_become": True}


@pytest.mark.parametrize(
    ("host", "variables", "transport", "reason"),
    [
        ("node1", {}, "ssh-ng", "the host trusts the login"),
        ("node1", SUDO, "ssh-ng", "sudo asks the login for no password"),
        ("node3", SUDO, "archive", "Nix cannot become root as Ansible does"),
        ("node2", None, "archive", "connection plugin testbed_nsenter"),
    ],
    ids=["root", "sudo", "sudo-with-password", "no-ssh"],
)
def test_auto_takes_a_road_that_the_host_accepts_and_says_why(
    roads: Transports,
    closure: MakeClosure,
    host: str,
    variables: Variables | None,
    transport: str,
    reason: str,
) -> None:
    new = closure()
    variables = roads.enter(host) if variables is None else variables
    checked = roads(host, new, "--check", **variables)
    assert sorted(roads.lacks(host, new)) == checked["missing_paths"] == sorted(new.paths)
    first = roads(host, new, **variables)
    assert roads.lacks(host, new) == [], first
    again = roads(host, new, **variables)
    assert [result["changed"] for result in (checked, first, again)] == [True, True, False]
    assert checked["transport"] == first["transport"] == transport
    assert checked["reason"] == first["reason"]
    assert reason in first["reason"]
    assert (again["transport"], again["missing_paths"]) == (None, [])
    assert roads.leftovers(host) == ""


def test_a_login_that_the_host_does_not_trust_is_refused_before_anything_is_copied(
    roads: Transports, closure: MakeClosure
) -> None:
    new = closure()
    for options in (["--check"], []):
        said = roads("node1", new, *options, ansible_user="deploy")
        assert said["failed"] and new.path in said["msg"]
        for way_out in ("become: true", "sign_key_file", "trusted-users"):
            assert way_out in said["msg"]
    assert sorted(roads.lacks("node1", new)) == sorted(new.paths)


@pytest.fixture
def configure(fleet: Fleet) -> t.Iterator[t.Callable[[str], object]]:
    """Add lines to the nix.conf of node2."""
    restart = "systemctl restart nix-daemon"
    fleet.exec("node2", "cp /etc/nix/nix.conf /etc/nix/nix.conf.before")
    yield lambda line: fleet.exec("node2", f"echo '{line}' >>/etc/nix/nix.conf; {restart}")
    fleet.exec("node2", f"mv /etc/nix/nix.conf.before /etc/nix/nix.conf; {restart}")


Configure = t.Callable[[str], object]


@pytest.fixture
def key_file(configure: Configure, tmp_path: pathlib.Path) -> pathlib.Path:
    """A secret key on the controller that node2 trusts."""
    secret, public = tmp_path / "a key.secret", tmp_path / "a key.public"
    nix("nix-store", "--generate-binary-cache-key", "testbed-1", str(secret), str(public))
    configure(f"trusted-public-keys = {public.read_text().strip()}")
    return secret


def test_the_word_of_a_trusted_user_is_taken_for_a_closure_that_nobody_signed(
    roads: Transports, closure: MakeClosure, configure: Configure
) -> None:
    new = closure()
    configure("trusted-users = root deploy")
    said = roads("node2", new, ansible_user="deploy")
    assert (said["transport"], roads.lacks("node2", new)) == ("ssh-ng", []), said
    assert "the host trusts the login" in said["reason"]


def test_a_signed_closure_needs_no_trusted_login(
    roads: Transports, closure: MakeClosure, key_file: pathlib.Path
) -> None:
    new = closure()
    task = {"path": new.path, "sign_key_file": str(key_file)}
    refused = roads("node1", task, ansible_user="deploy")
    assert "sign_key_file" in refused["msg"], "node1 does not trust that key"
    said = roads("node2", task, ansible_user="deploy")
    assert (said["transport"], roads.lacks("node2", new)) == ("ssh-ng", []), said
    assert "signatures" in said["reason"]
    secret = key_file.read_text()
    assert secret not in str(refused) + str(said)


def test_a_check_of_signatures_that_is_asked_for_holds_on_every_road(
    roads: Transports, closure: MakeClosure, key_file: pathlib.Path
) -> None:
    new = closure()
    task = {"path": new.path, "check_sigs": True, "compress": True}
    for transport in ("auto", "archive"):
        said = roads("node2", task | {"transport": transport})
        assert said["failed"] and "check_sigs is true" in said["msg"], said
    assert sorted(roads.lacks("node2", new)) == sorted(new.paths)
    said = roads("node2", task | {"sign_key_file": str(key_file)})
    assert (said["transport"], roads.lacks("node2", new)) == ("ssh-ng", []), said


def test_an_archive_carries_exactly_what_is_missing_large_paths_too(
    roads: Transports, closure: MakeClosure
) -> None:
    """First compressed, to a host whose sudo asks; then from there to one it has no key for."""
    new = closure(count=3, large=1, size=65 * 1024 * 1024)
    part = next(path for path in new.paths if path.endswith("part2"))
    known = nix("nix-store", "--query", "--requisites", part).split()
    packed = {"transport": "archive", "compress": True}
    assert roads("node3", {"path": part} | packed, **SUDO)["missing_paths"] == sorted(known)
    first = roads("node3", {"path": new.path} | packed, **SUDO)
    assert set(first.get("missing_paths", ())) == set(new.paths) - set(known), first
    assert (first["reason"], roads.lacks("node3", new)) == ("the task asks for it", [])
    roads.others["node3"] = SUDO
    second = roads("node1", {"path": new.path, "build_host": "node3"})
    assert (second["transport"], roads.lacks("node1", new)) == ("archive", []), second
    assert "gets no connection" in second["reason"]
    assert [roads.leftovers(host) for host in ("node1", "node3")] == ["", ""]
    own = nix(*REFERENCES, *new.paths).split()
    assert roads.references("node1", new) == roads.references("node3", new) == own


def test_an_altered_archive_is_refused_before_anything_is_imported(
    roads: Transports, closure: MakeClosure, tmp_path: pathlib.Path
) -> None:
    """The way in loses the last byte of each file that it carries."""
    new = closure(count=1)
    enter = roads.enter("node1")
    spoil = tmp_path / "spoil"
    spoil.write_text(
        '#!/bin/sh\ncase "$*" in *"cat >"*/archive) head -c -1 | "$@" ;; *) exec "$@" ;; esac\n'
    )
    spoil.chmod(0o755)
    enter["testbed_enter"] = [str(spoil), *enter["testbed_enter"]]
    said = roads("node1", new, **enter)
    assert said["failed"] and "cut or altered" in said["msg"]
    assert sorted(roads.lacks("node1", new)) == sorted(new.paths)
    assert roads.leftovers("node1") == ""


@pytest.mark.parametrize("transport", ["ssh-ng", "archive"])
def test_a_copy_without_progress_ends_and_names_who_may_hold_it(
    roads: Transports, closure: MakeClosure, transport: str
) -> None:
    """As after a copy that was cut while its server on the target lived on (NixOS/nix#2699)."""
    new = closure()
    hold = (
        f"mkfifo /tmp/silence; systemd-run -q --collect --unit=stale sh -c 'exec 9<>/tmp/silence 8>"
        f"{new.paths[2]}.lock; flock 8; exec nix-store --serve --write <&9';"
        f"while flock -n {new.paths[2]}.lock true; do sleep 0.1; done;"
        "systemctl show -P MainPID stale"
    )
    pid = roads.fleet.exec("node1", hold).strip()
    try:
        said = roads("node1", {"path": new.path, "transport": transport, "stall_timeout": 3})
    finally:
        roads.fleet.exec("node1", "systemctl stop stale; rm /tmp/silence")
    assert said["failed"] and "made no progress for 3 s" in said["msg"]
    assert f"kill {pid}" in said["msg"]
    retried = roads("node1", new)
    assert roads.lacks("node1", new) == []
    assert len(retried["missing_paths"]) < len(new.paths), "a retry resumes"


def test_an_archive_file_brings_a_closure_to_a_host_without_a_network(
    roads: Transports, closure: MakeClosure, tmp_path: pathlib.Path
) -> None:
    new, file = closure(count=3, large=1, size=65 * 1024 * 1024), tmp_path / "closure.tar"
    part = next(path for path in new.paths if path.endswith("part1"))
    nowhere = {"ansible_host": "192.0.2.1"}
    write = {"path": new.path, "dest_archive": str(file), "exclude": [part], "compress": True}
    checked = roads("node2", write, "--check", **nowhere)
    assert checked["changed"] and not file.exists()
    written = roads("node2", write, **nowhere)
    assert written["missing_paths"] == checked["missing_paths"] and part not in written["msg"]
    assert [roads("node2", write, **nowhere)["changed"], file.stat().st_size < 1 << 20] == [0, 1]

    read, enter = {"src_archive": str(file)}, roads.enter("node2")
    refused = roads("node2", read, **enter)
    assert f"lacks 2 paths that {file} leaves out" in refused["msg"]
    roads("node2", {"path": part})
    checked = roads("node2", read, "--check", **enter)
    first, again = (roads("node2", read, **enter) for _time in range(2))
    assert checked["missing_paths"] == first["missing_paths"] == written["missing_paths"]
    assert [result["changed"] for result in (checked, first, again)] == [True, True, False]
    assert (roads.lacks("node2", new), first["path"]) == ([], new.path)


def test_an_archive_file_that_was_cut_or_altered_is_refused_before_anything_is_imported(
    roads: Transports, closure: MakeClosure, tmp_path: pathlib.Path
) -> None:
    new, file = closure(), tmp_path / "closure.tar"
    roads("node1", {"path": new.path, "dest_archive": str(file)})
    nowhere = roads("node1", {"path": new.path, "dest_archive": f"{tmp_path}/nowhere/closure.tar"})
    assert nowhere["failed"] and "was not written" in nowhere["msg"]
    whole = file.read_bytes()
    altered = whole.replace(b"road-part0", b"road-part9", 1)
    assert altered != whole
    for content, message in ((whole[: len(whole) // 2], "was cut"), (altered, "was altered")):
        file.write_bytes(content)
        said = roads("node1", {"src_archive": str(file)})
        assert said["failed"] and message in said["msg"]
    assert sorted(roads.lacks("node1", new)) == sorted(new.paths)


def test_an_archive_can_be_a_binary_cache_that_keeps_signatures(
    roads: Transports, closure: MakeClosure, key_file: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """Of what a host lacks, imported there for a login that nobody trusts."""
    new, cache = closure(count=3, large=1, size=1 << 20), tmp_path / "cache"
    part = next(path for path in new.paths if path.endswith("part1"))
    roads("node2", {"path": part})
    write: Variables = {"path": new.path, "dest_archive": f"{cache}/", "compress": True}
    write |= {"exclude_host": "node2", "sign_key_file": str(key_file)}
    checked = roads("node2", write, "--check")
    assert checked["changed"] and not cache.exists()
    written, again = (roads("node2", write) for _time in range(2))
    had = set(nix("nix-store", "--query", "--requisites", part).split())
    assert set(written["missing_paths"]) == set(new.paths) - had, written
    assert (written["changed"], again["changed"]) == (True, False)

    nar = next(cache.glob("nar/*"))
    whole = nar.read_bytes()
    for content, message in ((whole[:-1], "was altered"), (None, "was cut")):
        nar.write_bytes(content) if content else nar.unlink()
        refused = roads("node2", {"src_archive": str(cache)})
        assert message in refused["msg"]
    nar.write_bytes(whole)

    unknown = roads("node1", {"src_archive": str(cache)})
    assert f"paths that {cache} leaves out" in unknown["msg"]
    read = {"src_archive": str(cache), "check_sigs": True}
    said = roads("node2", read, ansible_user="deploy")
    assert (said["changed"], roads.lacks("node2", new)) == (True, []), said
    assert roads.leftovers("node2") == ""
    said_of = roads.fleet.exec("node2", f"{' '.join(NIX)} path-info --sigs {new.path}")
    assert "testbed-1:" in said_of


@dataclasses.dataclass(frozen=True)
class Scissors:
    """A line to a host that is cut once, after so many bytes."""

    roads: Transports

    def __call__(self, sent: int) -> Variables:
        """Variables for a host that has such a line."""
        self.mark.touch()
        proxy = f"{sys.executable} {PROXY} %h %p --cut {sent} --once {self.mark}"
        arguments = self.roads.ssh_arguments
        return {"ansible_ssh_common_args": f"{arguments} -o 'ProxyCommand {proxy}'"}

    @property
    def mark(self) -> pathlib.Path:
        return self.roads.directory / "not-cut"


@pytest.mark.parametrize("transport", ["ssh", "ssh-ng"])
def test_a_copy_that_is_cut_leaves_a_whole_store_and_the_next_one_goes_on_from_there(
    roads: Transports, closure: MakeClosure, transport: str
) -> None:
    new, cut = closure(3, 6, 1 << 20, "urandom"), Scissors(roads)
    task = {"path": new.path, "transport": transport}
    left = [len(new.paths)]
    for sent in (1 << 15, 5 << 19, 5 << 19):
        said = roads("node1", task, **cut(sent))
        assert said["failed"] and new.path in said["msg"] and not cut.mark.exists()
        left.append(len(roads.lacks("node1", new)))
    # What was sent last, the host may not have stored yet when the line is cut.
    assert left[0] >= left[1] >= left[2] >= left[3] > 0
    said = roads("node1", task)
    assert (len(said["missing_paths"]), roads.lacks("node1", new)) == (left[3], [])


def test_a_cut_line_costs_an_archive_nothing_but_time(
    roads: Transports, closure: MakeClosure
) -> None:
    """A closure of 150 paths; the line is cut in the middle of the file."""
    new, cut = closure(146, 2, 4 << 20, "urandom"), Scissors(roads)
    assert len(new.paths) == 150
    said = roads("node1", {"path": new.path, "transport": "archive"}, **cut(5 << 20))
    assert (said.get("changed"), cut.mark.exists()) == (True, False), said
    assert roads.lacks("node1", new) == []
    assert roads.leftovers("node1") == ""


def test_a_pulled_cable_ends_a_copy_and_the_next_one_goes_on_from_there(
    roads: Transports, closure: MakeClosure
) -> None:
    new = closure(3, 4, 1 << 20, "urandom")
    task = {"path": new.path, "transport": "ssh-ng"}
    with concurrent.futures.ThreadPoolExecutor() as pool:
        copy = pool.submit(roads, "node1", task | {"bwlimit": 400, "stall_timeout": 5})
        until(lambda: len(roads.lacks("node1", new)) < len(new.paths), 60)
        roads.fleet.link("node1", "down")
        try:
            until(lambda: not copiers(new), 60)
        finally:
            roads.fleet.link("node1", "up")
        said = copy.result()
    assert said["failed"] and "made no progress for 5 s" in said["msg"], said
    left = roads.lacks("node1", new)
    said = roads("node1", task)
    assert (sorted(left), roads.lacks("node1", new)) == (said["missing_paths"], [])
    assert 0 < len(left) < len(new.paths)


def copiers(new: Closure) -> list[int]:
    """The processes on the controller that copy a closure."""

    def copies(entry: pathlib.Path) -> bool:
        words = (entry / "cmdline").read_bytes().split(b"\0")
        return b"copy" in words and new.path.encode() in words

    return processes(copies)


def test_a_cable_that_is_pulled_for_a_moment_costs_an_archive_nothing_but_time(
    roads: Transports, closure: MakeClosure
) -> None:
    new = closure(1, 1, 3 << 20, "urandom")
    task = {"path": new.path, "transport": "archive", "bwlimit": 800}
    with concurrent.futures.ThreadPoolExecutor() as pool:
        copy = pool.submit(roads, "node1", task)
        until(lambda: "archive" in roads.fleet.exec("node1", "echo /var/tmp/closure-*/*"), 60)
        roads.fleet.link("node1", "down")
        time.sleep(3)
        roads.fleet.link("node1", "up")
        said = copy.result()
    assert (said["changed"], roads.lacks("node1", new)) == (True, []), said
    assert roads.leftovers("node1") == ""


def test_a_path_that_is_collected_after_the_question_is_asked_for_once_more(
    roads: Transports, closure: MakeClosure, tmp_path: pathlib.Path
) -> None:
    """The way in collects it when the archive arrives."""
    new, mark, collect = closure(), tmp_path / "collected", tmp_path / "collect"
    part = next(path for path in new.paths if path.endswith("part2"))
    roads("node1", {"path": part})
    enter = roads.enter("node1")
    command = shlex.join([*enter["testbed_enter"], "nix-store", "--delete", part])
    collect.write_text(
        '#!/bin/sh\ncase "$*" in *"cat >"*/archive)\n'
        f"[ -e {mark} ] || {command} </dev/null >{mark} ;;\nesac\n"
        'exec "$@"\n'
    )
    collect.chmod(0o755)
    enter["testbed_enter"] = [str(collect), *enter["testbed_enter"]]
    said = roads("node1", new, **enter)
    assert (said["changed"], roads.lacks("node1", new)) == (True, []), said
    assert part not in said["missing_paths"] and "1 store paths deleted" in mark.read_text()


@pytest.mark.parametrize("transport", ["ssh-ng", "archive", "cache"])
def test_a_copy_takes_no_more_of_the_line_than_it_may(
    roads: Transports, closure: MakeClosure, web: str, tmp_path: pathlib.Path, transport: str
) -> None:
    """And says meanwhile how far it is."""
    new = closure(1, 3, 1 << 20, "urandom")
    task = {"path": new.path, "transport": transport, "bwlimit": 500}
    cache = {"cache": web, "cache_upload": f"file://{tmp_path}/web", "check_sigs": False}
    played = roads.played("node2", task | (cache if transport == "cache" else {}))
    said = played.result("node2")
    assert (said["changed"], roads.lacks("node2", new)) == (True, []), said
    # A part may go at once, before there is a rate to limit.
    assert said["seconds"] > 0.5 * (3 << 20) / (500 << 10)
    assert re.search(r"node2: (copying path|import of|pull of) .* of 3.0 MiB", played.text)


def test_a_road_that_cannot_be_limited_is_refused(roads: Transports, closure: MakeClosure) -> None:
    new = closure()
    said = roads("node1", {"path": new.path, "bwlimit": 400}, "--check", **roads.enter("node1"))
    assert said["failed"] and "cannot be held to bwlimit" in said["msg"]
    said = roads("node1", {"path": new.path, "bwlimit": -1})
    assert said["failed"] and "bwlimit is -1" in said["msg"]


def test_a_cache_that_does_not_answer_ends_the_road_by_it_and_no_other(
    roads: Transports, closure: MakeClosure, web: str, configure: Configure, tmp_path: pathlib.Path
) -> None:
    new, address = closure(), web.removeprefix("http://").partition(":")[0]
    task = {"path": new.path, "stall_timeout": 3}
    upload = {"transport": "cache", "cache_upload": f"file://{tmp_path}/web"}
    with socket.create_server((address, 0)) as silent:
        cache = f"http://{address}:{silent.getsockname()[1]}"
        said = roads("node2", task | upload | {"cache": cache})
        assert said["failed"] and "made no progress for 3 s" in said["msg"], said
        configure(f"substituters = {cache}")
        played = roads.played("node2", task)
    assert (played.result("node2")["transport"], roads.lacks("node2", new)) == ("ssh-ng", [])
    assert "The build host sends what is left" in " ".join(played.text.split())


def test_a_password_for_ssh_leaves_the_archive(roads: Transports, closure: MakeClosure) -> None:
    new, password = closure(), roads.fleet.hosts["node3"]["ansible_become_password"]
    only = f"{roads.ssh_arguments} -o PreferredAuthentications=password"
    login = {"ansible_ssh_pass": password, "ansible_ssh_common_args": only}
    played = roads.played("node3", new, "-vvv", **SUDO | login)
    said = played.result("node3")
    assert (said["transport"], roads.lacks("node3", new)) == ("archive", []), said
    assert "ssh asks for a password" in said["reason"]
    assert password not in played.text


def test_a_key_in_a_variable_leaves_the_archive(
    roads: Transports, closure: MakeClosure, monkeypatch: pytest.MonkeyPatch
) -> None:
    new, key = closure(), roads.fleet.inventory.with_name("id_ed25519").read_text()
    monkeypatch.setenv("ANSIBLE_SSH_AGENT", "auto")
    login = {"ansible_ssh_private_key": key, "ansible_ssh_private_key_file": ""}
    said = roads("node1", new, **login)
    assert (said["transport"], roads.lacks("node1", new)) == ("archive", []), said
    assert "the key is in a variable" in said["reason"]


def test_the_controller_can_be_the_target(
    roads: Transports, closure: MakeClosure, tmp_path: pathlib.Path
) -> None:
    """node2 is a name for it here; node1 has the closure."""
    new = closure()
    paths = new.paths
    roads("node1", new)
    for root in tmp_path.glob("*-root"):
        root.unlink()
    nix("nix-store", "--delete", *paths)
    roads.others["node1"] = {}
    try:
        task = {"path": new.path, "build_host": "node1"}
        said = roads("node2", task, ansible_connection="local")
        assert (said["transport"], said["missing_paths"]) == ("archive", sorted(paths)), said
        assert nix("nix-store", "--check-validity", "--print-invalid", *paths) == ""
    finally:
        pathlib.Path(INCOMING).unlink(missing_ok=True)


def test_a_host_without_room_for_the_files_is_told_before_the_start(
    roads: Transports, closure: MakeClosure
) -> None:
    new = closure(1, 1, 2 << 20)
    roads.fleet.exec("node1", "mount -t tmpfs -o size=1m tmpfs /var/tmp")
    try:
        said = roads("node1", {"path": new.path, "transport": "archive"})
    finally:
        roads.fleet.exec("node1", "umount /var/tmp")
    assert said["failed"] and "/var/tmp there has" in said["msg"], said
    assert sorted(roads.lacks("node1", new)) == sorted(new.paths)


def second_sshd(fleet: Fleet, options: str) -> None:
    """Have node1 listen on port 2222 too."""
    fleet.exec("node1", f"systemd-run -q --unit=second-sshd /usr/sbin/sshd -D -p 2222 {options}")


def test_nix_takes_the_same_way_as_ansible(roads: Transports, closure: MakeClosure) -> None:
    """Through a jump host, to an odd port, with host keys that are looked up by an alias."""
    fleet, new = roads.fleet, closure()
    address, jump = (fleet.hosts[host]["ansible_host"] for host in ("node1", "node2"))
    described = json.loads(fleet.inventory.with_name("testbed.json").read_text())
    command = f"ssh -i {described['private_key']} {roads.ssh_arguments} -W [%h]:%p root@{jump}"
    variables = {
        "ansible_port": 2222,
        "ansible_ssh_common_args": f'{roads.ssh_arguments} -o ProxyCommand="{command}"',
        "ansible_ssh_extra_args": f"-o HostKeyAlias={address}",
    }
    second_sshd(fleet, f"-o 'AllowUsers root@{jump}'")
    try:
        said = roads("node1", new, **variables)
        straight = roads("node1", new, ansible_port=2222)
    finally:
        fleet.exec("node1", "systemctl stop second-sshd")
    assert (said["transport"], roads.lacks("node1", new)) == ("ssh-ng", []), said
    assert straight["unreachable"], "the jump host is the only way"


def test_a_host_key_that_changed_is_refused_and_not_gone_around(
    roads: Transports, closure: MakeClosure
) -> None:
    """node2 copies to node1, for which it knows another key; Ansible itself knows the right one."""
    fleet, new = roads.fleet, closure()
    assert roads("node2", new)["changed"]
    address = fleet.hosts["node1"]["ansible_host"]
    # The first file is only on the controller, the second one is in anybody's home.
    known = f"UserKnownHostsFile={roads.known_hosts} ~/.ssh/known_hosts_2"
    arguments = f"-o '{known}' -o GlobalKnownHostsFile=/dev/null -o IdentitiesOnly=yes"
    fleet.exec(
        "node2",
        "mkdir -p -m 700 ~/.ssh && ssh-keygen -q -t ed25519 -N '' -f /tmp/other &&"
        f"echo {address} $(cut -d ' ' -f 1,2 /tmp/other.pub) >~/.ssh/known_hosts_2",
    )
    try:
        task = {"path": new.path, "build_host": "node2"}
        said = roads("node1", task, ansible_ssh_common_args=arguments)
    finally:
        fleet.exec("node2", "rm /tmp/other /tmp/other.pub ~/.ssh/known_hosts_2")
    assert said["failed"] and "correct known_hosts on node2" in said["msg"], said
    assert sorted(roads.lacks("node1", new)) == sorted(new.paths)


@pytest.fixture
def web(fleet: Fleet, tmp_path: pathlib.Path) -> t.Iterator[str]:
    """An nginx on the controller that takes PUT requests, by its URL."""
    route = nix("ip", "-o", "route", "get", fleet.hosts["node1"]["ansible_host"]).split()
    address = route[route.index("src") + 1]
    with socket.create_server((address, 0)) as listener:
        place = ":".join(map(str, listener.getsockname()))
    names = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = " ".join(f"{name}_temp_path {tmp_path}/{name};" for name in names)
    configuration = tmp_path / "nginx.conf"
    configuration.write_text(
        f"daemon off; user root; pid {tmp_path}/pid; error_log stderr; events {{ }} http {{"
        f"{temporary} access_log off; server {{ listen {place}; root {tmp_path}/web;"
        "location / { dav_methods PUT; create_full_put_path on; client_max_body_size 0; } } }"
    )
    (tmp_path / "web").mkdir()
    server = subprocess.Popen(["/usr/sbin/nginx", "-c", str(configuration)])
    until((tmp_path / "pid").exists)
    yield f"http://{place}"
    server.terminate()
    server.wait()


def test_hosts_fetch_from_a_binary_cache_that_the_build_host_fills(
    roads: Transports,
    closure: MakeClosure,
    web: str,
    key_file: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    new = closure()
    task = {"path": new.path, "transport": "cache", "cache": web}
    unsigned = roads("node2", task)
    assert "sign_key_file" in unsigned["msg"] and "check_sigs: false" in unsigned["msg"]
    said = roads("node2", task | {"check_sigs": False})
    assert (said["transport"], roads.lacks("node2", new)) == ("cache", []), said
    # Signed, for a login that the host does not trust, and filled by its other end.
    signed = closure()
    upload = {"cache_upload": f"file://{tmp_path}/web", "sign_key_file": str(key_file)}
    said = roads("node2", task | upload | {"path": signed.path}, ansible_user="deploy")
    assert (said["transport"], roads.lacks("node2", signed)) == ("cache", []), said
    assert roads("node2", task)["changed"] is False


def test_nix_takes_an_ipv6_address_with_its_zone(roads: Transports, closure: MakeClosure) -> None:
    new, address = closure(), roads.fleet.hosts["node1"]["ansible_host"]
    route = nix("ip", "-o", "route", "get", address).split()
    local = roads.fleet.exec("node1", "ip -6 -o addr show dev host0 scope link").split()
    said = roads(
        "node1",
        new,
        ansible_host=f"{local[3].split('/')[0]}%{route[route.index('dev') + 1]}",
        ansible_ssh_extra_args=f"-o HostKeyAlias={address}",
    )
    assert (said["transport"], roads.lacks("node1", new)) == ("ssh-ng", []), said


def test_what_the_hosts_own_caches_have_does_not_cross_the_line(
    roads: Transports,
    closure: MakeClosure,
    web: str,
    key_file: pathlib.Path,
    configure: Configure,
    tmp_path: pathlib.Path,
) -> None:
    """node2's cache has all of one closure, and of the other only a part."""
    whole, new = closure(), closure()
    part = next(path for path in new.paths if path.endswith("part3"))
    cache = f"file://{tmp_path}/web?secret-key={key_file}"
    nix(*NIX, "copy", "--to", cache, whole.path, part)
    configure(f"substituters = {web}")
    assert roads("node2", whole)["transport"] == "substituted"
    assert roads("node2", new)["transport"] == "ssh-ng"
    assert roads.lacks("node2", whole) == roads.lacks("node2", new) == []
    said = roads.fleet.exec("node2", f"{' '.join(NIX)} path-info --sigs {' '.join(new.paths)}")
    fetched = {line.split()[0] for line in said.splitlines() if "testbed-1:" in line}
    assert fetched == set(nix("nix-store", "--query", "--requisites", part).split())


def test_check_mode_copies_when_it_is_asked_to(roads: Transports, closure: MakeClosure) -> None:
    new = closure()
    task = {"path": new.path, "check_copy": True}
    first, again = (roads("node1", task, "--check") for _time in range(2))
    assert [first["changed"], again["changed"], roads.lacks("node1", new)] == [True, False, []]
