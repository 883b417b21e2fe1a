# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: how Ansible reaches a host, for the ssh that Nix starts."""

from __future__ import annotations

from ansible.plugins.connection import ConnectionBase
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._ssh_config import SshOptions

# The argument options of the ssh connection plugin, in the order in which it gives them to ssh.
_ARGUMENTS = ("ssh_args", "ssh_common_args", "ssh_extra_args")


def ssh_options(connection: ConnectionBase, name: str) -> SshOptions:
    """Return the options of an ssh connection plugin.

    :raises ClosureError: the host is not reached by ssh, or only with a password
    """
    if connection.transport != "ssh":
        raise ClosureError(
            f"{name} is reached by the connection plugin {connection.transport}, and Nix copies "
            "over ssh. Give the host ansible_connection: ssh."
        )
    option = connection.get_option
    if option("password"):
        raise ClosureError(
            f"{name} is reached with an ssh password, which Nix's own ssh cannot be given. "
            "Use a key for this host."
        )
    return SshOptions(
        host=option("host"),
        port=option("port"),
        user=option("remote_user"),
        key_file=option("private_key_file"),
        timeout=option("timeout"),
        check_host_key=option("host_key_checking") is not False,
        arguments=tuple(option(argument) or "" for argument in _ARGUMENTS),
    )


def remote_program(connection: ConnectionBase, name: str) -> str:
    """Return the query of a store URL that has the target's side run as root, where we become it.

    Blanks are %20 in a store URL; ``+`` stays a plus (tried with Nix 2.8 and 2.26).

    :raises ClosureError: the become plugin is one that Nix cannot use
    """
    become = connection.become
    if not become or connection.get_option("remote_user") == "root":
        return ""
    if become.name not in ("sudo", "ansible.builtin.sudo"):
        raise ClosureError(
            f"{name} becomes root with {become.name}, and Nix's copy can only use sudo. "
            "Log in as root, or as a user in the target's trusted-users without become."
        )
    program = become.get_option("become_exe") or "sudo"
    return f"?remote-program={program}%20-n%20nix-store"
