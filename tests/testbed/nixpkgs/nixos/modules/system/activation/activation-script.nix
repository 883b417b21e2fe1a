# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
{ config, lib, pkgs, ... }:
let
  inherit (lib) mkOption types;
  inherit (pkgs) busybox;

  snippet = { name, ... }: {
    options = {
      text = mkOption { type = types.lines; default = ""; description = "The commands."; };
      deps = mkOption { type = types.listOf types.str; default = [ ]; description = "Snippets that run before."; };
      supportsDryActivation = mkOption {
        type = types.bool;
        default = false;
        description = "Whether it also runs for dry-activate, where NIXOS_ACTION is dry-activate.";
      };
    };
  };

  ordered = all: wanted:
    let
      visit = trail: done: name:
        if lib.elem name done then done
        else if lib.elem name trail then throw "The activation snippets depend on each other: ${circle trail name}."
        else lib.foldl' (visit (trail ++ [ name ])) done (dependencies name) ++ [ name ];
      circle = trail: name: lib.concatStringsSep " -> " (trail ++ [ name ]);
      missing = name: throw "There is no activation snippet `${name}', which another one depends on.";
      dependencies = name: (all.${name} or (missing name)).deps;
    in lib.filter (name: wanted ? ${name}) (lib.foldl' (visit [ ]) [ ] (lib.attrNames wanted));

  # As in NixOS, a failing command is counted and the script goes on; busybox's ash knows the ERR trap, too.
  run = name: s: ''
    #### Activation script snippet ${name}:
    _localstatus=0
    ${s.text}
    if [ "$_localstatus" -gt 0 ]; then
      printf "Activation script snippet '%s' failed (%s)\n" ${lib.escapeShellArg name} "$_localstatus"
    fi
  '';
  script = snippets: last: ''
    #!${busybox}/bin/sh
    systemConfig='@out@'
    export PATH=${busybox}/bin:${lib.makeBinPath [ config.systemd.package ]}
    _status=0
    trap '_localstatus=$? _status=1' ERR
    umask 0022
    ${lib.concatMapStrings (n: run n snippets.${n}) (ordered config.system.activationScripts snippets)}
    ${last}
    exit $_status
  '';
  scripts = config.system.activationScripts;
in
{
  options.system = {
    activationScripts = mkOption {
      type = types.attrsOf (types.coercedTo types.str lib.noDepEntry (types.submodule snippet));
      default = { };
      description = "Commands run when the configuration is activated.";
    };
    activatable = mkOption { type = types.bool; default = true; description = "Whether the system can be activated."; };
  };

  config.system = {
    activationScripts = {
      # Names that other snippets depend on; a borrowed host has these things already.
      stdio = "";
      specialfs = "";
      binsh = "";
      usrbinenv = "";
      groups = "";
      users.deps = [ "groups" ];
      var = ''
        mkdir -p /nix/var/nix/gcroots
        ln -sfn /run/current-system /nix/var/nix/gcroots/current-system
        ln -sfn /run/booted-system /nix/var/nix/gcroots/booted-system
      '';
      etc = {
        deps = [ "users" "groups" ];
        text = "${config.system.build.setupEtc} ${config.system.build.etc}/etc";
      };
    };
    build = {
      swap = pkgs.writeScript "swap"
        (lib.replaceStrings [ "@busybox@" ] [ "${busybox}" ] (builtins.readFile ./swap.sh));
      setupEtc = pkgs.writeScript "setup-etc"
        (lib.replaceStrings [ "@busybox@" ] [ "${busybox}" ] (builtins.readFile ./setup-etc.sh));
      installBootLoader = lib.mkDefault (pkgs.writeScript "install-bootloader"
        (lib.replaceStrings [ "@busybox@" ] [ "${busybox}" ] (builtins.readFile ./install-bootloader.sh)));
      # The link changes last, whatever failed before: it says what was activated.
      activate = script scripts ''
        ln -sfn "$(readlink -f "$systemConfig")" /run/current-system
      '';
      dryActivate = script (lib.filterAttrs (_: s: s.supportsDryActivation) scripts) "";
    };
  };
}
