# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# The directory of a nixpkgs: { path }, { url, sha256 }, or { pin } with the path of a file. Such files
# are {"pins": {"nixpkgs": {url, hash}}} of npins, {"nixpkgs": {url, sha256}} of niv, and
# {url, sha256} of ours.
{ path ? null, url ? null, sha256 ? null, pin ? null }:
let
  pins = builtins.fromJSON (builtins.readFile pin);
  pinned = pins.pins.nixpkgs or pins.nixpkgs or pins;
  hash = pinned.sha256 or pinned.hash or null;
in
if path != null then path
else if url != null then builtins.fetchTarball { inherit url sha256; }
else if pinned.url or null == null || hash == null then throw "closure.nixos: no pin in ${pin}"
else builtins.fetchTarball { inherit (pinned) url; sha256 = hash; }
