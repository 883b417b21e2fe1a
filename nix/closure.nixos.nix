# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# A NixOS module: what a configuration says of its host to Ansible's inventory. Copy it beside your
# configuration and import it. The inventory plugin closure.nixos.nixos reads the options.
{ lib, ... }:
let
  inherit (lib) mkOption types;
in
{
  options.ansible = {
    host = mkOption {
      type = types.nullOr types.str;
      default = null;
      description = "Where Ansible reaches the host, its ansible_host.";
    };
    groups = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "web" "production" ];
      description = "The groups of the inventory that the host is in.";
    };
    vars = mkOption {
      type = types.attrsOf types.anything;
      default = { };
      example = { ansible_user = "deploy"; };
      description = "Variables of the host. They are data: no derivations, and no secrets.";
    };
  };
}
