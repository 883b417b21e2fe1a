#!@busybox@/bin/sh
# shellcheck disable=SC2239 # the path is absolute once it is substituted
# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The testbed's switch-to-configuration: what nixpkgs' Rust implementation (26.05) says and does,
# seen from outside, on the host's real systemd. README.md beside nixpkgs' default.nix says what is
# left out and where the host is a container.
# https://github.com/NixOS/nixpkgs/blob/master/pkgs/by-name/sw/switch-to-configuration-ng
# https://nixos.org/manual/nixos/unstable/#sec-unit-handling

set -u
# systemctl, flock and runuser are the host's own.
export PATH="@busybox@/bin:/run/current-system/sw/bin:/usr/bin:/usr/sbin:/bin"
export LC_ALL=C

action=${1-}
out=@out@
scope=system # or user: whose units they are
user=        # or "user unit ", in messages
run=/run/nixos
old=/run/current-system
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

work=$run/switch-to-configuration

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
    systemctl "--$scope" list-units --all --full --plain --no-legend --no-pager >"$work/units" 2>"$work/errors" || return
    awk '$3 != "inactive" { print $1, $3, $4 }' "$work/units"
}

# A generation of NixOS holds the units of its packages as well. Here those are Debian's, below both
# generations: unchanged, until a generation adds a drop-in or puts its own file above.
unit_files() { # DIRECTORY
    find -L "$1" -type f ! -path '*.wants/*' ! -path '*.requires/*' 2>/dev/null | sort
}

masked_units() { # DIRECTORY: links to /dev/null
    find -L "$1" -type c 2>/dev/null | sed -n "s,.*/systemd/$scope/,,; /\.d\//!s/$/\tmasked/p"
}

# Lines UNIT, WHAT of what there is of a unit (exists, own: a file of the generation, drop-in, masked),
# and UNIT, "SECTION KEY", VALUE. As in rust-ini, quotes around the beginning of a value go.
unit_settings() { # DIRECTORY [own]
    unit_files "$1" >"$work/files"
    awk -v own="${2-}" -v dir="/systemd/$scope/" '{
        unit = substr($0, index($0, dir) + length(dir))
        if (sub(/\.d\/.*/, "", unit)) { print unit "\tdrop-in"; next }
        print unit "\texists"
        if (own) print unit "\town"
    }' "$work/files"
    # shellcheck disable=SC2016
    tr '\n' '\0' <"$work/files" | xargs -0 awk -v dir="/systemd/$scope/" '
        FNR == 1 {
            unit = substr(FILENAME, index(FILENAME, dir) + length(dir))
            sub(/\.d\/.*/, "", unit)
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
            value = substr(line, at + 1)
            quote = substr(value, 1, 1)
            if (quote ~ /["\047]/ && (end = index(substr(value, 2), quote)))
                value = substr(value, 2, end - 1) substr(value, end + 2)
            printf "%s\t%s %s\t%s\n", unit, section, substr(line, 1, at - 1), value
            line = ""
        }'
    masked_units "$1"
}

# With a list of units that the activation script wants restarted: plans these, without the
# stop before the activation, which is over.
plan() { # [UNIT-LIST]: lines "SET UNIT"
    awk -v requested="${1-}" -F '\t' '
        function is(side, unit, what) { return (side, unit, what) in there }
        function exists(side, unit) { return is(side, unit, "exists") && !is(side, unit, "masked") }
        function base(unit,    template) { # an instance of which neither side has a file has the template
            if (is("old", unit, "exists") || is("new", unit, "exists")) return unit
            if (is("old", unit, "masked") || is("new", unit, "masked")) return unit
            template = unit
            sub(/@[^.]*\./, "@.", template)
            return template
        }
        function part(side, unit, key) { return (side, unit, key) in text ? text[side, unit, key] : "" }
        # A line "=VALUE" for each value; empty when an assignment of nothing has cleared them.
        function content(side, unit, key,    of) {
            of = base(unit)
            if (!((side, of, key) in text) && !((side, unit, key) in text)) return none
            if (of == unit || (side, unit, key) in cleared) return part(side, unit, key)
            return part(side, of, key) part(side, unit, key)
        }
        function flag(side, unit, key, fallback,    values, n) {
            n = split(content(side, unit, key), values, "\n")
            return n < 2 ? fallback : values[n - 1] ~ /^=(1|yes|true|on)$/
        }
        function running(unit) { return state[unit] ~ /^(active|activating)$/ }
        function add(set, unit) { print set, unit }

        function difference(key, old, new) { # 0 none, 1 a reload will do, 2
            if (old == new || key ~ /^Install / || key in ignored) return 0
            if (key ~ /^(Service ExecReload|Unit X-Reload-Triggers)$/) return new != none
            return key == "Mount Options" && old != none && new != none ? 1 : 2
        }
        function change(unit,    keys, n, i, found, most) {
            n = split(keys_of[unit] (base(unit) == unit ? "" : keys_of[base(unit)]), keys, "\n")
            for (i = 1; i < n; i++) {
                found = difference(keys[i], content("old", unit, keys[i]), content("new", unit, keys[i]))
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
            else if (unit !~ /\.service$/ || !flag("new", unit, "Service X-StopIfChanged", 1)) add("restart", unit)
            else plan_stop_and_start(unit)
        }
        function kept(unit) {
            return !flag("new", unit, "Service X-RestartIfChanged", 1) ||
                flag("new", unit, "Unit RefuseManualStop") || flag("new", unit, "Unit X-OnlyManualStart")
        }
        function plan_stop_and_start(unit,    activated) {
            activated = plan_sockets(unit)
            if (requested != "") { add("restart", unit); return }
            add("stop", unit)
            if (!activated || flag("new", unit, "Service X-NotSocketActivated")) add("start", unit)
        }
        function plan_sockets(unit,    names, sockets, n, i, activated) {
            names = content("new", unit, "Service Sockets")
            gsub(/[=\n]/, " ", names)
            if (names ~ /^( *|-)$/) { names = base(unit); sub(/@?\.service$/, ".socket", names) }
            n = split(names, sockets, " ")
            for (i = 1; i <= n; i++) activated += plan_socket(sockets[i])
            return activated
        }
        function plan_socket(socket) { # is it there to start the service?
            if (!(socket in state)) return is("new", socket, "own")
            add(requested == "" ? "stop" : "restart", socket)
            if (!is("new", socket, "exists")) return 0
            if (requested == "") add("start", socket)
            return 1
        }
        function plan_gone(unit) {
            if (flag("old", unit, "Unit X-StopOnRemoval", 1)) add("stop", unit)
        }
        function plan_running(unit,    of, changed) {
            of = base(unit)
            if (!exists("old", of)) return
            # An instance that was declared by drop-ins, and no longer is, goes though its template stays.
            if (of != unit && is("old", unit, "drop-in") && !is("new", unit, "drop-in")) { plan_gone(unit); return }
            if (!exists("new", of)) { plan_gone(unit); return }
            if (unit ~ /\.target$/) { plan_target(unit); return }
            changed = change(unit)
            if (changed == 2) plan_modified(unit)
            else if (changed == 1) add("reload", unit)
        }

        BEGIN {
            none = "-"
            n = split("Description Documentation OnFailure OnSuccess OnFailureJobMode IgnoreOnIsolate " \
                "StopWhenUnneeded RefuseManualStart RefuseManualStop AllowIsolate CollectMode SourcePath", names, " ")
            for (i = 1; i <= n; i++) ignored["Unit " names[i]]
        }
        side == "state" { split($0, words, " "); state[words[1]] = words[2]; next }
        side == "requested" { asked[$0]; next }
        NF == 2 { there[side, $1, $2]; next }
        !(($1, $2) in seen) { seen[$1, $2]; keys_of[$1] = keys_of[$1] $2 "\n" }
        $3 == "" { cleared[side, $1, $2]; text[side, $1, $2] = ""; next }
        { text[side, $1, $2] = part(side, $1, $2) "=" $3 "\n" }
        END {
            if (requested == "") { for (unit in state) if (running(unit)) plan_running(unit) }
            else for (unit in asked) { if (unit in state) plan_modified(unit); else add("start", unit) }
        }' side=state "$work/before" side=old "$work/base-settings" "$work/old-settings" \
        side=new "$work/base-settings" "$work/new-settings" side=requested "${1:-/dev/null}" >"$work/plan"
    for set in $UNIT_SETS; do
        sed -n "s/^$set //p" "$work/plan" | add_units "$set"
    done
    remove_units reload "$work/restart"
    remove_units reload "$work/stop"
}

make_plan() {
    rm -rf "$work" && mkdir -p "$work"
    trap 'rm -rf "$work"' EXIT
    for set in $UNIT_SETS $REPORTED_SETS; do : >"$work/$set"; done
    unit_states >"$work/before" || die 1 "Error: Failed to open dbus connection

Caused by:
    $(cat "$work/errors")"
    unit_settings "/usr/lib/systemd/$scope" >"$work/base-settings"
    unit_settings "$old/etc/systemd/$scope" own >"$work/old-settings"
    unit_settings "$out/etc/systemd/$scope" own >"$work/new-settings"
    # What an interrupted switch has left undone.
    for set in start restart reload; do
        [ ! -e "$run/$set-list" ] || add_units "$set" <"$run/$set-list"
    done
    plan
}

# A file of the generations, not the host's: systemd's own stays Debian's.
changed() { # FILE of a system
    [ -e "$old/$1" ] || [ -e "$out/$1" ] || return
    [ "$(readlink -f "$old/$1")" != "$(readlink -f "$out/$1")" ]
}

plan_reexec() {
    [ -e "$old/systemd" ] || return 0 # the first generation of a host
    if changed systemd || changed etc/systemd/system.conf; then : >"$work/reexec"; fi
}

# --- Mounts and swap: /etc/fstab beside the new one ---

fstab_entries() { # FILE
    [ ! -e "$1" ] || grep -v '#' "$1"
}

plan_mounts() {
    fstab_entries /etc/fstab >"$work/old-fstab"
    fstab_entries "$out/etc/fstab" >"$work/new-fstab"
    awk '
        NF < 3 || $3 == "swap" { next }
        side == "new" { device[$2] = $1; type[$2] = $3; options[$2] = $4; next }
        !($2 in device) { print "stop", ($4 ~ /x-systemd\.automount/ ? "automount" : "mount"), $2; next }
        $1 != device[$2] || $3 != type[$2] {
            if ($2 !~ /^\/(nix)?$/) print "restart mount", $2
            else print ($4 == options[$2] ? "skip" : "reload"), "mount", $2
            next
        }
        $4 != options[$2] { print "reload mount", $2 }
    ' side=new "$work/new-fstab" side=old "$work/old-fstab" >"$work/mounts"
    while read -r set suffix mountpoint; do
        systemd-escape --path --suffix="$suffix" "$mountpoint" | add_units "$set"
    done <"$work/mounts"
}

gone_swap() { # the devices, one per line
    awk 'FILENAME == ARGV[1] { stays[$1]; next } $3 == "swap" && !($1 in stays) { print $1 }' \
        "$work/new-fstab" "$work/old-fstab"
}

stop_swap() { # DEVICE; the error of swapoff(8) without what stands before it
    say "stopping swap device: $1"
    message=$(@swap@ off "$1" 2>&1) || say "Failed to stop swapping to $1: ${message##*: }"
}

# Requests of activation snippets; PREFIX is empty or "dry-".
take_requests() { # PREFIX
    restart=$run/${1}activation-restart-list
    reload=$run/${1}activation-reload-list
    [ -e "$restart" ] || [ -e "$reload" ] || return 0
    say "WARN: restarting or reloading systemd units from the activation script is deprecated and will be removed in NixOS 26.11."
    [ ! -e "$restart" ] || plan "$restart"
    [ ! -e "$reload" ] || only_active_units <"$reload" | add_units reload
    rm -f "$restart" "$reload"
}

only_active_units() { # of those on stdin: active before, and not to be stopped or restarted
    awk 'FILENAME == ARGV[1] { active[$1]; next } FILENAME != "-" { delete active[$0]; next } $0 in active' \
        "$work/before" "$work/stop" "$work/restart" -
}

dry_activate() {
    gone_swap | sed 's/^/would stop swap device: /' >&2
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

# One systemctl for the whole set, so that systemd orders the jobs among each other; sockets first and
# targets last, because a socket cannot start once its service has.
# A call that was refused is reported at once, a job that failed at the end.
run_jobs() { # VERB SET
    [ -s "$work/$2" ] || return 0
    {
        grep '\.socket$' "$work/$2"
        grep -Ev '\.(socket|target)$' "$work/$2"
        grep '\.target$' "$work/$2"
    } |
        tr '\n' '\0' | xargs -0 systemctl "--$scope" "$1" -- 2>"$work/errors" && return
    failed_jobs "$1" "$2" >"$work/failed-now"
    cat "$work/failed-now" >>"$work/failed-jobs"
    [ "$1" != stop ] || [ -s "$work/failed-now" ] || return 0 # a stop that was refused is passed over
    status=4
    [ "$1" = stop ] || sed -n "s/^Failed to $1 /Failed to $1 $user/p" "$work/errors" >&2
}

failed_jobs() { # VERB SET
    sed -En "s/^.*[Jj]ob for ([^ ]+) (failed|timed out).*/Failed to $1 $user\1/p" "$work/errors"
    # Of failed jobs systemctl names only services; any other unit is active when its job succeeded.
    grep -q '^Job failed' "$work/errors" || return
    grep -v '\.service$' "$work/$2" | while read -r unit; do
        systemctl "--$scope" -q is-active "$unit" || echo "Failed to $1 $user$unit"
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
    remove_units reload "$work/stopped"
    while read -r unit; do
        file=$out/etc/systemd/system/$unit
        [ ! -f "$file" ] || grep -Eq '^RefuseManualStart=(1|yes|true|on)$' "$file" || echo "$unit"
    done <"$work/stopped" | add_units start
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
    gone_swap >"$work/swap"
    while read -r device; do stop_swap "$device"; done <"$work/swap"
    record
    show_units "stopping the following units" stop
    run_jobs stop stop
    show_units "NOT restarting the following changed units" skip
    activate
    take_requests ""
    record
    reload_systemd
    reload_users
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

# --- Units of users: the program once more for each user of logind, as that user ---

reload_users() {
    loginctl list-users --no-legend 2>/dev/null | awk '$1 ~ /^[0-9]+$/ { print $1, $2 }' >"$work/users"
    while read -r uid name; do
        # A user who is just leaving has no manager any more.
        systemctl -q is-active "user@$uid.service" || continue
        say "reloading user units for $name..."
        as_user "$uid" "$name" </dev/null && continue
        say "warning: user activation for $name failed"
        status=4
    done <"$work/users"
}

as_user() { # UID NAME
    runuser -u "$2" -- env -i PATH="$PATH" LC_ALL=C \
        XDG_RUNTIME_DIR="/run/user/$1" OLD_TOPLEVEL="$old" NIXOS_ACTION="$action" \
        __NIXOS_SWITCH_TO_CONFIGURATION_PARENT_EXE="$0" "$out/bin/switch-to-configuration" "$action"
}

switch_user() {
    scope=user
    user="user unit "
    old=$OLD_TOPLEVEL
    run=$XDG_RUNTIME_DIR/nixos
    work=$run/switch-to-configuration
    (umask 077 && mkdir -p "$run")
    make_plan
    echo nixos-activation.service >"$work/activation"
    remove_units skip "$work/activation"
    record
    show_units "stopping the following user units" stop
    run_jobs stop stop
    show_units "NOT restarting the following user units" skip
    systemctl --user daemon-reexec # which reads the units anew
    systemctl --user reset-failed
    phase reload "reloading the following user units"
    phase restart "restarting the following user units"
    phase start "starting the following user units"
    if [ -e "$out/etc/systemd/user/nixos-activation.service" ]; then
        say "restarting the following user units: nixos-activation.service"
        systemctl --user restart nixos-activation.service 2>/dev/null # its failure is nobody's
    fi
    [ -s "$work/failed-jobs" ] || return 0
    cat "$work/failed-jobs" >&2
    sed -n 's/.* //p' "$work/failed-jobs" | add_units failed
    show_units "warning: the following user units failed" failed
    say "See \`systemctl --user status $(tr '\n' ' ' <"$work/failed" | sed 's/ $//')\` for details."
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
    plan_mounts
    plan_reexec
    if [ "$action" = dry-activate ]; then dry_activate; else switch; fi
}

if [ -n "${__NIXOS_SWITCH_TO_CONFIGURATION_PARENT_EXE-}" ]; then
    switch_user
    exit "$status"
fi
export NIXOS_ACTION="$action"
old=$(readlink -f "$old") # the activation moves the link
check_arguments
check_host
take_lock
# Children must not inherit the lock: a daemon started by the activation would keep it.
main 9>&-
exit "$status"
