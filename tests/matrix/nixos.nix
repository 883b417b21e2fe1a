# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The systems of one run: a variant, a host -> its system. A word makes them new to every store.
let
  word = builtins.readFile ./word;
  system = variant: host: import ./nixpkgs/nixos {
    configuration = { pkgs, ... }: {
      boot.loader.systemd-boot.enable = true;
      networking.hostName = host;
      environment.etc."closure-testbed/variant".text = "${variant} ${word}\n";
      systemd.services.variant = {
        wantedBy = [ "multi-user.target" ];
        serviceConfig.ExecStart = "${pkgs.busybox}/bin/sleep 1000000";
        environment.VARIANT = variant;
      };
    };
  };
  each = names: value: builtins.listToAttrs (map (name: { inherit name; value = value name; }) names);
in
each [ "ssh" "ssh-ng" "archive" "deployed" ] (variant: each [ "bookworm" "trixie" "sid" ] (system variant))
