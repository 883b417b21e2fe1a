# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
{ config, lib, pkgs, ... }:
let
  inherit (lib) mkOption types;
  inherit (pkgs) busybox;
  strings = description: mkOption { type = types.attrsOf types.str; default = { }; inherit description; };
  check = name: text: ''
    # ${name}
    (
      set -e
      ${text}
    ) >&2
    [ $? = 0 ] || { echo "Pre-switch check '${name}' failed" >&2; exit 1; }
  '';
in
{
  options.system = {
    preSwitchChecks = mkOption {
      type = types.attrsOf types.str;
      default = { };
      description = "Commands run before a switch with the new system and the action; a failing one stops it.";
    };
    switchInhibitors = strings "Values that must not change in a switch without a reboot.";
    rebootTriggers = strings "Values whose change needs a reboot.";
  };
  config.system = {
    rebootTriggers = config.system.switchInhibitors;
    preSwitchChecks.switchInhibitors = builtins.readFile ./switch-inhibitors.sh;
    build.preSwitchCheck = pkgs.writeScript "pre-switch-checks" ''
      #!${busybox}/bin/sh
      export PATH=${busybox}/bin:$PATH
      ${lib.concatStrings (lib.mapAttrsToList check config.system.preSwitchChecks)}
    '';
  };
}
