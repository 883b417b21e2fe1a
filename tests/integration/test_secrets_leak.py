# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nothing of a secret is anywhere but in its place: canaries are put, and looked for.

They come encrypted or spelled backwards, so that no file of the test holds one. Swap is left out.
"""

from __future__ import annotations

import base64
import dataclasses
import functools
import hashlib
import os
import pathlib
import secrets
import shlex
import signal
import subprocess
import time
import typing as t
from collections.abc import Iterable

import pytest
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible_collections.closure.nixos.tests.integration._harness import (
    Fleet,
    Play,
    StartPlay,
    processes,
    until,
)
from ansible_collections.closure.nixos.tests.integration._systems import Task, module, playbook

HOST = "node1"
NAMES = ("vault", "file", "command", "sealed", "lasting", "full", "stray")
# Where secrets are on purpose, but not those that could not be put.
PLACES = ("/run/keys", "/run/credstore", "/run/closure-nixos/undo")
COPIES = "var/lib/closure-nixos/secrets/run/keys"
# The programs that the module's shell starts. What stands first on the PATH tells what they get.
PROGRAMS = """cat chown cp cut df find getent mkdir mv rm rmdir sed sha256sum stat systemctl
    systemd-creds xargs"""
WITNESS = r"""#!/bin/sh
line=$(
    printf 'core %s: ' "$(ulimit -c)"
    tr '\0' ' ' </proc/$$/cmdline
    tr '\0' ' ' </proc/$PPID/cmdline
    tr '\0' ' ' </proc/$$/environ
)
# In one piece: two of them may run at a time.
printf '%s\n' "$line" >>/run/t-seen
while [ -e /run/t-hold ]; do
    case "${0##*/} $*" in "mv -f -t "*) : >/run/t-holding ;; *) break ;; esac
    sleep 0.1
done
exec "/usr/bin/${0##*/}" "$@"
"""


# Kills the one that is held, and all that it was called by, up to the ssh server.
KILL_SHELL = """pid=$(pgrep -f '^/bin/sh /usr/local/bin/mv -f -t ') all=
while case $(cat /proc/$pid/comm) in sshd*) false ;; esac; do
    all="$all $pid" pid=$(ps -o ppid= -p $pid | tr -d ' ')
done
kill -KILL $all"""


@dataclasses.dataclass(frozen=True)
class Search:
    """Canaries by name, and where they could be."""

    fleet: Fleet
    directories: tuple[pathlib.Path, ...]
    since: float
    canaries: dict[str, str]

    @property
    def needles(self) -> list[bytes]:
        """The canaries, what Base64 makes of them, and their digests."""
        found = []
        for canary in map(str.encode, self.canaries.values()):
            digests = (hashlib.new(name, canary) for name in ("md5", "sha1", "sha256", "sha512"))
            encoded = [base64.b64encode(canary).rstrip(b"="), base64.b64encode(canary[::-1])]
            found += [canary, *encoded[:1], *(digest.hexdigest().encode() for digest in digests)]
        return found

    def holds(self, text: bytes) -> bool:
        return any(needle in text for needle in self.needles)

    def leaks(self) -> set[str]:
        """All places but their own that hold a canary."""
        return {*self._in_processes(), *self._on_controller(), *self._on_host()}

    def _in_processes(self) -> Iterable[str]:
        """Of the controller and of the hosts, whose processes it sees."""

        def true(entry: pathlib.Path) -> bool:
            return self.holds((entry / "cmdline").read_bytes() + (entry / "environ").read_bytes())

        return ("process" for _pid in processes(true))

    def _on_controller(self) -> Iterable[str]:
        for directory in (*self.directories, pathlib.Path("/tmp"), pathlib.Path("/var/tmp")):
            yield from (f"controller {path}" for path in self._files(directory))
        # Locks of others come and go.
        for path in pathlib.Path("/nix/store").iterdir():
            if path.exists() and path.stat().st_ctime > self.since:
                yield from (f"controller {path}" for _file in self._files(path))

    def _files(self, directory: pathlib.Path) -> Iterable[pathlib.Path]:
        # os.walk, because others' directories come and go.
        found = [directory] if directory.is_file() else []
        found += [
            pathlib.Path(top, name) for top, _dirs, names in os.walk(directory) for name in names
        ]
        for path in found:
            try:
                state = path.lstat()
                recent = state.st_ctime > self.since and state.st_size < 2**26
                if recent and path.is_file() and self.holds(path.read_bytes()):
                    yield path
            except OSError:
                continue  # it has just gone

    def _on_host(self) -> Iterable[str]:
        disk = self.fleet.inventory.parent / "hosts" / HOST / "diff"
        for path in self._files(disk):
            name = path.relative_to(disk)
            if not str(name).startswith(COPIES):
                yield f"host /{name}"
        patterns = " ".join(f"-e {needle.decode()}" for needle in self.needles)
        outside = " ".join(f"-path {place} -prune -o" for place in (*PLACES, "/run/host"))
        script = f"""/usr/bin/find /run /tmp /dev/shm {outside} -type f -print0 |
            /usr/bin/xargs -0 grep -laF {patterns} 2>/dev/null
            journalctl --output=export --since=@{int(self.since)} | grep -aqF {patterns} &&
                echo journal
            grep -rlaF -e {self.canaries["full"]} -e {self.canaries["stray"]} {" ".join(PLACES)}"""
        yield from (f"host {line}" for line in self._exec(script))

    def _exec(self, script: str) -> list[str]:
        return self.fleet.exec(HOST, script, check=False).splitlines()


@pytest.fixture
def search(fleet: Fleet, tmp_path: pathlib.Path, ansible_home: pathlib.Path) -> Search:
    canaries = {name: f"canary{secrets.token_hex(12)}" for name in NAMES}
    return Search(fleet, (tmp_path, ansible_home), time.time() - 1, canaries)


def shows(search: Search, pid: int) -> bool:
    files = (pathlib.Path(f"/proc/{pid}/{name}") for name in ("cmdline", "environ"))
    return any(search.holds(file.read_bytes()) for file in files)


def test_the_search_finds_a_leak(search: Search, fleet: Fleet, tmp_path: pathlib.Path) -> None:
    assert search.leaks() == set()
    canary, digest = search.canaries["vault"], hashlib.sha256(search.canaries["file"].encode())
    (tmp_path / "output").write_text(f"a line with {canary} in it")
    encoded = base64.b64encode(search.canaries["sealed"].encode()).decode()
    fleet.exec(HOST, f"echo {digest.hexdigest()} >/var/tmp/t-digest; echo {encoded} >/run/t-leak")
    fleet.exec(HOST, f"systemd-cat echo {canary}; echo {canary} >/tmp/t-leak")
    fleet.exec(HOST, f"mkdir -p /run/keys; echo {search.canaries['stray']} >/run/keys/t-leak")
    fleet.exec(HOST, "journalctl --sync")
    leaking = [
        subprocess.Popen(["sh", "-c", f"sleep 60; : {canary}"]),
        subprocess.Popen(["sleep", "60"], env={"PATH": os.environ["PATH"], "IT": canary}),
    ]
    try:
        for each in leaking:
            # For a moment after its start a process has neither.
            until(functools.partial(shows, search, each.pid))
        found = search.leaks()
    finally:
        for each in leaking:
            each.kill()
            each.wait()
        fleet.exec(HOST, "rm -f /var/tmp/t-digest /run/t-leak /tmp/t-leak /run/keys/t-leak")
    host = {"/var/tmp/t-digest", "/run/t-leak", "/tmp/t-leak", "/run/keys/t-leak", "journal"}
    output = {f"controller {tmp_path}/output", "process"}
    assert found >= output | {f"host {place}" for place in host}, found


@pytest.fixture
def witnesses(fleet: Fleet) -> t.Iterator[None]:
    """What the host's shell starts writes down first what it was given."""
    links = "".join(f"ln -sf t-witness /usr/local/bin/{name}; " for name in PROGRAMS.split())
    script = f"printf '%s' {shlex.quote(WITNESS)} >/usr/local/bin/t-witness"
    fleet.exec(HOST, f"{script}; chmod +x /usr/local/bin/t-witness; {links}")
    yield
    fleet.exec(
        HOST, "cd /usr/local/bin; /usr/bin/find . -lname t-witness -delete; /usr/bin/rm t-witness"
    )
    fleet.exec(HOST, "rm -f /run/t-*; umount /srv/full; rm -rf /srv/full")


@pytest.fixture
def given(search: Search, tmp_path: pathlib.Path) -> tuple[Task, list[str]]:
    """The secrets of a task, and the options of ansible-playbook that hand out their contents."""
    vault = VaultLib([("default", VaultSecret(b"open sesame"))])
    (tmp_path / "password").write_text("open sesame")
    variables = {f"canary_{name}": value for name, value in search.canaries.items()}
    lines = "".join(f"{name}: {value}\n" for name, value in variables.items())
    (tmp_path / "vars.yml").write_bytes(vault.encrypt(lines))
    (tmp_path / "file").write_bytes(vault.encrypt(search.canaries["file"]))
    (tmp_path / "reversed").write_text(search.canaries["command"][::-1])
    tasks = {
        "vault": {
            "content": "{{ canary_vault }}",
            "owner": "deploy",
            "restart": ["t-none.service"],
        },
        "file": {"file": str(tmp_path / "file")},
        "command": {"command": ["rev", str(tmp_path / "reversed")]},
        "sealed": {"content": "{{ canary_sealed }}", "credstore": "encrypted", "with_key": "host"},
        "lasting": {"content": "{{ canary_lasting }}", "persistent": True},
    }
    options = ["-e", f"@{tmp_path}/vars.yml", "--vault-password-file", f"{tmp_path}/password"]
    return tasks, [*options, "-vvvvv", "--diff"]


@pytest.mark.soak
def test_nothing_leaks(
    fleet: Fleet,
    play: Play,
    start_play: StartPlay,
    search: Search,
    witnesses: None,
    given: tuple[Task, list[str]],
    tmp_path: pathlib.Path,
) -> None:
    tasks, options = given
    env = {
        "ANSIBLE_CACHE_PLUGIN": "jsonfile",
        "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(tmp_path / "facts"),
    }
    put = module("nixos_secrets", {"secrets": tasks})

    # While the host has all of them in its hands.
    fleet.exec(HOST, "touch /run/t-hold")
    started = start_play(playbook(put, hosts=HOST), *options, env=env)
    until(lambda: fleet.exec(HOST, "ls /run").split().count("t-holding"))
    assert search.leaks() == set()
    # Killed there, it still puts them all.
    started.signal(signal.SIGKILL)
    started.kill()
    assert search.leaks() == set()
    fleet.exec(HOST, "rm /run/t-hold")
    until(lambda: fleet.exec(HOST, "cat /run/keys/vault", check=False))
    assert fleet.exec(HOST, "cat /run/keys/vault") == search.canaries["vault"]
    assert search.leaks() == set()

    # When its shell is killed, what it has written waits in a directory that only root enters, and
    # the next run takes it away.
    fleet.exec(HOST, "flock -w 60 /run/closure-nixos/lock true")
    fleet.exec(HOST, "touch /run/t-hold; rm -r /run/t-holding /run/keys")
    started = start_play(playbook(put, hosts=HOST), *options, env=env)
    until(lambda: fleet.exec(HOST, "ls /run").split().count("t-holding"))
    fleet.exec(HOST, KILL_SHELL)
    assert started.process.wait() != 0
    staged = f"/usr/bin/find /run/keys /{COPIES} -name .closure-nixos-new -printf '%m %p\\n'"
    assert fleet.exec(HOST, staged).splitlines() == ["700 /run/keys/.closure-nixos-new"]
    assert search.leaks() == set()
    fleet.exec(HOST, "rm /run/t-hold")
    assert play(playbook(put, hosts=HOST), *options, env=env).rc == 0
    assert fleet.exec(HOST, staged) == ""

    # All that ends well, and all that does not.
    fleet.exec(HOST, "mkdir -p /srv/full; mount -t tmpfs -o size=16k none /srv/full")
    fleet.exec(HOST, "rm /run/keys/command")
    others: dict[str, Task] = {
        "full": {"content": "{{ canary_full * 2000 }}", "path": "/srv/full/it"},
        "owner": {"content": "{{ canary_stray }}", "owner": "nobody-knows"},
        "name": {"content": "{{ canary_stray }}", "file": "/x"},
        "type": {"content": "{{ [canary_stray] }}"},
    }
    failing = [
        module("nixos_secrets", {"secrets": {"it": other}}) | {"name": name, "ignore_errors": True}
        for name, other in others.items()
    ]
    string = module("nixos_secrets", {"secrets": "{{ canary_stray }}"}) | {"ignore_errors": True}
    gone = put | {"vars": {"ansible_port": 1}, "ignore_unreachable": True, "name": "gone"}
    prepared = module("nixos_secrets", {"secrets": tasks, "state": "prepared"}) | {"name": "again"}
    played = play(playbook(put, prepared, *failing, string, gone, hosts=HOST), *options, env=env)
    assert played.result(HOST, "nixos_secrets")["failed"] is True
    assert [bool(played.result(HOST, name)["failed"]) for name in others] == [True] * len(others)
    assert "cannot be written" in played.result(HOST, "full")["msg"]
    assert played.result(HOST, "gone")["unreachable"] is True
    assert played.results(HOST, "nixos_secrets")[0]["added"] == ["command"]
    assert search.leaks() == set()

    # None of the programs had a canary as an argument, and none could have dumped its core.
    seen = fleet.exec(HOST, "cat /run/t-seen").splitlines()
    for program in ("systemd-creds encrypt", "sha256sum", "chown -- 1000:0", "mv -f -t"):
        lines = [line for line in seen if program in line]
        bad = [line for line in lines if not line.startswith("core 0: ")]
        assert lines and not bad, (program, bad)
    assert not [line for line in seen if search.holds(line.encode())]
