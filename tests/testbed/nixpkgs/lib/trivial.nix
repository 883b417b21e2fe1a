# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
{ lib }:
let
  versionSuffixFile = ../.version-suffix;
in
rec {
  inherit (builtins)
    add sub mul div lessThan seq deepSeq bitAnd bitOr bitXor functionArgs isInt isFloat isBool isNull
    isPath readFile pathExists fromJSON toJSON tryEval throw abort addErrorContext unsafeGetAttrPos trace;

  id = x: x;
  const = x: _: x;
  pipe = builtins.foldl' (x: f: f x);
  flip = f: a: b: f b a;
  min = a: b: if a < b then a else b;
  max = a: b: if a > b then a else b;
  mod = a: b: a - b * (a / b);
  and = a: b: a && b;
  or = a: b: a || b;
  boolToString = b: if b then "true" else "false";
  mergeAttrs = a: b: a // b;
  defaultTo = default: x: if x == null then default else x;
  mapNullable = f: x: if x == null then null else f x;
  isFunction = f: builtins.isFunction f || (f ? __functor && isFunction (f.__functor f));
  setFunctionArgs = f: args: { __functor = _: f; __functionArgs = args; };
  toFunction = x: if isFunction x then x else _: x;

  makeOverridable = f: args:
    let result = f args; in
    if builtins.isAttrs result then result // { override = new: makeOverridable f (args // toFunction new args); }
    else result;
  callPackageWith = scope: fileOrFunction: args:
    let f = if isFunction fileOrFunction then fileOrFunction else import fileOrFunction; in
    makeOverridable f (builtins.intersectAttrs (lib.functionArgs f) scope // args);

  fix = f: let x = f x; in x;
  extends = overlay: f: final: let prev = f final; in prev // overlay final prev;
  composeExtensions = f: g: final: prev:
    let first = f final prev; in first // g final (prev // first);
  composeManyExtensions = builtins.foldl' composeExtensions (_: _: { });

  importJSON = path: builtins.fromJSON (builtins.readFile path);
  importTOML = path: builtins.fromTOML (builtins.readFile path);

  warn = msg: builtins.trace "warning: ${msg}";
  warnIf = cond: msg: if cond then warn msg else id;
  showWarnings = warnings: x: builtins.foldl' (x: w: warn w x) x warnings;
  info = msg: builtins.trace "INFO: ${msg}";
  throwIf = cond: msg: if cond then throw msg else id;
  throwIfNot = cond: throwIf (!cond);
  assertMsg = pred: msg: pred || throw msg;
  traceVal = x: builtins.trace x x;
  traceValSeq = x: builtins.trace (builtins.deepSeq x x) x;

  release = lib.fileContents ../.version;
  versionSuffix = if builtins.pathExists versionSuffixFile then lib.fileContents versionSuffixFile else ".standin";
  version = release + versionSuffix;
  inNixShell = builtins.getEnv "IN_NIX_SHELL" != "";
  inPureEvalMode = !(builtins ? currentSystem);
}
