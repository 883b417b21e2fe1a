# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An installation below a mounted root. Private to the collection.

Decides what the options mean, what the answer of ``install_look`` says
(``plugin_utils/_install/install.sh``), what forbids an installation, and what is left to do.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._store.generations import (
    parse_generations,
    profile_path,
)
from ansible_collections.closure.nixos.plugins.module_utils._store.root import check_root
from ansible_collections.closure.nixos.plugins.module_utils._store.store_path import (
    check_store_path,
    format_bytes,
)
from ansible_collections.closure.nixos.plugins.module_utils._store.toplevel import (
    Toplevel,
    check_toplevel,
    parse_toplevels,
)

# crypt(5): a method, its parameters and the hash. "!" and "*" lock an account.
_HASH = re.compile(r"\$[A-Za-z0-9./$,=+_-]+")


@dataclasses.dataclass(frozen=True)
class InstallOptions:
    """The validated options of an installation.

    :param path: of the system, :param root: where its root is mounted
    :param ssh_host_key: an ed25519 private key, empty for one that the host makes
    :param password_hash: of root, empty to leave it
    """

    path: str
    root: str
    install_bootloader: bool
    authorized_keys: tuple[str, ...]
    ssh_host_key: str
    password_hash: str
    timeout: int

    @classmethod
    def of(cls, given: dict[str, t.Any]) -> InstallOptions:
        """Return validated arguments as options.

        :raises ClosureError: one has no meaning; what is secret is not in the message
        """
        keys = tuple(key.strip() for key in given["authorized_keys"])
        password_hash = given["root_password_hash"] or ""
        if any("\n" in key or not key for key in keys):
            raise ClosureError(
                "authorized_keys has an entry that is empty or of several lines: give each public "
                "key as one string."
            )
        if password_hash and not _HASH.fullmatch(password_hash):
            raise ClosureError(
                "root_password_hash is no hash of a password: make one with `mkpasswd`, which "
                "begins with a $."
            )
        return cls(
            check_store_path(given["path"]),
            check_root(given["root"]),
            given["install_bootloader"],
            keys,
            (given["ssh_host_key"] or "").strip(),
            password_hash,
            given["timeout"],
        )

    @property
    def access(self) -> tuple[str, ...]:
        """The words TEXT, CONTENT and WORD... of ``install_look``."""
        return (self.password_hash, self.ssh_host_key, *self.authorized_keys)

    @property
    def profile(self) -> str:
        """Where the profile is until it is booted."""
        return f"{self.root}{profile_path()}"


@dataclasses.dataclass(frozen=True)
class Found:
    """What there is below a root.

    :param profile: the system in the profile, :param boots: what the boot loader starts
    :param same: of ``password``, ``key`` and ``authorized``, what is as it was asked for
    :param ssh_host_keys: the public keys, ``TYPE KEY``
    :param unmounted: pairs of a device and a place where nothing is mounted for it
    :param boot_free: bytes; None where /boot is no file system of its own, or was used before
    """

    user: str
    platform: str
    mounted: bool
    valid: bool
    marked: bool
    profile: str | None
    boots: str | None
    same: frozenset[str]
    ssh_host_keys: tuple[str, ...]
    unmounted: tuple[tuple[str, str], ...]
    boot_free: int | None
    boot_needed: int
    toplevel: Toplevel | None


def parse_found(text: str, options: InstallOptions) -> Found:
    """Read the answer of ``install_look``.

    :raises ClosureError: the answer was cut
    """
    parted = [line.partition("=")[::2] for line in text.split("\n")]
    one = dict(reversed(parted))
    mounted = "mounted" in one
    generations = parse_generations(text, options.profile) if mounted else ()
    return Found(
        user=one["user"],
        platform=one["platform"],
        mounted=mounted,
        valid="valid" in one,
        marked="marked" in one,
        profile=next((entry.path for entry in generations if entry.current), None),
        boots=one.get("loader_default") or None,
        same=frozenset(name for name in ("password", "key", "authorized") if f"same_{name}" in one),
        ssh_host_keys=tuple(value for name, value in parted if name == "ssh_host_key"),
        unmounted=tuple(_pair(value) for name, value in parted if name == "unmounted"),
        boot_free=int(one["boot_free"]) if one.get("boot_free") else None,
        boot_needed=int(one.get("boot_needed") or 0),
        toplevel=parse_toplevels(text).get(f"{options.root}{options.path}"),
    )


def _pair(value: str) -> tuple[str, str]:
    device, _blank, place = value.partition(" ")
    return device, place


def actions_left(options: InstallOptions, found: Found) -> tuple[str, ...]:
    """Return what is left to do, in its order, by the names of the module's result."""
    wrong_key = "key" not in found.same if options.ssh_host_key else not found.ssh_host_keys
    wrong_loader = options.install_bootloader and found.boots != options.path
    left = {
        "profile": found.profile != options.path or not found.marked,
        "ssh_host_key": wrong_key,
        "authorized_keys": bool(options.authorized_keys) and "authorized" not in found.same,
        "bootloader": wrong_loader,
        "root_password": bool(options.password_hash) and "password" not in found.same,
    }
    return tuple(name for name, is_left in left.items() if is_left)


def check_installable(options: InstallOptions, found: Found) -> None:
    """Refuse what cannot be installed, before anything is changed.

    :raises ClosureError: what is missing, and where
    """
    root = options.root
    if found.user != "root":
        raise ClosureError(f"{found.user} cannot install a system. Set become: true for this task.")
    if not found.mounted:
        raise ClosureError(
            f"nothing is mounted on {root}. Mount the file system there that is to be the new "
            "system's root, and below it the others, and run the task again."
        )
    if not found.valid or found.toplevel is None:
        raise ClosureError(
            f"the store below {root} does not have {options.path}. Copy it there first, with "
            f"closure.nixos.nix_copy_closure and root: {root}."
        )
    check_toplevel(found.toplevel, found.platform)
    _check_mounts(options, found)


def _check_mounts(options: InstallOptions, found: Found) -> None:
    for device, place in found.unmounted:
        raise ClosureError(
            f"{options.path} mounts {device} on {place}, and nothing is mounted on "
            f"{options.root}{place}. Mount it there, or the system would not find what is "
            "installed now."
        )
    if options.install_bootloader and (found.boot_free or 0) < found.boot_needed:
        raise ClosureError(
            f"{options.root}/boot has {format_bytes(found.boot_free or 0)} left, and the kernel "
            f"and initrd of {options.path} need {format_bytes(found.boot_needed)}. Make it larger."
        )
