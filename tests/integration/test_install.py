# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A machine that runs an installer gets a system below a mounted root, and boots it."""

from __future__ import annotations

import json
import pathlib
import typing as t

import pytest
from ansible_collections.closure.nixos.tests.integration._harness import (
    Fleet,
    Play,
    Played,
    control_masters,
    kill,
)
from ansible_collections.closure.nixos.tests.integration._systems import (
    BUILT,
    Task,
    booted_next,
    build,
    module,
    playbook,
    recorded,
    running,
    write_systems,
)
from ansible_collections.closure.nixos.tests.integration.conftest import _testbed
from ansible_collections.closure.nixos.tests.integration.test_profile import other_path

# What NixOS itself makes in an empty root, and the stand-in borrows from Debian.
CONFIGURATION = """{
  boot.loader.systemd-boot.enable = true;
  services.openssh.enable = true;
  environment.etc."os-release".text = "ID=nixos";
  system.activationScripts.users = "[ -e /etc/shadow ] || echo root:!:1:::::: >/etc/shadow";
}"""
INSTALL, DEPLOY = pathlib.Path("closure.nixos.install"), "closure.nixos.deploy"
DISK = "/disks/root"
# Only what is public may be seen: the installer's own key, and a made-up hash.
HASH = "$y$j9T$aaaaaaaaaaaaaaaaaaaaaa$bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
COPY = module("nix_copy_closure", {"path": BUILT, "root": "/mnt"})
# An empty one, but for the flock that the stand-in's switch-to-configuration borrows from Debian.
EMPTY = f"""umount -R /mnt 2>&-; rm -rf /disks; mkdir -p {DISK}/usr/lib {DISK}/usr/lib64
cp -P /lib /lib64 {DISK}
cp -L --parents /usr/bin/flock $(ldd /usr/bin/flock | grep -o '/[^ ]*') {DISK}
mount --bind {DISK} /mnt"""
LOOK = f"find {DISK} ! -name '*.sqlite*' -printf '%p %l %s %m\\n' | sort"


@pytest.fixture(scope="module")
def installers(fleet_name: str, ansible_home: pathlib.Path) -> t.Iterator[str]:
    """The name of a fleet of one host that has no system of NixOS."""
    name = f"{fleet_name}-install"
    yield name
    _testbed("down", name)
    for pid in control_masters(ansible_home):  # they wait for hosts that are gone
        kill(pid)


@pytest.fixture
def fleet(installers: str) -> Fleet:
    """The installer node1, with an empty disk mounted on /mnt."""
    hosts = Fleet(installers)
    # Before `up`, which would wait for one that shows the key of what was installed.
    if _testbed("status", installers, check=False) == 0:
        look = "[ -e /nix/var/nix/profiles/system ] || echo installer"
        if hosts.exec("node1", look, check=False) != "installer\n":
            _testbed("down", installers)
    _testbed("up", installers, "--bare", "-n", "1")
    hosts.exec("node1", EMPTY)
    return hosts


def systems(directory: pathlib.Path, **more: str) -> pathlib.Path:
    """Write the system of node1, and others that have something more."""
    others = {name: f"{{ imports = [ {CONFIGURATION} {text} ]; }}" for name, text in more.items()}
    return write_systems(directory, CONFIGURATION, ["node1"], **others)


def install(**arguments: object) -> Task:
    return module("nixos_install", {"path": BUILT} | arguments)


def named(task: Task, name: str, **keywords: object) -> Task:
    return task | {"name": name} | keywords


def raw(name: str, command: str) -> Task:
    return {"name": name, "ansible.builtin.raw": command, "changed_when": False}


def test_a_system_is_installed_once_below_a_mounted_root(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    client = fleet.inventory.with_name("id_ed25519.pub").read_text().strip()
    asked = install(authorized_keys=[client], root_password_hash=HASH)
    dry = {"check_mode": True}
    tasks = (
        named(build(systems(tmp_path)), "build"),
        raw("empty", LOOK),
        named(COPY, "copy, check", **dry),
        named(asked, "install, check, before the copy", **dry),
        raw("still empty", LOOK),
        named(COPY, "copy"),
        raw("copied", LOOK),
        named(asked, "install, check", **dry),
        raw("still copied", LOOK),
        named(asked, "install"),
        raw("installed", LOOK),
        named(asked, "install, check again", **dry),
        named(COPY, "copy again"),
        named(asked, "install again"),
        raw("as it was", LOOK),
    )
    played = play(playbook(*tasks, hosts="node1"), "-vvv")
    assert played.rc == 0, played.text
    results = {str(task["name"]): played.result("node1", str(task["name"])) for task in tasks}
    looks = {name: it["stdout"] for name, it in results.items() if "stdout" in it}
    assert looks["empty"] == looks["still empty"] != looks["copied"] == looks["still copied"]
    assert looks["installed"] == looks["as it was"] != looks["copied"]
    changed = {name: it["changed"] for name, it in results.items() if name not in looks}
    assert [name for name, it in changed.items() if not it and name != "build"] == [
        "install, check again",
        "copy again",
        "install again",
    ]
    path, first = results["build"]["path"], results["install"]
    steps = ["profile", "ssh_host_key", "authorized_keys", "bootloader", "root_password"]
    assert first["actions"] == results["install, check"]["actions"] == steps
    assert (results["copy"]["transport"], first.get("warnings", [])) == ("ssh-ng", [])
    assert HASH not in played.text.replace("\n", "")

    # The disk has a whole system, and the installer has nothing of it.
    state = {
        "readlink /mnt/nix/var/nix/profiles/system-1-link": path,
        f"ls -d {path} 2>&- || echo none": "none",
        "cat /mnt/root/.ssh/authorized_keys": client,
        "stat -c '%a %U' /mnt/root/.ssh/authorized_keys": "600 root",
        "stat -c %a /mnt/etc/ssh/ssh_host_ed25519_key": "600",
        "ssh-keygen -y -f /mnt/etc/ssh/ssh_host_ed25519_key": first["ssh_host_keys"][0],
        "cut -d : -f 2 /mnt/etc/shadow": HASH,
        "cat /mnt/var/lib/closure-nixos/loader-default": path,
        f"grep -c {path}/init /mnt/boot/loader/entries/nixos-generation-1.conf": "1",
        "sed -n 's/^default //p' /mnt/boot/loader/loader.conf": "nixos-generation-1.conf",
        "ls /mnt/boot/loader/installed": "/mnt/boot/loader/installed",
        f"chroot /mnt {path}/sw/bin/cat /etc/os-release": "ID=nixos",
        "ls -A /mnt/run /mnt/dev | grep -v :": "",
        "findmnt -rno TARGET | grep -c ^/mnt": "1",
        "ls /run/closure-nixos/jobs": "",
    }
    found = {look: fleet.exec("node1", look, check=False).strip() for look in state}
    assert found == state


def test_what_cannot_be_installed_is_refused_and_leaves_the_disk(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    boot = '{ fileSystems."/boot" = { device = "LABEL=ESP"; fsType = "vfat"; }; }'
    loader = """({ pkgs, ... }: {
      system.build.installBootLoader =
        pkgs.writeScript "no" "#!${pkgs.busybox}/bin/sh\\necho no such disk >&2\\nexit 1";
    })"""
    file = systems(tmp_path, boot=boot, loader=loader)
    foreign = {"nixos-version": "26.05", "system": "aarch64-linux"}
    foreign |= {"init": "x", "bin/switch-to-configuration": "x"}
    arm = other_path(tmp_path, file, foreign)
    fleet.exec("node1", "mkdir -p /small && mount -t tmpfs -o size=1m tmpfs /small")

    def brought(name: str) -> list[Task]:
        """Build another system and copy it, unless it is a path."""
        made = build(file, attr=[name, "system"], hosts="{{ omit }}") | {"register": name}
        copied = module("nix_copy_closure", {"path": f"{{{{ {name}.path }}}}", "root": "/mnt"})
        return [made, copied]

    def refused(words: str, task: Task, **keywords: object) -> Task:
        return named(task, words, ignore_errors=True, **keywords)

    private = fleet.exec("node1", "cat /etc/ssh/ssh_host_ed25519_key")
    absent = f"/nix/store/{'a' * 32}-nixos-system-nobody"
    wrong = [
        refused("node1: nothing is mounted on /srv on this host", named(COPY, "") | copy("/srv")),
        refused("node1: nothing is mounted on /srv. Mount", install(root="/srv")),
        refused("absolute path of letters", install(root="/")),
        refused("/small/nix/store there has", named(COPY, "") | copy("/small")),
        refused("the store below /mnt does not have", install(path=absent)),
        refused("is built for aarch64-linux", install(path=arm)),
        refused("nothing is mounted on /mnt/boot.", install(path="{{ boot.path }}")),
        refused("make one with `mkpasswd`", install(root_password_hash="secret-word")),
        refused("ssh_host_key is no private key", install(ssh_host_key="secret-word")),
        refused("cannot install a system", install(), vars={"ansible_user": "deploy"}),
    ]
    tasks = [
        build(file),
        COPY,
        *brought("boot"),
        *brought("loader"),
        module("nix_copy_closure", {"path": arm, "root": "/mnt"}),
        raw("before", LOOK),
        *wrong,
        raw("after", LOOK),
        refused("no such disk", install(path="{{ loader.path }}")),
        named(install(), "install"),
        named(install(ssh_host_key=private), "install with a key"),
    ]
    try:
        played = play(playbook(*tasks, hosts="node1"))
    finally:
        fleet.exec("node1", "umount /small")
    assert played.rc == 0, played.text
    assert "Traceback" not in played.text
    assert "secret-word" not in played.text
    for task in [*wrong, tasks[-3]]:
        said = played.result("node1", task["name"])
        assert task["name"] in said["msg"], said
    assert played.result("node1", "before")["stdout"] == played.result("node1", "after")["stdout"]
    # A key that is given takes the place of the one that was made.
    key = played.result("node1", "install with a key")
    assert (key["actions"], key["changed"]) == (["ssh_host_key"], True)
    own = fleet.exec("node1", "ssh-keygen -y -f /etc/ssh/ssh_host_ed25519_key").strip()
    assert key["ssh_host_keys"] == [own.rpartition(" ")[0] if own.count(" ") > 1 else own]
    fleet.exec(
        "node1", "cd /mnt/etc/ssh && ssh-keygen -y -f ssh_host_ed25519_key | grep -qFf - *.pub"
    )
    # After a boot loader that failed, the next one is installed, by a second generation.
    done = played.result("node1", "install")
    assert done["actions"] == ["profile", "bootloader"]
    boots = fleet.exec("node1", "cat /mnt/var/lib/closure-nixos/loader-default").strip()
    assert boots == done["path"]


def test_a_bare_machine_boots_what_was_installed_and_needs_no_deployment(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    client, known = (fleet.inventory.with_name(name) for name in ("id_ed25519.pub", "known_hosts"))
    installer = known.read_text()
    # The disks are made by tasks of somebody's own, where nothing is mounted.
    fleet.exec("node1", "umount /mnt")
    mount = raw("Mount", f"echo made >>/disks/log; mount --bind {DISK} /mnt")
    (tmp_path / "disks.yml").write_text(json.dumps([mount]))
    values = {
        "nixos_file": str(systems(tmp_path)),
        "install_disks": str(tmp_path / "disks.yml"),
        "install_authorized_keys": [client.read_text().strip()],
        "known_hosts_file": str(known),
    }
    options = ("-e", json.dumps(values))
    before = fleet.exec("node1", LOOK)
    checked = play(INSTALL, "--check", *options)
    assert checked.rc == 0, checked.text
    assert fleet.exec("node1", f"{LOOK}; ls /disks") == f"{before}root\n"
    assert known.read_text() == installer

    # The guide's one command line, whose deployment finds nothing to do.
    played = play(INSTALL, DEPLOY, *options)
    assert played.rc == 0, played.text
    assert outcomes(played)[-1]["artifact_data"]["closure_nixos"]["node1"]["status"] == "unchanged"
    done = played.result("node1", "Install the system")
    assert played.result("node1", "Reboot into the system")["booted"] == done["path"]
    # It is the host: by its root, its key, which alone is known, and what it runs and will boot.
    assert fleet.exec("node1", "ls -d /disks /mnt/nix 2>&-; ls /etc/NIXOS", False) == "/etc/NIXOS\n"
    address = fleet.hosts["node1"]["ansible_host"]
    assert known.read_text().split("\n") == [f"{address} {done['ssh_host_keys'][0]}", ""]
    assert running(fleet, "node1") == recorded(fleet, "node1") == done["path"]
    assert booted_next(fleet, "node1") == done["path"]
    # So does the next one, and another installation leaves it alone.
    again = play(INSTALL, DEPLOY, *options)
    ends = outcomes(again)
    assert (again.rc, len(ends), ends[-1]["changed"]) == (0, 2, {})
    assert ends[-1]["artifact_data"]["closure_nixos"]["node1"]["status"] == "unchanged"


def outcomes(played: Played) -> list[dict[str, t.Any]]:
    """What each of the playbooks ends with, which are the counts of all so far."""
    return [it["event_data"] for it in played.events if it.get("event") == "playbook_on_stats"]


def copy(root: str) -> Task:
    return {"closure.nixos.nix_copy_closure": {"path": BUILT, "root": root}}
