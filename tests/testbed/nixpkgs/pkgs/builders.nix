# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Everything is built by one static busybox: no compiler, no download, the same with the sandbox on and off.
{ lib, hostSystem, buildSystem }:
let
  busyboxFile = ../busybox/busybox;
  # busybox looks at the name it is called by, and a store file is called HASH-busybox: hence a directory.
  busyboxSource =
    if builtins.pathExists busyboxFile then builtins.path { path = ../busybox; name = "busybox-source"; }
    else throw ("The stand-in nixpkgs has no busybox in `${toString ../busybox}'. Run its script `prepare' once: "
      + "it copies the static busybox of Debian's package busybox-static there.");
  busyboxVersion = "1.35.0";
  busybox = derivation {
    name = "busybox-${busyboxVersion}";
    system = buildSystem;
    builder = "${busyboxSource}/busybox";
    args = [ "sh" "-euc" ''
      b=${busyboxSource}/busybox
      $b mkdir -p "$out/bin"
      $b cp "$b" "$out/bin/busybox"
      for applet in $($b --list); do [ "$applet" = busybox ] || $b ln -s busybox "$out/bin/$applet"; done
    '' ];
  } // { pname = "busybox"; version = busyboxVersion; meta.mainProgram = "busybox"; };

  # A script goes through a file, since one environment variable may hold 128 KiB only.
  build = attrs: script: derivation ({
    inherit script;
    system = buildSystem;
    builder = "${busybox}/bin/sh";
    args = [ "-euc" ''. "$scriptPath"'' ];
    PATH = "${busybox}/bin";
    passAsFile = [ "script" ] ++ attrs.passAsFile or [ ];
  } // removeAttrs attrs [ "passAsFile" "meta" "passthru" ]) // {
    meta = attrs.meta or { };
  } // attrs.passthru or { };

  platform = system: rec {
    inherit system;
    config = "${lib.head (lib.splitString "-" system)}-unknown-linux-gnu";
    isLinux = lib.hasSuffix "-linux" system;
    isx86_64 = lib.hasPrefix "x86_64-" system;
    isAarch64 = lib.hasPrefix "aarch64-" system;
    parsed.cpu.name = lib.head (lib.splitString "-" system);
  };

  mkDerivation = attrsOrFunction:
    let
      attrs = if lib.isFunction attrsOrFunction then lib.fix attrsOrFunction else attrsOrFunction;
      name = attrs.name or "${attrs.pname}-${attrs.version}";
      phase = p: attrs.${p} or "";
      script = attrs.buildCommand or ''
        ${lib.optionalString (attrs ? src) ''cp -r "$src" source; chmod -R u+w source; [ ! -d source ] || cd source''}
        ${phase "buildPhase"}
        ${phase "installPhase"}
      '';
    in
    build (removeAttrs attrs [ "buildCommand" "buildPhase" "installPhase" ] // { inherit name; }) script
    // { overrideAttrs = f: mkDerivation (attrs // lib.toFunction f attrs); };

  put = text: target: "printf %s ${lib.escapeShellArg text} > ${target}\n";
in
rec {
  inherit busybox;
  stdenv = stdenvNoCC;
  stdenvNoCC = {
    inherit mkDerivation;
    hostPlatform = platform hostSystem;
    buildPlatform = platform buildSystem;
    shell = "${busybox}/bin/sh";
    system = hostSystem;
  };

  runCommand = name: env: build (env // { inherit name; });
  runCommandLocal = runCommand;
  writeTextFile = { name, text, executable ? false, destination ? "", meta ? { }, ... }:
    build { inherit name meta; } ''
      mkdir -p "$(dirname "$out${destination}")"
      ${put text ''"$out${destination}"''}
      ${lib.optionalString executable ''chmod +x "$out${destination}"''}
    '';
  writeText = name: text: writeTextFile { inherit name text; };
  writeTextDir = path: text: writeTextFile { name = baseNameOf path; inherit text; destination = "/${path}"; };
  writeScript = name: text: writeTextFile { inherit name text; executable = true; };
  writeScriptBin = name: text: writeTextFile {
    inherit name text;
    executable = true;
    destination = "/bin/${name}";
    meta.mainProgram = name;
  };
  writeShellScript = name: text: writeScript name "#!${busybox}/bin/sh\n${text}";
  writeShellScriptBin = name: text: writeScriptBin name "#!${busybox}/bin/sh\n${text}";
  writeShellApplication = { name, text, runtimeInputs ? [ ], ... }: writeShellScriptBin name ''
    set -eu
    export PATH="${lib.makeBinPath runtimeInputs}:$PATH"
    ${text}
  '';

  # The first package wins where two have the same file, as `environment.systemPackages` does it.
  buildEnv = { name, paths, pathsToLink ? [ "/" ], postBuild ? "", ... }: build { inherit name; } ''
    mkdir -p "$out"
    for package in ${toString paths}; do
      for link in ${toString pathsToLink}; do
        [ -e "$package$link" ] || continue
        cd "$package"
        find ".$link" -type d -exec mkdir -p "$out/{}" \;
        find ".$link" ! -type d | while read -r file; do
          [ -L "$out/$file" ] || ln -s "$package/''${file#./}" "$out/$file"
        done
      done
    done
    ${postBuild}
  '';
  symlinkJoin = { name, paths, postBuild ? "", ... }: buildEnv { inherit name paths postBuild; };

  # Not a real kernel: the files a loader and a deployer look at, different for each version.
  kernel = version: build { name = "linux-${version}"; pname = "linux"; inherit version; } ''
    mkdir -p "$out/lib/modules/${version}"
    echo "stand-in kernel ${version} for ${hostSystem}" > "$out/bzImage"
    echo "stand-in modules ${version}" > "$out/lib/modules/${version}/modules.dep"
  '';
}
