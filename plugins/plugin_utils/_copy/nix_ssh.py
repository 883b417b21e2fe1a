# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: how Ansible reaches a host, for the ssh that Nix starts."""

from __future__ import annotations

import pathlib

from ansible.plugins.connection import ConnectionBase
from ansible_collections.closure.nixos.plugins.module_utils._copy.ssh_config import SshOptions
from ansible_collections.closure.nixos.plugins.module_utils._copy.transport import Access
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError

# The argument options of the ssh connection plugin, in the order in which it gives them to ssh.
_ARGUMENTS = ("ssh_args", "ssh_common_args", "ssh_extra_args")
_SUDO = ("sudo", "ansible.builtin.sudo")


def access_to(connection: ConnectionBase) -> Access:
    """Say what a connection offers to Nix, which starts an ssh and a sudo of its own."""
    return Access(_obstacle(connection), _root_by(connection))


def _obstacle(connection: ConnectionBase) -> str:
    if connection.transport != "ssh":
        return f"the host is reached by the connection plugin {connection.transport}"
    if connection.get_option("password"):
        return "ssh asks for a password, which Nix's own ssh cannot be given"
    if connection.get_option("private_key"):
        return "the key is in a variable, which only Ansible's own ssh gets"
    return ""


def login_of(connection: ConnectionBase) -> str:
    """Return who logs in, empty where the plugin or ssh's own configuration decides."""
    known = "remote_user" in connection.option_definitions
    return (connection.get_option("remote_user") if known else "") or ""


def _root_by(connection: ConnectionBase) -> str:
    become = connection.become
    if login_of(connection) == "root":
        return "login"
    if not become or become.get_option("become_user") not in (None, "root"):
        return ""
    can_sudo = become.name in _SUDO and not become.get_option("become_pass")
    return "sudo" if can_sudo else "connection"


def ssh_options(connection: ConnectionBase, name: str, here: bool) -> SshOptions:
    """Return the options of an ssh connection plugin.

    :param here: whether Nix's ssh runs on the controller, as Ansible's does
    :raises ClosureError: Nix's ssh cannot connect as Ansible's does
    """
    if obstacle := _obstacle(connection):
        raise ClosureError(f"Nix cannot copy to {name} by ssh: {obstacle}. Set transport: archive.")
    option = connection.get_option
    return SshOptions(
        host=option("host"),
        port=option("port"),
        user=option("remote_user"),
        key_file=option("private_key_file"),
        timeout=option("timeout"),
        check_host_key=option("host_key_checking") is not False,
        arguments=tuple(option(argument) or "" for argument in _ARGUMENTS),
        directory=str(pathlib.Path.cwd()) if here else "",
    )


def remote_program(connection: ConnectionBase, program: str) -> str:
    """Return the query parameter of a store URL that has the target's side run as root by sudo.

    Blanks are %20 in a store URL; ``+`` stays a plus (tried with Nix 2.8 and 2.26).
    """
    become = connection.become
    sudo = become.get_option("become_exe") if become and become.name in _SUDO else None
    return f"remote-program={sudo or 'sudo'}%20-n%20{program}"
