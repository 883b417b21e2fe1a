# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The systems of a colmena hive by name, for those who come over: a nixos.nix of the one line
# `import ./hive-systems.nix ./hive.nix`, with this file as hive-systems.nix, makes of a hive what the
# role deploy builds. The hive's format: https://colmena.cli.rs/stable/reference/meta.html
hive:
let
  raw = if builtins.isAttrs hive then hive else import hive;
  called = if builtins.isFunction raw then raw { } else raw;
  meta = called.meta or called.network or { };
  # A path, a function of one, or a package set that somebody has made already.
  packagesOf =
    nixpkgs:
    if builtins.isFunction nixpkgs then nixpkgs { }
    else if builtins.isAttrs nixpkgs && nixpkgs ? path then nixpkgs
    else import nixpkgs { };
  nodes = removeAttrs called [ "meta" "network" "defaults" ];
  deployment =
    { lib, ... }:
    {
      options.deployment = lib.mkOption {
        type = lib.types.submodule { freeformType = lib.types.attrsOf lib.types.anything; };
        default = { };
        description = "What the hive says of the deployment.";
      };
    };
  systemOf =
    name: module:
    let
      packages = packagesOf (meta.nodeNixpkgs.${name} or meta.nixpkgs);
      special = (meta.specialArgs or { }) // (meta.nodeSpecialArgs.${name} or { });
    in
    import "${toString packages.path}/nixos/lib/eval-config.nix" {
      inherit (packages) system;
      specialArgs = { inherit name; nodes = systems; } // special;
      modules = [
        deployment
        ({ lib, ... }: { networking.hostName = lib.mkDefault name; })
        (called.defaults or { })
        module
      ];
    };
  systems = builtins.mapAttrs systemOf nodes;
in
systems
