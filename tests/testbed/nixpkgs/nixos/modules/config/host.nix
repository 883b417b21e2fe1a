# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Options that host modules set and that a fixture must not carry out on a borrowed Debian host. Each group is
# written as data to /etc/closure-testbed, so that a change of an option is a change of the system.
{ config, lib, pkgs, ... }:
let
  inherit (lib) mkOption types;
  option = type: default: description: mkOption { inherit type default description; };
  flag = default: option types.bool default;
  strings = option (types.listOf types.str) [ ];
  ports = option (types.listOf types.port) [ ];
  portRanges = option (types.listOf (types.attrsOf types.port)) [ ];
  data = option (types.attrsOf types.anything) { };
  nullOrStr = option (types.nullOr types.str) null;

  fileSystem = { name, config, ... }: {
    options = {
      mountPoint = option types.str name "Where the file system is mounted.";
      device = nullOrStr "The device." // {
        default = lib.mapNullable (label: "/dev/disk/by-label/${label}") config.label;
      };
      label = nullOrStr "The label of the device.";
      fsType = option types.nonEmptyStr "auto" "The type of the file system.";
      options = option (types.listOf types.nonEmptyStr) [ "defaults" ] "Mount options.";
      neededForBoot = flag false "Whether the initrd mounts it.";
      noCheck = flag false "Whether the check at boot is left out.";
      autoFormat = flag false "Whether an empty device is formatted.";
    };
  };
  swapDevice.options = {
    device = mkOption { type = types.str; description = "The device or file."; };
    size = option (types.nullOr types.int) null "The size in MiB, for a file.";
    priority = option (types.nullOr types.int) null "The priority.";
  };
  fstabLine = fs: "${toString fs.device} ${fs.mountPoint} ${fs.fsType} ${lib.concatStringsSep "," fs.options} 0 0";
  # systemd mounts what is in the host's own /etc/fstab. A container has neither block devices nor a say in its root.
  mountable = fs: fs.mountPoint != "/" && !lib.hasPrefix "/dev/" (toString fs.device);
  swapLine = s: "${s.device} none swap defaults 0 0";
  hostName = types.strMatching "^$|^[[:alnum:]]([[:alnum:]_-]{0,61}[[:alnum:]])?$";
  firewall = config.networking.firewall;
in
{
  options = {
    networking = {
      hostName = option hostName "nixos" "The name of the host.";
      domain = nullOrStr "The domain of the host.";
      fqdn = option types.str
        (if config.networking.domain == null then throw "The FQDN needs `networking.domain'."
        else "${config.networking.hostName}.${config.networking.domain}")
        "The full name of the host.";
      hostId = nullOrStr "The 32-bit id of the host.";
      useDHCP = flag true "Whether interfaces use DHCP.";
      useNetworkd = flag false "Whether systemd-networkd sets up the interfaces.";
      interfaces = data "Settings of single interfaces.";
      defaultGateway = option (types.nullOr (types.either types.str types.attrs)) null "The default gateway.";
      nameservers = strings "Name servers.";
      search = strings "Search domains.";
      hosts = option (types.attrsOf (types.listOf types.str)) { } "Names of addresses.";
      extraHosts = option types.lines "" "More lines of /etc/hosts.";
      networkmanager.enable = flag false "Whether NetworkManager is used.";
      firewall = {
        enable = flag true "Whether the firewall is on.";
        allowPing = flag true "Whether pings are answered.";
        allowedTCPPorts = ports "Open TCP ports." // { apply = ps: lib.sort (a: b: a < b) (lib.unique ps); };
        allowedUDPPorts = ports "Open UDP ports." // { apply = ps: lib.sort (a: b: a < b) (lib.unique ps); };
        allowedTCPPortRanges = portRanges "Open ranges of TCP ports.";
        allowedUDPPortRanges = portRanges "Open ranges of UDP ports.";
      };
    };
    fileSystems = option (types.attrsOf (types.submodule fileSystem)) { } "File systems.";
    swapDevices = option (types.listOf (types.submodule swapDevice)) [ ] "Swap devices.";
    time.timeZone = nullOrStr "The time zone.";
    i18n.defaultLocale = option types.str "en_US.UTF-8" "The locale.";
    console.keyMap = option (types.either types.str types.path) "us" "The keyboard map of the console.";
    hardware = {
      enableRedistributableFirmware = flag false "Whether firmware that may be passed on is there.";
      cpu.intel.updateMicrocode = flag false "Whether Intel microcode is updated.";
      cpu.amd.updateMicrocode = flag false "Whether AMD microcode is updated.";
    };
    documentation = {
      enable = flag true "Whether documentation is installed.";
      nixos.enable = flag true "Whether the manual is installed.";
    };
    security.sudo = {
      enable = flag true "Whether sudo is there.";
      wheelNeedsPassword = flag true "Whether members of wheel give a password.";
      extraRules = option (types.listOf types.anything) [ ] "More rules.";
    };
    nix = {
      enable = flag true "Whether Nix is there.";
      package = option types.package pkgs.nix "The Nix package.";
      settings = option (types.submodule {
        freeformType = with types;
          attrsOf (nullOr (oneOf [ bool int float str path package (listOf (oneOf [ str int path ])) ]));
      }) { } "Settings of nix.conf.";
      gc = {
        automatic = flag false "Whether old generations are collected.";
        dates = option (types.coercedTo types.str lib.singleton (types.listOf types.str)) [ "03:15" ] "When.";
        options = option types.str "" "Options of nix-collect-garbage.";
      };
      optimise.automatic = flag false "Whether the store is optimised.";
      nixPath = strings "The search path of Nix expressions.";
      registry = data "Flake registry entries.";
    };
    services.dbus = {
      enable = flag true "Whether D-Bus is there.";
      implementation = option (types.enum [ "dbus" "broker" ]) "dbus" "The implementation of the message bus.";
      packages = option (types.listOf types.path) [ ] "Packages with D-Bus files.";
    };
  };

  config = {
    system.switchInhibitors.dbus-implementation = config.services.dbus.implementation;
    # Deployers tell the bus of a system by this file; the unit does nothing.
    systemd.services.dbus-broker = lib.mkIf (config.services.dbus.implementation == "broker") {
      description = "Stand-in for dbus-broker";
      unitConfig.RefuseManualStart = true;
      serviceConfig = { Type = "oneshot"; ExecStart = "${pkgs.coreutils}/bin/true"; };
    };
    system.activationScripts.swap = lib.mkIf (config.swapDevices != [ ]) ''
      ${config.system.build.swap} on ${lib.escapeShellArgs (map (s: s.device) config.swapDevices)}
    '';
    environment.etc = {
      fstab.text = lib.concatLines
        (map fstabLine (lib.filter mountable (lib.attrValues config.fileSystems)) ++ map swapLine config.swapDevices);
      closure-testbed-fstab.text = lib.concatLines
        (map fstabLine (lib.attrValues config.fileSystems) ++ map swapLine config.swapDevices);
      "closure-testbed/firewall".text = lib.optionalString firewall.enable ''
        tcp ${toString firewall.allowedTCPPorts}
        udp ${toString firewall.allowedUDPPorts}
      '';
      "closure-testbed/nix.conf".text = lib.generators.toKeyValue {
        mkKeyValue = k: v: "${k} = ${if lib.isBool v then lib.boolToString v else toString v}";
      } config.nix.settings;
      "closure-testbed/options.json".text = builtins.toJSON {
        inherit (config) time i18n console hardware documentation;
        inherit (config.security) sudo;
        networking = removeAttrs config.networking [ "fqdn" ];
        nix = { inherit (config.nix) gc optimise nixPath; };
      };
    };
  };
}
