# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
{ config, lib, pkgs, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.system.nixos;
  internal = default: mkOption { type = types.str; inherit default; readOnly = true; description = "Part of the version."; };
in
{
  options.system = {
    nixos = {
      release = internal lib.trivial.release;
      codeName = internal "Testbed";
      distroId = mkOption { type = types.str; default = "nixos"; internal = true; description = "The id of the distribution."; };
      distroName = mkOption { type = types.str; default = "NixOS"; internal = true; description = "The name of the distribution."; };
      revision = mkOption {
        type = types.nullOr types.str;
        default = null;
        internal = true;
        description = "The Git revision of nixpkgs.";
      };
      versionSuffix = mkOption {
        type = types.str;
        default = lib.trivial.versionSuffix;
        internal = true;
        description = "What follows the release in the version.";
      };
      version = mkOption {
        type = types.str;
        default = cfg.release + cfg.versionSuffix;
        internal = true;
        description = "The full version, such as 26.05.20260601.1234567.";
      };
      tags = mkOption { type = types.listOf types.str; default = [ ]; description = "Strings put before the version in the label."; };
      label = mkOption {
        type = types.strMatching "[a-zA-Z0-9:_.-]*";
        default = lib.concatStringsSep "-" (lib.sort (a: b: a < b) cfg.tags ++ [ cfg.version ]);
        description = "The name of the configuration in store paths and boot entries.";
      };
    };
    stateVersion = mkOption {
      type = types.str;
      default = cfg.release;
      description = "The release whose defaults for stateful data the host keeps.";
    };
    configurationRevision = mkOption {
      type = types.nullOr types.str;
      default = null;
      description = "The Git revision of the configuration.";
    };
  };

  config.environment.systemPackages = [
    (pkgs.writeShellScriptBin "nixos-version" (
      let
        show = option: what: value: ''
          ${option})
            ${if value == null then "echo 'nixos-version: ${what} is unknown' >&2; exit 1" else "echo ${lib.escapeShellArg value}; exit 0"} ;;
        '';
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
