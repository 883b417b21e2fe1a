# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which transport nix_copy_closure takes by itself, and whom the hosts believe."""

from __future__ import annotations

import pathlib

import pytest
from ansible_collections.closure.nixos.tests.integration._copies import (
    SUDO,
    Configure,
    Copies,
    MakeClosure,
    Variables,
)


@pytest.mark.parametrize(
    ("host", "variables", "transport", "reason"),
    [
        ("node1", {}, "ssh-ng", "the host trusts the login"),
        ("node1", SUDO, "ssh-ng", "sudo asks the login for no password"),
        pytest.param(
            *("node3", SUDO, "archive", "Nix cannot become root as Ansible does"),
            marks=pytest.mark.soak,
        ),
        ("node2", None, "archive", "connection plugin testbed_nsenter"),
    ],
    ids=["root", "sudo", "sudo-with-password", "no-ssh"],
)
def test_auto_takes_a_transport_that_the_host_accepts_and_says_why(
    copies: Copies,
    closure: MakeClosure,
    host: str,
    variables: Variables | None,
    transport: str,
    reason: str,
) -> None:
    new = closure()
    variables = copies.enter(host) if variables is None else variables
    checked = copies(host, new, "--check", **variables)
    assert sorted(copies.lacks(host, new)) == checked["missing_paths"] == sorted(new.paths)
    first = copies(host, new, **variables)
    assert copies.lacks(host, new) == [], first
    again = copies(host, new, **variables)
    assert [result["changed"] for result in (checked, first, again)] == [True, True, False]
    assert checked["transport"] == first["transport"] == transport
    assert checked["reason"] == first["reason"]
    assert reason in first["reason"]
    assert (again["transport"], again["missing_paths"]) == (None, [])
    assert copies.leftovers(host) == ""


def test_a_login_that_the_host_does_not_trust_is_refused_before_anything_is_copied(
    copies: Copies, closure: MakeClosure
) -> None:
    new = closure()
    for options in (["--check"], []):
        said = copies("node1", new, *options, ansible_user="deploy")
        assert said["failed"] and new.path in said["msg"]
        for way_out in ("become: true", "sign_key_file", "trusted-users"):
            assert way_out in said["msg"]
    assert sorted(copies.lacks("node1", new)) == sorted(new.paths)


def test_the_word_of_a_trusted_user_is_taken_for_a_closure_that_nobody_signed(
    copies: Copies, closure: MakeClosure, configure: Configure
) -> None:
    new = closure()
    configure("trusted-users = root deploy")
    said = copies("node2", new, ansible_user="deploy")
    assert (said["transport"], copies.lacks("node2", new)) == ("ssh-ng", []), said
    assert "the host trusts the login" in said["reason"]


def test_a_signed_closure_needs_no_trusted_login(
    copies: Copies, closure: MakeClosure, key_file: pathlib.Path
) -> None:
    new = closure()
    task = {"path": new.path, "sign_key_file": str(key_file)}
    refused = copies("node1", task, ansible_user="deploy")
    assert "sign_key_file" in refused["msg"], "node1 does not trust that key"
    said = copies("node2", task, ansible_user="deploy")
    assert (said["transport"], copies.lacks("node2", new)) == ("ssh-ng", []), said
    assert "signatures" in said["reason"]
    secret = key_file.read_text()
    assert secret not in str(refused) + str(said)


def test_a_check_of_signatures_that_is_asked_for_holds_by_every_transport(
    copies: Copies, closure: MakeClosure, key_file: pathlib.Path
) -> None:
    new = closure()
    task = {"path": new.path, "check_sigs": True, "compress": True}
    for transport in ("auto", "archive"):
        said = copies("node2", task | {"transport": transport})
        assert said["failed"] and "check_sigs is true" in said["msg"], said
    assert sorted(copies.lacks("node2", new)) == sorted(new.paths)
    said = copies("node2", task | {"sign_key_file": str(key_file)})
    assert (said["transport"], copies.lacks("node2", new)) == ("ssh-ng", []), said


def test_a_password_for_ssh_leaves_the_archive(copies: Copies, closure: MakeClosure) -> None:
    new, password = closure(), copies.fleet.hosts["node3"]["ansible_become_password"]
    only = f"{copies.ssh_arguments} -o PreferredAuthentications=password"
    login = {"ansible_ssh_pass": password, "ansible_ssh_common_args": only}
    played = copies.played("node3", new, "-vvv", **SUDO | login)
    said = played.result("node3")
    assert (said["transport"], copies.lacks("node3", new)) == ("archive", []), said
    assert "ssh asks for a password" in said["reason"]
    assert password not in played.text


def test_a_key_in_a_variable_leaves_the_archive(
    copies: Copies, closure: MakeClosure, monkeypatch: pytest.MonkeyPatch
) -> None:
    new, key = closure(), copies.fleet.inventory.with_name("id_ed25519").read_text()
    monkeypatch.setenv("ANSIBLE_SSH_AGENT", "auto")
    login = {"ansible_ssh_private_key": key, "ansible_ssh_private_key_file": ""}
    said = copies("node1", new, **login)
    assert (said["transport"], copies.lacks("node1", new)) == ("archive", []), said
    assert "the key is in a variable" in said["reason"]


def test_check_mode_copies_when_it_is_asked_to(copies: Copies, closure: MakeClosure) -> None:
    new = closure()
    task = {"path": new.path, "check_copy": True}
    first, again = (copies("node1", task, "--check") for _time in range(2))
    assert [first["changed"], again["changed"], copies.lacks("node1", new)] == [True, False, []]
