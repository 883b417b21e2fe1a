# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# The value of what a task names as the source of its systems, such as { file = "/srv/nixos.nix"; }.
{ expression }:
let
  kinds = {
    file = path: import path;
    expression = _text: expression;
    configuration = import ./configuration.nix;
    flake = import ./flake.nix;
  };
in
source:
let kind = builtins.head (builtins.attrNames source); in kinds.${kind} source.${kind}
