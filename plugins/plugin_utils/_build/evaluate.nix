# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Evaluates a part of a share of data.json, one unit after another, and says of each what was found
# as soon as it is known. So an error that ends all of it costs the unit that has it, and no other.
# Numbers come as texts: --argstr is all that nix-instantiate has for what is no Nix.
{
  closure, # the directory of this file and of data.json
  goal, # the file that is asked of each system
  share, # the number of the share
  from, # the first unit of it to evaluate
  count, # how many at most
  expression ? null, # what the user wrote
  ...
}:
let
  inherit (import ./requests.nix { inherit closure expression; }) data systemOf;
  number = builtins.fromJSON;
  ask = import (./. + "/${goal}.nix");
  units = builtins.elemAt data.shares (number share);
  first = number from;
  last = let left = builtins.length units - first; in if number count < left then number count else left;

  say = word: builtins.trace "closure.nixos: ${word}";
  # `next` is where to go on if this unit ends the evaluation.
  answer = position: unit: system:
    say "begin ${toString position} ${toString unit.next}" (
      say "found ${toString position} ${builtins.toJSON (ask unit.asked system)}" null
    );
  # Units of one request stand together and share its system, which is forgotten behind them.
  step = before: offset:
    let
      position = first + offset;
      unit = builtins.elemAt units position;
      system = if before.request == unit.request then before.system else systemOf unit.request;
    in
    builtins.seq (answer position unit system) { inherit (unit) request; inherit system; };
in
builtins.seq (builtins.foldl' step { request = null; system = null; } (builtins.genList (n: n) last)) null
