# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# The functions of nixpkgs' lib that host modules use, under their own names. Not a copy and not complete.
let
  parts = {
    trivial = import ./trivial.nix { inherit lib; };
    attrsets = import ./attrsets.nix { inherit lib; };
    lists = import ./lists.nix { inherit lib; };
    strings = import ./strings.nix { inherit lib; };
    options = import ./options.nix { inherit lib; };
    types = import ./types.nix { inherit lib; };
    modules = import ./modules.nix { inherit lib; };
    generators = import ./generators.nix { inherit lib; };
  };
  lib = parts
    // parts.trivial // parts.attrsets // parts.lists // parts.strings // parts.options // parts.modules;
in
lib
