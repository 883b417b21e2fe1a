# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""nix_build_system on a build host that is not the controller, and the module's own examples."""

from __future__ import annotations

import base64
import json
import pathlib
import secrets
import shutil
import subprocess
import typing as t

import pytest
import yaml
from ansible_collections.closure.nixos.plugins.modules import nix_build_system
from ansible_collections.closure.nixos.tests.integration._harness import (
    RACES,
    TESTBED,
    Fleet,
    Play,
    StartPlay,
    attacked,
    control_masters,
    kill,
    until,
)
from ansible_collections.closure.nixos.tests.integration._systems import (
    Task,
    module,
    playbook,
)
from ansible_collections.closure.nixos.tests.integration.test_deploy import BUILD, role

NIXPKGS = TESTBED.with_name("nixpkgs")
TAGGED = '{ tag, ... }: { environment.etc."closure-testbed/tag".text = tag; }'
SLOW = """{{ pkgs, ... }}: {{ environment.etc.slow.source =
  pkgs.runCommand "slow" {{ }} "sleep {seconds} || true; echo done >$out"; }}"""


def task(name: str, **arguments: t.Any) -> Task:
    return module("nix_build_system", arguments) | {"name": name, "ignore_errors": True}


# The directory of a flake, and a flake that needs no nixpkgs.
ODD = "./a b ï %20"
FLAKE = """{ outputs = { self }: {
  nixosConfigurations = builtins.listToAttrs (map (name: {
    inherit name;
    value = derivation { inherit name; system = "x86_64-linux"; builder = "/bin/sh"; };
  }) [ "node1" "node2" ]);
}; }"""


@pytest.fixture
def tree(tmp_path: pathlib.Path) -> pathlib.Path:
    """A Git tree with a nixpkgs and a module, and a file that Git does not track."""
    directory = tmp_path / "tree"
    shutil.copytree(NIXPKGS, directory / "nixpkgs")
    tracked = 'if builtins.pathExists ./untracked then "untracked" else "tracked"'
    (directory / "broken.nix").write_text("{ a b }\n")
    (directory / ODD).mkdir()
    (directory / ODD / "flake.nix").write_text(FLAKE)
    (directory / "tagged.nix").write_text(TAGGED.replace("= tag", f"= tag + ({tracked})"))
    for command in ("git init -q", "git add -f ."):
        subprocess.run(command.split(), cwd=directory, check=True)
    (directory / "untracked").touch()
    return directory


WEB = """{ node1 = import ./nixpkgs/nixos { configuration = {
  imports = [ ./tagged.nix ]; _module.args.tag = "z"; networking.hostName = "node1";
}; }; }
"""


def race(play: Play, fleet: Fleet, tree: pathlib.Path, number: int) -> None:
    """Bring a changed source once more, as another login, and look at what was built of it."""
    (tree / "tagged.nix").write_text(TAGGED.replace("= tag", f'= tag + "{number}"'))
    own = {"configuration": ["tagged.nix"], "nixpkgs": "nixpkgs", "args": {"tag": "z"}}
    file = tree / "race.yml"
    file.write_text(playbook(task("race", build_host="node1", source=".", **own), hosts="node1"))
    login = {"ansible_user": "deploy", "ansible_become": number % 2 == 0}
    said = play(file, "-e", json.dumps(login)).result("node1", "race")
    assert not said["failed"], said["msg"]
    tag = f"{said['path']}/etc/closure-testbed/tag"
    assert fleet.exec("node1", f"cat {tag}") == f"z{number}"


def test_the_source_comes_to_a_build_host_without_python(
    play: Play, fleet: Fleet, tree: pathlib.Path
) -> None:
    """And is built there, also under attack by a user of it; relative paths mean the same there."""
    expression = """{ name, tag }: (import ./nixpkgs/nixos { configuration = {
      imports = [ ./tagged.nix ]; _module.args.tag = tag; networking.hostName = name;
    }; }).system"""
    alone = {"build_host": "node1", "substituters": []}
    there = {"source": "."} | alone
    roots = f"~/roots-{secrets.token_hex(4)}"
    hosts = {"hosts": "{{ ansible_play_hosts_all }}"}
    own = {"name": "{{ inventory_hostname }}", "tag": "x"}
    tasks = (
        task("expression", expression=expression, args=own, **there, **hosts),
        task(
            "modules",
            configuration=["tagged.nix"],
            nixpkgs="nixpkgs",
            args={"tag": "y"},
            roots=roots,
            **there,
        ),
        task("itself", configuration=["tagged.nix"], nixpkgs="nixpkgs", args={"tag": "y"}, **alone),
        task("flake", flake=ODD, **alone) | {"check_mode": True},
        task("not there", file=str(tree / "tagged.nix"), bring_source=False, **alone),
        task("broken", expression="import ./broken.nix", **there),
        task("home", file="~/nixos.nix", **there),
        task("root", file="nixos.nix", roots="here", **there),
    )
    file = tree / "play.yml"
    file.write_text(playbook(*tasks, hosts="node1:node2"))
    with attacked(fleet, "node1"):
        played = play(file)
        for number in range(1, RACES):
            race(play, fleet, tree, number)
    assert "Traceback" not in played.text
    paths = {}
    for host in ("node1", "node2"):
        for name, text in {"expression": "xtracked", "modules": "ytracked"}.items():
            said = played.result(host, name)
            assert not said["failed"], said["msg"]
            paths[host, name] = said["path"]
            tag = f"{said['path']}/etc/closure-testbed/tag"
            assert fleet.exec("node1", f"cat {tag}") == text
    assert "-node2-" in paths["node2", "expression"]
    # Of the role, the name of the build host is all that it needs.
    (tree / "web.nix").write_text(WEB)
    subprocess.run(["git", "add", "web.nix"], cwd=tree, check=True)
    defaults: Task = {"closure.nixos.nix_build_system": {"substituters": []}}
    (tree / "site.yml").write_text(role(hosts="node1", module_defaults=defaults))
    words = {"nixos_file": "web.nix", "deploy_build_host": "node1", "deploy_stop_after": "build"}
    by_role = play(tree / "site.yml", "-e", json.dumps(words))
    assert by_role.rc == 0, by_role.text
    tag = f"{by_role.result('node1', BUILD)['path']}/etc/closure-testbed/tag"
    assert fleet.exec("node1", f"cat {tag}") == "ztracked"
    assert paths["node1", "modules"] == paths["node2", "modules"]
    for host in ("node1", "node2"):
        rooted = fleet.exec("node1", f"readlink {roots}/{host}").strip()
        assert rooted == paths[host, "modules"]
        assert "whose home that is on node1 is not known" in played.result(host, "home")["msg"]
        assert "roots has to be a whole path on node1" in played.result(host, "root")["msg"]
        assert played.result(host, "itself")["path"] == paths[host, "modules"]
        assert played.result(host, "flake")["path"].endswith(f"-{host}")
        assert (
            "tagged.nix does not exist on the build host" in played.result(host, "not there")["msg"]
        )
        # Where it can be corrected.
        assert f"at {tree}/broken.nix:1:5" in played.result(host, "broken")["msg"]
    fleet.exec("node1", f"rm -r {roots}")


def test_nix_builds_on_its_own_remote_builder(
    play: Play, fleet: Fleet, tmp_path: pathlib.Path
) -> None:
    file = tmp_path / "where.nix"
    script = f"uname -n >$out # {secrets.token_hex(4)}"
    file.write_text(
        "{ pkgs, ... }: { environment.etc.where.source ="
        f' pkgs.runCommand "where" {{ }} "{script}"; }}'
    )
    described = json.loads(fleet.inventory.with_name("testbed.json").read_text())
    address = described["hosts"]["node2"]["ansible_host"]
    known = pathlib.Path(described["known_hosts"]).read_text().splitlines()
    key = next(line.partition(" ")[2] for line in known if address in line.split()[0].split(","))
    host_key = base64.b64encode(key.encode()).decode()
    # URL, platforms, key, jobs, speed, features, required features, host key.
    builder = f"ssh://root@{address} x86_64-linux {described['private_key']} 2 1 - - {host_key}"
    remotely = {"builders": builder, "max_jobs": "0"}
    arguments = {"configuration": [str(file)], "nixpkgs": str(NIXPKGS)} | remotely
    played = play(playbook(task("remote", **arguments), hosts="localhost", connection="local"))
    said = played.result("localhost", "remote")
    assert not said["failed"], said["msg"]
    assert (pathlib.Path(said["path"]) / "etc/where").read_text() == "node2\n"


def test_a_build_goes_on_when_the_line_to_its_host_is_cut(
    fleet: Fleet, start_play: StartPlay, ansible_home: pathlib.Path, tree: pathlib.Path
) -> None:
    seconds = f"3{secrets.randbelow(10**7):07}"
    (tree / "slow.nix").write_text(SLOW.format(seconds=seconds))
    subprocess.run(["git", "add", "slow.nix"], cwd=tree, check=True)
    slow = {"configuration": ["slow.nix"], "nixpkgs": "nixpkgs", "build_lease": 300}
    there = {"source": ".", "build_host": "node2", "substituters": []}
    file = tree / "play.yml"
    file.write_text(playbook(task("slow", **slow, **there), hosts="node1"))

    def builder() -> str:
        return fleet.exec("node2", f"pgrep -xf 'sleep {seconds}'", check=False)

    started = start_play(file)
    until(builder)
    before = builder()
    fleet.link("node2", "down")
    for pid in control_masters(ansible_home):
        kill(pid)
    until(lambda: b"node2: the connection is lost" in started.output.read_bytes())
    fleet.link("node2", "up")
    assert builder() == before
    # Its only way to end.
    fleet.exec("node2", f"kill {before}")
    assert started.process.wait(120) == 0, started.output.read_text()


# What the module's examples speak of.
EXAMPLE = {
    "nixos.nix": """
      let system = name: import ./nixpkgs/nixos { configuration.networking.hostName = name; };
      in { node1 = system "node1"; web1 = system "web1"; }
    """,
    "default.nix": "{ roles.web = (import ./nixos.nix).web1; }",
    "hosts/common.nix": "{ admins, ... }: { users.motd = toString admins; }",
    "hosts/node1.nix": "{ }",
    "hosts/web1.nix": "{ }",
    "hosts/db1.nix": "{ }",
    "flake.nix": """{
      inputs.nixpkgs.url = "path:@nixpkgs@";
      outputs = { nixpkgs, ... }: {
        nixosConfigurations.node1 = nixpkgs.lib.nixosSystem {
          system = "x86_64-linux";
          modules = [ ];
        };
      };
    }""",
}


@pytest.fixture
def example(tmp_path: pathlib.Path, fleet: Fleet) -> t.Iterator[pathlib.Path]:
    """The directory of the examples' playbook, which the build host has in /srv/nixos."""
    directory = tmp_path / "example"
    shutil.copytree(NIXPKGS, directory / "nixpkgs")
    (directory / "hosts").mkdir()
    for name, text in EXAMPLE.items():
        (directory / name).write_text(text.replace("@nixpkgs@", str(NIXPKGS)))
    lock = ("nix", "--extra-experimental-features", "nix-command flakes", "flake", "lock")
    subprocess.run(lock, cwd=directory, check=True)
    make = [str(NIXPKGS.with_name("make-nixpkgs-tarball")), str(tmp_path)]
    pin = subprocess.run(make, stdout=subprocess.PIPE, check=True).stdout
    (directory / "nixpkgs.json").write_bytes(pin)
    archive = subprocess.run(["tar", "-cC", tmp_path, "example"], stdout=-1, check=True).stdout
    unpack = "tar -xC /srv && mv /srv/example /srv/nixos"
    ssh = [str(TESTBED), "ssh", "--fleet", fleet.name, "node2", unpack]
    subprocess.run(ssh, input=archive, check=True)
    yield directory
    fleet.exec("node2", "rm -r /srv/nixos")


def test_the_examples_of_the_documentation_build(
    play: Play, fleet: Fleet, example: pathlib.Path
) -> None:
    inventory = example / "builder.json"
    inventory.write_text(json.dumps({"testbed": {"hosts": {"builder1": fleet.hosts["node2"]}}}))
    file = example / "play.yml"
    tasks = yaml.safe_load(nix_build_system.EXAMPLES)
    variables = {"admins": ["ann"], "nixos_role": "web"}
    # The hosts of the testbed have no network.
    defaults: Task = {"closure.nixos.nix_build_system": {"substituters": []}}
    file.write_text(playbook(*tasks, hosts="node1", vars=variables, module_defaults=defaults))
    played = play(file, "-i", str(inventory))
    assert (played.rc, played.stats["node1"]["ok"]) == (0, len(tasks)), played.text
    fleet.exec("node2", "rm -r /nix/var/nix/gcroots/fleet")
