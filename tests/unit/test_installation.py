# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an installer says of the root of a new system, and what follows from it."""

from __future__ import annotations

import pytest
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._install.installation import (
    InstallOptions,
    actions_left,
    check_installable,
    parse_found,
)
from ansible_collections.closure.nixos.plugins.module_utils._store.root import check_root, store_of

PATH = "/nix/store/iwljnpc645qbb9parnraagikz0gs0rgy-nixos-system-node1-26.05.standin"
PROFILE = "/mnt/nix/var/nix/profiles/system"
GIVEN = {
    "path": PATH,
    "root": "/mnt",
    "install_bootloader": True,
    "authorized_keys": [],
    "ssh_host_key": None,
    "root_password_hash": None,
    "timeout": 60,
}
SYSTEM = f"""toplevel=/mnt{PATH}
path=/mnt{PATH}
has_switch=1
system=x86_64-linux
nixos_version=26.05
toplevel_end=/mnt{PATH}"""
COPIED = f"""user=root
platform=x86_64-linux
mounted=1
valid=1
loader_default=
same_authorized=1
generations={PROFILE}
generations_end={PROFILE}
{SYSTEM}
"""
INSTALLED = (
    COPIED.replace("loader_default=", f"loader_default={PATH}")
    .replace("valid=1", "valid=1\nmarked=1\nssh_host_key=ssh-ed25519 AAAA")
    .replace(f"\n{SYSTEM}", "")
    .replace("generations_end", f"1 1 1764000000 {PATH}\ngenerations_end")
    + f"{SYSTEM}\n"
)


def options(**given: object) -> InstallOptions:
    return InstallOptions.of(GIVEN | given)


def test_what_is_left_to_do_follows_from_what_there_is() -> None:
    asked = options(authorized_keys=["ssh-ed25519 AAAA me "], root_password_hash="$y$j9T$a$b")
    new = parse_found(COPIED.replace("same_authorized=1\n", ""), asked)
    every = ("profile", "ssh_host_key", "authorized_keys", "bootloader", "root_password")
    assert actions_left(asked, new) == every
    whole = parse_found(INSTALLED + "same_password=1\n", asked)
    assert actions_left(asked, whole) == ()
    assert (whole.profile, whole.boots) == (PATH, PATH)
    assert whole.ssh_host_keys == ("ssh-ed25519 AAAA",)
    # Another key than the one that is asked for, and no boot loader.
    other = options(ssh_host_key="PRIVATE", install_bootloader=False)
    assert actions_left(other, parse_found(INSTALLED, other)) == ("ssh_host_key",)
    assert actions_left(options(), parse_found(COPIED, options()))[0] == "profile"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("user=root", "user=nixos", "nixos cannot install a system. Set become: true"),
        ("valid=1", "", "the store below /mnt does not have /nix/store/iwl"),
        ("=x86_64-linux\nmounted", "=aarch64-linux\nmounted", "but the host is aarch64-linux"),
        ("has_switch=1\n", "", "has no bin/switch-to-configuration"),
        ("valid=1", "valid=1\nunmounted=/dev/sda1 /boot", "nothing is mounted on /mnt/boot."),
        ("valid=1", "valid=1\nboot_free=1048576\nboot_needed=2097152", "/mnt/boot has 1.0 MiB"),
    ],
)
def test_what_forbids_an_installation_is_named(old: str, new: str, words: str) -> None:
    check_installable(options(), parse_found(COPIED, options()))
    with pytest.raises(ClosureError, match=r".") as caught:
        check_installable(options(), parse_found(COPIED.replace(old, new), options()))
    assert words in caught.value.message


def test_a_root_without_a_file_system_says_no_more() -> None:
    found = parse_found("user=root\nplatform=x86_64-linux\n", options())
    with pytest.raises(ClosureError, match=r"nothing is mounted on /mnt\. Mount"):
        check_installable(options(), found)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"root": "mnt"}, "root is 'mnt'"),
        ({"root": "/"}, "not / itself"),
        ({"root": "/mnt?trusted=1"}, "absolute path of letters"),
        ({"root": "/mnt/.."}, "absolute path of letters"),
        ({"path": "/run/current-system"}, "is not a store path"),
        ({"authorized_keys": ["a\nb"]}, "of several lines"),
        ({"root_password_hash": "secret:word"}, "make one with `mkpasswd`"),
    ],
)
def test_options_without_a_meaning_are_refused_without_what_is_secret(
    given: dict[str, object], words: str
) -> None:
    with pytest.raises(ClosureError, match=r".") as caught:
        options(**given)
    assert words in caught.value.message
    assert "secret" not in caught.value.message


def test_a_root_is_named_as_nix_names_its_store() -> None:
    assert store_of(check_root("/mnt/new-root/")) == "local?root=/mnt/new-root"
