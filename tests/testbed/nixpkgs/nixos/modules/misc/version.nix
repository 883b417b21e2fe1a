# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
{ config, lib, pkgs, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.system.nixos;
  option = type: default: description: mkOption { inherit type default description; };
  internal = default: description: option types.str default description // { internal = true; };
in
{
  options.system = {
    nixos = {
      release = internal lib.trivial.release "The release." // { readOnly = true; };
      codeName = internal "Testbed" "The name of the release." // { readOnly = true; };
      distroId = internal "nixos" "The id of the distribution.";
      distroName = internal "NixOS" "The name of the distribution.";
      revision = option (types.nullOr types.str) null "The Git revision of nixpkgs.";
      versionSuffix = internal lib.trivial.versionSuffix "What follows the release in the version.";
      version = internal (cfg.release + cfg.versionSuffix) "The full version, such as 26.05.20260601.1234567.";
      tags = option (types.listOf types.str) [ ] "Strings put before the version in the label.";
      label = option (types.strMatching "[a-zA-Z0-9:_.-]*")
        (lib.concatStringsSep "-" (lib.sort (a: b: a < b) cfg.tags ++ [ cfg.version ]))
        "The name of the configuration in store paths and boot entries.";
    };
    stateVersion = option types.str cfg.release "The release whose defaults for stateful data the host keeps.";
    configurationRevision = option (types.nullOr types.str) null "The Git revision of the configuration.";
  };

  config.environment.systemPackages = [
    (pkgs.writeShellScriptBin "nixos-version" (
      let
        say = what: value:
          if value == null then "echo 'nixos-version: ${what} is unknown' >&2; exit 1"
          else "echo ${lib.escapeShellArg value}; exit 0";
        show = flag: what: value: "${flag}) ${say what value} ;;";
        json = lib.filterAttrs (_: v: v != null) {
          inherit (config.system) configurationRevision;
          nixosVersion = cfg.version;
          nixpkgsRevision = cfg.revision;
        };
      in
      ''
        case ''${1-} in
        ${show "--json" "version" (builtins.toJSON json)}
        ${show "--configuration-revision" "configuration revision" config.system.configurationRevision}
        ${show "--revision|--hash" "nixpkgs revision" cfg.revision}
        esac
        echo ${lib.escapeShellArg "${cfg.version} (${cfg.codeName})"}
      ''
    ))
  ];
}
