# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# A NixOS system of modules, with a nixpkgs of its own.
{ modules, nixpkgs, args }:
let
  nixos = import "${import ./nixpkgs.nix nixpkgs}/nixos";
  # It came to nixpkgs' nixos/default.nix with 24.05.
  special = builtins.functionArgs nixos ? specialArgs;
in
nixos (
  { configuration.imports = modules ++ (if special then [ ] else [ { _module.args = args; } ]); }
  // (if special then { specialArgs = args; } else { })
)
