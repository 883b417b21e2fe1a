# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
{ lib }:
let
  inherit (builtins) stringLength substring genList elemAt length;
  lower = "abcdefghijklmnopqrstuvwxyz";
  upper = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
in
rec {
  inherit (builtins)
    baseNameOf concatStringsSep compareVersions dirOf isString match replaceStrings split stringLength
    substring toString unsafeDiscardStringContext fromJSON toJSON readFile storeDir hashString;

  concatStrings = concatStringsSep "";
  concatMapStrings = f: xs: concatStrings (map f xs);
  concatMapStringsSep = sep: f: xs: concatStringsSep sep (map f xs);
  concatImapStringsSep = sep: f: xs: concatStringsSep sep (lib.imap1 f xs);
  concatMapAttrsStringSep = sep: f: set: concatStringsSep sep (lib.mapAttrsToList f set);
  concatLines = concatMapStrings (line: line + "\n");
  intersperse = sep: xs: lib.drop 1 (lib.concatMap (x: [ sep x ]) xs);
  optionalString = cond: s: if cond then s else "";
  stringToCharacters = s: genList (i: substring i 1 s) (stringLength s);
  stringAsChars = f: s: concatMapStrings f (stringToCharacters s);
  makeSearchPath = sub: paths: concatMapStringsSep ":" (p: "${p}/${sub}") (lib.filter (p: p != null) paths);
  makeBinPath = makeSearchPath "bin";
  makeLibraryPath = makeSearchPath "lib";

  hasPrefix = prefix: s: substring 0 (stringLength prefix) s == prefix;
  hasSuffix = suffix: s:
    let start = stringLength s - stringLength suffix; in
    start >= 0 && substring start (-1) s == suffix;
  hasInfix = infix: s: length (splitString infix s) > 1;
  removePrefix = prefix: s: if hasPrefix prefix s then substring (stringLength prefix) (-1) s else s;
  removeSuffix = suffix: s:
    if hasSuffix suffix s then substring 0 (stringLength s - stringLength suffix) s else s;
  escapeRegex = escape (stringToCharacters "\\[{()^$?*+|.");
  splitString = sep: s: lib.filter isString (split (escapeRegex sep) (toString s));
  toLower = replaceStrings (stringToCharacters upper) (stringToCharacters lower);
  toUpper = replaceStrings (stringToCharacters lower) (stringToCharacters upper);
  toSentenceCase = s: toUpper (substring 0 1 s) + toLower (substring 1 (-1) s);
  trim = s: elemAt (match "[[:space:]]*(|.*[^[:space:]])[[:space:]]*" s) 0;
  fileContents = file: removeSuffix "\n" (builtins.readFile file);
  fixedWidthString = width: filler: s:
    if stringLength s >= width then s else fixedWidthString width filler (filler + s);
  fixedWidthNumber = width: n: fixedWidthString width "0" (toString n);

  escape = chars: replaceStrings chars (map (c: "\\${c}") chars);
  escapeShellArg = arg:
    let s = toString arg; in
    # Nix's regular expressions recurse: a long text would end in a stack overflow.
    if stringLength s < 256 && match "[[:alnum:],._+:@%/-]+" s != null then s
    else "'${replaceStrings [ "'" ] [ "'\\''" ] s}'";
  escapeShellArgs = concatMapStringsSep " " escapeShellArg;
  escapeNixString = s: escape [ "$" ] (builtins.toJSON s);
  escapeXML = replaceStrings [ "\"" "'" "<" ">" "&" ] [ "&quot;" "&apos;" "&lt;" "&gt;" "&amp;" ];
  fullDepEntry = text: deps: { inherit text deps; };
  noDepEntry = text: fullDepEntry text [ ];
  stringAfter = deps: text: fullDepEntry text deps;
  toShellVar = name: value: "${name}=${escapeShellArg value}";
  toShellVars = set: concatStringsSep "\n" (lib.mapAttrsToList toShellVar set);

  # fromJSON reads "010" and "1.5" in ways a user of toInt does not mean, so the shape is checked first.
  toInt = s:
    let digits = match "[[:space:]]*(-?)0*([0-9]+)[[:space:]]*" s; in
    if digits == null then throw "toInt: Could not convert ${builtins.toJSON s} to int."
    else builtins.fromJSON (concatStrings digits);
  toIntBase10 = toInt;
  versionOlder = a: b: compareVersions b a == 1;
  versionAtLeast = a: b: !versionOlder a b;
  versions = rec {
    splitVersion = builtins.splitVersion;
    major = v: elemAt (splitVersion v) 0;
    minor = v: elemAt (splitVersion v) 1;
    patch = v: elemAt (splitVersion v) 2;
    majorMinor = v: "${major v}.${minor v}";
  };
  isStringLike = x: isString x || builtins.isPath x || x ? outPath || x ? __toString;
  isStorePath = x:
    isStringLike x && substring 0 1 (toString x) == "/" && dirOf (toString x) == builtins.storeDir;
  sanitizeDerivationName = s: concatStrings (map (x: if isString x then x else "-") (split "[^[:alnum:]+._?=-]+" s));
}
