# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# What evaluate.nix finds of a system that is to be built.
_asked: system:
let toplevel = import ./toplevel.nix system; in
{ drv = toplevel.drvPath; out = toplevel.outPath; }
