# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh disable=SC2154 # host.sh sets $state
# What became of systemd's units in an activation: pictures of them before and after it. systemd
# starts, stops and restarts more than switch-to-configuration asks for.

pictured=$state/jobs/activation/units

# units_picture: prints a line for each unit that is loaded, of the system and of users who are there, with
# the words that module_utils/_activate/units.py names.
units_picture() {
    picture_of '*'
    user_managers | while read -r name; do picture_of "$name/*" </dev/null; done
}

# picture_of UNIT: the same for that one, or a pattern. systemctl chooses the order of what it shows.
picture_of() {
    properties=Id,LoadState,ActiveState,SubState,InvocationID,StateChangeTimestampMonotonic
    properties=$properties,ActiveExitTimestampMonotonic,ExecMainExitTimestampMonotonic
    properties=$properties,ConditionTimestampMonotonic,ConditionResult,Transient,StopWhenUnneeded
    properties=$properties,BusName,FragmentPath,TriggeredBy
    whose=$(whose "$1")
    of_unit "$1" show --property="$properties" 2>/dev/null | properties=$properties whose=$whose awk '
        BEGIN { count = split(ENVIRON["properties"], names, ",") }
        function line(i) {
            if (!("Id" in value)) return
            printf "%s", ENVIRON["whose"]
            for (i = 1; i <= count; i++)
                printf "%s%s", value[names[i]] == "" ? "-" : value[names[i]], i < count ? " " : "\n"
            split("", value)
        }
        $0 == "" { line() }
        match($0, /=/) { value[substr($0, 1, RSTART - 1)] = substr($0, RSTART + 1) }
        END { line() }'
}

# whose UNIT: prints USER/ for USER/UNIT, nothing for a unit of the system.
whose() {
    case $1 in */*) printf '%s/' "${1%%/*}" ;; esac
}

# of_unit UNIT WORD...: calls systemctl with the words about a unit, of a user's manager for USER/UNIT. A
# user can stop that manager from answering.
of_unit() {
    of_unit=$1
    shift
    case $of_unit in
        */*) as_user "${of_unit%%/*}" timeout 10 systemctl --user "$@" -- "${of_unit#*/}" ;;
        *) systemctl "$@" -- "$of_unit" ;;
    esac
}

# as_user USER COMMAND...: runs it as that user, without a new session.
as_user() {
    as_uid=$(id -u -- "$1") as_gid=$(id -g -- "$1") || return
    shift
    setpriv --reuid="$as_uid" --regid="$as_gid" --init-groups -- \
        env -i PATH="$PATH" LC_ALL=C XDG_RUNTIME_DIR="/run/user/$as_uid" "$@"
}

# user_managers: prints the names of users whose managers run, when we may ask those.
user_managers() {
    [ "$(id -u)" -eq 0 ] || return 0
    # A manager's own socket; its directory goes with it.
    for socket in /run/user/*/systemd/private; do
        [ -S "$socket" ] || continue
        manager=${socket#/run/user/}
        id -un -- "${manager%%/*}"
    done
}

# failed_units: prints failed_unit=UNIT for each. Those that wait for their next try have failed as well,
# and systemd says it in their sub-state.
failed_units() {
    failed_of '*'
    user_managers | while read -r name; do failed_of "$name/*" </dev/null; done
}

# failed_of PATTERN: the same of one manager's units.
failed_of() {
    whose=$(whose "$1")
    of_unit "$1" list-units --state=failed,auto-restart --plain --no-legend --full 2>/dev/null |
        while read -r name _; do printf 'failed_unit=%s%s\n' "$whose" "$name"; done
}

# settled_units UNIT...: prints "UNIT ACTIVE SUB RESTARTS" for each and an empty line. While one is
# about to be restarted it waits, and looks twice, because a unit that keeps failing is active too
# now and then.
settled_units() {
    looked=$(unit_states "$@")
    case $looked in
        *' activating '*)
            sleep 5
            unit_states "$@"
            echo
            sleep 1
            looked=$(unit_states "$@")
            ;;
    esac
    printf '%s\n\n' "$looked"
}

# unit_states UNIT...: prints "UNIT ACTIVE SUB RESTARTS" for each.
unit_states() {
    for name in "$@"; do
        printf '%s' "$name"
        for property in ActiveState SubState NRestarts; do
            printf ' %s' "$(of_unit "$name" show -p "$property" | cut -d = -f 2)"
        done
        echo
    done
}

# units_changed: prints the lines of both pictures that differ, where there is one of before the last
# activation. A unit that is not loaded any more is loaded again, to see whether its file is there.
units_changed() {
    [ -s "$pictured" ] || return 0
    units_picture >"$pictured.now" || return 0
    awk 'NR == FNR { now[$1]; next } !($1 in now) && $3 == "active" { print $1 }' \
        "$pictured.now" "$pictured" >"$pictured.gone" || return 0
    while read -r name; do picture_of "$name" </dev/null; done <"$pictured.gone" >>"$pictured.now"
    units_missing unit_before "$pictured.now" "$pictured"
    units_missing unit_after "$pictured" "$pictured.now"
}

# units_left: notes the units that the last activation has left failed and that had not failed before it,
# once, below the system that runs.
units_left() {
    [ -s "$pictured" ] && [ ! -e "$pictured.left" ] || return 0
    {
        readlink -f /run/current-system
        failed_units | awk 'NR == FNR { if ($3 == "failed" || $4 == "auto-restart") before["failed_unit=" $1]; next }
            !($0 in before)' "$pictured" -
    } >"$pictured.left"
}

# left_failed: prints left_failed=UNIT for each of them, while that system runs.
left_failed() {
    [ -r "$pictured.left" ] && read -r left_by <"$pictured.left" || return 0
    [ "$left_by" != "$(readlink -f /run/current-system)" ] ||
        sed -n 's/^failed_unit=/left_failed=/p' "$pictured.left"
}

# units_missing NAME FILE FILE: prints the lines that only the second file has.
units_missing() {
    awk -v name="$1" 'NR == FNR { other[$0]; next } !($0 in other) { print name "=" $0 }' "$2" "$3"
}

# unit_logs UNIT...: prints UNIT=LINE for the last lines that each of them has printed in this run.
unit_logs() {
    for name in "$@"; do
        invocation=$(of_unit "$name" show --property=InvocationID | cut -d = -f 2)
        [ -z "$invocation" ] || journalctl --quiet --no-pager --output=cat --lines=5 \
            "_SYSTEMD_INVOCATION_ID=$invocation" 2>/dev/null | while IFS= read -r line; do
            printf '%s=%s\n' "$name" "$line"
        done
    done
}
