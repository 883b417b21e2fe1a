# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# A flake, as flake_url.nix takes it. With locked, the directory of a copy that is locked with other inputs
# (flake_lock in build.sh), it gets those, and is itself what it was, with its revision.
{ locked ? null, ... }@source:
let
  own = builtins.getFlake (import ./flake_url.nix source);
  inherit (builtins.getFlake "path:${locked}") inputs;
  outputs = (import "${locked}/flake.nix").outputs (inputs // { inherit self; });
  self = outputs // own.sourceInfo // {
    _type = "flake";
    inherit (own) outPath sourceInfo;
    inherit inputs outputs;
  };
in
if locked == null then own else self
