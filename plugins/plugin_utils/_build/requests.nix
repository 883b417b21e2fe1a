# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# The data that we were given, and the system that each of its requests means.
{ closure, expression }:
let
  inherit (builtins) elemAt filter functionArgs head intersectAttrs isAttrs isFunction tail;
  data = builtins.fromJSON (builtins.readFile "${closure}/data.json");
  values = map (import ./source.nix { inherit expression; }) data.sources;

  # nix-build's rule: a function is called with its defaults, and with those arguments that it names
  # (nix, libexpr/eval.cc, autoCallFunction).
  call = args: value:
    let names = functionArgs value; in
    if !isFunction value then value
    else value (if names == { } then args else intersectAttrs names args);
  leads = args: value: names:
    let set = call args value; name = head names; in
    names == [ ] || isAttrs set && set ? ${name} && leads args set.${name} (tail names);
  follow = args: value: names:
    let set = call args value; name = head names; in
    if names == [ ] then set
    else if isAttrs set && set ? ${name} then follow args set.${name} (tail names)
    else throw "closure.nixos: no attribute ${builtins.toJSON {
      inherit name;
      among = if isAttrs set then builtins.attrNames set else [ ];
    }}";

  # What nixpkgs' nixos/default.nix and lib.nixosSystem return, or a toplevel itself.
  isSystem = x: isAttrs x && (x.type or null == "derivation" || x ? config && x ? options);
  # No further than the first: those behind it may not evaluate.
  firstOf = test: list:
    if list == [ ] then [ ] else if test (head list) then [ (head list) ] else firstOf test (tail list);

  systemOf = n:
    let
      inherit (elemAt data.requests n) source host attrs args special;
      value = elemAt values source;
      there = leads args value;
      whole = follow args value [ ];
      # Without a path it is all of the value, or what has the host's name in it.
      paths = if attrs != [ ] then attrs else if isSystem whole then [ [ ] ] else [ [ host ] ];
      chosen = head (
        firstOf (names: there names && isSystem (follow args value names)) paths
        ++ firstOf there paths
        ++ paths
      );
      system = follow args value chosen;
    in
    if special == { } then system
    else if system ? extendModules then system.extendModules { specialArgs = special; }
    else throw "closure.nixos: no extendModules";
in
{
  inherit data systemOf;
}
