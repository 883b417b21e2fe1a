# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# The stand-in's package set. `system` is the platform the packages are for; they are built on `localSystem`,
# so that a system for another platform can be made here (there is nothing to compile).
{
  system ? crossSystem,
  localSystem ? system,
  crossSystem ? builtins.currentSystem,
  config ? { },
  overlays ? [ ],
}:
let
  lib = import ./lib;
  base = import ./pkgs {
    inherit lib config;
    hostSystem = system.system or system;
    buildSystem = localSystem.system or localSystem;
  };
in
lib.fix (lib.foldl' (lib.flip lib.extends) (base { inherit overlays; }) overlays)
