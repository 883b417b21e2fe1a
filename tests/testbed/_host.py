# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One host: a systemd-nspawn container on an overlay of the cached layers."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import _network
from _command import TestbedError, run

# With --keep-unit, systemd-nspawn leaves the restart after a reboot to its caller: exit code 133.
RESTART = 'directory=$1; shift; while "$@"; [ $? -eq 133 ]; do "$0" "$directory"; done'
FIRMWARE = Path(__file__).resolve().with_name("boot-disk")
# A host that shuts down stops its processes by SIGSTOP; nsenter, when it waits for a child in
# another PID namespace, then stops itself and nobody continues it. So a shell outside waits.
WAIT = ("sh", "-c", '"$@"; exit $?', "sh")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CGROUP = "closure-nixos-testbed"


@dataclass(frozen=True)
class Host:
    name: str
    fleet: str
    number: int  # of the fleet
    index: int  # in the fleet
    directory: Path

    @property
    def address(self) -> str:
        return str(_network.subnet(self.number)[self.last])

    @property
    def last(self) -> int:
        """The last byte of its address."""
        return 10 + self.index

    @property
    def link(self) -> str:
        return f"{_network.bridge(self.number)}h{self.index}"

    @property
    def machine(self) -> str:
        """Name of the machine and of its network namespace, unique among fleets."""
        return f"{self.fleet}.{self.name}"

    @property
    def machine_id(self) -> str:
        return hashlib.md5(self.machine.encode()).hexdigest()

    @property
    def root(self) -> Path:
        return self.directory / "root"

    def suite(self, new: str) -> str:
        """The suite of Debian that it is of: that one if it has never booted."""
        file = self.directory / "suite"
        if not file.exists():
            self.directory.mkdir(parents=True, exist_ok=True)
            file.write_text(new)
        return file.read_text()

    def leader(self) -> int | None:
        """The host's PID 1 as the controller sees it; another one after each reboot."""
        for supervisor in self.supervisors():
            for child in read(f"/proc/{supervisor}/task/{supervisor}/children").split():
                if namespace_pids(child)[1:] == ["1"]:
                    return int(child)
        return None

    def supervisors(self) -> list[int]:
        """Its systemd-nspawn and the shell that restarts it.

        Found without a PID file: `up` cannot be killed before it has written it.
        """
        option = f"--directory={self.root}"
        pids = (entry.name for entry in Path("/proc").iterdir() if entry.name.isdigit())
        return [int(pid) for pid in pids if option in read(f"/proc/{pid}/cmdline").split("\0")]

    def enter(self, *command: str) -> list[str]:
        """The command line that runs a command in the host as root, without ssh."""
        leader = self.leader()
        if leader is None:
            raise TestbedError(
                f"{self.name} of fleet {self.fleet} is not running: start it with `testbed up`,"
                f" or read {self.directory}/console.log."
            )
        environment = (f"PATH={PATH}", "HOME=/root", "USER=root", "LOGNAME=root")
        target = f"--target={leader}"
        return [
            *("env", "-i", *environment, "nsenter", target, "--pid", "--no-fork", *WAIT),
            *("nsenter", target, "--mount", "--uts", "--ipc", "--net", "--cgroup", *command),
        ]

    def state(self) -> str:
        """What systemd says of itself, or `stopped`."""
        if self.leader() is None:
            return "stopped"
        command = self.enter("systemctl", "is-system-running")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stdout.strip() or "starting"

    def boot(self) -> None:
        """Start systemd-nspawn on the mounted root; does not wait for systemd."""
        _network.connect(self.machine, self.link, self.number, self.last)
        with open(self.directory / "console.log", "ab") as console:
            subprocess.Popen(
                ["sh", "-c", RESTART, str(FIRMWARE), str(self.directory), *self.nspawn()],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
                preexec_fn=self.join_cgroups,
            )

    def nspawn(self) -> list[str]:
        return [
            *("systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--link-journal=no"),
            *("--resolv-conf=off", "--timezone=off", f"--directory={self.root}"),
            *(f"--machine={self.machine}", f"--hostname={self.name}"),
            f"--network-namespace-path={_network.NETNS / self.machine}",
            "/usr/lib/testbed/stage-2",
        ]

    def mount(self, layers: Iterable[Path]) -> None:
        if self.root.is_mount():
            return
        for name in ("diff", "work", "root"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        lower = ":".join(map(str, layers))
        options = f"lowerdir={lower},upperdir={self.directory}/diff,workdir={self.directory}/work"
        run("mount", "-t", "overlay", "overlay", "-o", options, str(self.root))

    def install(self, path: str, content: str, mode: int = 0o644, owner: str = "root") -> None:
        """Write a file of the host before it boots; its owner by the host's own user names."""
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        file.chmod(mode)
        if owner != "root":
            run("chroot", str(self.root), "chown", "-R", f"{owner}:{owner}", str(Path(path).parent))

    def cgroups(self) -> list[Path]:
        return [mount / CGROUP / self.machine for mount in cgroup_mounts()]

    def join_cgroups(self) -> None:
        # Of its own: systemd takes the cgroup it starts in for its root, and would share the
        # caller's with every other host.
        for cgroup in self.cgroups():
            cgroup.mkdir(parents=True, exist_ok=True)
            (cgroup / "cgroup.procs").write_text("0")

    def destroy(self) -> None:
        """Remove every trace, whatever is there of it."""
        self.kill()
        _network.disconnect(self.machine, self.link)
        if self.root.is_mount():
            run("umount", "--recursive", str(self.root))
        for cgroup in self.cgroups():
            for directory, *_ in os.walk(cgroup, topdown=False):
                Path(directory).rmdir()
        shutil.rmtree(self.directory, ignore_errors=True)

    def kill(self) -> None:
        """Kill the host's processes; systemd-nspawn then tidies up, or is killed itself."""
        start = time.monotonic()
        while (supervisors := self.supervisors()) or _network.pids(self.machine):
            waited = time.monotonic() - start
            if waited > 10:
                raise TestbedError(f"Processes of {self.machine} survive SIGKILL: reboot.")
            for pid in [*_network.pids(self.machine), *(supervisors if waited > 2 else [])]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)


def cgroup_mounts() -> list[Path]:
    """The hierarchies that systemd tracks processes in: unified, and the named one of hybrid."""
    mounts = (line.split() for line in Path("/proc/mounts").read_text().splitlines())
    return [
        Path(point)
        for _, point, kind, options, *_ in mounts
        if kind == "cgroup2" or (kind == "cgroup" and "name=systemd" in options.split(","))
    ]


def namespace_pids(pid: str) -> list[str]:
    for line in read(f"/proc/{pid}/status").splitlines():
        if line.startswith("NSpid:"):
            return line.split()[1:]
    return []


def read(path: str) -> str:
    """A file of /proc; nothing when its process is gone."""
    try:
        return Path(path).read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
