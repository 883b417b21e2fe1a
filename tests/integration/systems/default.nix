# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The systems of a test: a host's name with its module -> the host's name with what nixpkgs'
# nixos/default.nix makes of it.
builtins.mapAttrs (name: module:
  import ../../testbed/nixpkgs/nixos {
    configuration = {
      imports = [ module ];
      networking.hostName = name;
      system.stateVersion = "26.05";
    };
  })
