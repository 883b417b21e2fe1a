# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a secret is to be on a host. Private to the collection.

Decides what the option ``secrets`` means: for each secret where its content comes from, and which
files it becomes. A message about a secret has its name in it, and nothing of its content.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import re
import shlex
import typing as t
from collections.abc import Iterable, Mapping

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._specs import SECRET, misfits

#: In memory, as NixOps and colmena have it.
KEYS = "/run/keys"
VOLATILE = "/run/credstore"
ENCRYPTED = "/etc/credstore.encrypted"
#: Persistent units that no NixOS configuration owns (systemd.unit(5), "Unit File Load Path").
UNITS = "/etc/systemd/system.attached"
BOOT_SCRIPT = "/var/lib/closure-nixos/secrets-boot"
BOOT_UNIT = "closure-nixos-secrets.service"

# systemd takes no more for one credential (systemd.exec(5), "LoadCredential=").
LIMIT = 1024 * 1024
# The shell on the host has all of them in its memory.
LIMIT_OF_ALL = 16 * LIMIT

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+@=:-]{0,199}")
_ACCOUNT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\$?")
_MODE = re.compile(r"0?[0246]{3}")
_UNIT = re.compile(r"[A-Za-z0-9:_.\\@-]+\.[a-z]+")
_PLAIN_PATH = re.compile(r"[A-Za-z0-9_./+@=:-]+")


@dataclasses.dataclass(frozen=True)
class Source:
    """Where a content comes from: ``content``, ``content_base64``, ``file`` or ``command``."""

    kind: str
    value: t.Any = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True)
class Secret:
    """A secret as the task has it, without its content.

    :param path: of the file that it becomes
    :param copy: of the file that outlives a reboot, or empty
    :param key: that systemd-creds encrypts it with, or empty
    :param tell: units that are told when the content changes, as ``VERB:UNIT``
    :param late: whether it is put only after the activation
    """

    name: str
    source: Source
    path: str
    owner: str
    group: str
    mode: int
    copy: str
    key: str
    tell: tuple[str, ...]
    unit: bool
    late: bool

    @property
    def is_lost(self) -> bool:
        """Whether a reboot leaves nothing of it, if its place is in memory."""
        return not self.copy and not self.key


@dataclasses.dataclass(frozen=True)
class File:
    """A file that shall be on a host.

    :param name: of the secret that it belongs to
    :param key: that systemd-creds encrypts it with, or empty
    :param tell: units that a change of it concerns, as ``VERB:UNIT``
    :param helper: whether it is a unit or the like, and no secret
    """

    name: str
    path: str
    content: bytes = dataclasses.field(repr=False)
    owner: str = "root"
    group: str = "root"
    mode: int = 0o400
    key: str = ""
    tell: tuple[str, ...] = ()
    helper: bool = False

    @property
    def directory(self) -> str:
        """The directory that it is in."""
        return self.path.rpartition("/")[0]


def parse_secrets(arguments: Mapping[str, t.Any]) -> tuple[Secret, ...]:
    """Return the secrets of a task.

    :param arguments: the module's arguments
    :raises ClosureError: one cannot be what it is to be; the message has its name
    """
    _absolute("persistent_directory", arguments["persistent_directory"])
    secrets = tuple(_secret(name, given, arguments) for name, given in arguments["secrets"].items())
    owners: dict[str, str] = {}
    for secret in secrets:
        for path in filter(None, (secret.path, secret.copy)):
            if path in owners:
                raise ClosureError(f"{owners[path]} and {secret.name} are both to be {path}.")
            owners[path] = secret.name
    return secrets


def _secret(name: object, given: object, arguments: Mapping[str, t.Any]) -> Secret:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ClosureError(
            f"{name!r} cannot be a secret's name. Use up to 200 letters, digits and any of "
            "_ . + @ = : - and begin with a letter, a digit or _."
        )
    if not isinstance(given, Mapping):
        raise _refused(name, "is not a dictionary with content, file or the like.")
    given = {key: value for key, value in given.items() if value is not None}
    checked = ArgumentSpecValidator(**SECRET).validate(given)
    if checked.error_messages:
        raise _refused(name, misfits(checked))
    own = checked.validated_parameters
    if own["credstore"] is None and own["persistent"] is None:
        own |= {key: arguments[key] for key in ("credstore", "persistent")}
    own |= {key: arguments[key] for key in ("with_key", "key_unit") if own[key] is None}
    if own["credstore"] and own["persistent"]:
        raise _refused(name, "has both credstore and persistent. Choose one of them.")
    if own["credstore"]:
        _check_credential(name, given)
    path = _path(name, own)
    return Secret(
        name=name,
        source=_source(name, own),
        path=path,
        owner=_account(name, "owner", own["owner"]),
        group=_account(name, "group", own["group"]),
        mode=_mode(name, own["mode"]),
        copy=arguments["persistent_directory"] + path if own["persistent"] else "",
        key=(own["with_key"] or "auto") if own["credstore"] == "encrypted" else "",
        tell=(*_tell(name, "restart", own), *_tell(name, "reload", own)),
        unit=_unit(name, path, own),
        late=own["after_activation"],
    )


def _refused(name: str, why: str) -> ClosureError:
    return ClosureError(f"{name}: {why}" if why[:1].isupper() else f"{name} {why}")


def _check_credential(name: str, given: Mapping[str, t.Any]) -> None:
    surplus = sorted(given.keys() & {"path", "owner", "group", "mode"})
    if surplus:
        raise _refused(
            name,
            f"has credstore and {', '.join(surplus)}. systemd reads a credential as root and hands "
            "it to the service: leave that out.",
        )
    if ":" in name:
        raise _refused(name, "has a colon, which no name of a credential may have.")


def _source(name: str, own: Mapping[str, t.Any]) -> Source:
    kinds = ("content", "content_base64", "file", "command")
    kind = next(kind for kind in kinds if own[kind] is not None)
    value = own[kind]
    if kind == "command" and isinstance(value, str):
        value = shlex.split(value)
    fits = isinstance(value, list if kind == "command" else (str, bytes))
    if not fits or (kind == "command" and not all(isinstance(word, str) for word in value)):
        wanted = "a list of words" if kind == "command" else "a text: write it in quotes"
        raise _refused(name, f"has a {kind} that is not {wanted}.")
    return Source(kind, value)


def _path(name: str, own: Mapping[str, t.Any]) -> str:
    if own["credstore"]:
        return f"{VOLATILE if own['credstore'] == 'volatile' else ENCRYPTED}/{name}"
    path = own["path"] or f"{KEYS}/{name}"
    _absolute(name, path)
    if path.startswith("/nix/"):
        raise _refused(name, f"is to be {path}, which everybody can read. Keep it out of /nix.")
    return str(path)


def _absolute(name: str, path: str) -> None:
    parts = path.split("/")
    clean = path.isprintable() and not {"", ".", ".."}.intersection(parts[1:])
    if parts[0] or len(parts) < 3 or not clean:
        raise _refused(
            name, f"has the path {path!r}. Give an absolute one without `..`, in a directory."
        )


def _account(name: str, what: str, account: str) -> str:
    if not _ACCOUNT.fullmatch(account):
        raise _refused(name, f"has the {what} {account!r}, which cannot be one.")
    return account


def _mode(name: str, mode: object) -> int:
    if not isinstance(mode, str) or not _MODE.fullmatch(mode):
        raise _refused(
            name,
            f"has the mode {mode}. Write it in quotes, such as '0400' or '0440'; a secret is not "
            "for execution.",
        )
    return int(mode, 8)


def _tell(name: str, verb: str, own: Mapping[str, t.Any]) -> tuple[str, ...]:
    for unit in own[verb]:
        if not _UNIT.fullmatch(unit):
            raise _refused(
                name, f"is to {verb} {unit!r}. Name a unit with its kind, such as nginx.service."
            )
    return tuple(f"{verb}:{unit}" for unit in own[verb])


def _unit(name: str, path: str, own: Mapping[str, t.Any]) -> bool:
    if not own["key_unit"] or own["credstore"]:
        return False
    if not _UNIT.fullmatch(f"{name}-key.service") or not _PLAIN_PATH.fullmatch(path):
        raise _refused(name, "cannot have a key_unit: its name or path has other characters.")
    return True


def check_content(secret: Secret, content: bytes) -> bytes:
    """Return a content, or refuse one that cannot be meant.

    :raises ClosureError: it is empty or too long
    """
    if not content:
        raise _refused(secret.name, "is empty. Look where its content comes from.")
    if len(content) > LIMIT:
        raise _refused(
            secret.name, f"has more than {LIMIT} bytes. Secrets are small; copy data as data."
        )
    return content


def decode_content(secret: Secret) -> bytes:
    """Return the bytes of a secret whose content stands in the task.

    :raises ClosureError: it is not Base64
    """
    value = secret.source.value
    # What a lookup could not decode it has kept as surrogates.
    content = value if isinstance(value, bytes) else value.encode(errors="surrogateescape")
    if secret.source.kind == "content":
        return content
    try:
        return base64.b64decode(b"".join(content.split()), validate=True)
    except binascii.Error as error:
        raise _refused(secret.name, "has a content_base64 that is not Base64.") from error


def check_total(contents: Iterable[bytes]) -> None:
    """Refuse more than a host's shell should hold.

    :raises ClosureError: it is more than that
    """
    if sum(map(len, contents)) > LIMIT_OF_ALL:
        raise ClosureError(f"The secrets have more than {LIMIT_OF_ALL} bytes together.")


def files_of(secret: Secret, content: bytes) -> tuple[File, ...]:
    """Return the files that a secret becomes: itself, its lasting copy and its unit."""
    start = (f"start:{secret.name}-key.service",) if secret.unit else ()
    own = File(
        secret.name,
        secret.path,
        content,
        secret.owner,
        secret.group,
        secret.mode,
        secret.key,
        (*start, *secret.tell),
    )
    files = [own]
    if secret.copy:
        files.append(dataclasses.replace(own, path=secret.copy, tell=()))
    if secret.unit:
        unit = f"{secret.name}-key.service"
        text = key_unit(secret.name, secret.path)
        files.append(_helper(secret.name, f"{UNITS}/{unit}", text, *start))
    return tuple(files)


def _helper(name: str, path: str, content: str, *tell: str) -> File:
    tell = ("reread:units", *tell)
    return File(name, path, content.encode(), mode=0o644, tell=tell, helper=True)


def key_unit(name: str, path: str) -> str:
    """Return the unit ``NAME-key.service``: it starts when the file comes and ends when it goes.

    tail waits for that by inotify, and reads on when the file is replaced.
    """
    return f"""\
[Unit]
Description=The secret {name} is there
DefaultDependencies=no
Conflicts=shutdown.target
Before=shutdown.target
StartLimitIntervalSec=0

[Service]
Environment=PATH=/usr/bin:/bin:/run/current-system/sw/bin
ExecStartPre=/bin/sh -c 'until [ -e {path} ]; do sleep 1; done'
ExecStart=-/bin/sh -c 'exec tail --lines=0 --follow=name {path} >/dev/null 2>&1'
TimeoutStartSec=infinity
Restart=always
RestartSec=100ms
"""


def boot_files(directory: str, script: str) -> tuple[File, ...]:
    """Return what puts the lasting copies in their places at boot, before services start.

    :param script: what the unit runs
    """
    unit = f"""\
[Unit]
Description=Put the secrets of closure.nixos that outlive a reboot in their places
DefaultDependencies=no
RequiresMountsFor={directory} {KEYS} {BOOT_SCRIPT}
Conflicts=shutdown.target
Before=sysinit.target shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh {BOOT_SCRIPT}
"""
    wants = f"[Unit]\nWants={BOOT_UNIT}\n"
    return (
        _helper(BOOT_UNIT, BOOT_SCRIPT, script),
        _helper(BOOT_UNIT, f"{UNITS}/{BOOT_UNIT}", unit),
        _helper(BOOT_UNIT, f"{UNITS}/sysinit.target.d/closure-nixos-secrets.conf", wants),
    )
