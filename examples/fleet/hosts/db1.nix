# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

{ pkgs, ... }:
{
  networking.firewall.allowedTCPPorts = [ 6379 ];

  # A toy that stores nothing: it answers with what it gets. Yours may be
  # services.postgresql.enable = true;
  systemd.sockets.database = {
    description = "The database's port";
    wantedBy = [ "sockets.target" ];
    listenStreams = [ "6379" ];
    socketConfig.Accept = true;
  };
  systemd.services."database@" = {
    description = "The database";
    serviceConfig = {
      ExecStart = "${pkgs.busybox}/bin/cat";
      StandardInput = "socket";
    };
  };

  environment.systemPackages = [
    # deploy.yml calls it on the host after each deployment.
    (pkgs.writeShellScriptBin "health-check" ''
      answer=$(echo ping | ${pkgs.busybox}/bin/nc -w 5 127.0.0.1 6379)
      [ "$answer" = ping ]
    '')
  ];
}
