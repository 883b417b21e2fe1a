#!@busybox@/bin/sh
# shellcheck disable=SC2239 # the path is absolute once it is substituted
# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The testbed's switch-to-configuration: what nixpkgs' Rust implementation (26.05) says and does,
# seen from outside, on the host's real systemd. Left out: swap devices, fstab, user units.
# https://github.com/NixOS/nixpkgs/blob/master/pkgs/by-name/sw/switch-to-configuration-ng
# https://nixos.org/manual/nixos/unstable/#sec-unit-handling

set -u
# systemctl and flock are the host's own.
export PATH="@busybox@/bin:/run/current-system/sw/bin:/usr/bin:/bin"
export LC_ALL=C

action=${1-}
out=@out@
run=/run/nixos
work=$run/switch-to-configuration
status=0

say() {
    printf '%s\n' "$*" >&2
}

die() { # STATUS MESSAGE
    say "$2"
    exit "$1"
}

log() {
    logger -t nixos -p user.info "$1"
}

check_arguments() {
    case $action in
    check | switch | boot | test | dry-activate) return ;;
    esac
    cat >&2 <<'USAGE'
Usage: switch-to-configuration [check|switch|boot|test|dry-activate]
check:        run pre-switch checks and exit
switch:       make the configuration the boot default and activate now
boot:         make the configuration the boot default
test:         activate the configuration, but don't make it the boot default
dry-activate: show what would be done if this configuration were activated
USAGE
    exit 1
}

check_host() {
    [ "$(id -u)" = 0 ] ||
        die 1 "Error: switch-to-configuration must be run as the root user"
    [ -r /etc/os-release ] || die 1 "Error: Failed to parse os-release"
    # 2 is ENOENT: the real one exits with whatever errno happens to be, here of /etc/NIXOS.
    [ -f /etc/NIXOS ] || grep -Eq '^ID="?@distroId@"?$' /etc/os-release ||
        die 2 "This is not a NixOS installation!"
}

take_lock() {
    mkdir -p "$run"
    exec 9>"$run/switch-to-configuration.lock"
    flock -n 9 || die 11 "Could not acquire lock" # 11 is EAGAIN
}

check_before_switch() {
    [ "${NIXOS_NO_CHECK-}" = 1 ] || @preSwitchCheck@ "$out" "$action" ||
        die 1 "Pre-switch checks failed"
}

install_bootloader() {
    @installBootloader@ "$out" || die 1 "Failed to install bootloader"
}

check_init_interface() {
    running=/run/current-system/init-interface-version
    [ -e "$running" ] || return 0 # the first generation of a host
    cmp -s "$running" "$out/init-interface-version" && return
    die 100 "Warning: the new NixOS configuration has an ‘init’ that is
incompatible with the current configuration.  The new configuration
won't take effect until you reboot the system.
"
}

# --- Sets of units: a file each in $work, a unit per line ---

UNIT_SETS="stop skip start restart reload hide"
REPORTED_SETS="failed-jobs failed new"

add_units() { # SET: add the units on stdin; sorted as they are displayed
    cat - "$work/$1" | sort -u | sort -f >"$work/set"
    mv "$work/set" "$work/$1"
}

remove_units() { # SET FILE: drop from the set what FILE lists
    awk 'FILENAME == ARGV[1] { drop[$0]; next } !($0 in drop)' "$2" "$work/$1" >"$work/set"
    mv "$work/set" "$work/$1"
}

show_units() { # MESSAGE SET: on one line; targets are always started, hence hidden
    hide=$work/hide
    [ "${STC_DISPLAY_ALL_UNITS-}" != 1 ] || hide=/dev/null
    units=$(awk 'FILENAME == ARGV[1] { hide[$0]; next }
        !($0 in hide) { printf "%s%s", sep, $0; sep = ", " }' "$hide" "$work/$2")
    [ -z "$units" ] || say "$1: $units"
}

# --- The plan ---

unit_states() { # UNIT ACTIVE SUB of every unit that is not inactive
    systemctl list-units --all --full --plain --no-legend --no-pager >"$work/units" 2>"$work/errors" || return
    awk '$3 != "inactive" { print $1, $3, $4 }' "$work/units"
}

# A generation of NixOS holds the units of its packages as well. Here those are Debian's, below both
# generations: unchanged, until a generation adds a drop-in or puts its own file above.
# An empty unit file and a link to /dev/null mask a unit (systemd.unit(5)): neither yields a line.
unit_settings() { # DIRECTORY: lines UNIT, "SECTION KEY", VALUE; drop-ins follow their unit
    # shellcheck disable=SC2016
    {
        find /usr/lib/systemd/system -type f | sort
        find -L "$1" -type f ! -path '*.wants/*' ! -path '*.requires/*' 2>/dev/null | sort
    } | tr '\n' '\0' | xargs -0 awk '
        FNR == 1 {
            unit = FILENAME
            sub(/.*\/systemd\/system\//, "", unit)
            if (!sub(/\.d\/.*/, "", unit)) print unit
            section = line = ""
        }
        line == "" && /^[ \t]*([#;]|$)/ { next }
        { line = line $0 }
        sub(/\\$/, " ", line) { next }
        line ~ /^\[/ { section = substr(line, 2, index(line, "]") - 2); line = ""; next }
        {
            gsub(/\t/, " ", line)
            sub(/ *= */, "=", line)
            at = index(line, "=")
            printf "%s\t%s %s\t%s\n", unit, section, substr(line, 1, at - 1), substr(line, at + 1)
            line = ""
        }'
}

# With a list of units that the activation script wants restarted: plans these, without the
# stop before the activation, which is over.
plan() { # [UNIT-LIST]: lines "SET UNIT"
    awk -v requested="${1-}" -F '\t' '
        function file(side, unit,    template) { # an instance without its own file has the template
            if ((side, unit) in exists) return unit
            template = unit
            sub(/@.*\./, "@.", template)
            return (side, template) in exists ? template : ""
        }
        function content(side, unit, key,    of) {
            of = file(side, unit)
            return text[side, of, key] (of == unit ? "" : text[side, unit, key])
        }
        function flag(side, unit, key, fallback,    values, n) {
            n = split(content(side, unit, key), values, "\n")
            return n < 2 ? fallback : tolower(values[n - 1]) ~ /^=(1|y|yes|t|true|on)$/
        }
        function running(unit) { return state[unit] ~ /^(active|activating)$/ }
        function add(set, unit) { print set, unit }

        function difference(key, old, new) { # 0 none, 1 a reload will do, 2
            if (old == new || key ~ /^Install / || key in ignored) return 0
            if (key == "Service ExecReload") return new != ""
            return key == "Unit X-Reload-Triggers" || key == "Mount Options" ? 1 : 2
        }
        function change(unit,    key, found, most) {
            for (key in keys) {
                found = difference(key, content("old", unit, key), content("new", unit, key))
                if (found > most) most = found
            }
            return most
        }
        function plan_target(unit) {
            if (flag("new", unit, "Unit X-StopOnReconfiguration")) add("stop", unit)
            if (unit ~ /^(suspend|hibernate|hybrid-sleep)\.target$/) return
            if (flag("new", unit, "Unit RefuseManualStart")) return
            if (flag("new", unit, "Unit X-OnlyManualStart")) return
            add("start", unit)
            add("hide", unit)
        }
        function plan_modified(unit) {
            if (unit ~ /^(sysinit|basic|multi-user|graphical)\.target$|\.(path|slice|socket)$/) return
            if (unit == "-.mount" || unit == "nix.mount") add("reload", unit)
            else if (unit ~ /\.mount$/) add("restart", unit)
            else if (flag("new", unit, "Service X-ReloadIfChanged")) add("reload", unit)
            else if (kept(unit)) add("skip", unit)
            else if (requested != "" || !flag("new", unit, "Service X-StopIfChanged", 1)) add("restart", unit)
            else plan_stop_and_start(unit)
        }
        function kept(unit) {
            return !flag("new", unit, "Service X-RestartIfChanged", 1) ||
                flag("new", unit, "Unit RefuseManualStop") || flag("new", unit, "Unit X-OnlyManualStart")
        }
        function plan_stop_and_start(unit,    activated) {
            add("stop", unit)
            activated = unit ~ /\.service$/ && plan_sockets(unit)
            if (!activated || flag("new", unit, "Service X-NotSocketActivated") ||
                flag("new", unit, "Unit X-NotSocketActivated")) add("start", unit)
        }
        function plan_sockets(unit,    names, sockets, n, i, activated) {
            names = content("new", unit, "Service Sockets")
            gsub(/[=\n]/, " ", names)
            if (names == "") { names = unit; sub(/(@.*)?\.service$/, ".socket", names) }
            n = split(names, sockets, " ")
            for (i = 1; i <= n; i++) activated += plan_socket(sockets[i])
            return activated
        }
        function plan_socket(socket) { # is it there to start the service?
            if (running(socket)) add("stop", socket)
            else if (file("old", socket) != "") return 0
            if (file("new", socket) == "") return 0
            add("start", socket)
            return 1
        }
        function plan_running(unit,    changed) {
            if (file("old", unit) == "") return
            if (file("new", unit) == "") {
                if (flag("old", unit, "Unit X-StopOnRemoval", 1)) add("stop", unit)
                return
            }
            if (unit ~ /\.target$/) { plan_target(unit); return }
            changed = change(unit)
            if (changed == 2) plan_modified(unit)
            else if (changed == 1) add("reload", unit)
        }

        BEGIN {
            n = split("Description Documentation OnFailure OnSuccess OnFailureJobMode IgnoreOnIsolate " \
                "StopWhenUnneeded RefuseManualStart RefuseManualStop AllowIsolate CollectMode SourcePath", names, " ")
            for (i = 1; i <= n; i++) ignored["Unit " names[i]]
        }
        side == "state" { split($0, words, " "); state[words[1]] = words[2]; next }
        side == "requested" { asked[$0]; next }
        NF == 1 { exists[side, $1]; next }
        { keys[$2]; text[side, $1, $2] = text[side, $1, $2] "=" $3 "\n" }
        END {
            if (requested == "") { for (unit in state) if (running(unit)) plan_running(unit) }
            else for (unit in asked) { if (running(unit)) plan_modified(unit); else add("start", unit) }
        }' side=state "$work/before" side=old "$work/old-settings" side=new "$work/new-settings" \
        side=requested "${1:-/dev/null}" >"$work/plan"
    for set in $UNIT_SETS; do
        sed -n "s/^$set //p" "$work/plan" | add_units "$set"
    done
    remove_units reload "$work/restart"
    remove_units reload "$work/stop"
}

make_plan() {
    rm -rf "$work" && mkdir "$work"
    trap 'rm -rf "$work"' EXIT
    for set in $UNIT_SETS $REPORTED_SETS; do : >"$work/$set"; done
    unit_states >"$work/before" || die 1 "Error: Failed to open dbus connection

Caused by:
    $(cat "$work/errors")"
    unit_settings /run/current-system/etc/systemd/system >"$work/old-settings"
    unit_settings "$out/etc/systemd/system" >"$work/new-settings"
    [ "$(readlink -f /run/current-system/systemd)" = "$(readlink -f "$out/systemd")" ] ||
        [ ! -e /run/current-system/systemd ] || : >"$work/reexec"
    # What an interrupted switch has left undone.
    for set in start restart reload; do
        [ ! -e "$run/$set-list" ] || add_units "$set" <"$run/$set-list"
    done
    plan
}

# Requests of activation snippets; PREFIX is empty or "dry-".
take_requests() { # PREFIX
    restart=$run/${1}activation-restart-list
    reload=$run/${1}activation-reload-list
    [ -e "$restart" ] || [ -e "$reload" ] || return 0
    say "WARN: restarting or reloading systemd units from the activation script is deprecated and will be removed in NixOS 26.11."
    [ ! -e "$reload" ] || add_units reload <"$reload"
    [ ! -e "$restart" ] || plan "$restart"
    rm -f "$restart" "$reload"
}

dry_activate() {
    show_units "would stop the following units" stop
    show_units "would NOT stop the following changed units" skip
    say "would activate the configuration..."
    [ ! -x "$out/dry-activate" ] || "$out/dry-activate" "$out"
    take_requests dry-
    [ ! -e "$work/reexec" ] || say "would restart systemd"
    show_units "would reload the following units" reload
    show_units "would restart the following units" restart
    show_units "would start the following units" start
}

# --- The real run ---

record() {
    for set in start restart reload; do
        [ ! -s "$work/$set" ] || cp "$work/$set" "$run/$set-list"
    done
}

# One systemctl for the whole set, so that systemd orders the jobs among each other; targets last,
# because a service that they want must not come before the socket which the set starts with it.
# A call that was refused is reported at once, a job that failed at the end.
run_jobs() { # VERB SET
    [ -s "$work/$2" ] || return 0
    { grep -v '\.target$' "$work/$2"; grep '\.target$' "$work/$2"; } |
        tr '\n' '\0' | xargs -0 systemctl "$1" -- 2>"$work/errors" && return
    status=4
    grep "^Failed to $1 " "$work/errors" >&2
    failed_jobs "$1" "$2" >>"$work/failed-jobs"
}

failed_jobs() { # VERB SET
    sed -En "s/^.*[Jj]ob for ([^ ]+) (failed|timed out).*/Failed to $1 \1/p" "$work/errors"
    # Of failed jobs systemctl names only services; any other unit is active when its job succeeded.
    grep -q '^Job failed' "$work/errors" || return
    grep -v '\.service$' "$work/$2" | while read -r unit; do
        systemctl -q is-active "$unit" || echo "Failed to $1 $unit"
    done
}

activate() {
    say "activating the configuration..."
    "$out/activate" "$out" && return
    say "Failed to run activate script"
    status=2
}

reload_systemd() {
    if [ -e "$work/reexec" ]; then
        say "restarting systemd..."
        timeout 180 systemctl daemon-reexec ||
            die 1 "Error: systemd daemon reexecute failed, timeout after 180s"
    fi
    systemctl reset-failed
    timeout 180 systemctl daemon-reload ||
        die 1 "Error: systemd daemon reload failed, timeout after 180s"
}

restart_sysinit_reactivation() {
    say "restarting sysinit-reactivation.target"
    echo sysinit-reactivation.target >"$work/sysinit"
    # Only a generation can bring this target; Debian has none.
    ! systemctl cat sysinit-reactivation.target >/dev/null 2>&1 || run_jobs restart sysinit
}

start_instead_of_reload() { # what was to be reloaded but has stopped meanwhile
    while read -r unit; do
        systemctl -q is-active "$unit" || echo "$unit"
    done <"$work/reload" >"$work/stopped"
    add_units start <"$work/stopped"
    remove_units reload "$work/stopped"
}

phase() { # VERB MESSAGE
    show_units "$2" "$1"
    run_jobs "$1" "$1"
    rm -f "$run/$1-list"
}

settle() { # the real one waits for 250 ms of silence on D-Bus, at most 90 s
    tries=360
    while unit_states >"$work/after" && ! cmp -s "$work/after" "$work/last" && [ "$tries" -gt 0 ]; do
        mv "$work/after" "$work/last"
        tries=$((tries - 1))
        sleep 0.25
    done
}

failed_units() {
    while read -r unit active sub; do
        case $active/$sub in
        failed/*) echo "$unit" ;;
        */auto-restart*)
            [ "$(systemctl show -p ExecMainStatus --value "$unit")" = 0 ] || echo "$unit" ;;
        esac
    done <"$work/after"
}

report() {
    cat "$work/failed-jobs" >&2
    settle
    failed_units | add_units failed
    awk 'FILENAME == ARGV[1] { before[$1]; next } !($1 in before) && !/^[^ ]*\.scope / { print $1 }' \
        "$work/before" "$work/after" | add_units new
    remove_units new "$work/failed"
    show_units "the following new units were started" new
    show_units "warning: the following units failed" failed
    [ -s "$work/failed" ] || return 0
    status=4
    tr '\n' '\0' <"$work/failed" | xargs -0 systemctl status --no-pager --full --
}

switch() {
    log "switching to system configuration $out"
    record
    show_units "stopping the following units" stop
    run_jobs stop stop
    show_units "NOT restarting the following changed units" skip
    activate
    take_requests ""
    record
    reload_systemd
    restart_sysinit_reactivation
    start_instead_of_reload
    phase reload "reloading the following units"
    phase restart "restarting the following units"
    phase start "starting the following units"
    report
    case $status in
    0) log "finished switching to system configuration $out" ;;
    *) log "switching to system configuration $out failed (status $status)" ;;
    esac
}

main() {
    check_before_switch
    case $action in
    check) return ;;
    switch | boot) install_bootloader ;;
    esac
    [ "$action" != boot ] || return 0
    check_init_interface
    make_plan
    if [ "$action" = dry-activate ]; then dry_activate; else switch; fi
}

export NIXOS_ACTION="$action"
check_arguments
check_host
take_lock
# Children must not inherit the lock: a daemon started by the activation would keep it.
main 9>&-
exit "$status"
