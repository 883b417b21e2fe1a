# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The system of a host whose switch-to-configuration is the script dry-run.sh.
{ file, host }:
let
  inherit ((import (/. + file)).${host}) system pkgs;
in
pkgs.runCommand "nixos-system-dry-run" { } ''
  mkdir $out
  cp -r ${system}/. $out
  chmod u+w $out $out/bin
  rm $out/bin/switch-to-configuration
  {
    echo '#!${pkgs.busybox}/bin/sh'
    echo 'PATH=${pkgs.busybox}/bin'
    cat ${./dry-run.sh}
  } >$out/bin/switch-to-configuration
  chmod +x $out/bin/switch-to-configuration
''
