# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Secrets of a system on trial roll back with it, and owners that it brings get theirs."""

from __future__ import annotations

import json
import pathlib
import typing as t

import pytest
from ansible_collections.closure.nixos.tests.integration._harness import Fleet, Play, Played
from ansible_collections.closure.nixos.tests.integration._systems import (
    COPY,
    Task,
    build,
    module,
    playbook,
    switch,
    write_systems,
)

DEPLOY = pathlib.Path("closure.nixos.deploy")
HOST = "node1"
OLD: Task = {
    "kept": {"content": "old kept", "restart": ["tell.service"]},
    "sealed": {"content": "old sealed", "credstore": "encrypted", "with_key": "host"},
    "lasting": {"content": "old lasting", "persistent": True},
}
NEW: Task = {
    "kept": {"content": "new kept", "restart": ["tell.service"]},
    "sealed": {"content": "new sealed", "credstore": "encrypted", "with_key": "host"},
    "lasting": {"content": "new lasting", "persistent": True},
    "owned": {"content": "new owned", "owner": "t-app", "mode": "0440"},
    "late": {"content": "new late", "after_activation": True},
}
SERVICE = """{ systemd.services.tell = {
  wantedBy = [ "multi-user.target" ]; script = "sleep infinity";
}; }"""
# The stand-in carries no options about users out, so an activation script brings the user.
BRINGS_USER = f"""{{ imports = [ {SERVICE} ];
  system.activationScripts.user = "id -u t-app >/dev/null 2>&1 || /usr/sbin/useradd t-app";
}}"""
# As it was written for colmena or NixOps.
NEEDS_KEY = f"""{{ imports = [ ({BRINGS_USER}) ]; systemd.services.needs = {{
  wantedBy = [ "multi-user.target" ]; requires = [ "more-key.service" ];
  after = [ "more-key.service" ]; script = "cat /run/keys/more >/run/t-needs; exec sleep infinity";
}}; }}"""
COPIES = "/var/lib/closure-nixos/secrets"


def secrets(given: Task, state: str) -> Task:
    return module("nixos_secrets", {"secrets": given, "state": state})


def held(fleet: Fleet) -> list[str]:
    """What the host holds: each secret, its copy and its sealed one."""
    files = f"kept lasting {COPIES}/run/keys/lasting"
    script = f"cd /run/keys; for file in {files}; do cat $file; echo; done"
    unsealed = "systemd-creds decrypt /etc/credstore.encrypted/sealed -"
    return [*fleet.exec(HOST, script).splitlines(), fleet.exec(HOST, unsealed)]


def started(fleet: Fleet) -> str:
    return fleet.exec(HOST, "systemctl show --value -p InvocationID tell").strip()


@pytest.fixture
def at_old(fleet: Fleet, play: Play, tmp_path: pathlib.Path) -> t.Iterator[pathlib.Path]:
    """The host runs a system with its secrets; there is another system to go to."""
    fleet.exec(HOST, "userdel t-app; true")
    old = write_systems(tmp_path, SERVICE, [HOST])
    here = switch("switch", force=True)
    played = play(
        playbook(
            build(old), COPY, module("nix_profile_set", {"path": "{{ nix_build_system.path }}"}),
            here, module("nixos_secrets", {"prune": True}), secrets(OLD, "present"), hosts=HOST,
        )
    )  # fmt: skip
    assert played.rc == 0, played.text
    yield write_systems(tmp_path, BRINGS_USER, [HOST])
    play(playbook(module("nixos_secrets", {"prune": True}), hosts=HOST))
    fleet.exec(HOST, "userdel t-app; true")


@pytest.mark.soak
def test_secrets_roll_back_with_the_system_or_stay_with_it(
    fleet: Fleet, play: Play, at_old: pathlib.Path
) -> None:
    trial = switch("switch", confirm_timeout=120)
    forward = (build(at_old), COPY, secrets(NEW, "prepared"), trial, secrets(NEW, "present"))
    back = module("nixos_rollback", {"to": "unconfirmed", "why": "a test", "connect_timeout": 300})
    seen = {
        "name": "seen",
        "ansible.builtin.raw": "cat /run/keys/late; stat -c %U:%a /run/keys/owned",
    }
    before, invocation = held(fleet), started(fleet)
    assert before == ["old kept", "old lasting", "old lasting", "old sealed"]

    played = play(playbook(*forward, seen, back, hosts=HOST))
    assert played.rc == 0, played.text
    prepared, present = played.results(HOST, "nixos_secrets")
    assert prepared["updated"] == ["kept", "lasting", "sealed"] and prepared["added"] == ["owned"]
    assert prepared["waiting"] == ["late", "owned"] and prepared["pending"] is True
    assert prepared["restarted"] == [] and present["restarted"] == ["tell.service"]
    assert (present["owned"], present["added"]) == (["owned"], ["late"])
    assert played.result(HOST, "seen")["stdout"].replace("\r", "") == "new latet-app:440\n"
    assert held(fleet) == before
    assert fleet.exec(HOST, "ls /run/keys").split() == ["kept", "lasting"]
    # The one for the new content, and the one for the old.
    assert started(fleet) not in ("", invocation)
    assert fleet.exec(HOST, "ls /run/closure-nixos").split().count("undo") == 0

    confirmed = play(playbook(*forward, module("nixos_confirm", {}), hosts=HOST))
    assert confirmed.rc == 0, confirmed.text
    assert held(fleet) == ["new kept", "new lasting", "new lasting", "new sealed"]
    assert fleet.exec(HOST, "ls /run/closure-nixos").split().count("undo") == 0
    restored = play(playbook(secrets({}, "restored"), hosts=HOST))
    assert restored.result(HOST, "nixos_secrets")["restored"] == []


@pytest.mark.soak
def test_what_was_prepared_for_nothing_is_put_back(
    fleet: Fleet, play: Play, at_old: pathlib.Path
) -> None:
    before = held(fleet)
    tasks = (secrets(NEW, "prepared"), secrets({}, "restored"), secrets(OLD, "present"))
    played = play(playbook(*tasks, hosts=HOST))
    prepared, restored, again = played.results(HOST, "nixos_secrets")
    assert prepared["changed"] is restored["changed"] is True
    assert "/run/keys/kept" in restored["restored"]
    assert held(fleet) == before and again["changed"] is False, again


def test_the_role_puts_secrets_around_the_activation(
    fleet: Fleet, play: Play, at_old: pathlib.Path
) -> None:
    file = write_systems(at_old.parent, NEEDS_KEY, [HOST])
    check = at_old.with_name("check.yml")
    look = "stat -c %U:%a /run/keys/owned; cat /run/keys/kept"
    tasks: list[Task] = [
        {"name": "Look", "ansible.builtin.raw": look, "register": "looked", "changed_when": False},
        {"name": "Judge", "ansible.builtin.assert": {"that": "not sick"}},
    ]
    check.write_text(json.dumps(tasks))
    given = {name: NEW[name] for name in ("kept", "owned", "late")}

    def deploy(*options: str, sick: bool = False) -> Played:
        variables = {"nixos_file": str(file), "deploy_checks": [str(check)], "sick": sick}
        more = {"more": {"content": "old", "key_unit": True}}
        variables |= {"deploy_secrets": given, "deploy_secrets__more": more}
        # In a file, because -vvvvv shows the command line.
        said = at_old.with_name("variables.json")
        said.write_text(json.dumps(variables))
        return play(DEPLOY, "-e", f"@{said}", "--limit", HOST, *options)

    before = held(fleet)
    sick = deploy("-vvvvv", "--diff", sick=True)
    assert sick.rc != 0 and "Judge" in sick.text
    looked = sick.result(HOST, "Look")["stdout"].replace("\r", "")
    assert looked == "t-app:440\nnew kept"
    assert held(fleet) == before and "owned" not in fleet.exec(HOST, "ls /run/keys").split()
    assert fleet.exec(HOST, "systemctl is-active more-key", check=False).strip() == "inactive"
    shown = [event["stdout"] for event in sick.events if "new late" in str(event)]
    assert shown == []
    deployed, again = deploy(), deploy()
    assert deployed.rc == 0, deployed.text
    assert held(fleet)[0] == "new kept"
    # The host's activation has started what the unit needs.
    needs = fleet.exec(HOST, "cat /run/t-needs; echo; systemctl is-active needs more-key")
    assert needs.split() == ["old", "active", "active"]
    assert fleet.exec(HOST, "ls /run/keys").split() == ["kept", "lasting", "late", "more", "owned"]
    assert again.stats[HOST]["changed"] == 0, again.text
    rotated = {"deploy_secrets": {"kept": NEW["kept"] | {"content": "newer"}}}
    options = ("-e", json.dumps(rotated | {"deploy_secrets_prune": "yes"}), "--limit", HOST)
    said = play(pathlib.Path("closure.nixos.secrets"), *options).result(HOST, "Put the secrets")
    assert not said["failed"], said
    assert (said["updated"], said["restarted"]) == (["kept"], ["tell.service"])
    assert said["removed"] == ["lasting", "late", "more", "owned", "sealed"]
    assert fleet.exec(HOST, "ls /run/keys").split() == ["kept"]
