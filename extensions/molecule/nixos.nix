# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The systems of all scenarios, by scenario and host. Each has a service of its own, so that a
# scenario sees whose system runs.
let
  system =
    scenario: host:
    import ../../tests/testbed/nixpkgs/nixos {
      configuration =
        { pkgs, ... }:
        {
          boot.loader.systemd-boot.enable = true;
          networking.hostName = host;
          environment.etc.scenario.text = "${scenario}\n";
          systemd.services.scenario = {
            wantedBy = [ "multi-user.target" ];
            serviceConfig.ExecStart = "${pkgs.busybox}/bin/sleep 1000000";
            environment.SCENARIO = scenario;
          };
        };
    };
  hosts = scenario: builtins.listToAttrs (map (name: { inherit name; value = system scenario name; }) [ "node1" "new1" ]);
in
builtins.listToAttrs (map (name: { inherit name; value = hosts name; }) [ "default" "broken" "airgap" "secrets" "bootstrap" ])
