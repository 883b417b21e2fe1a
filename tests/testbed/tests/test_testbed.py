# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The testbed's own tests: they boot real fleets, so they need root."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

TESTBED = Path(__file__).resolve().parents[1] / "testbed"
BASE = Path("/var/lib/closure-nixos-testbed")
FLEET, OTHER = "selftest", "selftest-other"

# The tests of the collection show that it works; these show its edges.
pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(os.geteuid() != 0, reason="the testbed needs root"),
]

Done = subprocess.CompletedProcess[str]


def run(command: str, *arguments: str, fleet: str = FLEET, stdin: str = "") -> Done:
    argv = [str(TESTBED), command, "--fleet", fleet, *arguments]
    return subprocess.run(
        argv, input=stdin, capture_output=True, text=True, check=False, timeout=120
    )


def succeed(command: str, *arguments: str, fleet: str = FLEET, stdin: str = "") -> str:
    done = run(command, *arguments, fleet=fleet, stdin=stdin)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def shell(host: str, script: str, fleet: str = FLEET) -> str:
    return succeed("exec", host, "sh", fleet=fleet, stdin=script)


def boot_id(host: str) -> str:
    return shell(host, "cat /proc/sys/kernel/random/boot_id")


def described(fleet: str = FLEET) -> dict[str, Any]:
    described: dict[str, Any] = json.loads((BASE / fleet / "testbed.json").read_text())
    return described


def until(holds: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"did not come true within {seconds} s"
        time.sleep(0.1)


def reboot(host: str) -> None:
    before = boot_id(host)
    succeed("exec", host, "systemctl", "reboot")

    def is_back() -> bool:
        now = run("exec", host, "cat", "/proc/sys/kernel/random/boot_id").stdout
        return now not in ("", before) and run("ssh", host, "true").returncode == 0

    until(is_back)


def traces(fleet: str, number: int | None) -> list[str]:
    """Everything on this machine that belongs to the fleet."""
    found = [str(path) for path in BASE.glob(fleet)]
    found += [line for line in Path("/proc/mounts").read_text().split("\n") if f"/{fleet}/" in line]
    machines = (Path("/run/netns"), Path("/run/systemd/nspawn/propagate"))
    found += [str(path) for parent in machines for path in parent.glob(f"{fleet}.*")]
    found += [str(path) for path in Path("/sys/fs/cgroup").glob(f"**/{fleet}.*")]
    for cmdline in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += [str(cmdline)] if f"{BASE}/{fleet}/" in cmdline.read_text() else []
        except (FileNotFoundError, ProcessLookupError):
            continue
    if number is not None:
        links = Path("/sys/class/net")
        found += [str(path) for name in ("", "h*") for path in links.glob(f"tb{number}{name}")]
    return found


def number_of(fleet: str) -> int | None:
    try:
        number: int = json.loads((BASE / fleet / "fleet.json").read_text())["number"]
    except FileNotFoundError:
        return None
    return number


@pytest.fixture(scope="module", autouse=True)
def fleet() -> Iterator[None]:
    """Two bare hosts, `first` and `last`, for all tests here."""
    run("down")
    succeed("up", "--bare", "first", "last")
    yield
    succeed("down")


def test_second_up_boots_nothing() -> None:
    before = boot_id("first"), boot_id("last")
    output = succeed("up")
    assert "booting" not in output
    assert output.splitlines()[-1] == described()["inventory"]
    assert (boot_id("first"), boot_id("last")) == before


def test_up_boots_only_what_is_missing_and_keeps_its_disk() -> None:
    before = boot_id("last")
    shell("first", "touch /root/kept; systemctl poweroff")
    until(lambda: "first 10." in (out := succeed("status")) and "stopped" in out)
    assert [line for line in succeed("up").splitlines() if "booting" in line] == [
        f"first: booting at {described()['hosts']['first']['ansible_host']}"
    ]
    shell("first", "test -e /root/kept")
    assert boot_id("last") == before


def test_status_names_every_host() -> None:
    hosts = described()["hosts"]
    expected = [f"{name} {hosts[name]['ansible_host']} running" for name in ("first", "last")]
    assert succeed("status").splitlines() == expected


def test_exec_passes_stdin_and_exit_status() -> None:
    done = run("exec", "last", "sh", "-c", "cat; hostname; exit 7", stdin="in\n")
    assert (done.stdout, done.returncode) == ("in\nlast\n", 7)


def test_who_runs_many_commands_enters_by_itself() -> None:
    command = [*json.loads(succeed("enter", "last")), "sh", "-c", "hostname; exit 7"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.stdout, done.returncode) == ("last\n", 7)


def test_an_unknown_host_is_an_error_that_names_the_known_ones() -> None:
    done = run("exec", "nobody", "true")
    assert done.returncode == 1
    assert "no host nobody; it has first, last" in done.stderr


def test_ssh_knows_the_host_keys_beforehand() -> None:
    options = [*described()["ssh_options"], "-o", "StrictHostKeyChecking=yes"]
    hosts = described()["hosts"]
    for name in ("first", "last"):
        target = f"root@{hosts[name]['ansible_host']}"
        key = described()["private_key"]
        argv = ["ssh", "-F", "/dev/null", "-i", key, "-o", "BatchMode=yes", *options, target]
        assert subprocess.check_output([*argv, "hostname"], text=True) == f"{name}\n"


def test_hosts_have_neither_python_nor_perl() -> None:
    found = shell("first", 'IFS=:; for d in $PATH; do ls "$d" | grep -E "^(python|perl)"; done; :')
    assert found == ""


def test_deploy_is_untrusted_and_root_is_trusted() -> None:
    info = "nix --extra-experimental-features nix-command store info --store daemon --json"
    assert json.loads(succeed("ssh", "deploy@first", info))["trusted"] == 0
    assert json.loads(succeed("ssh", "first", info))["trusted"] == 1


def test_sudo_asks_for_the_password_of_the_inventory_on_the_last_host_only() -> None:
    assert succeed("ssh", "deploy@first", "sudo -n id -u") == "0\n"
    assert run("ssh", "deploy@last", "sudo -n id -u").returncode != 0
    password = described()["hosts"]["last"]["ansible_become_password"]
    assert "ansible_become_password" not in described()["hosts"]["first"]
    assert succeed("ssh", "deploy@last", "sudo -S id -u", stdin=f"{password}\n") == "0\n"


def test_reboot_keeps_the_disk_and_the_network_and_empties_run() -> None:
    shell("last", "touch /root/kept /run/gone")
    reboot("last")
    assert succeed("ssh", "last", "ls /root/kept /run/gone 2>/dev/null; :") == "/root/kept\n"
    first = described()["hosts"]["first"]["ansible_host"]
    assert shell("last", f"timeout 2 bash -c 'head -c3 </dev/tcp/{first}/22'") == "SSH"


def test_a_boot_activates_the_default_entry_and_once_the_oneshot_entry() -> None:
    shell(
        "first",
        """
        mkdir -p /boot/loader/entries
        for n in 1 2; do
            mkdir -p /root/system-$n
            printf '#!/bin/sh\nln -sfn /root/system-%s /run/current-system\n' $n \
                > /root/system-$n/activate
            chmod +x /root/system-$n/activate
            echo "options quiet init=/root/system-$n/init panic=1" \
                > /boot/loader/entries/nixos-generation-$n.conf
        done
        printf 'timeout 3\ndefault nixos-generation-1.conf\n' > /boot/loader/loader.conf
        echo nixos-generation-2.conf > /boot/loader/oneshot
        """,
    )
    for system in ("/root/system-2\n", "/root/system-1\n"):
        reboot("first")
        assert shell("first", "readlink /run/booted-system /run/current-system") == system * 2
    shell("first", "rm -r /boot/loader")


def test_an_activation_that_fails_does_not_stop_the_boot() -> None:
    shell(
        "first",
        """
        mkdir -p /boot/loader/entries
        echo "options init=/root/broken/init" > /boot/loader/entries/nixos-generation-1.conf
        echo "default nixos-generation-1.conf" > /boot/loader/loader.conf
        """,
    )
    reboot("first")
    assert shell("first", "readlink /run/booted-system") == "/root/broken\n"
    shell("first", "rm -r /boot/loader")


def test_a_connection_survives_a_short_loss_of_the_link() -> None:
    command = [str(TESTBED), "ssh", "--fleet", FLEET, "first", "echo up; sleep 1; echo still"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as connection:
        assert connection.stdout is not None
        assert connection.stdout.readline() == "up\n"
        succeed("link", "first", "down")
        assert run("ssh", "first", "-o", "ConnectTimeout=1", "true").returncode == 255
        succeed("link", "first", "up")
        assert connection.stdout.readline() == "still\n"
    assert succeed("ssh", "first", "hostname") == "first\n"


def test_two_fleets_at_once_do_not_collide_and_down_leaves_the_other_alone() -> None:
    run("down", fleet=OTHER)
    succeed("up", "--bare", "--python", "first", "last", fleet=OTHER)
    assert shell("first", "python3 -c 'print(1)'", fleet=OTHER) == "1\n"
    addresses = [
        host["ansible_host"] for f in (FLEET, OTHER) for host in described(f)["hosts"].values()
    ]
    assert len(set(addresses)) == 4
    before, number = boot_id("first"), number_of(OTHER)
    assert traces(OTHER, number) != []
    succeed("down", fleet=OTHER)
    assert traces(OTHER, number) == []
    assert boot_id("first") == before


@pytest.mark.parametrize("seconds", [0.2, 0.4, 0.7, 1.0])
def test_down_removes_what_a_killed_up_left(seconds: float) -> None:
    argv = [str(TESTBED), "up", "--fleet", OTHER, "--bare", "-n", "2"]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as up:
        time.sleep(seconds)
        up.kill()
    number = number_of(OTHER)
    succeed("down", fleet=OTHER)
    assert traces(OTHER, number) == []


def test_a_machine_with_too_few_watchers_gets_more_or_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(TESTBED.parent)
    fleet = importlib.import_module("_fleet")
    limit = tmp_path / "max_user_instances"
    limit.write_text("128\n")
    fleet.make_room_for_watchers(50, limit)
    assert (raised := int(limit.read_text())) >= 128 + 50 * 10
    fleet.make_room_for_watchers(0, limit)
    assert int(limit.read_text()) == raised

    class Fixed(type(tmp_path)):  # type: ignore[misc]
        def write_text(self, *_arguments: object) -> None:
            raise PermissionError(1, "Operation not permitted")

    with pytest.raises(fleet.TestbedError, match=r"sysctl fs.inotify.max_user_instances=\d+"):
        fleet.make_room_for_watchers(1000, Fixed(limit))


def test_down_is_safe_when_nothing_runs() -> None:
    assert succeed("down", fleet="selftest-none") == ""


@pytest.mark.parametrize("name", ["/", "../x", "", "A", "a.b"])
def test_down_refuses_a_name_that_could_leave_its_directory(name: str) -> None:
    done = run("down", fleet=name)
    assert done.returncode == 1
    assert "is no name here" in done.stderr


def test_a_seeded_host_starts_with_generation_1_booted() -> None:
    run("down", fleet=OTHER)
    succeed("up", "-n", "1", fleet=OTHER)
    links = "/run/current-system /run/booted-system /nix/var/nix/profiles/system"
    systems = shell("node1", f"readlink -f {links}", fleet=OTHER).split()
    profile = shell("node1", "readlink /nix/var/nix/profiles/system", fleet=OTHER)
    valid = shell("node1", "nix-store --check-validity /run/current-system/ && echo y", fleet=OTHER)
    succeed("down", fleet=OTHER)
    assert len(systems) == 3
    assert len(set(systems)) == 1
    assert (profile, valid) == ("system-1-link\n", "y\n")
