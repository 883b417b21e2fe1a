# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action groups: what module_defaults says for one holds for its modules."""

from __future__ import annotations

from ansible_collections.closure.nixos.tests.integration._harness import Fleet, Play
from ansible_collections.closure.nixos.tests.integration._systems import module, playbook, running

NAME = "t-of-a-group"


def test_the_defaults_of_a_group_hold_for_its_modules(fleet: Fleet, play: Play) -> None:
    """And an option that a module of the group does not have is refused by its name."""
    system = running(fleet, "node1")
    link = f"/nix/var/nix/profiles/system-profiles/{NAME}"
    profile = {"module_defaults": {"group/closure.nixos.profile": {"profile": NAME}}}
    timeout = {"module_defaults": {"group/closure.nixos.nixos": {"timeout": 601}}}
    try:
        played = play(
            playbook(
                module("nix_profile_set", {"path": system}, **profile),
                module("nixos_facts", {}, **profile),
                module("nixos_rollback", {"to": system}, **timeout),
                module("nixos_facts", {}, ignore_errors=True, **timeout) | {"name": "Refused"},
                hosts="node1",
            )
        )
        assert played.rc == 0, played.text
        assert fleet.exec("node1", f"readlink -f {link}").strip() == system
    finally:
        fleet.exec("node1", f"rm -f {link} {link}-*-link")
    assert played.result("node1", "nix_profile_set")["changed"]
    assert played.result("node1", "nixos_facts")["ansible_facts"]["nixos"]["profile"] == system
    refused = played.result("node1", "Refused")
    assert refused["failed"] and "timeout" in refused["msg"], refused
