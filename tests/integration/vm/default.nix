# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# A module with a stand-in for NixOS's system.build.vm: its program heeds the same variables, and calls a
# stand-in for QEMU with the same options. What a disk has, a tree of Debian has.
{ tree, scripts }:
{ config, extendModules, lib, pkgs, ... }:
let
  variant = extendModules {
    modules = [ {
      boot.isContainer = lib.mkForce true;
      fileSystems = lib.mkForce { };
    } ];
  };
  program = ''
    #!/bin/sh
    set -e
    NIX_DISK_IMAGE=$(readlink -f "''${NIX_DISK_IMAGE:-./nixos.qcow2}")
    [ -e "$NIX_DISK_IMAGE" ] || : >"$NIX_DISK_IMAGE"
    if [ -z "$TMPDIR" ] || [ -z "$USE_TMPDIR" ]; then TMPDIR=$(mktemp -d nix-vm.XXXXXXXXXX --tmpdir); fi
    mkdir -p "$TMPDIR/xchg"
    cd "$TMPDIR"
    exec python3 ${./qemu.py} ${tree} ${scripts} ${variant.config.system.build.toplevel} \
        -netdev user,id=user.0,"$QEMU_NET_OPTS" -drive file="$NIX_DISK_IMAGE" \
        -append "$QEMU_KERNEL_PARAMS" $QEMU_OPTS "$@"
  '';
in
{
  system.build.vm = lib.mkDefault (pkgs.runCommand "nixos-vm" { } ''
    mkdir -p $out/bin
    printf %s ${lib.escapeShellArg program} >$out/bin/run-${config.networking.hostName}-vm
    chmod +x $out/bin/*
  '');
}
