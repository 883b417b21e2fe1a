# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# As nixpkgs' own: nix-build -E '(import PATH/nixos { configuration = ./host.nix; }).system'
# (PATH/prepare has to have run once, or PATH is the unpacked tarball of make-nixpkgs-tarball).
{
  configuration ? import <nixos-config>,
  system ? builtins.currentSystem,
  specialArgs ? { },
}:
let
  eval = import ./lib/eval-config.nix {
    inherit system specialArgs;
    modules = [ configuration ];
  };
in
{
  inherit (eval) pkgs config options lib;
  system = eval.config.system.build.toplevel;
}
