# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# What the web servers have in common.
{ pkgs, ... }:
let
  page = pkgs.writeTextDir "index.html" ''
    Welcome
  '';
in
{
  networking.firewall.allowedTCPPorts = [ 80 ];

  systemd.services.site = {
    description = "The site";
    wantedBy = [ "multi-user.target" ];
    serviceConfig.ExecStart = "${pkgs.busybox}/bin/httpd -f -p 80 -h ${page}";
  };

  environment.systemPackages = [
    # health.yml calls it on the host before a new system is confirmed.
    (pkgs.writeShellScriptBin "health-check" ''
      exec ${pkgs.busybox}/bin/wget -q -O - http://127.0.0.1/
    '')
  ];
}
