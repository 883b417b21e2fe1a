# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# What evaluate.nix finds of a package that is to be built: the one of its outputs that it stands for.
_asked: package:
if package.type or null != "derivation" then throw "closure.nixos: no package"
else { drv = package.drvPath; out = package.outPath; output = package.outputName; }
