# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# A system that no store has, by its word.
{ pkgs, word, ... }: {
  boot.loader.systemd-boot.enable = true;
  networking.hostName = "node1";
  environment.etc."os-release".text = "ID=nixos";
  environment.etc."closure-testbed/word".text = "${word}\n";
  systemd.services.target = {
    wantedBy = [ "multi-user.target" ];
    serviceConfig.ExecStart = "${pkgs.busybox}/bin/sleep 1000000";
    environment.WORD = word;
  };
}
