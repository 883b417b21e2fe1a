# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
{ config, lib, extendModules, noUserModules, ... }:
let
  inherit (lib) mkOption types;
  # Without this a specialisation would inherit the specialisations, itself among them.
  noClone = { specialisation = lib.mkOverride 0 { }; };
  specialisation = { config, ... }: {
    options = {
      inheritParentConfig = mkOption {
        type = types.bool;
        default = true;
        description = "Whether it builds on the system's own configuration.";
      };
      configuration = mkOption {
        type = types.deferredModule;
        default = { };
        description = "What differs from the system's own configuration.";
        apply = module:
          ((if config.inheritParentConfig then extendModules else noUserModules.extendModules) {
            modules = [ noClone module ];
          }).config;
      };
    };
  };
in
{
  options.specialisation = mkOption {
    type = types.attrsOf (types.submodule specialisation);
    default = { };
    description = "Other configurations of the system, in its boot menu and switchable at run time.";
  };
}
