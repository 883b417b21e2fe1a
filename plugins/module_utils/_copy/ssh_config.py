# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible's SSH options as an ssh_config(5). Private to the collection.

Nix starts its own ssh. It gets Ansible's options by a configuration file, because Nix before 2.26
splits NIX_SSHOPTS at blanks and knows no quotes.
"""

from __future__ import annotations

import dataclasses
import getopt
import re
import shlex

from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError

# ssh(1), "SYNOPSIS"; of the options without an argument only these have a keyword.
_OPTIONS = "46AaCfGgKkMNnqsTtVvXxYyB:b:c:D:E:e:F:I:i:J:L:l:m:O:o:P:p:Q:R:S:W:w:"
_KEYWORDS = {
    "-4": "AddressFamily inet",
    "-6": "AddressFamily inet6",
    "-A": "ForwardAgent yes",
    "-a": "ForwardAgent no",
    "-C": "Compression yes",
    "-b": "BindAddress",
    "-B": "BindInterface",
    "-c": "Ciphers",
    "-i": "IdentityFile",
    "-I": "PKCS11Provider",
    "-J": "ProxyJump",
    "-l": "User",
    "-m": "MACs",
    "-p": "Port",
}
_PLAIN_HOST = re.compile(r"[a-z0-9][a-z0-9.-]*")

# A control master that someone else's ssh made can hang a copy (NixOS/nix#3017), and one that
# Nix makes would end with it.
_ALWAYS = ("ControlMaster no", "ControlPath none", "BatchMode yes")
_KEEPALIVE = ("ServerAliveInterval 15", "ServerAliveCountMax 4")
# A file given with -F replaces these (ssh_config(5)); people expect them to count.
_USUAL = ("Include ~/.ssh/config", "Include /etc/ssh/ssh_config")


@dataclasses.dataclass(frozen=True)
class SshOptions:
    """How Ansible's ssh connection plugin reaches a host.

    :param arguments: ssh_args, ssh_common_args and ssh_extra_args in this order, as written
    """

    host: str
    port: int | None = None
    user: str | None = None
    key_file: str | None = None
    timeout: int | None = None
    check_host_key: bool = True
    arguments: tuple[str, ...] = ()


def alias(options: SshOptions) -> str:
    """Return the name that Nix gets for the host.

    The host's own where it can be one, so that people's ``Host`` blocks match. Nix runs things
    locally for ``localhost``, and reads colons of an address as a port.
    """
    plain = _PLAIN_HOST.fullmatch(options.host) and options.host != "localhost"
    return options.host if plain else "closure-nixos-target"


def ssh_config(options: SshOptions) -> str:
    """Return an ssh_config(5) that connects as Ansible's ssh plugin does.

    ssh takes the first value it finds, so the order is the plugin's: ssh_args, then its own
    options, then the other arguments (ansible-core, ``plugins/connection/ssh.py``).

    :raises ClosureError: an argument has no meaning in a configuration file
    """
    first, *later = [_from_arguments(text) for text in options.arguments] or [[]]
    lines = [*_ALWAYS, *first, *_from_plugin(options), *(line for more in later for line in more)]
    files = [line for line in lines if line.startswith("Include ")]
    settings = [line for line in lines if line not in files]
    return "\n".join(["Host *", *settings, *_KEEPALIVE, *(files or _USUAL), ""])


def _from_plugin(options: SshOptions) -> list[str]:
    settings = {
        # Of an IPv6 address with a zone; there it would begin a token.
        "HostName": options.host.replace("%", "%%"),
        "Port": options.port,
        "User": options.user and f'"{options.user}"',
        "IdentityFile": options.key_file and f'"{options.key_file}"',
        "ConnectTimeout": options.timeout,
        "StrictHostKeyChecking": None if options.check_host_key else "no",
    }
    if alias(options) == options.host:
        del settings["HostName"]
    return [f"{keyword} {value}" for keyword, value in settings.items() if value is not None]


def _from_arguments(text: str) -> list[str]:
    try:
        pairs, rest = getopt.getopt(shlex.split(text), _OPTIONS)
    except (getopt.GetoptError, ValueError) as error:
        raise ClosureError(f"ssh would not take the arguments {text!r}: {error}.") from error
    if rest:
        raise ClosureError(f"ssh arguments {text!r} hold {rest[0]!r}, which is no option.")
    return [line for name, value in pairs if (line := _line(name, value))]


def _line(name: str, value: str) -> str:
    if re.search(r"\s", value) and name != "-o":
        value = f'"{value}"'
    if name == "-F":
        return f"Include {value}"
    if name == "-o":
        keyword, *words = re.split(r"\s*=\s*|\s+", value.strip(), maxsplit=1)
        shared = keyword.lower() in ("controlmaster", "controlpath", "controlpersist")
        return "" if shared else " ".join([keyword, *words])
    return f"{_KEYWORDS[name]} {value}".strip() if name in _KEYWORDS else ""
