# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
{ config, lib, pkgs, ... }:
let
  inherit (lib) mkOption types;
  option = type: default: description: mkOption { inherit type default description; };
  inherit (config.system) build;
  inherit (config.boot) isContainer kernelPackages kernelParams;
  inherit (config.system.nixos) label;

  specialisations = lib.mapAttrs (_: s: s.configuration.system.build) config.specialisation;

  failed = map (a: a.message) (lib.filter (a: !a.assertion) config.assertions);
  checked = x:
    if failed != [ ] then throw "\nFailed assertions:\n${lib.concatMapStringsSep "\n" (m: "- ${m}") failed}"
    else lib.showWarnings config.warnings x;

  kernelFile = "${kernelPackages.kernel}/bzImage";
  initrdFile = "${build.initialRamdisk}/initrd";
  platform = pkgs.stdenv.hostPlatform.system;
  # https://github.com/NixOS/rfcs/blob/master/rfcs/0125-bootspec.md
  bootspec = toplevel: {
    "org.nixos.bootspec.v1" = {
      inherit toplevel kernelParams;
      system = platform;
      init = "${toplevel}/init";
      kernel = kernelFile;
      initrd = initrdFile;
      label = "NixOS ${config.system.nixos.codeName} ${label} (Linux ${kernelPackages.kernel.version})";
    };
    "org.nixos.specialisation.v1" =
      lib.mapAttrs (_: b: b.bootspec "${b.toplevel}") specialisations;
  };

  files = {
    init = ''
      #!${pkgs.busybox}/bin/sh
      # Stage 2: what the kernel's `init=` names. The rest of the boot is the host's systemd.
      systemConfig=@out@
      ${pkgs.busybox}/bin/ln -sfn "$systemConfig" /run/booted-system
      "$systemConfig/activate" "$systemConfig"
      exec "$systemConfig/systemd/lib/systemd/systemd" "$@"
    '';
    init-interface-version = config.system.initInterfaceVersion;
    nixos-version = label;
    system = platform;
    extra-dependencies = toString config.system.extraDependencies;
    switch-inhibitors = builtins.toJSON config.system.switchInhibitors;
    reboot-triggers = builtins.toJSON config.system.rebootTriggers;
  } // lib.optionalAttrs (!isContainer) {
    kernel-params = toString kernelParams;
    "boot.json" = builtins.toJSON (bootspec "@out@");
  } // lib.optionalAttrs config.system.activatable {
    activate = build.activate;
    dry-activate = build.dryActivate;
  } // lib.optionalAttrs config.system.switch.enable {
    "bin/switch-to-configuration" = lib.replaceStrings
      [ "@busybox@" "@installBootloader@" "@preSwitchCheck@" "@swap@" "@distroId@" ]
      [ "${pkgs.busybox}" "${build.installBootLoader}" "${build.preSwitchCheck}" "${build.swap}" config.system.nixos.distroId ]
      (builtins.readFile ./switch-to-configuration.sh);
  };
  executables = lib.filter (n: files ? ${n}) [ "init" "activate" "dry-activate" "bin/switch-to-configuration" ];
  links = {
    etc = "${build.etc}/etc";
    sw = "${config.system.path}";
    systemd = "${config.systemd.package}";
  } // lib.optionalAttrs (!isContainer) {
    kernel = kernelFile;
    initrd = initrdFile;
    kernel-modules = "${config.system.modulesTree}";
  } // lib.mapAttrs' (n: b: lib.nameValuePair "specialisation/${n}" "${b.toplevel}") specialisations;

  toplevel = pkgs.runCommand "nixos-system-${config.system.name}-${label}" { preferLocalBuild = true; } ''
    mkdir -p "$out/bin" "$out/specialisation"
    cd "$out"
    ${lib.concatStrings (lib.mapAttrsToList (n: text: "printf %s ${lib.escapeShellArg text} > ${n}\n") files)}
    sed -i "s,@out@,$out,g" ${toString (executables ++ lib.optional (files ? "boot.json") "boot.json")}
    chmod +x ${toString executables}
    ${lib.concatStrings (lib.mapAttrsToList (n: target: "ln -s ${target} ${lib.escapeShellArg n}\n") links)}
  '';
in
{
  options.system = {
    build = mkOption {
      default = { };
      internal = true;
      description = "Derivations the system consists of.";
      type = types.submodule {
        freeformType = types.lazyAttrsOf types.raw;
        options.toplevel = mkOption {
          type = types.package;
          readOnly = true;
          description = "The system as one store path.";
        };
      };
    };
    # The stand-in's own: a NixOS release whose init cannot be switched to without a reboot.
    initInterfaceVersion = option types.str "systemd 2" "A change needs a reboot.";
    name = mkOption {
      type = types.str;
      default = if config.networking.hostName == "" then "unnamed" else config.networking.hostName;
      description = "The name of the system in its store path.";
    };
    switch.enable = option types.bool true "Whether the system can switch.";
    extraDependencies = option (types.listOf types.pathInStore) [ ] "Store paths kept with the system.";
  };
  config.system.build = {
    inherit bootspec;
    toplevel = checked toplevel;
  };
}
