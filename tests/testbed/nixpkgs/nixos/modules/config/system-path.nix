# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
{ config, lib, pkgs, ... }:
let
  inherit (lib) mkOption types;
in
{
  options.environment = {
    systemPackages = mkOption {
      type = types.listOf types.package;
      default = [ ];
      description = "Packages in /run/current-system/sw.";
    };
    pathsToLink = mkOption {
      type = types.listOf types.str;
      default = [ "/bin" "/share" "/lib" ];
      description = "Directories of the packages linked into /run/current-system/sw.";
    };
    variables = mkOption {
      type = with types; attrsOf (oneOf [ (listOf (oneOf [ int str path ])) int str path ]);
      default = { };
      apply = lib.mapAttrs (_: v: if lib.isList v then lib.concatMapStringsSep ":" toString v else toString v);
      description = "Environment variables of every shell.";
    };
  };

  config = {
    environment.systemPackages = lib.mkAfter (with pkgs; [
      bash coreutils findutils gawk gnugrep gnused config.nix.package config.systemd.package
    ]);
    environment.etc.set-environment.text = lib.concatLines
      (lib.mapAttrsToList (n: v: "export ${n}=${lib.escapeShellArg v}") config.environment.variables);
    system.path = pkgs.buildEnv {
      name = "system-path";
      paths = config.environment.systemPackages;
      inherit (config.environment) pathsToLink;
    };
  };

  options.system.path = mkOption {
    type = types.package;
    internal = true;
    description = "The packages of `environment.systemPackages` as one tree.";
  };
}
