# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
{ lib }:
rec {
  inherit (builtins)
    attrNames attrValues hasAttr getAttr isAttrs listToAttrs intersectAttrs removeAttrs catAttrs
    mapAttrs zipAttrsWith;

  nameValuePair = name: value: { inherit name value; };
  mapAttrs' = f: set: listToAttrs (map (n: f n set.${n}) (attrNames set));
  mapAttrsToList = f: set: map (n: f n set.${n}) (attrNames set);
  attrsToList = mapAttrsToList nameValuePair;
  concatMapAttrs = f: set: builtins.foldl' (a: b: a // b) { } (mapAttrsToList f set);
  filterAttrs = pred: set:
    removeAttrs set (builtins.filter (n: !pred n set.${n}) (attrNames set));
  genAttrs = names: f: listToAttrs (map (n: nameValuePair n (f n)) names);
  foldlAttrs = f: init: set: builtins.foldl' (acc: n: f acc n set.${n}) init (attrNames set);
  foldAttrs = op: nul: sets: zipAttrsWith (_: lib.foldr op nul) sets;
  zipAttrs = zipAttrsWith (_: values: values);
  mergeAttrsList = builtins.foldl' (a: b: a // b) { };
  optionalAttrs = cond: set: if cond then set else { };
  isDerivation = x: x.type or null == "derivation";
  getAttrs = names: set: genAttrs names (n: set.${n});
  attrVals = names: set: map (n: set.${n}) names;
  cartesianProduct = sets: builtins.foldl'
    (acc: n: lib.concatMap (a: map (v: a // { ${n} = v; }) sets.${n}) acc) [ { } ] (attrNames sets);

  attrByPath = path: default: set:
    if path == [ ] then set
    else if set ? ${builtins.head path} then attrByPath (builtins.tail path) default set.${builtins.head path}
    else default;
  hasAttrByPath = path: set:
    path == [ ] || (set ? ${builtins.head path} && hasAttrByPath (builtins.tail path) set.${builtins.head path});
  getAttrFromPath = path: set:
    attrByPath path (throw "cannot find attribute `${lib.concatStringsSep "." path}'") set;
  setAttrByPath = path: value:
    if path == [ ] then value else { ${builtins.head path} = setAttrByPath (builtins.tail path) value; };

  recursiveUpdateUntil = pred: lhs: rhs:
    let go = path: zipAttrsWith (n: values:
      let here = path ++ [ n ]; in
      if builtins.length values == 1 then builtins.head values
      else if pred here (builtins.elemAt values 0) (builtins.elemAt values 1) then builtins.elemAt values 1
      else go here values);
    in go [ ] [ lhs rhs ];
  recursiveUpdate = recursiveUpdateUntil (_: l: r: !(isAttrs l && isAttrs r));
  mapAttrsRecursiveCond = cond: f:
    let go = path: mapAttrs (n: v:
      if isAttrs v && cond v then go (path ++ [ n ]) v else f (path ++ [ n ]) v);
    in go [ ];
  mapAttrsRecursive = mapAttrsRecursiveCond (_: true);
  collect = pred: x:
    if pred x then [ x ] else if isAttrs x then lib.concatMap (collect pred) (attrValues x) else [ ];

  getOutput = output: pkg: pkg.${output} or pkg.out or pkg;
  getBin = getOutput "bin";
  getLib = getOutput "lib";
  getDev = getOutput "dev";
  getName = pkg: pkg.pname or (builtins.parseDrvName (pkg.name or pkg)).name;
  getVersion = pkg: pkg.version or (builtins.parseDrvName (pkg.name or pkg)).version;
  getExe' = pkg: name: "${getBin pkg}/bin/${name}";
  getExe = pkg: getExe' pkg (pkg.meta.mainProgram or (getName pkg));
  recurseIntoAttrs = set: set // { recurseForDerivations = true; };
}
