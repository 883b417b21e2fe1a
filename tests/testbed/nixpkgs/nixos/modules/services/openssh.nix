# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# The host's own sshd stays as it is: the options are written to a file that nothing reads.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.services.openssh;
in
{
  options.services.openssh = {
    enable = lib.mkEnableOption "the OpenSSH daemon";
    ports = mkOption { type = types.listOf types.port; default = [ 22 ]; description = "Ports of sshd."; };
    openFirewall = lib.mkEnableOption "a way for sshd through the firewall" // { default = true; };
    extraConfig = mkOption { type = types.lines; default = ""; description = "More lines of sshd_config."; };
    settings = mkOption {
      default = { };
      description = "Settings of sshd_config.";
      type = types.submodule {
        freeformType = with types; attrsOf (nullOr (oneOf [ bool int str (listOf str) ]));
        options.PermitRootLogin = mkOption {
          type = types.enum [ "yes" "without-password" "prohibit-password" "forced-commands-only" "no" ];
          default = "prohibit-password";
          description = "Whether root may log in.";
        };
        options.PasswordAuthentication = lib.mkEnableOption "passwords" // { default = true; };
      };
    };
  };
  config = lib.mkIf cfg.enable {
    networking.firewall.allowedTCPPorts = lib.optionals cfg.openFirewall cfg.ports;
    environment.etc."closure-testbed/sshd_config".text =
      lib.concatMapStrings (p: "Port ${toString p}\n") cfg.ports
      + lib.generators.toKeyValue {
        mkKeyValue = k: v: "${k} ${if lib.isBool v then (if v then "yes" else "no") else toString v}";
      } cfg.settings
      + cfg.extraConfig;
  };
}
