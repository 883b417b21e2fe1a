# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
{ lib, ... }:
let
  inherit (lib) mkOption types;
in
{
  options = {
    assertions = mkOption {
      type = types.listOf types.unspecified;
      default = [ ];
      internal = true;
      description = "Conditions that must hold for the configuration to evaluate, with a message for when they do not.";
    };
    warnings = mkOption {
      type = types.listOf types.str;
      default = [ ];
      internal = true;
      description = "Warnings shown when the configuration is evaluated.";
    };
    meta = mkOption {
      type = types.attrsOf types.unspecified;
      default = { };
      internal = true;
      description = "Maintainers and documentation of modules.";
    };
  };
}
