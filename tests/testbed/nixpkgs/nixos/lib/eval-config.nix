# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
{
  system ? builtins.currentSystem,
  pkgs ? null,
  lib ? import ../../lib,
  baseModules ? import ../modules/module-list.nix,
  modules,
  specialArgs ? { },
  extraModules ? [ ],
  check ? true,
  prefix ? [ ],
  ...
}:
let
  platform = {
    _file = ./eval-config.nix;
    key = toString ./eval-config.nix;
    config = lib.mkMerge [
      { _module.check = check; }
      (lib.mkIf (system != null) { nixpkgs.system = lib.mkDefault system; })
      (lib.mkIf (pkgs != null) { nixpkgs.pkgs = lib.mkDefault pkgs; })
    ];
  };
  evalWith = userModules: lib.evalModules {
    inherit prefix;
    class = "nixos";
    modules = baseModules ++ [ platform noUserModules ] ++ userModules;
    specialArgs = { modulesPath = toString ../modules; } // specialArgs;
  };
  # What a specialisation with `inheritParentConfig = false` starts from.
  noUserModules = {
    _file = ./eval-config.nix;
    key = "${toString ./eval-config.nix}:noUserModules";
    config._module.args.noUserModules = evalWith [ ];
  };
  result = evalWith (modules ++ extraModules);
in
result // {
  inherit lib;
  inherit (result._module.args) pkgs;
}
