# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
{
  description = "A stand-in for nixpkgs, so that NixOS systems evaluate and build without a network";

  outputs = _: rec {
    lib = import ./lib // {
      nixosSystem = args: import ./nixos/lib/eval-config.nix ({ system = null; } // args);
    };
    legacyPackages = lib.genAttrs [ "x86_64-linux" "aarch64-linux" ] (system: import ./. { inherit system; });
  };
}
