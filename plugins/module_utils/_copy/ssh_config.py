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
# Arguments that a line of a configuration file cannot say, and that ssh refuses after -o.
_BLOCKS = ("host", "match", "include")
# Nix speaks its protocol over our session, and our connection is our own.
_OURS = ("controlmaster", "controlpath", "controlpersist", "requesttty", "remotecommand")
_SAFE_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SAFE_VALUE = re.compile(r"[\w@%+:,./~=-]+")

# A control master that someone else's ssh made can hang a copy (NixOS/nix#3017), and one that
# Nix makes would end with it. A terminal would change the bytes of a protocol.
_FIRST = (
    "ControlMaster no",
    "ControlPath none",
    "BatchMode yes",
    "RequestTTY no",
    "RemoteCommand none",
)
_LAST = ("ServerAliveInterval 15", "ServerAliveCountMax 4")
# A file given with -F replaces these (ssh_config(5)); people expect them to count.
_USUAL = ("~/.ssh/config", "/etc/ssh/ssh_config")


@dataclasses.dataclass(frozen=True)
class SshOptions:
    """How Ansible's ssh connection plugin reaches a host.

    :param arguments: ssh_args, ssh_common_args and ssh_extra_args in this order, as written
    :param directory: what relative paths among them start from, empty for the login's home
    """

    host: str
    port: int | None = None
    user: str | None = None
    key_file: str | None = None
    timeout: int | None = None
    check_host_key: bool = True
    arguments: tuple[str, ...] = ()
    directory: str = ""


Pairs = list[tuple[str, str]]


def alias(options: SshOptions) -> str:
    """Return the name that Nix gets for the host.

    The host's own as it is spelled where it can be one, so that people's ``Host`` blocks match.
    Nix runs things locally for ``localhost``, and reads colons of an address as a port. What we
    write holds for that name, so no jump on the way to the host may have it.
    """
    name = options.host
    own = _SAFE_HOST.fullmatch(name) and name.lower() not in {"localhost", *_jumps(options)}
    return name if own else "closure-nixos-target"


def ssh_config(options: SshOptions) -> str:
    """Return an ssh_config(5) that connects as Ansible's ssh plugin does.

    It holds for the host alone. An ssh that ssh itself starts for a jump reads this file too, and
    gets of it what it would get from Ansible's ssh: people's own files.

    ssh takes the first value it finds, so the order is the plugin's: ssh_args, then its own
    options, then the other arguments (ansible-core, ``plugins/connection/ssh.py``).

    :raises ClosureError: an argument has no meaning in a configuration file
    """
    first, *later = [_pairs(text) for text in options.arguments] or [[]]
    arguments = [*first, *(pair for pairs in later for pair in pairs)]
    settings = [
        *_lines(first),
        *_from_plugin(options),
        *(it for more in later for it in _lines(more)),
    ]
    block = f"Host {alias(options)}"
    lines = [block, *_FIRST, *settings, "Match all", *_files(arguments, options.directory)]
    return _checked("\n".join([*lines, block, *_LAST, ""]), len(lines) + 1 + len(_LAST))


def _checked(text: str, lines: int) -> str:
    """Refuse a value that would begin a line of its own."""
    if text.count("\n") != lines or "\r" in text or "\0" in text:
        raise ClosureError(
            "A line break stands in the host's name, user, key file or ssh arguments. Remove it."
        )
    return text


def _from_plugin(options: SshOptions) -> list[str]:
    settings = {
        # Of an IPv6 address with a zone; there it would begin a token.
        "HostName": options.host.replace("%", "%%"),
        "Port": options.port,
        "User": options.user and _quoted(options.user),
        "IdentityFile": options.key_file and _quoted(options.key_file),
        "ConnectTimeout": options.timeout,
        "StrictHostKeyChecking": None if options.check_host_key else "no",
    }
    if alias(options) == options.host:
        del settings["HostName"]
    return [f"{keyword} {value}" for keyword, value in settings.items() if value is not None]


def _pairs(text: str) -> Pairs:
    """Return the options of a command line and their values, ``-o`` as keyword and value."""
    try:
        pairs, rest = getopt.getopt(shlex.split(text), _OPTIONS)
    except (getopt.GetoptError, ValueError) as error:
        raise ClosureError(f"ssh would not take the arguments {text!r}: {error}.") from error
    if rest:
        raise ClosureError(f"ssh arguments {text!r} hold {rest[0]!r}, which is no option.")
    return [_keyword(value, text) if name == "-o" else (name, value) for name, value in pairs]


def _keyword(setting: str, text: str) -> tuple[str, str]:
    keyword, *value = re.split(r"\s*=\s*|\s+", setting.strip(), maxsplit=1)
    if keyword.lower() in _BLOCKS:
        raise ClosureError(f"ssh would not take {keyword} after -o, as {text!r} has it.")
    return keyword, "".join(value)


def _lines(pairs: Pairs) -> list[str]:
    return [line for name, value in pairs if (line := _line(name, value))]


def _line(name: str, value: str) -> str:
    if not name.startswith("-"):
        return "" if name.lower() in _OURS else f"{name} {value}".strip()
    return f"{_KEYWORDS[name]} {_quoted(value)}".strip() if name in _KEYWORDS else ""


def _quoted(value: str) -> str:
    if not value or _SAFE_VALUE.fullmatch(value):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _files(arguments: Pairs, directory: str) -> list[str]:
    """Return what includes people's own files, which is none of them after ``-F none``."""
    *_others, file = ("", *(value for name, value in arguments if name == "-F"))
    if file == "none":
        return []
    # ssh reads a relative one from its own directory, and Include from ~/.ssh.
    place = file if file.startswith(("/", "~")) else f"{directory or '~'}/{file}"
    return [f"Include {_quoted(name)}" for name in ([place] if file else _USUAL)]


def _jumps(options: SshOptions) -> set[str]:
    """Return the names of the jump hosts that the arguments give."""
    pairs = [pair for text in options.arguments for pair in _pairs(text)]
    values = [value for name, value in pairs if name.lower() in ("-j", "proxyjump")]
    return {_name(jump) for value in values for jump in value.split(",")}


def _name(jump: str) -> str:
    """Return the host of ``[USER@]HOST[:PORT]`` or of an ssh URL."""
    place = jump.strip().removeprefix("ssh://").rpartition("@")[2].rstrip("/")
    return re.sub(r":\d+$", "", place).lower()
