# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# The derivation of a system: of what nixpkgs' nixos/default.nix and lib.nixosSystem return, or of
# its toplevel.
system:
let toplevel = system.config.system.build.toplevel or system; in
if toplevel.type or null == "derivation" then toplevel else throw "closure.nixos: not a derivation"
