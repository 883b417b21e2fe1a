# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# What the configurations of a fleet say of their hosts, as a set of { host, groups, vars, port,
# user } by name; null for a configuration with an error that Nix can catch. Arguments, all texts:
#
#   kind    file: a Nix file of systems by name; hive: a hive of colmena; flake: a flake reference
#   source  the path or the reference
#   hive    the path of hive.nix
#   only    empty for all hosts; a name, to evaluate this host alone, so that an error which Nix
#           cannot catch is only its own; or `?`, for the names of the hosts alone
{ kind, source, hive, only }:
let
  call = value: if builtins.isFunction value then value { } else value;
  found = {
    file = call (import source);
    hive = import hive source;
    flake = (builtins.getFlake source).nixosConfigurations or { };
  }.${kind};
  # A system as nixpkgs' nixos/default.nix, lib.nixosSystem or eval-config.nix returns it.
  isSystem = value: builtins.isAttrs value && value ? config && value ? options;
  described =
    system:
    let
      inherit (system) config;
      own = config.ansible or { };
      deployment = config.deployment or { };
      domain = config.networking.domain or null;
      name = config.networking.hostName or "";
      full = if name != "" && domain != null then "${name}.${domain}" else name;
      firstOf = values: builtins.head (builtins.filter (value: value != null) values ++ [ null ]);
    in
    {
      host = firstOf [ (own.host or null) (deployment.targetHost or null) (if full == "" then null else full) ];
      groups = (own.groups or [ ]) ++ (deployment.tags or [ ]);
      vars = own.vars or { };
      port = deployment.targetPort or null;
      user = deployment.targetUser or null;
    };
  attempt =
    value:
    let
      tried = builtins.tryEval (
        let it = if isSystem value then described value else { skipped = true; };
        in builtins.deepSeq it it
      );
    in
    if tried.success then tried.value else null;
in
if only == "?" then builtins.attrNames found
else { hosts = builtins.mapAttrs (_: attempt) (if only == "" then found else { ${only} = found.${only}; }); }
