# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet: hosts on one bridge, their keys and their inventory, kept in one directory."""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import shutil
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import _network
from _command import TestbedError, run
from _host import CGROUP, Host, cgroup_mounts
from _layers import SUITES, debian_tree, locked, seed_layer

BASE = Path("/var/lib/closure-nixos-testbed")
BOOT_TIMEOUT = 60
INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
WATCHERS_OF_MACHINE, WATCHERS_OF_HOST = 64, 16
DEFAULT_NAMES = ["node1", "node2", "node3"]
NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")


@dataclass
class Fleet:
    name: str
    number: int
    python: bool
    bare: bool
    password: str  # of deploy, on the host whose sudo asks for it
    password_host: str
    names: list[str]

    @property
    def directory(self) -> Path:
        return BASE / self.name

    @property
    def hosts(self) -> list[Host]:
        return [
            Host(name, self.name, self.number, index, self.directory / "hosts" / name)
            for index, name in enumerate(self.names, start=1)
        ]

    @property
    def inventory(self) -> Path:
        return self.directory / "inventory.yml"

    @property
    def private_key(self) -> Path:
        return self.directory / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        return self.directory / "known_hosts"

    @property
    def ssh_options(self) -> list[str]:
        return [
            *("-o", f"UserKnownHostsFile={self.known_hosts}"),
            *("-o", "GlobalKnownHostsFile=/dev/null", "-o", "IdentitiesOnly=yes"),
        ]

    def ssh(self, user: str, host: Host) -> list[str]:
        key = ["-F", "/dev/null", "-i", str(self.private_key)]
        return ["ssh", *key, *self.ssh_options, "-o", "BatchMode=yes", f"{user}@{host.address}"]

    def host(self, name: str) -> Host:
        for host in self.hosts:
            if host.name == name:
                return host
        raise TestbedError(f"Fleet {self.name} has no host {name}; it has {', '.join(self.names)}.")

    def save(self) -> None:
        """Written before anything exists that it describes, so that `down` finds all of it."""
        replace(self.directory / "fleet.json", json.dumps(asdict(self), indent=2))

    # --- up

    def up(self, suite: str) -> None:
        """Boot the hosts that do not run; those that never did are of that suite."""
        if not _network.has_bridge(self.number):
            _network.add_bridge(self.number)
        generate_key(self.private_key)
        missing = [host for host in self.hosts if host.leader() is None]
        make_room_for_watchers(len(missing))
        for host in missing:
            print(f"{host.name}: booting at {host.address}", flush=True)
            host.kill()
            host.mount(self.layers(host.suite(suite)))
            self.personalize(host)
            host.boot()
        self.write_inventory()
        self.wait()

    def layers(self, suite: str) -> list[Path]:
        tree = debian_tree(suite, self.python)
        return [tree] if self.bare else [seed_layer(tree), tree]

    def personalize(self, host: Host) -> None:
        """What makes a host that host: its keys, its users' keys, its sudo rule."""
        host_key = host.directory / "ssh_host_ed25519_key"
        generate_key(host_key)
        client = public(self.private_key)
        host.install("/etc/ssh/ssh_host_ed25519_key", host_key.read_text(), 0o600)
        host.install("/etc/hostname", f"{host.name}\n")
        host.install("/etc/machine-id", f"{host.machine_id}\n", 0o444)
        host.install("/etc/hosts", self.etc_hosts())
        host.install("/root/.ssh/authorized_keys", client, 0o600)
        host.install("/home/deploy/.ssh/authorized_keys", client, 0o600, owner="deploy")
        asks = host.name == self.password_host
        rule = "ALL" if asks else "NOPASSWD: ALL"
        host.install("/etc/sudoers.d/deploy", f"deploy ALL=(ALL:ALL) {rule}\n", 0o440)
        if asks:
            run("chroot", str(host.root), "chpasswd", stdin=f"deploy:{self.password}\n")

    def etc_hosts(self) -> str:
        lines = [f"{host.address} {host.name}" for host in self.hosts]
        return "\n".join(["127.0.0.1 localhost", *lines, ""])

    def wait(self) -> None:
        deadline = time.monotonic() + BOOT_TIMEOUT
        waiting = self.hosts
        while waiting:
            waiting = [host for host in waiting if not self.is_up(host)]
            if waiting and time.monotonic() > deadline:
                raise TestbedError(self.late(waiting))
            time.sleep(0.1)

    def is_up(self, host: Host) -> bool:
        state = host.state()
        if state not in ("running", "degraded") or not self.answers_ssh(host):
            return False
        print(f"{host.name}: {state}", flush=True)
        return True

    def answers_ssh(self, host: Host) -> bool:
        command = [*self.ssh("root", host), "-o", "ConnectTimeout=2", "true"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def late(self, hosts: list[Host]) -> str:
        states = ", ".join(f"{host.name} ({host.state()})" for host in hosts)
        logs = f"{self.directory}/hosts/*/console.log"
        return f"Not up after {BOOT_TIMEOUT} s: {states}. Read {logs}."

    def write_inventory(self) -> None:
        """JSON is YAML: the values are written as JSON, which needs no library to quote them."""
        known = "".join(
            f"{host.name},{host.address} {public(host.directory / 'ssh_host_ed25519_key')}"
            for host in self.hosts
        )
        replace(self.known_hosts, known)
        hosts = {host.name: self.host_vars(host) for host in self.hosts}
        group = {
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(self.private_key),
            "ansible_ssh_common_args": " ".join(self.ssh_options),
        }
        lines = ["testbed:", "  hosts:"]
        lines += [f"    {name}: {json.dumps(values)}" for name, values in hosts.items()]
        lines += ["  vars:", *(f"    {key}: {json.dumps(value)}" for key, value in group.items())]
        replace(self.inventory, "\n".join([*lines, ""]))
        described = {
            "fleet": self.name,
            "python": self.python,
            "inventory": str(self.inventory),
            "private_key": str(self.private_key),
            "known_hosts": str(self.known_hosts),
            "ssh_options": self.ssh_options,
            "hosts": hosts,
        }
        replace(self.directory / "testbed.json", json.dumps(described, indent=2) + "\n")

    def host_vars(self, host: Host) -> dict[str, str]:
        values = {
            "ansible_host": host.address,
            "testbed_address": host.address,
            "testbed_netns": host.machine,
        }
        if host.name == self.password_host:
            values["ansible_become_password"] = self.password
        return values

    # --- down

    def down(self) -> None:
        for host in self.hosts:
            host.destroy()
        _network.delete_bridge(self.number)


def make_room_for_watchers(new_hosts: int, limit: Path = INOTIFY) -> None:
    """Raise the machine's limit on inotify instances, which all hosts share, if they may run out.

    systemd and its services in a container use the instances of the machine's root, some ten a
    host; without one they fail with "Too many open files".
    """
    hosts = new_hosts + sum(len(fleet.names) for name in all_names() if (fleet := load(name)))
    needed = WATCHERS_OF_MACHINE + WATCHERS_OF_HOST * hosts
    if int(limit.read_text()) >= needed:
        return
    try:
        limit.write_text(f"{needed}\n")
    except OSError as error:
        raise TestbedError(
            f"{hosts} hosts need {needed} inotify instances, this machine allows"
            f" {limit.read_text().strip()} and does not let it be changed ({error.strerror}): run"
            f" `sysctl fs.inotify.max_user_instances={needed}` on the machine below, or take"
            " fleets down."
        ) from error


def checked_name(word: str) -> str:
    """A fleet's or a host's name, which becomes part of paths that `down` removes."""
    if not NAME.fullmatch(word):
        raise TestbedError(f"{word!r} is no name here: use a-z, 0-9 and -, a letter first.")
    return word


def load(name: str) -> Fleet | None:
    try:
        return Fleet(**json.loads((BASE / name / "fleet.json").read_text()))
    except FileNotFoundError:
        return None


def require(name: str) -> Fleet:
    fleet = load(name)
    if fleet is None:
        raise TestbedError(f"There is no fleet {name}: start it with `testbed up --fleet {name}`.")
    return fleet


def all_names() -> list[str]:
    return sorted(path.name for path in BASE.iterdir()) if BASE.exists() else []


def up(
    name: str, names: list[str], python: bool = False, bare: bool = False, suite: str = SUITES[0]
) -> Fleet:
    with locked(BASE / name):
        fleet = load(name) or create(name, names or DEFAULT_NAMES, python, bare)
        if (python and not fleet.python) or (bare and not fleet.bare):
            raise TestbedError(f"Fleet {name} was made otherwise: run `testbed down` on it first.")
        fleet.names += [host for host in names if host not in fleet.names]
        fleet.save()
        fleet.up(suite)
    return fleet


def create(name: str, names: list[str], python: bool, bare: bool) -> Fleet:
    """Take a free number; a lock on the base directory keeps two fleets from taking the same."""
    with locked(BASE):
        others = [fleet for other in all_names() if (fleet := load(other))]
        number = _network.free_number({fleet.number for fleet in others})
        password = secrets.token_urlsafe(12)
        fleet = Fleet(name, number, python, bare, password, names[-1], names)
        fleet.save()
    return fleet


def down(name: str) -> None:
    if not (BASE / name).exists():
        return
    with locked(BASE / name):
        if fleet := load(name):
            fleet.down()
        shutil.rmtree(BASE / name)
    remove_if_empty(BASE, *(mount / CGROUP for mount in cgroup_mounts()))


def remove_if_empty(*directories: Path) -> None:
    for directory in directories:
        with contextlib.suppress(OSError):  # another fleet's, or never made
            directory.rmdir()


def generate_key(path: Path) -> None:
    if not public_path(path).exists():
        path.unlink(missing_ok=True)
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", path.name, "-f", str(path))


def public_path(private_key: Path) -> Path:
    return private_key.with_suffix(".pub")


def public(private_key: Path) -> str:
    return public_path(private_key).read_text()


def replace(path: Path, content: str) -> None:
    """Write a file as a whole or not at all."""
    partial = path.with_suffix(".partial")
    partial.touch(mode=0o600)
    partial.write_text(content)
    partial.rename(path)
