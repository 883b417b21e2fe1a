# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
{ lib }:
let
  inherit (lib) concatMapStrings concatMapStringsSep;
  priorityHint =
    "Use `lib.mkForce value` or `lib.mkDefault value` to change the priority on any of these definitions.";
  distinct = defs: lib.unique (map (def: def.value) defs);
in
rec {
  mkOption = attrs: attrs // { _type = "option"; };
  isOption = x: x._type or null == "option";
  mkEnableOption = name: mkOption {
    type = lib.types.bool;
    default = false;
    example = true;
    description = "Whether to enable ${name}.";
  };
  mkPackageOption = pkgs: name: { default ? name, nullable ? false, ... }: mkOption {
    type = (if nullable then lib.types.nullOr else lib.id) lib.types.package;
    default = if default == null then null else lib.getAttrFromPath (lib.toList default) pkgs;
    description = "The ${lib.concatStringsSep "." (lib.toList name)} package to use.";
  };
  literalExpression = text: { _type = "literalExpression"; inherit text; };
  literalMD = literalExpression;
  literalExample = literalExpression;
  mdDoc = lib.id;

  showOptionPart = part:
    if builtins.match "[a-zA-Z_][a-zA-Z0-9_'-]*|<.*>|[*]" part != null then part else builtins.toJSON part;
  showOption = concatMapStringsSep "." showOptionPart;
  showFiles = concatMapStringsSep " and " (file: "`${file}'");
  # A value is shown only when that cannot throw: the error about a definition must not become another one.
  showDefs = concatMapStrings (def:
    let
      pretty = lib.generators.toPretty { multiline = false; depthLimit = 4; } def.value;
      cut = if builtins.stringLength pretty > 300 then "${builtins.substring 0 300 pretty} ..." else pretty;
      shown = builtins.tryEval (builtins.deepSeq cut cut);
    in "\n- In `${def.file}'${lib.optionalString shown.success ": ${shown.value}"}");

  mergeEqualOption = loc: defs:
    if builtins.length (distinct defs) == 1 then (builtins.head defs).value
    else throw "The option `${showOption loc}' has conflicting definition values:${showDefs defs}\n${priorityHint}";
  mergeOneOption = loc: defs:
    if builtins.length defs == 1 then (builtins.head defs).value
    else throw ("The option `${showOption loc}' is defined multiple times while it's expected to be unique.\n"
      + "Definition values:${showDefs defs}\n${priorityHint}");
  getValues = map (def: def.value);
}
