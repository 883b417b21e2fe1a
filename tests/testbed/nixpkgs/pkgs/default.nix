# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
{ lib, config, hostSystem, buildSystem }:
{ overlays }:
final:
let
  builders = import ./builders.nix { inherit lib hostSystem buildSystem; };
  inherit (builders) busybox;
  inherit (final) stdenv runCommand;

  # Programs of the host under a store path: the stand-in has no compiler and must not hide the host's own.
  hostView = name: version: links: final.stdenv.mkDerivation {
    inherit version;
    pname = name;
    buildCommand = lib.concatMapStrings (target: ''
      mkdir -p "$out/$(dirname ${target.name})"
      ln -s ${target.value} "$out/${target.name}"
    '') (lib.attrsToList links);
  };
  binaries = dir: names: lib.listToAttrs (map (n: lib.nameValuePair "bin/${n}" "${dir}/${n}") names);

  busyboxView = pname: applets: stdenv.mkDerivation {
    inherit pname;
    inherit (busybox) version;
    buildCommand = ''
      mkdir -p "$out/bin"
      for applet in ${toString applets}; do ln -s "${busybox}/bin/$applet" "$out/bin/$applet"; done
    '';
  };
  placeholder = pname: stdenv.mkDerivation {
    inherit pname;
    version = "1.0";
    buildCommand = ''
      mkdir -p "$out/bin"
      printf '#!%s\necho "${pname} of the stand-in nixpkgs"\n' ${busybox}/bin/sh > "$out/bin/${pname}"
      chmod +x "$out/bin/${pname}"
    '';
  };
  linuxPackagesFor = version: { kernel = builders.kernel version; extend = _: linuxPackagesFor version; };
in
removeAttrs builders [ "kernel" ] // lib.genAttrs [ "git" "htop" "jq" "tmux" "tree" "vim" "wget" ] placeholder // {
  inherit lib config overlays linuxPackagesFor;
  inherit (lib) makeOverridable;
  pkgs = final;
  system = hostSystem;
  callPackage = lib.callPackageWith final;
  extend = overlay: lib.fix (lib.extends overlay (_: final));
  path = toString ../.;

  hello = stdenv.mkDerivation {
    pname = "hello";
    version = "2.12.1";
    meta.mainProgram = "hello";
    buildCommand = ''
      mkdir -p "$out/bin"
      printf '#!%s\necho "Hello, world! (%s)"\n' ${busybox}/bin/sh "$version" > "$out/bin/hello"
      chmod +x "$out/bin/hello"
    '';
  };

  # The applet links of busybox have no `bash`, and its name decides what busybox does.
  bash = runCommand "bash-${busybox.version}" { pname = "bash"; inherit (busybox) version; } ''
    mkdir -p "$out/bin"
    ln -s ${busybox}/bin/sh "$out/bin/sh"
    printf '#!%s\nexec %s "$@"\n' ${busybox}/bin/sh ${busybox}/bin/sh > "$out/bin/bash"
    chmod +x "$out/bin/bash"
  '';
  bashInteractive = final.bash;
  runtimeShell = "${busybox}/bin/sh";
  coreutils = busyboxView "coreutils" [
    "[" "basename" "cat" "chgrp" "chmod" "chown" "chroot" "cp" "cut" "date" "dd" "df" "dirname" "du" "echo" "env"
    "expr" "false" "fold" "head" "id" "install" "link" "ln" "ls" "md5sum" "mkdir" "mkfifo" "mknod" "mktemp" "mv" "nproc"
    "od" "paste" "printf" "pwd" "readlink" "realpath" "rm" "rmdir" "seq" "sha1sum" "sha256sum" "sha512sum" "shuf"
    "sleep" "sort" "stat" "sync" "tac" "tail" "tee" "test" "timeout" "touch" "tr" "true" "truncate" "tty" "uname"
    "uniq" "unlink" "wc" "whoami" "yes"
  ];
  findutils = busyboxView "findutils" [ "find" "xargs" ];
  gnugrep = busyboxView "gnugrep" [ "egrep" "fgrep" "grep" ];
  gnused = busyboxView "gnused" [ "sed" ];
  gawk = busyboxView "gawk" [ "awk" ];

  systemd = hostView "systemd" "257" (binaries "/usr/bin" [
    "busctl" "journalctl" "loginctl" "systemctl" "systemd-cat" "systemd-detect-virt" "systemd-notify" "systemd-run"
    "systemd-tmpfiles"
  ] // binaries "/usr/sbin" [ "halt" "poweroff" "reboot" "shutdown" ] // {
    "lib/systemd/systemd" = "/usr/lib/systemd/systemd";
  });
  nix = hostView "nix" "2.26.3" (binaries "/usr/bin" [
    "nix" "nix-build" "nix-channel" "nix-collect-garbage" "nix-copy-closure" "nix-daemon" "nix-env" "nix-hash"
    "nix-instantiate" "nix-prefetch-url" "nix-shell" "nix-store"
  ]);

  linuxPackages = linuxPackagesFor "6.12.30";
  linuxPackages_latest = linuxPackagesFor "6.15.2";

  formats = {
    json = _: {
      type = lib.types.anything // { description = "JSON value"; };
      generate = name: value: final.writeText name (builtins.toJSON value);
    };
    ini = args: {
      type = with lib.types; attrsOf (attrsOf anything);
      generate = name: value: final.writeText name (lib.generators.toINI args value);
    };
    keyValue = args: {
      type = with lib.types; attrsOf anything;
      generate = name: value: final.writeText name (lib.generators.toKeyValue args value);
    };
  };
}
