# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# What evaluate.nix finds of a system that is to run in a virtual machine: what NixOS itself makes for
# that, with the modules of virtualisation.vmVariant.
_asked: system:
let vm = system.config.system.build.vm or (throw "closure.nixos: no variant"); in
{ drv = vm.drvPath; out = vm.outPath; }
