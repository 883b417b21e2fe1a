# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The systems of the fleet, by the names that their hosts have in inventory.yml.
#
# nixpkgs.json pins the nixpkgs they are all built from, so that every controller builds the same:
#     {"url": "https://github.com/NixOS/nixpkgs/archive/COMMIT.tar.gz", "sha256": "HASH"}
# Take COMMIT from a channel, as https://channels.nixos.org/nixos-25.11/git-revision names it, and
# HASH from `nix-prefetch-url --unpack URL`. An update of NixOS is a change of this one file.
let
  pin = builtins.fromJSON (builtins.readFile ./nixpkgs.json);
  nixpkgs = fetchTarball { inherit (pin) url sha256; };
  nixos =
    name: configuration:
    import "${nixpkgs}/nixos" {
      configuration = {
        imports = [ ./hosts/common.nix configuration ];
        networking.hostName = name;
      };
      system = "x86_64-linux";
    };
in
builtins.mapAttrs nixos {
  web1 = ./hosts/web1.nix;
  web2 = ./hosts/web2.nix;
  db1 = ./hosts/db1.nix;
}
