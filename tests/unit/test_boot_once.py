# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The entry of GRUB that starts a system, as grub-reboot takes it."""

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
