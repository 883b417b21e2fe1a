# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
{ lib }:
let
  inherit (lib) mergeEqualOption mergeOneOption getValues isAttrs isList isString isFunction concatMapStringsSep;
  inherit (lib.modules) mergeDefinitions evalModules;

  mkOptionType = attrs: {
    _type = "option-type";
    description = attrs.name;
    check = _: true;
    merge = mergeOneOption;
    emptyValue = { };
    getSubOptions = _: { };
    nestedTypes = { };
    # How the same type declared twice becomes one (nixpkgs lets a second module add submodule options).
    typeMerge = _: null;
  } // attrs;

  leaf = name: description: check: mkOptionType { inherit name description check; merge = mergeEqualOption; };
  container = name: elem: rebuild: attrs: mkOptionType ({
    inherit name;
    nestedTypes.elemType = elem;
    typeMerge = other:
      let merged = elem.typeMerge other.nestedTypes.elemType; in
      if merged == null then null else rebuild merged;
  } // attrs);
  mergeElem = loc: type: defs:
    let merged = mergeDefinitions loc type defs; in
    merged // { valueOrEmpty = if merged.isDefined then merged.value else type.emptyValue.value or merged.value; };
  joined = sep: name: mkOptionType {
    inherit name;
    description = "strings concatenated with ${builtins.toJSON sep}";
    check = isString;
    merge = _: defs: lib.concatStringsSep sep (getValues defs);
  };
  # Every attribute set of definitions becomes one definition per attribute.
  byName = defs: map (def: lib.mapAttrs (_: value: { inherit (def) file; inherit value; }) def.value) defs;
  attrsLike = name: description: pick: elem: container name elem (attrsLike name description pick) {
    description = "${description} of ${elem.description}";
    check = isAttrs;
    merge = loc: defs: pick (lib.zipAttrsWith (n: mergeElem (loc ++ [ n ]) elem) (byName defs));
    emptyValue.value = { };
    getSubOptions = prefix: elem.getSubOptions (prefix ++ [ "<name>" ]);
  };
  isPath = x: lib.isStringLike x && builtins.substring 0 1 (toString x) == "/";
  between = low: high: leaf "intBetween" "integer between ${toString low} and ${toString high} (both inclusive)"
    (x: builtins.isInt x && x >= low && x <= high);
in
rec {
  inherit mkOptionType;
  isType = tag: x: x._type or null == tag;
  isOptionType = isType "option-type";

  raw = mkOptionType { name = "raw"; description = "raw value"; };
  unspecified = mkOptionType { name = "unspecified"; description = "unspecified value"; merge = anything.merge; };
  bool = leaf "bool" "boolean" builtins.isBool;
  boolByOr = bool // { merge = _: defs: lib.any lib.id (getValues defs); };
  int = leaf "int" "signed integer" builtins.isInt;
  float = leaf "float" "floating point number" builtins.isFloat;
  number = either int float;
  ints = {
    inherit between;
    unsigned = leaf "unsignedInt" "unsigned integer, meaning >=0" (x: builtins.isInt x && x >= 0);
    positive = leaf "positiveInt" "positive integer, meaning >0" (x: builtins.isInt x && x > 0);
    u8 = between 0 255;
    u16 = between 0 65535;
    u32 = between 0 4294967295;
  };
  port = ints.u16 // { description = "16 bit unsigned integer; between 0 and 65535 (both inclusive)"; };
  str = leaf "str" "string" isString;
  nonEmptyStr = leaf "nonEmptyStr" "non-empty string" (x: isString x && builtins.match "[[:space:]]*" x == null);
  singleLineStr = leaf "singleLineStr" "(optionally newline-terminated) single-line string"
    (x: isString x && builtins.match "[^\n\r]*\n?" x != null) // {
      merge = loc: defs: lib.removeSuffix "\n" (mergeEqualOption loc defs);
    };
  strMatching = pattern: leaf "strMatching" "string matching the pattern ${pattern}"
    (x: isString x && builtins.match pattern x != null);
  separatedString = sep: joined sep "separatedString";
  lines = joined "\n" "lines";
  commas = joined "," "commas";
  envVar = joined ":" "envVar";
  commaSeparatedString = commas;
  path = leaf "path" "absolute path" isPath;
  pathInStore = leaf "pathInStore" "path in the Nix store" lib.isStorePath;
  package = mkOptionType {
    name = "package";
    check = x: lib.isDerivation x || lib.isStorePath x;
  };
  shellPackage = package;
  pkgs = mkOptionType { name = "pkgs"; description = "instance of nixpkgs"; check = isAttrs; };
  enum = values: mkOptionType {
    name = "enum";
    description = "one of ${concatMapStringsSep ", " (lib.generators.toPretty { }) values}";
    check = x: builtins.elem x values;
    merge = mergeEqualOption;
    functorPayload = values;
    typeMerge = other: enum (lib.unique (values ++ other.functorPayload));
  };
  attrs = mkOptionType {
    name = "attrs";
    description = "attribute set";
    check = isAttrs;
    merge = _: defs: lib.foldl' (a: b: a // b) { } (getValues defs);
    emptyValue.value = { };
  };

  nullOr = elem: container "nullOr" elem nullOr {
    description = "null or ${elem.description}";
    check = x: x == null || elem.check x;
    merge = loc: defs:
      let nulls = lib.filter (def: def.value == null) defs; in
      if nulls == [ ] then elem.merge loc defs
      else if nulls == defs then null
      else throw "The option `${lib.showOption loc}' is defined both null and not null:${lib.showDefs defs}";
    emptyValue.value = null;
    inherit (elem) getSubOptions;
  };
  listOf = elem: container "listOf" elem listOf {
    description = "list of ${elem.description}";
    check = isList;
    merge = loc: defs: map (e: e.value) (lib.filter (e: e.isDefined) (lib.concatLists (lib.imap1 (n: def:
      lib.imap1 (m: value: mergeElem (loc ++ [ "[definition ${toString n}-entry ${toString m}]" ]) elem
        [ { inherit (def) file; inherit value; } ]) def.value) defs)));
    emptyValue.value = [ ];
    getSubOptions = prefix: elem.getSubOptions (prefix ++ [ "*" ]);
  };
  nonEmptyListOf = elem: listOf elem // { check = x: isList x && x != [ ]; };
  # attrsOf must look at every definition to leave out names defined only under a false mkIf; lazyAttrsOf does
  # not look, so that one attribute may depend on another.
  attrsOf = attrsLike "attrsOf" "attribute set"
    (merged: lib.mapAttrs (_: e: e.value) (lib.filterAttrs (_: e: e.isDefined) merged));
  lazyAttrsOf = attrsLike "lazyAttrsOf" "lazy attribute set" (lib.mapAttrs (_: e: e.valueOrEmpty));
  either = a: b: mkOptionType {
    name = "either";
    description = "${a.description} or ${b.description}";
    check = x: a.check x || b.check x;
    merge = loc: defs:
      if lib.all (def: a.check def.value) defs then a.merge loc defs
      else if lib.all (def: b.check def.value) defs then b.merge loc defs
      else mergeOneOption loc defs;
    nestedTypes = { left = a; right = b; };
  };
  oneOf = ts: lib.foldr either (lib.last ts) (lib.init ts);
  coercedTo = from: f: to: mkOptionType {
    name = "coercedTo";
    description = "${to.description} or ${from.description} convertible to it";
    check = x: (from.check x && to.check (f x)) || to.check x;
    merge = loc: defs: to.merge loc
      (map (def: def // lib.optionalAttrs (from.check def.value) { value = f def.value; }) defs);
    inherit (to) emptyValue getSubOptions;
  };
  functionTo = elem: mkOptionType {
    name = "functionTo";
    description = "function that evaluates to ${elem.description}";
    check = isFunction;
    merge = loc: defs: arg: (mergeElem (loc ++ [ "<function body>" ]) elem
      (map (def: def // { value = def.value arg; }) defs)).value;
  };
  uniq = elem: elem // { merge = mergeOneOption; };
  unique = { message }: elem: elem // { merge = mergeOneOption; description = "${elem.description} (${message})"; };
  addCheck = elem: check: elem // { check = x: elem.check x && check x; };

  # Attribute sets and functions merge deeply, lists are joined, everything else must agree.
  anything = mkOptionType {
    name = "anything";
    merge = loc: defs:
      let
        kind = v: if lib.isStringLike v then "string" else builtins.typeOf v;
        kinds = lib.unique (map kind (getValues defs));
      in
      if builtins.length defs == 1 && kinds != [ "set" ] then (builtins.head defs).value
      else if kinds == [ "set" ] then (lazyAttrsOf anything).merge loc defs
      else if kinds == [ "list" ] then lib.concatLists (getValues defs)
      else if kinds == [ "lambda" ] then (functionTo anything).merge loc defs
      else mergeEqualOption loc defs;
  };

  submodule = modules: submoduleWith { modules = lib.toList modules; shorthandOnlyDefinesConfig = true; };
  deferredModule = mkOptionType {
    name = "deferredModule";
    description = "module";
    check = x: isAttrs x || isFunction x || isPath x;
    merge = loc: defs: {
      imports = map (def: lib.setDefaultModuleLocation "${def.file}, via option ${lib.showOption loc}" def.value) defs;
    };
  };
  submoduleWith = { modules, specialArgs ? { }, shorthandOnlyDefinesConfig ? false, description ? "submodule" }@args:
    let
      asModule = def:
        if shorthandOnlyDefinesConfig && isAttrs def.value then { _file = def.file; config = def.value; }
        else lib.setDefaultModuleLocation def.file def.value;
      # `name` is a default, so that a submodule may set its own.
      evalWith = prefix: extra: evalModules {
        inherit specialArgs prefix;
        modules = [ { _module.args.name = lib.mkOptionDefault (lib.last prefix); } ] ++ modules ++ extra;
      };
    in
    mkOptionType {
      name = "submodule";
      inherit description;
      check = x: isAttrs x || isFunction x || isPath x;
      merge = loc: defs: (evalWith loc (map asModule defs)).config;
      emptyValue.value = { };
      getSubOptions = prefix: (evalWith (if prefix == [ ] then [ "<name>" ] else prefix) [ ]).options;
      functorPayload = args;
      typeMerge = other: submoduleWith (args // { modules = modules ++ other.functorPayload.modules; });
    };
}
