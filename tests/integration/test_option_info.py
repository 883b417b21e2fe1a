# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""nixos_option_info and the lookup option: what a configuration says of its hosts."""

from __future__ import annotations

import json
import pathlib
import typing as t

import yaml
from ansible_collections.closure.nixos.plugins.modules import nixos_option_info
from ansible_collections.closure.nixos.tests.integration._harness import TESTBED, Play
from ansible_collections.closure.nixos.tests.integration._systems import (
    HOSTS,
    Task,
    module,
    playbook,
    write_systems,
)

NIXPKGS = str(TESTBED.with_name("nixpkgs"))
LOCAL: dict[str, t.Any] = {"hosts": "localhost", "connection": "local"}
SYSTEM = """{ pkgs, ... }: {
  networking.firewall.allowedTCPPorts = [ 443 22 ];
  fileSystems."/" = { device = "/dev/sda1"; };
  nixpkgs.overlays = [ (final: prev: { }) ];
  environment.systemPackages = [ pkgs.hello ];
  users.motd = builtins.abort "uncaught";
  boot.kernelPackages = pkgs.linuxPackages // { aaa = throw "broken"; extend = x: x; };
}"""
VALUES = {
    "networking.firewall.allowedTCPPorts": [22, 443],
    'fileSystems."/".device': "/dev/sda1",
    "networking.domain": None,
    "networking.hostName": "node1",
}


def info(name: str, file: pathlib.Path, *options: str, **more: t.Any) -> Task:
    arguments = {"file": str(file), "attr": ["node1"], "options": options} | more
    return module("nixos_option_info", arguments) | {"name": name, "ignore_errors": True}


def test_options_have_their_final_values(play: Play, tmp_path: pathlib.Path) -> None:
    file = write_systems(tmp_path, SYSTEM, ["node1"])
    one = "networking.hostName"
    tasks = [
        info("values", file, *VALUES),
        info("details", file, one, "nix.package", details=True),
        info("bad", file, one, "networking.hostNam", "networking", "nixpkgs.overlays"),
        info("throws", file, "networking.fqdn", one, "users.motd", "boot.kernelPackages"),
        info("toplevel", file, one, attr=["node1.system"]),
    ]
    played = play(playbook(*tasks, **LOCAL))
    assert "Traceback" not in played.text
    assert played.result("localhost", "values")["option_values"] == VALUES

    details = played.result("localhost", "details")["option_details"]
    assert details[one]["value"] == "node1"
    assert details[one]["default"] == "nixos"
    assert details[one]["description"] == "The name of the host."
    assert details[one]["declared_in"][0].endswith("nixos/modules/config/host.nix")
    assert details[one]["defined_in"] and details[one]["type"]
    assert details["nix.package"]["value"].startswith("/nix/store/")
    returned = {
        key for name in ("details", "bad", "throws") for key in played.result("localhost", name)
    }
    assert set(yaml.safe_load(nixos_option_info.RETURN)) - {"systems"} <= returned

    bad = played.result("localhost", "bad")
    assert bad["failed"] and bad["option_values"] == {one: "node1"}
    assert "Did you mean networking.hostName?" in bad["msg"]
    assert "networking is not an option but a set of them: " in bad["msg"]
    assert "nixpkgs.overlays has no form in JSON: it holds a function at .0" in bad["msg"]
    throws = played.result("localhost", "throws")
    assert throws["failed"] and throws["option_values"] == {one: "node1"}
    errors = throws["option_errors"]
    assert "The FQDN needs `networking.domain'" in errors["networking.fqdn"]
    assert "uncaught" in errors["users.motd"] and str(file) in errors["users.motd"]
    assert "has no form in JSON: it holds a function at .extend" in errors["boot.kernelPackages"]
    # Without -vvv the trace is shortened to its two ends.
    assert throws["msg"] == "\n".join(errors.values()) and "The FQDN needs" in throws["trace"]
    assert "has no options" in played.result("localhost", "toplevel")["msg"]


def test_each_host_has_its_own_values_from_one_evaluation(
    play: Play, tmp_path: pathlib.Path
) -> None:
    file = write_systems(tmp_path, SYSTEM, node2="throw ''broken''")
    attr = ["{{ inventory_hostname }}"]
    hosts = {"hosts": "{{ ansible_play_hosts_all }}", "build_host": "localhost"}
    task = info("names", file, "networking.hostName", attr=attr, **hosts)
    played = play(playbook(task), "--check")
    results = {host: played.result(host, "names") for host in HOSTS}
    assert [results[host]["failed"] for host in HOSTS] == [False, True, False]
    assert "broken" in results["node2"]["msg"]
    for host in ("node1", "node3"):
        assert results[host]["option_values"] == {"networking.hostName": host}


def test_the_lookup_gives_the_values_in_their_order(play: Play, tmp_path: pathlib.Path) -> None:
    variables = {
        "inputs": {"configuration": [{"users": {"motd": "${x}"}}], "nixpkgs": NIXPKGS},
        "names": ["users.motd", "networking.hostName"],
        "found": "{{ query('closure.nixos.option', *names, **inputs) }}",
        "bad": "{{ lookup('closure.nixos.option', 'users.mott', **inputs) }}",
        "unknown": "{{ lookup('closure.nixos.option', 'users.motd', flie='x', **inputs) }}",
    }
    tasks: list[Task] = [
        {"name": name, "ansible.builtin.debug": {"msg": f"{{{{ {name} }}}}"}, "ignore_errors": True}
        for name in ("found", "bad", "unknown")
    ]
    played = play(playbook(*tasks, **LOCAL, vars=json.loads(json.dumps(variables))))
    assert played.result("localhost", "found")["msg"] == ["${x}", "nixos"]
    assert "Did you mean users.motd?" in str(played.result("localhost", "bad")["msg"])
    unknown = str(played.result("localhost", "unknown")["msg"])
    assert "closure.nixos.option has no option flie. It has: args, attr, " in unknown
