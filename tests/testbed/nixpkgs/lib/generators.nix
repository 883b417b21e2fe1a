# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
{ lib }:
let
  inherit (lib) boolToString concatStringsSep concatStrings mapAttrsToList isBool isList isAttrs isString;
in
rec {
  mkValueStringDefault = _: v:
    if isBool v then boolToString v
    else if v == null then "null"
    else if isAttrs v && !(lib.isStringLike v) || isList v then
      throw "generators.mkValueStringDefault: ${builtins.typeOf v} is not supported: ${builtins.toJSON v}"
    else toString v;
  mkKeyValueDefault = { mkValueString ? mkValueStringDefault { } }: sep: k: v:
    "${lib.escape [ sep ] k}${sep}${mkValueString v}";
  toKeyValue = { mkKeyValue ? mkKeyValueDefault { } "=", listsAsDuplicateKeys ? false, indent ? "" }: set:
    concatStrings (lib.concatLists (mapAttrsToList (k: v:
      map (x: "${indent}${mkKeyValue k x}\n") (if listsAsDuplicateKeys && isList v then v else [ v ])) set));
  toINI = { mkSectionName ? lib.id, mkKeyValue ? mkKeyValueDefault { } "=", listsAsDuplicateKeys ? false }: set:
    concatStringsSep "\n" (mapAttrsToList (section: values:
      "[${mkSectionName section}]\n" + toKeyValue { inherit mkKeyValue listsAsDuplicateKeys; } values) set);
  toJSON = _: builtins.toJSON;
  toYAML = toJSON;

  toPretty = { indent ? "", multiline ? true, depthLimit ? 10 }@args: v:
    let
      inner = args // { indent = "${indent}  "; depthLimit = depthLimit - 1; };
      wrap = open: close: items:
        if items == [ ] then "${open} ${close}"
        else if multiline then "${open}\n${concatStrings (map (i: "${inner.indent}${i}\n") items)}${indent}${close}"
        else "${open} ${concatStringsSep " " items} ${close}";
    in
    if depthLimit < 0 then "<...>"
    else if isString v then builtins.toJSON v
    else if v == null || isBool v then mkValueStringDefault { } v
    else if lib.isFunction v then "<function>"
    else if lib.isDerivation v then "<derivation ${v.name or "???"}>"
    else if isList v then wrap "[" "]" (map (toPretty inner) v)
    else if isAttrs v then wrap "{" "}" (mapAttrsToList (k: x: "${k} = ${toPretty inner x};") v)
    else toString v;
}
