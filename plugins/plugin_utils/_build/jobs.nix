# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# The same for nix-eval-jobs: a set of derivations by host.
{ closure, expression ? null, ... }:
let
  inherit (import ./requests.nix { inherit closure expression; }) data systemOf;
  job = n: {
    name = (builtins.elemAt data.requests n).host;
    value = import ./toplevel.nix (systemOf n);
  };
in
builtins.listToAttrs (builtins.genList job (builtins.length data.requests))
