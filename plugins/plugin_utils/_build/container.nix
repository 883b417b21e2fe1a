# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# What evaluate.nix finds of a system that is to run as a container: without a kernel, and without the
# disks of its host, which a container does not have.
_asked: system:
let
  # nixpkgs' lib.nixosSystem hands extendModules on, its nixos/default.nix has it among the options only.
  extendModules = system.extendModules or (
    system.options._module.args.value.extendModules or (throw "closure.nixos: no variant")
  );
  variant = { lib, ... }: {
    boot.isContainer = lib.mkForce true;
    fileSystems = lib.mkForce { };
    swapDevices = lib.mkForce [ ];
  };
  inherit ((extendModules { modules = [ variant ]; }).config.system.build) toplevel;
in
{ drv = toplevel.drvPath; out = toplevel.outPath; }
