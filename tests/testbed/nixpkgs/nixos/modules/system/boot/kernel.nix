# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
{ config, lib, pkgs, ... }:
let
  inherit (lib) mkOption types;
  option = type: default: description: mkOption { inherit type default description; };
  strings = option (types.listOf types.str) [ ];
  cfg = config.boot;
  inherit (cfg.kernelPackages) kernel;
  kernelParam = types.strMatching ''([^"[:space:]]|"[^"]*")+'';
  initrdModules = cfg.initrd.availableKernelModules ++ cfg.initrd.kernelModules;
in
{
  options = {
    boot = {
      # The stand-in's own: a kernel update without a second package set.
      kernelVersion = option (types.nullOr types.str) null "The kernel's version, instead of `boot.kernelPackages`.";
      kernelPackages = option types.raw
        (if cfg.kernelVersion == null then pkgs.linuxPackages else pkgs.linuxPackagesFor cfg.kernelVersion)
        "The kernel and its modules.";
      kernelParams = option (types.listOf kernelParam) [ ] "Parameters of the kernel.";
      kernelModules = strings "Modules loaded at boot.";
      extraModulePackages = option (types.listOf types.package) [ ] "Packages with more modules.";
      supportedFilesystems = option
        (with types; coercedTo (listOf str) (names: lib.genAttrs names (_: true)) (attrsOf bool)) { } "File systems.";
      consoleLogLevel = option types.int 4 "The log level of the console.";
      isContainer = option types.bool false "Whether the system is a container, without a kernel of its own.";
      tmp = {
        cleanOnBoot = option types.bool false "Whether /tmp is emptied at boot.";
        useTmpfs = option types.bool false "Whether /tmp is a tmpfs.";
      };
      initrd = {
        enable = option types.bool (!cfg.isContainer) "Whether there is an initrd.";
        availableKernelModules = strings "Modules in the initrd.";
        kernelModules = strings "Modules loaded by the initrd.";
        systemd.enable = option types.bool true "Whether systemd runs in the initrd.";
      };
      loader = {
        systemd-boot = {
          enable = option types.bool false "Whether systemd-boot is the boot loader.";
          configurationLimit = option (types.nullOr types.int) null "How many generations the menu shows.";
        };
        efi.canTouchEfiVariables = option types.bool false "Whether EFI variables may be changed.";
        efi.efiSysMountPoint = option types.str "/boot" "Where the EFI system partition is mounted.";
        grub = {
          enable = option types.bool (!cfg.isContainer && !cfg.loader.systemd-boot.enable) "Whether GRUB boots it.";
          device = option types.str "" "Where GRUB is installed.";
          devices = strings "Where GRUB is installed.";
          efiSupport = option types.bool false "Whether GRUB is for EFI.";
        };
        timeout = option (types.nullOr types.int) 5 "Seconds before the default entry boots.";
      };
      kernel.sysctl = option (with types; lazyAttrsOf (nullOr (oneOf [ bool int str ]))) { } "Kernel settings.";
    };
    system.modulesTree = option types.raw kernel "The tree of kernel modules." // { internal = true; };
  };

  config = {
    system.build.initialRamdisk = pkgs.runCommand "initrd-${kernel.name}" { } ''
      mkdir "$out"
      echo ${lib.escapeShellArg "initrd for ${kernel} with ${toString initrdModules}"} > "$out/initrd"
    '';
    boot.kernelParams = lib.mkAfter [ "loglevel=${toString cfg.consoleLogLevel}" ];
    environment.etc = {
      "closure-testbed/sysctl.conf".text =
        lib.generators.toKeyValue { } (lib.mapAttrs (_: v: if v == true then 1 else if v == false then 0 else v)
          (lib.filterAttrs (_: v: v != null) cfg.kernel.sysctl));
      "closure-testbed/modules".text = lib.concatLines cfg.kernelModules;
    };
    system.rebootTriggers = lib.mkIf (!cfg.isContainer) {
      kernel = "${kernel}";
      kernel-params = lib.concatStringsSep "," cfg.kernelParams;
    };
  };
}
