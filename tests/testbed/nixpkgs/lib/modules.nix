# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# The module system: collect the modules, push conditions down to single definitions, merge by option type.
{ lib }:
let
  inherit (lib)
    concatMap isAttrs isFunction isOption mapAttrs showDefs showFiles showOption optional optionalAttrs zipAttrsWith;

  defaultPriority = 100;
  defaultOrder = 1000;
  typeOf = x: x._type or null;
  isPathLike = x: builtins.isPath x || builtins.isString x;

  # --- from a module as written to { file, key, imports, disabled, options, config } ---

  # Arguments are looked up by the names the function asks for, each lazily: `config._module.args` needs the
  # very modules that ask for it.
  applyModule = args: key: f:
    let
      lookup = name: _: args.${name} or (builtins.addErrorContext
        "while evaluating the module argument `${name}' in \"${key}\":" args.config._module.args.${name});
    in f (args // mapAttrs lookup (lib.functionArgs f));
  functionArgsOf = f: f.__functionArgs or (builtins.functionArgs (if f ? __functor then f.__functor f else f));

  structuredAttrs = [ "_class" "_file" "key" "disabledModules" "imports" "options" "config" "meta" "freeformType" ];
  shorthandAttrs = [ "_class" "_file" "key" "disabledModules" "imports" "require" "freeformType" ];

  unify = file: key: m:
    let
      structured = m ? config || m ? options;
      unsupported = removeAttrs m structuredAttrs;
      freeform = optional (m ? freeformType) { _module = { inherit (m) freeformType; }; };
      body = if structured then (m.config or { }) else removeAttrs m shorthandAttrs;
      meta = optional (structured && m ? meta) { inherit (m) meta; };
    in
    if structured && unsupported != { } then
      throw ("Module `${key}' has an unsupported attribute `${builtins.head (lib.attrNames unsupported)}'. "
        + "This is caused by introducing a top-level `config' or `options' attribute. Add configuration attributes "
        + "immediately on the top level instead, or move all of them (namely: ${toString (lib.attrNames unsupported)}) "
        + "into the explicit `config' attribute.")
    else {
      file = toString (m._file or file);
      key = toString (m.key or key);
      imports = m.require or [ ] ++ m.imports or [ ];
      disabled = m.disabledModules or [ ];
      options = m.options or { };
      config = if freeform ++ meta == [ ] then body else mkMerge ([ body ] ++ freeform ++ meta);
    };

  loadModule = args: file: key: m:
    if isFunction m then unify file key (applyModule args key m)
    else if isAttrs m then
      unify file key (if builtins.elem (typeOf m) [ "if" "override" "merge" ] then { config = m; } else m)
    else if isPathLike m then
      let path = toString m; content = import m; in
      unify path path (if isFunction content then applyModule args path content else content)
    else throw "The module `${key}' in `${file}' is a ${builtins.typeOf m}; it must be a set, a function or a path.";

  # genericClosure drops a module whose key was seen: a file imported from many places counts once.
  collectModules = args: modules:
    let
      load = parentFile: parentKey: lib.imap1 (n: loadModule args parentFile "${parentKey}:anon-${toString n}");
      closure = keep: builtins.genericClosure {
        startSet = keep (load "<unknown-file>" "" modules);
        operator = m: keep (load m.file m.key m.imports);
      };
      all = closure lib.id;
      disabledKey = x: if isAttrs x then x.key else if isPathLike x && lib.hasPrefix "/" (toString x) then toString x
        else "${args.modulesPath or ""}/${x}";
      disabled = map disabledKey (concatMap (m: m.disabled) all);
    in if disabled == [ ] then all else closure (lib.filter (m: !builtins.elem m.key disabled));

  # --- properties ---

  # A condition around an attribute set moves to its attributes, so that names are known before conditions are.
  pushDown = loc: file: config:
    let toEach = wrap: map (mapAttrs (_: wrap)) (pushDown loc file config.content); in
    if typeOf config == "merge" then concatMap (pushDown loc file) config.contents
    else if typeOf config == "if" then toEach (mkIf config.condition)
    else if typeOf config == "override" then toEach (mkOverride config.priority)
    else if isAttrs config then [ config ]
    else throw ("You're trying to define a value of type `${builtins.typeOf config}' rather than an attribute set "
      + "for the option\n`${showOption loc}'!\n\nThis usually happens if `${showOption loc}' has option definitions "
      + "inside that are not matched. Definition values:${showDefs [ { inherit file; value = config; } ]}");

  discharge = def:
    let with' = value: def // { inherit value; }; in
    if typeOf def.value == "merge" then concatMap (v: discharge (with' v)) def.value.contents
    else if typeOf def.value == "if" then
      if !builtins.isBool def.value.condition then
        throw "`mkIf' called with a non-Boolean condition in `${def.file}'."
      else lib.optionals def.value.condition (discharge (with' def.value.content))
    else [ def ];

  priorityOf = def: if typeOf def.value == "override" then def.value.priority else defaultPriority;
  strip = kind: def: if typeOf def.value == kind then def // { value = def.value.content; } else def;
  highestPriority = lib.foldl' (acc: def: lib.min acc (priorityOf def)) 9999;
  orderOf = def: if typeOf def.value == "order" then def.value.priority else defaultOrder;
  inOrder = defs:
    if lib.any (def: typeOf def.value == "order") defs
    then map (strip "order") (lib.sort (a: b: orderOf a < orderOf b) defs)
    else defs;

  # --- merging ---

  mergeDefinitions = loc: type: rawDefs: rec {
    discharged = concatMap (def: builtins.addErrorContext "while evaluating definitions from `${def.file}':" (discharge def))
      rawDefs;
    highestPrio = highestPriority discharged;
    defs = inOrder (map (strip "override") (lib.filter (def: priorityOf def == highestPrio) discharged));
    isDefined = defs != [ ];
    wrong = lib.filter (def: !type.check def.value) defs;
    value =
      if !isDefined then
        throw "The option `${showOption loc}' is used but not defined."
      else if wrong != [ ] then
        throw ("A definition for option `${showOption loc}' is not of type `${type.description}'. "
          + "Definition values:${showDefs wrong}")
      else type.merge loc defs;
  };

  mergeDeclarations = loc: decls:
    let
      combine = acc: decl:
        let
          merged = if acc.type.name == decl.type.name then acc.type.typeMerge decl.type else null;
          clash = lib.attrNames (removeAttrs (builtins.intersectAttrs acc decl) [ "_type" "type" "declarations" ]);
        in
        if merged == null || clash != [ ] then
          throw ("The option `${showOption loc}' in ${showFiles decl.declarations} is already declared in "
            + "${showFiles acc.declarations}.")
        else acc // decl // { type = merged; declarations = acc.declarations ++ decl.declarations; };
      normal = map (d: { type = lib.types.unspecified; } // d.options // { declarations = [ d.file ]; }) decls;
    in lib.foldl' combine (builtins.head normal) (builtins.tail normal);

  evalOption = loc: decls: userDefs:
    let
      opt = mergeDeclarations loc decls;
      default = optional (opt ? default) {
        file = builtins.head opt.declarations;
        value = mkOptionDefault opt.default;
      };
      merged = mergeDefinitions loc opt.type (userDefs ++ default);
      value =
        if opt.readOnly or false && builtins.length merged.discharged > 1 then
          throw ("The option `${showOption loc}' is read-only, but it's set multiple times. "
            + "Definition values:${showDefs merged.discharged}")
        else merged.value;
    in
    opt // {
      inherit loc;
      inherit (merged) isDefined highestPrio;
      value = builtins.addErrorContext "while evaluating the option `${showOption loc}':"
        ((opt.apply or lib.id) value);
      definitions = map (def: def.value) merged.defs;
      definitionsWithLocations = merged.defs;
      files = map (def: def.file) merged.defs;
    };

  # decls: [{ file, options }], defs: [{ file, value }], both for the set at `prefix`.
  # Gives { options, config, unmatched }; unmatched: [{ file, prefix, value }].
  mergeTree = prefix: decls: defs:
    let
      declsOf = d: mapAttrs (_: options: { inherit (d) file; inherit options; }) d.options;
      defsOf = d: map (mapAttrs (_: value: { inherit (d) file; inherit value; })) (pushDown prefix d.file d.value);
      declsByName = zipAttrsWith (_: lib.id) (map declsOf decls);
      defsByName = zipAttrsWith (_: lib.id) (concatMap defsOf defs);
      mergeName = name: declsHere:
        let
          loc = prefix ++ [ name ];
          defsHere = defsByName.${name} or [ ];
          leaves = lib.partition (d: isOption d.options) declsHere;
          files = ds: showFiles (map (d: d.file) ds);
          opt = evalOption loc declsHere defsHere;
        in
        if leaves.wrong == [ ] then { options = opt; config = opt.value; unmatched = [ ]; }
        else if leaves.right == [ ] then mergeTree loc declsHere defsHere
        else throw ("The option `${showOption loc}' in ${files leaves.right} is a prefix of options in "
          + "${files leaves.wrong}.");
      merged = mapAttrs mergeName declsByName;
      unknown = removeAttrs defsByName (lib.attrNames declsByName);
    in
    {
      options = mapAttrs (_: m: m.options) merged;
      config = mapAttrs (_: m: m.config) merged;
      unmatched = concatMap (m: m.unmatched) (lib.attrValues merged)
        ++ lib.concatLists (lib.mapAttrsToList (n: map (def: def // { prefix = prefix ++ [ n ]; })) unknown);
    };

  unknownOption = defs:
    let
      first = builtins.head defs;
      here = lib.filter (def: def.prefix == first.prefix) defs;
    in throw "The option `${showOption first.prefix}' does not exist. Definition values:${showDefs here}";

  internalModule = { config, ... }: {
    _file = "lib/modules.nix";
    key = "lib/modules.nix";
    options._module = {
      args = mkInternal { type = lib.types.lazyAttrsOf lib.types.raw; default = { }; };
      check = mkInternal { type = lib.types.bool; default = true; };
      freeformType = mkInternal { type = lib.types.nullOr lib.types.raw; default = null; };
    };
  };
  mkInternal = attrs: lib.mkOption ({ internal = true; } // attrs);

  evalModules = { modules, specialArgs ? { }, prefix ? [ ], class ? null, ... }@evalArgs:
    let
      args = { inherit lib specialArgs extendModules; inherit (result) options; config = whole; } // specialArgs;
      # Later modules first: nixpkgs puts the definitions of an importing module behind those of its imports.
      collected = lib.reverseList (collectModules args (modules ++ [ internalModule ]));
      result = mergeTree prefix
        (map (m: { inherit (m) file options; }) collected)
        (map (m: { inherit (m) file; value = m.config; }) collected);
      freeformType = result.config._module.freeformType;
      relative = def: {
        inherit (def) file;
        value = lib.setAttrByPath (lib.drop (builtins.length prefix) def.prefix) def.value;
      };
      freeform = mergeDefinitions prefix freeformType (map relative result.unmatched);
      whole = if freeformType == null || result.unmatched == [ ] then result.config
        else lib.recursiveUpdate freeform.value result.config;
      known = x:
        if result.config._module.check && freeformType == null && result.unmatched != [ ]
        then unknownOption result.unmatched else x;
      extendModules = { modules ? [ ], specialArgs ? { } }: evalModules (evalArgs // {
        modules = evalArgs.modules ++ modules;
        specialArgs = evalArgs.specialArgs or { } // specialArgs;
      });
    in
    {
      inherit extendModules class;
      _type = "configuration";
      _module = result.config._module;
      options = known (removeAttrs result.options [ "_module" ]);
      config = known (removeAttrs whole [ "_module" ]);
    };

  mkIf = condition: content: { _type = "if"; inherit condition content; };
  mkMerge = contents: { _type = "merge"; inherit contents; };
  mkOverride = priority: content: { _type = "override"; inherit priority content; };
  mkOrder = priority: content: { _type = "order"; inherit priority content; };
  mkOptionDefault = mkOverride 1500;

  # An alias reads and writes through to another option; `warnFrom` is called with its definitions' files.
  aliasModule = { from, to, warning ? null }: { config, options, ... }:
    let opt = lib.getAttrFromPath from options; in {
      options = lib.setAttrByPath from (lib.mkOption {
        type = lib.types.unspecified;
        description = "Alias of `${showOption to}'.";
        apply = _: lib.getAttrFromPath to config;
      });
      config = mkMerge ([
        (lib.setAttrByPath to (mkIf opt.isDefined (mkMerge opt.definitions)))
      ] ++ optional (warning != null) { warnings = optional opt.isDefined (warning opt.files); });
    };
in
{
  inherit evalModules mergeDefinitions mkIf mkMerge mkOverride mkOrder mkOptionDefault defaultPriority;
  functionArgs = functionArgsOf;
  mkDefault = mkOverride 1000;
  mkImageMediaOverride = mkOverride 60;
  mkForce = mkOverride 50;
  mkVMOverride = mkOverride 10;
  mkBefore = mkOrder 500;
  mkAfter = mkOrder 1500;
  mkAssert = assertion: message: content: if assertion then content else throw "\nFailed assertion: ${message}";
  setDefaultModuleLocation = file: m: { _file = file; imports = [ m ]; };
  mkAliasOptionModule = from: to: aliasModule { inherit from to; };
  mkRenamedOptionModule = from: to: aliasModule {
    inherit from to;
    warning = files:
      "The option `${showOption from}' defined in ${showFiles files} has been renamed to `${showOption to}'.";
  };
  mkRemovedOptionModule = from: instructions: { options, ... }:
    let opt = lib.getAttrFromPath from options; in {
      options = lib.setAttrByPath from (lib.mkOption {
        visible = false;
        apply = _:
          throw "The option `${showOption from}' can no longer be used since it's been removed. ${instructions}";
      });
      config.assertions = [ {
        assertion = !opt.isDefined;
        message = "The option definition `${showOption from}' in ${showFiles opt.files} no longer has any effect; "
          + "please remove it.\n${instructions}";
      } ];
    };
}
