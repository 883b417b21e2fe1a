# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh disable=SC2154 # host.sh sets $state
# What became of systemd's units in an activation: pictures of them before and after it. systemd
# starts, stops and restarts more than switch-to-configuration asks for.

pictured=$state/jobs/activation/units

# units_picture [UNIT...]: prints a line for each unit, or for all that are loaded, with the words
# that module_utils/_activate/units.py names. systemctl chooses the order of what it shows.
units_picture() {
    [ $# -gt 0 ] || set -- '*'
    properties=Id,LoadState,ActiveState,SubState,InvocationID,StateChangeTimestampMonotonic
    properties=$properties,ActiveExitTimestampMonotonic,ExecMainExitTimestampMonotonic
    properties=$properties,ConditionTimestampMonotonic,ConditionResult,Transient,StopWhenUnneeded
    properties=$properties,BusName,FragmentPath,TriggeredBy
    systemctl show --property="$properties" -- "$@" 2>/dev/null | properties=$properties awk '
        BEGIN { count = split(ENVIRON["properties"], names, ",") }
        function line(i) {
            if (!("Id" in value)) return
            for (i = 1; i <= count; i++)
                printf "%s%s", value[names[i]] == "" ? "-" : value[names[i]], i < count ? " " : "\n"
            split("", value)
        }
        $0 == "" { line() }
        match($0, /=/) { value[substr($0, 1, RSTART - 1)] = substr($0, RSTART + 1) }
        END { line() }'
}

# units_changed: prints the lines of both pictures that differ, where there is one of before the last
# activation. A unit that is not loaded any more is loaded again, to see whether its file is there.
units_changed() {
    [ -s "$pictured" ] || return 0
    units_picture >"$pictured.now" || return 0
    gone=$(awk 'NR == FNR { now[$1]; next } !($1 in now) && $3 == "active" { print $1 }' \
        "$pictured.now" "$pictured")
    # shellcheck disable=SC2086 # names of units have no blanks
    [ -z "$gone" ] || units_picture $gone >>"$pictured.now"
    units_missing unit_before "$pictured.now" "$pictured"
    units_missing unit_after "$pictured" "$pictured.now"
}

# units_missing NAME FILE FILE: prints the lines that only the second file has.
units_missing() {
    awk -v name="$1" 'NR == FNR { other[$0]; next } !($0 in other) { print name "=" $0 }' "$2" "$3"
}

# unit_logs UNIT...: prints UNIT=LINE for the last lines that each of them has printed in this run.
unit_logs() {
    for name in "$@"; do
        invocation=$(systemctl show --property=InvocationID -- "$name" | cut -d = -f 2)
        [ -z "$invocation" ] || journalctl --quiet --no-pager --output=cat --lines=5 \
            "_SYSTEMD_INVOCATION_ID=$invocation" 2>/dev/null | while IFS= read -r line; do
            printf '%s=%s\n' "$name" "$line"
        done
    done
}
