# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Generation 1 of the hosts: what a freshly installed NixOS runs before its first deployment.
import ./nixpkgs/nixos {
  configuration = {
    system.stateVersion = "25.11";
    boot.loader.systemd-boot.enable = true;
    services.openssh.enable = true;
  };
}
