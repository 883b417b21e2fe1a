# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# What all hosts have in common.
{ pkgs, ... }:
{
  # Take these from the hardware-configuration.nix that nixos-generate-config wrote on your hosts.
  boot.loader.systemd-boot.enable = true;
  fileSystems."/" = { device = "/dev/disk/by-label/nixos"; fsType = "ext4"; };
  fileSystems."/boot" = { device = "/dev/disk/by-label/boot"; fsType = "vfat"; };

  services.openssh.enable = true;
  # Put the controller's key here, or the first deployment is the last.
  users.users.root.openssh.authorizedKeys.keys = [ ];

  users.motd = "This host is deployed with closure.nixos: change it in version control.";
  environment.systemPackages = [ pkgs.htop ];
  time.timeZone = "UTC";
  system.stateVersion = "25.11";
}
