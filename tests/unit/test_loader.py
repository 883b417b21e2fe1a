# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the files of boot loaders say: which entry starts a system, and what they start."""

from __future__ import annotations

import subprocess

import pytest
from ansible_collections.closure.nixos.plugins.plugin_utils._host.scripts import script

# The menu of nixpkgs' install-grub.pl (24.11), without what stands before the entries.
GRUB_CFG = """
menuentry "NixOS" --class nixos --unrestricted {
search --set=drive1 --fs-uuid 0000
  linux ($drive1)/nix/store/k-linux/bzImage init=/nix/store/b-nixos-system/init loglevel=4
  initrd ($drive1)/nix/store/k-initrd/initrd
}

submenu "NixOS - All configurations" --class submenu {
menuentry "NixOS - Configuration 2 (2026-11-22 - 26.05)" --class nixos {
  linux ($drive1)/nix/store/k-linux/bzImage init=/nix/store/b-nixos-system/init loglevel=4
}

menuentry "NixOS - Configuration 1 (2026-11-20 - 26.05)" --class nixos {
  linux ($drive1)/nix/store/k-linux/bzImage init=/nix/store/a-nixos-system/init
}

}
"""


@pytest.mark.parametrize(
    ("path", "title"),
    [
        ("/nix/store/b-nixos-system", "NixOS"),
        (
            "/nix/store/a-nixos-system",
            "NixOS - All configurations>NixOS - Configuration 1 (2026-11-20 - 26.05)",
        ),
        ("/nix/store/c-nixos-system", ""),
    ],
    ids=["default", "in the submenu", "none"],
)
def test_the_title_of_grubs_entry(path: str, title: str) -> None:
    done = subprocess.run(
        ["sh", "-c", script("grub_title", path).text],
        input=GRUB_CFG,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert (done.stdout.strip(), done.returncode == 0) == (title, bool(title))


# What stands before the entries (nixpkgs, install-grub.pl).
GRUB_HEAD = """
if [ "${next_entry}" ]; then
  set default="${next_entry}"
  set next_entry=
else
  set default=%s
  set timeout=5
fi
function savedefault {
    save_env saved_entry
}
"""
OTHER = """
menuentry "Windows" {
  chainloader /EFI/Microsoft/Boot/bootmgfw.efi
}
"""
EXTLINUX = """
DEFAULT nixos-%s
MENU TITLE ------------------------------------------------------------
TIMEOUT 50

LABEL nixos-default
  MENU LABEL NixOS - Default
  LINUX ../nixos/k-linux-Image
  APPEND init=/nix/store/b-nixos-system/init loglevel=4

LABEL nixos-1-default
  MENU LABEL NixOS - Configuration 1-default (2026-11-20 10:00 - 26.05)
  APPEND quiet init=/nix/store/a-nixos-system/init
"""


@pytest.mark.parametrize(
    ("function", "file", "boots"),
    [
        ("grub_default", GRUB_HEAD % "0" + GRUB_CFG, "b"),
        ("grub_default", GRUB_HEAD % "1" + OTHER + GRUB_CFG, "b"),
        ("grub_default", GRUB_HEAD % "0" + OTHER + GRUB_CFG, ""),
        ("grub_default", GRUB_HEAD % '"${saved_entry}"' + GRUB_CFG, ""),
        ("grub_default", "", ""),
        ("extlinux_default", EXTLINUX % "default", "b"),
        ("extlinux_default", EXTLINUX % "1-default", "a"),
        ("extlinux_default", EXTLINUX % "2-default", ""),
    ],
    ids=["first", "after another", "another", "saved", "empty", "extlinux", "older", "none"],
)
def test_what_a_loader_starts(function: str, file: str, boots: str) -> None:
    command = ["sh", "-c", script(function).text]
    found = subprocess.run(command, input=file, stdout=subprocess.PIPE, text=True, check=True)
    assert found.stdout.strip() == (f"/nix/store/{boots}-nixos-system" if boots else "")
