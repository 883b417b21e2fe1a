# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What tests of copies share: closures that no store has, and logins to copy them to.

The fixtures are known to all tests by ``conftest.py``.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import secrets
import socket
import subprocess
import sys
import typing as t

import pytest
from ansible_collections.closure.nixos.tests.integration._harness import (
    TESTBED,
    Fleet,
    Play,
    Played,
    until,
)
from ansible_collections.closure.nixos.tests.integration._systems import nix

INCOMING = "/nix/var/nix/gcroots/closure-nixos/incoming"


WIRE = pathlib.Path(__file__).with_name("wire")


PROXY = pathlib.Path(__file__).with_name("_proxy.py")


# A closure that no store has: small files that refer to one another in a chain, and large ones.
CLOSURE = """
let
  make = name: inputs: script: derivation {
    name = "copy-${name}";
    system = builtins.currentSystem;
    builder = "/bin/sh";
    args = [ "-c" "PATH=/bin:/usr/bin; ${script}" ];
    nonce = "@nonce@";
    inherit inputs;
  };
  chain = n: make "part${toString n}" (if n == 0 then [ ] else [ (chain (n - 1)) ])
    "echo $inputs $nonce ${toString n} >$out";
  large = n: make "large${toString n}" [ ] "{ echo $nonce; head -c @size@ /dev/@content@; } >$out";
in make "top" [ (chain @count@) (map large (builtins.genList (n: n) @large@)) ] "echo $inputs >$out"
"""


NIX = ("nix", "--extra-experimental-features", "nix-command")


REFERENCES = ("nix-store", "--query", "--references")


Variables = dict[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Closure:
    """A closure in the controller's store."""

    path: str

    @property
    def paths(self) -> list[str]:
        """All its paths, references first."""
        return nix("nix-store", "--query", "--requisites", self.path).split()


@pytest.fixture
def closure(tmp_path: pathlib.Path) -> t.Callable[..., Closure]:
    """Build a closure of ``count + large + 2`` paths."""

    def make(count: int = 5, large: int = 0, size: int = 0, content: str = "zero") -> Closure:
        values: Variables = {
            "nonce": secrets.token_hex(8),
            "count": count,
            "large": large,
            "size": size,
        }
        values["content"] = content
        text = CLOSURE
        for name, value in values.items():
            text = text.replace(f"@{name}@", str(value))
        file = tmp_path / f"{values['nonce']}.nix"
        file.write_text(text)
        root = tmp_path / f"{values['nonce']}-root"
        return Closure(nix("nix-build", str(file), "--out-link", str(root), "-Q"))

    return make


MakeClosure = t.Callable[..., Closure]


@dataclasses.dataclass(frozen=True)
class Copies:
    """Copies to logins: names for a host and a way into it."""

    fleet: Fleet
    play: Play
    directory: pathlib.Path
    #: variables of hosts that are not the task's own
    others: Variables = dataclasses.field(default_factory=dict)
    #: what ansible-playbook gets beside the environment of the tests
    environment: dict[str, str] = dataclasses.field(default_factory=dict)

    def __call__(
        self, host: str, arguments: Variables | Closure, *options: str, **variables: object
    ) -> dict[str, t.Any]:
        """Copy to a host that is reached with these variables, and return the task's result."""
        return self.played(host, arguments, *options, **variables).result(host)

    def played(
        self, host: str, arguments: Variables | Closure, *options: str, **variables: object
    ) -> Played:
        """Copy to a host like that, and return the whole play."""
        if isinstance(arguments, Closure):
            arguments = {"path": arguments.path}
        own = self.others | {host: variables}
        hosts = {name: self.fleet.hosts[name] | more for name, more in own.items()}
        return self.all(hosts, arguments, *options, hosts=host)

    def all(
        self, inventory: Variables, arguments: Variables, *options: str, hosts: str = "logins"
    ) -> Played:
        """Copy to hosts with these variables, of whatever names, in one play."""
        file = self.directory / f"{secrets.token_hex(4)}.json"
        groups = {"testbed": {"children": {"logins": {"hosts": inventory}}}}
        file.write_text(json.dumps(groups))
        tasks = [{"closure.nixos.nix_copy_closure": arguments}]
        text = json.dumps([{"hosts": hosts, "gather_facts": False, "tasks": tasks}])
        plugins = {"ANSIBLE_CONNECTION_PLUGINS": str(WIRE / "connection_plugins")}
        return self.play(text, "-i", str(file), *options, env=plugins | self.environment)

    @property
    def known_hosts(self) -> str:
        """The fleet's host keys, a file on the controller."""
        described = json.loads(self.fleet.inventory.with_name("testbed.json").read_text())
        return str(described["known_hosts"])

    @property
    def ssh_arguments(self) -> str:
        """The arguments that the fleet's inventory gives to ssh."""
        files = f"-o UserKnownHostsFile={self.known_hosts} -o GlobalKnownHostsFile=/dev/null"
        return f"{files} -o IdentitiesOnly=yes"

    def enter(self, host: str) -> Variables:
        """Variables for the connection plugin that does without a network."""
        command = [str(TESTBED), "exec", "--fleet", self.fleet.name, host]
        return {"ansible_connection": "testbed_nsenter", "testbed_enter": command}

    def lacks(self, host: str, closure: Closure) -> list[str]:
        """The paths of a closure that are not valid on a host, all others being whole."""
        script = f"nix-store --check-validity --print-invalid {' '.join(closure.paths)}"
        lacking = self.fleet.exec(host, script).split()
        there = " ".join(set(closure.paths) - set(lacking))
        if there:
            self.fleet.exec(host, f"nix-store --verify-path {there}")
        return lacking

    def references(self, host: str, closure: Closure) -> list[str]:
        """What the paths of a closure refer to, as a host's database has it."""
        script = " ".join([*REFERENCES, *closure.paths])
        return self.fleet.exec(host, script).split()

    def leftovers(self, host: str) -> str:
        """Files on their way that a host still has."""
        return self.fleet.exec(host, "ls -d /var/tmp/closure-nixos-* 2>/dev/null", check=False)


@pytest.fixture
def copies(fleet: Fleet, play: Play, tmp_path: pathlib.Path) -> Copies:
    return Copies(fleet, play, tmp_path)


SUDO = {"ansible_user": "deploy", "ansible_become": True}


@pytest.fixture
def configure(fleet: Fleet) -> t.Iterator[t.Callable[[str], object]]:
    """Add lines to the nix.conf of node2."""
    restart = "systemctl restart nix-daemon"
    fleet.exec("node2", "cp /etc/nix/nix.conf /etc/nix/nix.conf.before")
    yield lambda line: fleet.exec("node2", f"echo '{line}' >>/etc/nix/nix.conf; {restart}")
    fleet.exec("node2", f"mv /etc/nix/nix.conf.before /etc/nix/nix.conf; {restart}")


Configure = t.Callable[[str], object]


@pytest.fixture
def key_file(configure: Configure, tmp_path: pathlib.Path) -> pathlib.Path:
    """A secret key on the controller that node2 trusts."""
    secret, public = tmp_path / "a key.secret", tmp_path / "a key.public"
    nix("nix-store", "--generate-binary-cache-key", "testbed-1", str(secret), str(public))
    configure(f"trusted-public-keys = {public.read_text().strip()}")
    return secret


@pytest.fixture
def web(fleet: Fleet, tmp_path: pathlib.Path) -> t.Iterator[str]:
    """An nginx on the controller that takes PUT requests, by its URL; below /locked it asks who."""
    route = nix("ip", "-o", "route", "get", fleet.hosts["node1"]["ansible_host"]).split()
    address = route[route.index("src") + 1]
    with socket.create_server((address, 0)) as listener:
        place = ":".join(map(str, listener.getsockname()))
    names = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = " ".join(f"{name}_temp_path {tmp_path}/{name};" for name in names)
    configuration = tmp_path / "nginx.conf"
    configuration.write_text(
        f"daemon off; user root; pid {tmp_path}/pid; error_log stderr; events {{ }} http {{"
        f"{temporary} access_log off; server {{ listen {place}; root {tmp_path}/web;"
        "dav_methods PUT; create_full_put_path on; client_max_body_size 0;"
        f"location /locked {{ auth_basic locked; auth_basic_user_file {tmp_path}/users; }} }} }}"
    )
    (tmp_path / "users").write_text("me:{PLAIN}open@sesame\n")
    (tmp_path / "web").mkdir()
    server = subprocess.Popen(["/usr/sbin/nginx", "-c", str(configuration)])
    until((tmp_path / "pid").exists)
    yield f"http://{place}"
    server.terminate()
    server.wait()


@dataclasses.dataclass(frozen=True)
class Scissors:
    """A line to a host that is cut once, after so many bytes."""

    copies: Copies

    def __call__(self, sent: int) -> Variables:
        """Variables for a host that has such a line."""
        self.mark.touch()
        proxy = f"{sys.executable} {PROXY} %h %p --cut {sent} --once {self.mark}"
        arguments = self.copies.ssh_arguments
        return {"ansible_ssh_common_args": f"{arguments} -o 'ProxyCommand {proxy}'"}

    @property
    def mark(self) -> pathlib.Path:
        return self.copies.directory / "not-cut"
