# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
{ config, lib, pkgs, ... }:
let
  inherit (lib) mkOption types;
  str = default: description: mkOption { type = types.str; inherit default description; };
  textPriority = 1000;
  entries = lib.filter (e: e.enable) (lib.attrValues config.environment.etc);

  entry = { name, config, options, ... }: {
    options = {
      enable = mkOption { type = types.bool; default = true; description = "Whether the file is made."; };
      target = str name "The path below /etc.";
      text = mkOption { type = types.nullOr types.lines; default = null; description = "The content."; };
      source = mkOption { type = types.path; description = "The file that has the content."; };
      mode = str "symlink" "`symlink`, `direct-symlink`, or the mode of a copied file.";
      uid = mkOption { type = types.int; default = 0; description = "The owner of a copied file."; };
      gid = mkOption { type = types.int; default = 0; description = "The group of a copied file."; };
      user = str "+${toString config.uid}" "The owner of a copied file, by name.";
      group = str "+${toString config.gid}" "The group of a copied file, by name.";
      inline = mkOption {
        type = types.bool;
        internal = true;
        # systemd is executed again when this one is another file, as it would be each time within one derivation.
        default = config.text != null && options.source.highestPrio == textPriority && name != "systemd/system.conf";
        description = "Whether the content is `text`; a `source` of the user's own wins.";
      };
    };
    config.source = lib.mkIf (config.text != null)
      (lib.mkOverride textPriority (pkgs.writeText "etc-${baseNameOf name}" config.text));
  };

  # A text goes straight into the one derivation: a derivation for each small file would cost most of the build.
  place = e:
    let
      target = lib.escapeShellArg "etc/${e.target}";
      write = "printf %s ${lib.escapeShellArg e.text} > ${target}";
      link = "ln -s ${lib.escapeShellArg "${e.source}"} ${target}";
    in
    ''
      mkdir -p "$(dirname ${target})"
      ${if e.inline then write else link}
    '' + lib.optionalString (e.mode != "symlink") ''
      echo ${lib.escapeShellArg e.mode} > ${target}.mode
      echo ${lib.escapeShellArg e.user} > ${target}.uid
      echo ${lib.escapeShellArg e.group} > ${target}.gid
    '';
in
{
  options.environment.etc = mkOption {
    type = types.attrsOf (types.submodule entry);
    default = { };
    description = "Files in /etc.";
  };

  config.system.build.etc = pkgs.runCommand "etc" { } ''
    mkdir -p "$out/etc"
    cd "$out"
    ${lib.concatMapStrings place entries}
  '';
}
