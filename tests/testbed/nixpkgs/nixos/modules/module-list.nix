# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
[
  ./misc/assertions.nix
  ./misc/nixpkgs.nix
  ./misc/version.nix
  ./config/etc.nix
  ./config/host.nix
  ./config/system-path.nix
  ./config/users.nix
  ./services/openssh.nix
  ./system/activation/activation-script.nix
  ./system/activation/pre-switch-check.nix
  ./system/activation/specialisation.nix
  ./system/activation/top-level.nix
  ./system/boot/kernel.nix
  ./system/boot/systemd.nix
]
