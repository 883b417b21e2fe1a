# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# What flake_lock in build.sh needs to know of the flake in data.json, and of what `nix flake metadata --json` has
# said of it, in the file metadata.
{ metadata ? null }:
let
  read = file: builtins.fromJSON (builtins.readFile file);
  flake = read ./data.json;
  said = read metadata;
  directory = said.locked.dir or said.resolved.dir or "";
  # With the lazy trees of Determinate Nix it may name no path, because nothing was copied to the store.
  tree = builtins.fetchTree (removeAttrs said.resolved [ "dir" ]);
  path = said.path or (builtins.path { name = "source"; path = tree.outPath; });
  lock = "${path}/${directory}/flake.lock";
  old = if builtins.pathExists lock then read lock else said.locks;

  # The node of an input a/b. One that follows another one has none of its own.
  nodeOf = lock: input:
    let
      names = builtins.filter builtins.isString (builtins.split "/" input);
      step = node: name: if builtins.isString node then lock.nodes.${node}.inputs.${name} or null else null;
    in
    builtins.foldl' step lock.root names;
  # Nix 2.8 writes what an input that is no flake is now in the place of what flake.nix says of it.
  isWhole = { name, was }: builtins.isString name && builtins.isString was;
  nodes = map (input: { name = nodeOf said.locks input; was = nodeOf old input; }) (builtins.attrNames flake.overrides);
  originals = builtins.listToAttrs (map ({ name, was }: { inherit name; value = { inherit (old.nodes.${was}) original; }; })
    (builtins.filter isWhole nodes));
in
{
  url = import ./flake_url.nix flake;
  inherit path directory;
  locks = said.locks // { nodes = builtins.mapAttrs (name: node: node // originals.${name} or { }) said.locks.nodes; };
}
