# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Hosts whose systems differ by what change.json says: a word, and in how many paths it is.
let
  change = builtins.fromJSON (builtins.readFile ./change.json);
  system =
    hostName:
    import "${change.nixpkgs}/nixos" {
      configuration =
        { pkgs, ... }:
        {
          networking = { inherit hostName; };
          nixpkgs.hostPlatform = "x86_64-linux";
          system.stateVersion = "26.05";
          environment.etc = builtins.listToAttrs (
            builtins.genList (number: {
              name = "bench/${toString number}";
              value.source = pkgs.writeText "bench-${toString number}" (
                builtins.concatStringsSep "\n" (builtins.genList (_: change.word) 4096)
              );
            }) change.paths
          );
          systemd.services.bench = {
            wantedBy = [ "multi-user.target" ];
            script = "exec sleep infinity # ${change.word}";
          };
        };
    };
in
builtins.listToAttrs (
  map (name: {
    inherit name;
    value = system name;
  }) change.hosts
)
