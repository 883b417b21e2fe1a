# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
{ config, lib, options, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.nixpkgs;
  platform = types.either types.str types.attrs;
  name = p: p.system or p;
in
{
  options.nixpkgs = {
    pkgs = mkOption {
      type = types.pkgs;
      description = "The package set of all `pkgs` arguments; replaces what the other options would make.";
    };
    config = mkOption {
      type = types.attrs;
      default = { };
      description = "The configuration of the Nix Packages collection.";
    };
    overlays = mkOption {
      type = types.listOf (types.uniq (types.functionTo types.raw));
      default = [ ];
      description = "Overlays applied to the package set.";
    };
    system = mkOption {
      type = types.str;
      description = "The platform, where `nixpkgs.hostPlatform` is not set.";
    };
    hostPlatform = mkOption {
      type = platform;
      default = cfg.system;
      description = "The platform the system runs on.";
    };
    buildPlatform = mkOption {
      type = platform;
      default = cfg.hostPlatform;
      description = "The platform the system is built on.";
    };
  };
  config._module.args.pkgs =
    if options.nixpkgs.pkgs.isDefined then cfg.pkgs
    else import ../../.. {
      inherit (cfg) config overlays;
      system = name cfg.hostPlatform;
      localSystem = name cfg.buildPlatform;
    };
}
