# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# A stand-in for home-manager's activation package, in what it does and in which order: it wants the profile's
# directory, removes the links of what the profile holds that it has not itself, records itself there, and
# links its files into $HOME. Then comes `script`, for what a test is about.
{
  files ? { },
  script ? "",
}:
let
  pkgs = import ../../testbed/nixpkgs { };
  put = name: "printf '%s\\n' '${files.${name}}' >$out/home-files/${name}\n";
in
pkgs.runCommand "home-manager-generation" { } ''
  mkdir -p $out/home-files
  ${builtins.concatStringsSep "" (map put (builtins.attrNames files))}
  cat >$out/activate <<'ACTIVATE'
  #!/bin/sh
  set -eu
  new=''${0%/activate}
  profiles=$HOME/.local/state/nix/profiles
  [ -d "$profiles" ] || { echo "Could not find $profiles"; exit 1; }
  echo "Starting Home Manager activation as $USER"
  if [ -e "$profiles/home-manager" ]; then
      for file in "$profiles"/home-manager/home-files/*; do
          [ -e "$new/home-files/''${file##*/}" ] || rm -f "$HOME/''${file##*/}"
      done
  fi
  [ "$(readlink -f "$profiles/home-manager")" = "$new" ] ||
      nix-env --profile "$profiles/home-manager" --set "$new"
  for file in "$new"/home-files/*; do
      [ ! -e "$file" ] || ln -sfn "$file" "$HOME/''${file##*/}"
  done
  ${script}
  ACTIVATE
  chmod +x $out/activate
''
