# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# The URL of a flake: of { url }, or of { root, url, trees } for one in a directory. Nix's command line looks for
# the Git tree that a path is in, builtins.getFlake does not: trees has the directories from root upwards, each
# with the URL of the flake if that one is the tree. Of a tree only what Git tracks counts.
{ url, root ? null, plain ? true, trees ? [ ], ... }:
let
  isTree = { directory, ... }: builtins.pathExists "${directory}/.git";
  tree = builtins.filter isTree trees;
  # Before 2.19 Nix does not decode a path in a URL (NixOS/nix#6614). The version does not tell: that of every
  # Lix is 2.18.3-lix here.
  decodes = plain || (builtins ? parseFlakeRef && (builtins.parseFlakeRef "path:/%20").path == "/ ");
  copied = (builtins.fetchTree { type = "path"; path = root; }).outPath;
in
if tree != [ ] then
  if decodes then (builtins.head tree).url else throw "closure.nixos: a path that is no URL"
else if decodes then url
else "path:${builtins.unsafeDiscardStringContext copied}"
