# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# What evaluate.nix finds of an option of a system, { names, details }. Without names: whether the
# system has options at all, and evaluates as far as that.
{ names ? null, details ? false }: system:
let
  inherit (builtins) attrNames elemAt genList head isAttrs isFunction isList length tail;
  isOption = x: x._type or null == "option";
  isText = x: x ? outPath || x ? __toString;
  tried = x: let it = builtins.tryEval x; in if it.success then it.value else null;
  firstOf = f: list:
    if list == [ ] then null
    else let found = f (head list); in if found != null then found else firstOf f (tail list);

  # What JSON cannot hold, before builtins.toJSON meets it, whose error nothing can catch. A set that
  # has a function is not looked into: it may be all of nixpkgs, where some packages do not evaluate.
  problem = depth: at: x:
    let
      members =
        if isAttrs x then map (name: { at = "${at}.${name}"; value = tried x.${name}; }) (attrNames x)
        else genList (n: { at = "${at}.${toString n}"; value = tried (elemAt x n); }) (length x);
      function = it: if isFunction it.value then "a function at ${it.at}" else null;
    in
    if isFunction x then "a function${if at == "" then "" else " at ${at}"}"
    else if !(isAttrs x || isList x) || isAttrs x && isText x then null
    else if depth > 20 then "too deep a set"
    else
      let found = firstOf function members; in
      if found != null then found else firstOf (it: problem (depth + 1) it.at it.value) members;
  plain = x:
    if isAttrs x then if isText x then toString x else builtins.mapAttrs (_: plain) x
    else if isList x then map plain x
    else if builtins.isPath x then toString x
    else x;
  json = x: let p = problem 0 "" x; in if p == null then { value = plain x; } else { problem = p; };

  text = x: if x ? text then x.text else if builtins.isString x then x else null;
  safe = x: tried (builtins.deepSeq x x);
  files = map (x: toString x.file or x);
  about = opt: {
    type = safe (opt.type.description or opt.type.name or null);
    default =
      if opt ? defaultText then safe (text opt.defaultText)
      else safe ((json opt.default or null).value or null);
    description = safe (text opt.description or null);
    declared_in = safe (files opt.declarations or [ ]);
    defined_in = safe (files opt.files or [ ]);
  };

  into = names: x:
    let name = head names; in
    if names == [ ] then json x
    else if isAttrs x && x ? ${name} then into (tail names) x.${name}
    else { missing = name; among = if isAttrs x then attrNames x else [ ]; };
  find = names: x:
    let name = head names; in
    if isOption x then into names x.value // (if details then about x else { })
    else if names == [ ] then { among = attrNames x; }
    else if x ? ${name} then find (tail names) x.${name}
    else { missing = name; among = attrNames x; };
in
if !(system ? options) then throw "closure.nixos: no options"
else if names == null then builtins.seq system.options { }
else find names system.options
