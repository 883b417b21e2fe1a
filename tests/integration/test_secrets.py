# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""nixos_secrets on real hosts: what is in the files, who may read them, and what is refused."""

from __future__ import annotations

import base64
import pathlib
import typing as t

import pytest
from ansible_collections.closure.nixos.tests.integration._harness import Fleet, Play, until
from ansible_collections.closure.nixos.tests.integration._systems import (
    Task,
    difference,
    module,
    playbook,
)

HOST = "node1"
BYTES = bytes(range(256)) + b"%s \\0 '\"\n"
UNITS = "/etc/systemd/system.attached"
#: All that the module can leave, with the times of the files.
TRACE = f"""find /run/keys /run/credstore /run/other /etc/credstore.encrypted /srv/keys {UNITS} \
    /var/lib/closure-nixos /run/closure-nixos/undo /run/closure-nixos/due \
    -type d -printf '%p %u:%g %m\\n' -o -printf '%p %y %u:%g %m %s %T@ %l\\n' 2>&1 | sort"""


def secrets(given: Task, **arguments: object) -> Task:
    return module("nixos_secrets", {"secrets": given} | arguments)


def one(play: Play, given: Task, *options: str, **arguments: object) -> dict[str, t.Any]:
    """Run the module on the host, and return its result."""
    task = secrets(given, **arguments)
    return play(playbook(task, hosts=HOST), *options).result(HOST, "nixos_secrets")


def trace(fleet: Fleet) -> list[str]:
    return fleet.exec(HOST, TRACE, check=False).splitlines()


def content(fleet: Fleet, path: str) -> bytes:
    return base64.b64decode(fleet.exec(HOST, f"base64 {path}"))


def owner(fleet: Fleet, path: str) -> str:
    return fleet.exec(HOST, f"stat -c '%U:%G %a' {path}").strip()


@pytest.fixture(autouse=True)
def clean(fleet: Fleet) -> t.Iterator[None]:
    """Leave no secrets, and no file that a test has put in a place of them."""
    clear(fleet)
    yield
    clear(fleet)


def clear(fleet: Fleet) -> None:
    fleet.exec(HOST, "systemctl stop '*-key.service'")
    fleet.exec(HOST, f"rm -rf /run/keys /run/credstore /srv/keys /run/other {UNITS}")
    fleet.exec(HOST, "rm -rf /run/closure-nixos/undo /run/closure-nixos/due")
    fleet.exec(HOST, "rm -f /etc/credstore.encrypted/*")
    fleet.exec(HOST, "rm -rf /var/lib/closure-nixos/secrets*; systemctl daemon-reload")


def test_all_places_in_check_mode_for_real_and_again(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "file").write_bytes(BYTES)
    given = {
        "text": {"content": "a 'text' with %s \\0101 and no end"},
        "bytes": {"content_base64": base64.b64encode(BYTES).decode(), "owner": "deploy"},
        "file": {"file": str(tmp_path / "file"), "path": "/run/other/new dir/file"},
        "command": {"command": ["printf", "a\\0b"], "group": "deploy", "mode": "0440"},
        "volatile": {"content": "memory", "credstore": "volatile"},
        "encrypted": {"content": "sesame", "credstore": "encrypted", "with_key": "host"},
        "lasting": {"content": "disk", "persistent": True, "owner": "deploy"},
        "unit": {"content": "unit", "key_unit": True},
    }
    before = trace(fleet)
    checked = one(play, given, "--check", "--diff")
    assert difference(before, trace(fleet)) == []
    played, between = one(play, given, "--diff"), trace(fleet)
    checked_again, again = one(play, given, "--check"), one(play, given)
    assert difference(between, trace(fleet)) == []
    names = sorted(given)
    for result in (checked, played):
        assert (result["changed"], result["added"], result["unchanged"]) == (True, names, [])
        assert result["diff"] == played["diff"]
        assert "/run/keys/command 0:1000 0440" in result["diff"]["after"]
    for result in (checked_again, again):
        assert (result["changed"], result["added"], result["unchanged"]) == (False, [], names)
    assert content(fleet, "/run/keys/text") == b"a 'text' with %s \\0101 and no end"
    assert content(fleet, "/run/keys/bytes") == BYTES
    assert content(fleet, "'/run/other/new dir/file'") == BYTES
    assert content(fleet, "/run/keys/command") == b"a\0b"
    assert content(fleet, "/run/credstore/volatile") == b"memory"
    assert owner(fleet, "/run/keys/text") == "root:root 400"
    assert owner(fleet, "/run/keys/bytes") == "deploy:root 400"
    assert owner(fleet, "/run/keys/command") == "root:deploy 440"
    assert owner(fleet, "/run/keys") == owner(fleet, "'/run/other/new dir'") == "root:root 751"
    assert owner(fleet, "/var/lib/closure-nixos/secrets") == "root:root 700"
    encrypted = content(fleet, "/etc/credstore.encrypted/encrypted")
    assert b"sesame" not in encrypted and b"sesame" not in base64.b64decode(encrypted)
    service = "systemd-run --wait --pipe -q -p LoadCredential=volatile -p "
    service += "LoadCredentialEncrypted=encrypted sh -c 'cat $CREDENTIALS_DIRECTORY/*'"
    assert fleet.exec(HOST, service) == "sesamememory"
    assert fleet.exec(HOST, "systemctl is-active unit-key").strip() == "active"


def test_a_change_is_of_one_secret_and_tells_its_units_once(fleet: Fleet, play: Play) -> None:
    for unit in ("tell-a", "tell-b", "tell-c"):
        command = f"systemd-run --quiet --collect --unit={unit} -p ExecReload=/bin/true sleep inf"
        fleet.exec(HOST, command)
    invocations = "systemctl show --value -p InvocationID tell-a tell-b tell-c"
    given: Task = {
        "one": {"content": "1", "restart": ["tell-a.service"], "reload": ["tell-c.service"]},
        "two": {"content": "2", "restart": ["tell-a.service", "tell-none.service"]},
        "three": {"content": "3", "restart": ["tell-b.service"]},
        "sealed": {"content": "4", "credstore": "encrypted", "with_key": "host"},
    }
    one(play, given)
    old = fleet.exec(HOST, invocations).split()
    given["one"]["content"], given["two"]["content"] = "x", "two"
    given["three"]["mode"] = "0440"
    given["sealed"]["content"] = "5"
    checked, played = one(play, given, "--check"), one(play, given)
    new = fleet.exec(HOST, invocations).split()
    try:
        for result in (checked, played):
            assert (result["updated"], result["owned"]) == (["one", "sealed", "two"], ["three"])
            assert (result["added"], result["unchanged"], result["removed"]) == ([], [], [])
        assert [old[n] == new[n] for n in range(3)] == [False, True, True]
        assert (checked["restarted"], played["restarted"]) == ([], ["tell-a.service"])
        assert played["reloaded"] == ["tell-c.service"]
        assert content(fleet, "/run/keys/two") == b"two"
        assert owner(fleet, "/run/keys/three") == "root:root 440"
        decrypted = "systemd-creds decrypt /etc/credstore.encrypted/sealed -"
        assert fleet.exec(HOST, decrypted) == "5"
    finally:
        fleet.exec(HOST, "systemctl stop tell-a tell-b tell-c")


def test_prune_removes_ours_and_nobody_elses(fleet: Fleet, play: Play) -> None:
    given = {name: {"content": name, "key_unit": name == "b"} for name in ("a", "b", "c", "d")}
    fleet.exec(HOST, "mkdir -p /run/keys; echo theirs >/run/keys/theirs; printf d >/run/keys/d")
    fleet.exec(HOST, "chmod 400 /run/keys/d")  # right already: nothing that we have put
    assert one(play, given)["unchanged"] == ["d"]
    assert fleet.exec(HOST, "systemctl is-active b-key").strip() == "active"
    fleet.exec(HOST, "echo other >/run/keys/c")
    kept = {"a": given["a"]}
    one(play, kept)
    before = trace(fleet)
    checked = one(play, kept, "--check", prune=True)
    assert difference(before, trace(fleet)) == []
    played, again = one(play, kept, prune=True), one(play, kept, prune=True)
    assert checked["removed"] == played["removed"] == ["b"] and again["changed"] is False
    assert "/run/keys/c: somebody else has changed it" in str(played["warnings"])
    assert fleet.exec(HOST, "ls /run/keys").split() == ["a", "c", "d", "theirs"]
    assert fleet.exec(HOST, "systemctl is-active b-key", check=False).strip() == "inactive"


def test_the_unit_of_a_key_is_active_while_the_key_is_there(fleet: Fleet, play: Play) -> None:
    given = {"it": {"content": "1", "key_unit": True}}
    one(play, given)
    fleet.exec(
        HOST,
        "systemd-run -q --collect --unit=wants-it -p Requires=it-key.service"
        " -p After=it-key.service sleep infinity",
    )

    def state(unit: str) -> str:
        return fleet.exec(HOST, f"systemctl is-active {unit}", check=False).strip()

    assert (state("it-key"), state("wants-it")) == ("active", "active")
    given["it"]["content"] = "2"
    one(play, given)
    assert (state("it-key"), state("wants-it")) == ("active", "active")
    fleet.exec(HOST, "systemctl stop wants-it; rm /run/keys/it")
    until(lambda: state("it-key") == "activating")
    one(play, given)
    assert state("it-key") == "active"


# By the name of the case: what there is at /srv/keys/CASE, the secret, and why it is refused.
BAD: dict[str, tuple[str, Task, str]] = {
    "owner": (":", {"owner": "nobody-knows"}, "there is no user nobody-knows"),
    "group": (":", {"group": "nobody-knows"}, "there is no group nobody-knows"),
    "both": (":", {"file": "/x"}, "mutually exclusive"),
    "no-file": (":", {"content": None, "file": "/no/such"}, "its file /no/such cannot be read"),
    "no-command": (":", {"content": None, "command": ["/no/such"]}, "its command does not start"),
    "command": (":", {"content": None, "command": "false"}, "its command ended with exit code 1"),
    "long": (":", {"content": "hunter2-canary" * (2**26 // 14)}, "has more than 1048576 bytes"),
    "empty": (":", {"content": ""}, "is empty"),
    "directory": ("mkdir it", {}, "/srv/keys/directory/it is a directory"),
    "link": ("ln -s /etc/passwd it", {}, "/srv/keys/link/it is a symbolic link"),
    "linked": (
        "mkdir real; ln -s real way",
        {"path": "/srv/keys/linked/way/it"},
        "/srv/keys/linked/way is a link to /srv/keys/linked/real",
    ),
    "no-way": ("touch way", {"path": "/srv/keys/no-way/way/it"}, "no-way/way is not a directory"),
    "read-only": ("mount -t tmpfs -o ro none $PWD", {}, "Read-only file system"),
    "full": (
        "mount -t tmpfs -o size=16k none $PWD",
        {"content": "hunter2-canary" * 9999},
        "it: cannot be written to /srv/keys/full, where",
    ),
    "disk": (
        "rm -rf /run/keys; mkdir /run/keys; mount -o bind /srv/keys/disk /run/keys",
        {"path": "/run/keys/it"},
        "it: /run/keys is on ",
    ),
}


@pytest.fixture
def arranged(fleet: Fleet) -> t.Iterator[None]:
    for case, (arrange, _given, _why) in BAD.items():
        fleet.exec(HOST, f"mkdir -p /srv/keys/{case}; cd /srv/keys/{case}; {arrange}")
    yield
    for mounted in ("/srv/keys/read-only", "/srv/keys/full", "/run/keys"):
        fleet.exec(HOST, f"umount {mounted}")


def test_what_cannot_be_kept_is_refused_and_nothing_is_half_done(
    fleet: Fleet, play: Play, arranged: None
) -> None:
    first = {"content": "hunter2-canary", "path": "/srv/keys/first"}
    cases = {
        case: {"content": "hunter2-canary", "path": f"/srv/keys/{case}/it"} | given
        for case, (_arrange, given, _why) in BAD.items()
    }
    tasks = [
        # In variables, because Ansible shows what stands in a task.
        module(
            "nixos_secrets",
            {"secrets": {"first": "{{ first }}", "it": f"{{{{ cases['{case}'] }}}}"}},
        )
        | {"name": case, "ignore_errors": True}
        for case in cases
    ]
    before = trace(fleet)
    played = play(playbook(*tasks, hosts=HOST, vars={"first": first, "cases": cases}))
    assert difference(before, trace(fleet)) == []
    assert "hunter2" not in str(played.events) and "Traceback" not in played.text
    for case, (_arrange, _given, why) in BAD.items():
        message = played.result(HOST, case)["msg"]
        assert message.startswith(f"{HOST}: ") and "it" in message and why in message, (
            case,
            message,
        )
