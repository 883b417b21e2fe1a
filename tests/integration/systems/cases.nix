# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Where systemd does more than switch-to-configuration says: a case's name -> "old" or "new" -> a module.
#
#   write_systems(directory, f'(import {SYSTEMS}/cases.nix).lost "old"')
let
  sleeper = { script = "exec sleep 1000000"; };
  changing = version: { environment.VERSION = version; };
  wanted = { wantedBy = [ "multi-user.target" ]; };
  onlyIn = version: this: module: if version == this then module else { };
in
{
  # s0 changes and is stopped, and with it byhand, which requires it and which a person had started: nothing
  # starts byhand again.
  lost = version: {
    systemd.services.t-s0 = sleeper // wanted // changing version;
    systemd.services.t-byhand = sleeper // { requires = [ "t-s0.service" ]; after = [ "t-s0.service" ]; };
  };

  # The target is stopped at each switch, and its part with it. The part has not changed.
  partOf = _version: {
    systemd.targets.t-head = wanted // { unitConfig.X-StopOnReconfiguration = true; };
    systemd.services.t-part = sleeper // { partOf = [ "t-head.target" ]; wantedBy = [ "t-head.target" ]; };
  };

  # A oneshot that does not remain runs each time its target is started, which is at each switch.
  oneshot = _version: {
    systemd.services.t-oneshot = wanted // { serviceConfig.Type = "oneshot"; script = "true"; };
  };

  # Targets that are started pull in what is new.
  pulledIn = version: onlyIn version "new" {
    systemd.services.t-new = sleeper // wanted;
    systemd.services.t-new-socket = sleeper;
    systemd.sockets.t-new-socket = { wantedBy = [ "sockets.target" ]; listenStreams = [ "/run/t-new-socket" ]; };
    systemd.services.t-new-timer = { serviceConfig.Type = "oneshot"; script = "true"; };
    systemd.timers.t-new-timer = { wantedBy = [ "timers.target" ]; timerConfig.OnActiveSec = "1d"; };
    fileSystems."/run/t-new" = { device = "tmpfs"; fsType = "tmpfs"; };
  };

  # A user's unit that does not start again: exit code 4, and no unit of the system has failed. Needs a
  # manager of that user: systemctl start user@1000.
  userUnitFails = version: {
    systemd.user.services.t-user-bad = wanted // changing version // {
      wantedBy = [ "default.target" ];
      serviceConfig = { Type = "oneshot"; RemainAfterExit = true; };
      script = if version == "old" then "true" else "exit 1";
    };
    systemd.user.services.t-user-good = sleeper // changing version // { wantedBy = [ "default.target" ]; };
  };

  # A user's manager that ends while it restarts a unit, as when the user leaves: exit code 4 as well.
  userLeaves = version: {
    systemd.user.services.t-user-leaves = wanted // changing version // {
      wantedBy = [ "default.target" ];
      unitConfig.ConditionUser = "deploy";
      serviceConfig = { Type = "oneshot"; RemainAfterExit = true; };
      script = if version == "old" then "true" else "systemctl --user exit; sleep 10";
    };
  };

  # "stopping t-refuses.service", and systemd refuses.
  refusesStop = version: onlyIn version "old" {
    systemd.services.t-refuses = sleeper // wanted // { unitConfig.RefuseManualStop = true; };
  };

  # The host says that it stops both; the second one stays when /run/closure-testbed/swap-is-full names it.
  swap = version: onlyIn version "old" {
    swapDevices = [ { device = "/dev/t-swap1"; } { device = "/dev/t-swap2"; } ];
  };
}
