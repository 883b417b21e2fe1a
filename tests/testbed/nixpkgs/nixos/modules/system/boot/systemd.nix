# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
{ config, lib, pkgs, ... }:
let
  inherit (lib) mkOption types;
  option = type: default: description: mkOption { inherit type default description; };
  flag = default: option types.bool default;
  strings = option (types.listOf types.str) [ ];
  cfg = config.systemd;

  value = with types; let atom = nullOr (oneOf [ bool int float str path package ]); in either atom (listOf atom);
  section = option (types.attrsOf value) { };
  settings = option (types.attrsOf (types.attrsOf value)) { };
  lines = option types.lines "";

  # A unit of the host that a module only adds to, such as nix-daemon, gets a drop-in: a whole file would hide it.
  hostUnits = [
    "dbus.service" "nix-daemon.service" "nix-daemon.socket" "ssh.service" "sshd.service" "systemd-journald.service"
    "systemd-tmpfiles-setup.service"
  ];

  common = {
    enable = flag true "Whether the unit is there; a disabled unit is masked.";
    description = option types.singleLineStr "" "What the unit is.";
    documentation = strings "Where it is documented.";
    requires = strings "Units it requires.";
    wants = strings "Units it wants.";
    bindsTo = strings "Units it stops with.";
    partOf = strings "Units it is stopped and restarted with.";
    conflicts = strings "Units that exclude it.";
    after = strings "Units started before it.";
    before = strings "Units started after it.";
    onFailure = strings "Units started when it fails.";
    wantedBy = strings "Units that want it.";
    requiredBy = strings "Units that require it.";
    aliases = strings "Other names.";
    unitConfig = section "The [Unit] section.";
    startLimitBurst = option (types.nullOr types.int) null "How many starts the interval allows.";
    startLimitIntervalSec = option (types.nullOr types.int) null "The interval of start limits.";
    overrideStrategy = option (types.enum [ "asDropinIfExists" "asDropin" ]) "asDropinIfExists" "When it is a drop-in.";
    restartTriggers = option (types.listOf types.unspecified) [ ] "Values whose change restarts the unit.";
    reloadTriggers = option (types.listOf types.unspecified) [ ] "Values whose change reloads the unit.";
  };
  script = lines "A script run by the service.";
  serviceOptions = {
    inherit script;
    preStart = script;
    postStart = script;
    preStop = script;
    postStop = script;
    reload = script;
    scriptArgs = option types.str "" "Arguments of `script`.";
    path = option (types.listOf (types.oneOf [ types.package types.str ])) [ ] "Packages on the PATH.";
    environment = option (with types; attrsOf (nullOr (oneOf [ str path package int ]))) { } "Environment variables.";
    serviceConfig = section "The [Service] section.";
    restartIfChanged = flag true "Whether a changed service is restarted.";
    reloadIfChanged = flag false "Whether a changed service is reloaded instead.";
    stopIfChanged = flag true "Whether a changed service is stopped before and started after the activation.";
    notSocketActivated = flag false "Whether a changed service is started although it has a socket.";
    startAt = option (with types; coercedTo str lib.singleton (listOf str)) [ ] "When a timer starts the service.";
  };
  unitsOf = extra: option (types.attrsOf (types.submodule { options = common // extra; })) { };

  toValue = v: if lib.isBool v then lib.boolToString v else toString v;
  toLines = name: v: lib.concatMapStrings (x: "${name}=${toValue x}\n") (if lib.isList v then v else [ v ]);
  toSection = name: set: lib.optionalString (set != { })
    "[${name}]\n${lib.concatStrings (lib.mapAttrsToList toLines (lib.filterAttrs (_: v: v != null) set))}\n";
  # In a file of their own: triggers may be long and have several lines, and a path has to reach the store, so that
  # its content and not its name decides.
  triggers = name: ts: lib.optional (ts != [ ]) "${pkgs.writeText name
    (lib.concatMapStringsSep " " (t: if lib.isPath t then "${t}" else toString t) (lib.flatten ts))}";
  words = xs: lib.optional (xs != [ ]) (toString xs);

  unitSection = name: u: toSection "Unit" (lib.filterAttrs (_: v: v != [ ] && v != null) ({
    Requires = words u.requires;
    Wants = words u.wants;
    BindsTo = words u.bindsTo;
    PartOf = words u.partOf;
    Conflicts = words u.conflicts;
    After = words u.after;
    Before = words u.before;
    OnFailure = words u.onFailure;
    Documentation = words u.documentation;
    Description = words (lib.optional (u.description != "") u.description);
    StartLimitBurst = u.startLimitBurst;
    StartLimitIntervalSec = u.startLimitIntervalSec;
    X-Restart-Triggers = triggers "X-Restart-Triggers-${name}" u.restartTriggers;
    X-Reload-Triggers = triggers "X-Reload-Triggers-${name}" u.reloadTriggers;
  } // u.unitConfig));

  # Unit names may have characters that store paths must not have.
  safe = lib.replaceStrings [ "@" ":" "\\" ] [ "-" "-" "-" ];
  unitScript = name: text: "${pkgs.writeShellScriptBin name "set -e\n${text}"}/bin/${name}";
  serviceSection = name: u:
    let
      run = what: text: arguments: lib.optional (text != "") "${unitScript "${safe name}-${what}" text}${arguments}";
      add = key: values:
        lib.optionalAttrs (values != [ ]) { ${key} = values ++ lib.toList (u.serviceConfig.${key} or [ ]); };
      path = lib.optionalAttrs (!dropIn "${name}.service" u) { PATH = lib.makeBinPath (u.path ++ defaultPath); };
      environment = lib.filterAttrs (_: v: v != null) (path // u.environment);
    in
    toSection "Service" (u.serviceConfig
      // add "Environment" (lib.mapAttrsToList (n: v: builtins.toJSON "${n}=${toString v}") environment)
      // add "ExecStartPre" (run "pre-start" u.preStart "")
      // add "ExecStart" (run "start" u.script (lib.optionalString (u.scriptArgs != "") " ${u.scriptArgs}"))
      // add "ExecStartPost" (run "post-start" u.postStart "")
      // add "ExecReload" (run "reload" u.reload "")
      // add "ExecStop" (run "pre-stop" u.preStop "")
      // add "ExecStopPost" (run "post-stop" u.postStop "")
      // lib.optionalAttrs u.notSocketActivated { X-NotSocketActivated = true; }
      // lib.optionalAttrs u.reloadIfChanged { X-ReloadIfChanged = true; }
      // lib.optionalAttrs (!u.reloadIfChanged && !u.restartIfChanged) { X-RestartIfChanged = false; }
      // lib.optionalAttrs (!u.stopIfChanged) { X-StopIfChanged = false; });
  defaultPath = with pkgs; [ coreutils findutils gnugrep gnused cfg.package ];

  toUnits = suffix: sections: lib.mapAttrs' (name: u: lib.nameValuePair "${name}.${suffix}" {
    inherit (u) enable aliases wantedBy requiredBy overrideStrategy;
    text = unitSection (safe name) u + sections name u;
  });
  unit = {
    options = {
      inherit (common) enable aliases wantedBy requiredBy overrideStrategy;
      text = option (types.nullOr types.str) null "The text of the unit.";
    };
  };

  dropIn = name: u: u.overrideStrategy == "asDropin" || lib.elem name hostUnits;
  place = name: u:
    let
      file = if dropIn name u then "${name}.d/overrides.conf" else name;
      into = kind: target:
        "mkdir -p ${q "${target}.${kind}"}; ln -s ${q "../${name}"} ${q "${target}.${kind}/${name}"}\n";
      q = lib.escapeShellArg;
    in
    lib.optionalString (dropIn name u) "mkdir -p ${q "${name}.d"}\n"
    + (if u.enable then "printf %s ${q (toString u.text)} > ${q file}\n" else "ln -s /dev/null ${q file}\n")
    + lib.concatMapStrings (into "wants") u.wantedBy
    + lib.concatMapStrings (into "requires") u.requiredBy
    + lib.concatMapStrings (alias: "ln -s ${q name} ${q alias}\n") u.aliases;

  unitOptions = {
    units = option (types.attrsOf (types.submodule unit)) { } "Units as text.";
    services = unitsOf serviceOptions "Services.";
    targets = unitsOf { } "Targets.";
    sockets = unitsOf {
      listenStreams = strings "Addresses of stream sockets.";
      listenDatagrams = strings "Addresses of datagram sockets.";
      socketConfig = section "The [Socket] section.";
    } "Sockets.";
    timers = unitsOf { timerConfig = section "The [Timer] section."; } "Timers.";
    paths = unitsOf { pathConfig = section "The [Path] section."; } "Paths.";
    slices = unitsOf { sliceConfig = section "The [Slice] section."; } "Slices.";
  };
  unitsIn = cfg:
    toUnits "service" serviceSection cfg.services
    // toUnits "target" (_: _: "") cfg.targets
    // toUnits "socket" (_: u: toSection "Socket" (u.socketConfig
      // lib.optionalAttrs (u.listenStreams != [ ]) { ListenStream = u.listenStreams; }
      // lib.optionalAttrs (u.listenDatagrams != [ ]) { ListenDatagram = u.listenDatagrams; })) cfg.sockets
    // toUnits "timer" (_: u: toSection "Timer" u.timerConfig) cfg.timers
    // toUnits "path" (_: u: toSection "Path" u.pathConfig) cfg.paths
    // toUnits "slice" (_: u: toSection "Slice" u.sliceConfig) cfg.slices;
  timersOf = services: lib.mapAttrs (_: u: {
    wantedBy = [ "timers.target" ];
    timerConfig.OnCalendar = u.startAt;
  }) (lib.filterAttrs (_: u: u.enable && u.startAt != [ ]) services);
  unitDirectory = name: units: pkgs.runCommand name { } ''
    mkdir -p "$out"
    cd "$out"
    ${lib.concatStrings (lib.mapAttrsToList place units)}
  '';
in
{
  options.systemd = unitOptions // {
    package = option types.package pkgs.systemd "The systemd package.";
    user = unitOptions;
    tmpfiles.rules = strings "Rules of systemd-tmpfiles.";
    tmpfiles.settings = option (types.attrsOf types.anything) { } "Rules of systemd-tmpfiles, as data.";
  };

  config = {
    systemd = {
      timers = timersOf cfg.services;
      units = unitsIn cfg;
      # Every switch restarts it, so that what is ordered before sysinit runs again.
      targets.sysinit-reactivation.description = "Reactivate sysinit units";
      user = {
        timers = timersOf cfg.user.services;
        units = unitsIn cfg.user;
        services.nixos-activation = {
          description = "Run user-specific NixOS activation";
          unitConfig.ConditionUser = "!@system";
          serviceConfig = { Type = "oneshot"; ExecStart = "${pkgs.coreutils}/bin/true"; };
          wantedBy = [ "default.target" ];
        };
      };
    };
    environment.etc = {
      "systemd/system".source = unitDirectory "system-units" cfg.units;
      "systemd/user".source = unitDirectory "user-units" cfg.user.units;
      "tmpfiles.d/00-nixos.conf".text = lib.concatLines cfg.tmpfiles.rules;
    };
  };
}
