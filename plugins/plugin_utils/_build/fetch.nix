# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Fetches the source that data.json is, as builtins.fetchTree takes it, and says what it is.
{ closure }:
let tree = builtins.fetchTree (builtins.fromJSON (builtins.readFile "${closure}/data.json")); in
{ sha256 = tree.narHash; rev = tree.rev or null; date = tree.lastModified or 0; }
