# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Users are data only: the accounts of a borrowed host stay as they are.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  option = type: default: description: mkOption { inherit type default description; };
  id = option (types.nullOr types.int) null;
  secret = option (types.nullOr types.str) null;
  strings = option (types.listOf types.str) [ ];

  user = { name, config, ... }: {
    options = {
      enable = option types.bool true "Whether the account exists.";
      name = option types.str name "The login name.";
      description = option types.str "" "The full name.";
      uid = id "The user id.";
      group = option types.str (if config.isNormalUser then "users" else "") "The primary group.";
      extraGroups = strings "More groups.";
      home = option types.path (if config.isNormalUser then "/home/${config.name}" else "/var/empty") "The home.";
      createHome = option types.bool config.isNormalUser "Whether the home directory is made.";
      shell = option (types.nullOr (types.either types.package types.path)) null "The login shell.";
      useDefaultShell = option types.bool config.isNormalUser "Whether the default shell is used.";
      isNormalUser = option types.bool false "Whether this is a person's account.";
      isSystemUser = option types.bool false "Whether this is a service's account.";
      linger = option types.bool false "Whether its services run without a login.";
      packages = option (types.listOf types.package) [ ] "Packages of this user.";
      hashedPassword = secret "The hash of the password.";
      hashedPasswordFile = secret "The file with the hash of the password.";
      initialHashedPassword = secret "The hash of the first password.";
      initialPassword = secret "The first password.";
      password = secret "The password.";
      openssh.authorizedKeys.keys = option (types.listOf types.singleLineStr) [ ] "Keys that may log in.";
      openssh.authorizedKeys.keyFiles = option (types.listOf types.path) [ ] "Files of keys that may log in.";
    };
  };
  group = { name, ... }: {
    options = {
      name = option types.str name "The name.";
      gid = id "The group id.";
      members = strings "The members.";
    };
  };
  public = u: {
    inherit (u) name description uid group extraGroups home isNormalUser;
    keys = u.openssh.authorizedKeys.keys ++ map builtins.readFile u.openssh.authorizedKeys.keyFiles;
    shell = if u.shell == null then null else "${u.shell}";
  };
in
{
  options.users = {
    users = option (types.attrsOf (types.submodule user)) { } "User accounts.";
    groups = option (types.attrsOf (types.submodule group)) { } "Groups.";
    mutableUsers = option types.bool true "Whether accounts may be changed on the host.";
    defaultUserShell = option (types.nullOr (types.either types.path types.package)) null "The default login shell.";
    motd = option (types.nullOr types.lines) null "The message of the day.";
  };
  config = {
    users.users.root = { uid = 0; group = "root"; home = "/root"; };
    assertions = lib.mapAttrsToList (n: u: {
      assertion = n == "root" || lib.count lib.id [ u.isNormalUser u.isSystemUser ] == 1;
      message = "Exactly one of users.users.${n}.isSystemUser and users.users.${n}.isNormalUser must be set.";
    }) config.users.users;
    environment.etc = {
      motd = lib.mkIf (config.users.motd != null) { text = config.users.motd; };
      "closure-testbed/users.json".text = builtins.toJSON {
        users = lib.mapAttrs (_: public) (lib.filterAttrs (_: u: u.enable) config.users.users);
        inherit (config.users) groups mutableUsers;
      };
    };
  };
}
