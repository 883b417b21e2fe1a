# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh disable=SC2154 # host.sh sets $state
# What became of systemd's units in an activation: which there were before it, and pictures of them after
# it. systemd starts, stops and restarts more than switch-to-configuration asks for.

pictured=$state/jobs/activation/units

# units_before: prints "since MICROSECONDS", when the unit that we run in began as systemd counts, and the
# units_listed. Where we run in none there is nothing to compare with.
units_before() {
    since=$(systemctl show --property=InactiveExitTimestampMonotonic --value "$unit" 2>/dev/null)
    [ "${since:-0}" -gt 0 ] || return
    printf 'since %s\n' "$since"
    # The guard that waits for us has just asked.
    if [ "$(guard_at)" = armed ]; then cat "$guard/units"; else units_listed; fi
}

# units_listed: prints "UNIT LOAD ACTIVE SUB CONFIGURED" for each unit that is loaded, of the system and of users
# who are there. CONFIGURED is no where no file describes it, and for what comes and goes with devices and
# sessions, module_utils/_activate/units.KINDS.
units_listed() {
    states_of ''
    user_managers | while read -r name; do states_of "$name/" </dev/null; done
}

# states_of WHOSE: the same of one manager. To list a unit costs systemd next to nothing, to show it a
# millisecond or two.
states_of() {
    manager=/run/systemd
    [ -z "$1" ] || manager=/run/user/$(id -u -- "${1%/}")/systemd
    {
        printf 'transient %s\n' "$manager"/transient/*
        printf 'file %s\n' /etc/systemd/system/*.mount /etc/systemd/system/*.swap "$manager"/generator*/*
        systemctl_of "$1" list-units --all --full --plain --no-legend 2>/dev/null
    } | whose=$1 awk '
        $1 == "transient" || $1 == "file" { sub(/.*\//, "", $2); known[$1, $2]; next }
        {
            # systemd makes units of all that is mounted.
            described = $1 !~ /\.(device|slice|scope)$/ && !(("transient", $1) in known) &&
                ($1 !~ /\.(mount|swap)$/ || (("file", $1) in known))
            print ENVIRON["whose"] $1, $2, $3, $4, described ? "yes" : "no"
        }'
}

# picture_of WHOSE UNIT...: prints a line for each of those, or of a pattern, of the system or of USER/, with the
# words that module_utils/_activate/units.py names. systemctl chooses the order of what it shows.
picture_of() {
    whose=$1
    shift
    properties=Id,LoadState,ActiveState,SubState,StateChangeTimestampMonotonic
    properties=$properties,InactiveExitTimestampMonotonic,ActiveEnterTimestampMonotonic
    properties=$properties,ActiveExitTimestampMonotonic,ExecMainExitTimestampMonotonic
    properties=$properties,ConditionTimestampMonotonic,ConditionResult,Transient,StopWhenUnneeded
    properties=$properties,BusName,FragmentPath,TriggeredBy
    systemctl_of "$whose" show --all --property="$properties" -- "$@" 2>/dev/null | properties=$properties whose=$whose awk '
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

# of_unit UNIT WORD...: calls systemctl with the words about a unit, of a user's manager for USER/UNIT.
of_unit() {
    of_unit=$1
    shift
    systemctl_of "$(whose "$of_unit")" "$@" -- "${of_unit#*/}"
}

# systemctl_of WHOSE WORD...: calls systemctl with the words, for the system or for USER/, who can stop
# that manager from answering.
systemctl_of() {
    systemctl_of=${1%/}
    shift
    if [ -n "$systemctl_of" ]; then
        as_user "$systemctl_of" timeout 10 systemctl --user "$@"
    else
        systemctl "$@"
    fi
}

# as_user USER COMMAND...: runs it as that user, without a new session.
as_user() {
    as_ids=$(id -- "$1") || return
    as_uid=${as_ids#uid=} as_gid=${as_ids#* gid=}
    as_uid=${as_uid%%[!0-9]*} as_gid=${as_gid%%[!0-9]*}
    shift
    setpriv --reuid="$as_uid" --regid="$as_gid" --init-groups -- \
        env -i PATH="$PATH" LC_ALL=C XDG_RUNTIME_DIR="/run/user/$as_uid" "$@"
}

# user_managers: prints the names of users whose managers run, when we may ask those.
user_managers() {
    [ "$uid" -eq 0 ] || return 0
    # A manager's own socket; its directory goes with it.
    stat -c %U /run/user/*/systemd/private 2>/dev/null
}

# failed_units: prints failed_unit=UNIT for each.
failed_units() {
    units_listed | failed_in -
}

# failed_in FILE: the same of what units_listed has printed. Those that wait for their next try have failed as
# well, and systemd says it in their sub-state.
failed_in() {
    awk '$3 == "failed" || $4 ~ /^auto-restart/ { print "failed_unit=" $1 }' "$1"
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

# unit_states UNIT...: prints "UNIT ACTIVE SUB RESTARTS" for each, "UNIT gone - 0" for that of a user who has left.
unit_states() {
    for name in "$@"; do
        if user_left "$(whose "$name")"; then
            printf '%s gone - 0\n' "$name"
            continue
        fi
        of_unit "$name" show --property=ActiveState,SubState,NRestarts | name=$name awk -F = '
            { value[$1] = $2 }
            END { print ENVIRON["name"], value["ActiveState"], value["SubState"], value["NRestarts"] }'
    done
}

# user_left WHOSE: has the manager of USER/ ended, or does it just end? All units of that user end with it.
user_left() {
    [ -n "$1" ] && left_uid=$(id -u -- "${1%/}") || return 1
    case $(systemctl is-active "user@$left_uid.service" 2>/dev/null) in
        inactive | deactivating | failed) ;;
        *) return 1 ;;
    esac
}

# units_changed LISTED: prints units_since=MICROSECONDS, unit_after=PICTURE for each unit that has acted since the
# last activation began, and unit_before=STATE for what it was, where units_before has noted that. LISTED is what
# units_listed prints now.
units_changed() {
    { [ -n "$1" ] && [ -s "$pictured" ] && printf '%s\n' "$1" >"$pictured.now"; } || return 0
    units_to_show >"$pictured.show" || return 0
    # Names have backslashes.
    # shellcheck disable=SC2086 # one word for each
    (set -f && while read -r whose names; do picture_of "${whose#system}" $names </dev/null; done) \
        <"$pictured.show" >"$pictured.shown"
    units_acted
}

# units_to_show: prints "WHOSE UNIT..." for each manager, the system's is called system: the units that may have
# acted. One that does not run now may have run meanwhile. One that is not loaded any more is loaded again, to
# see whether its file is there.
units_to_show() {
    awk '
        function show(unit, whose, name) {
            whose = "system"
            name = unit
            if (match(name, "/")) { whose = substr(name, 1, RSTART); name = substr(name, RSTART + 1) }
            units[whose] = units[whose] " " name
        }
        { is = $2 " " $3 " " $4 }
        NR == FNR { was[$1] = is; ran[$1] = $3 == "active" && $5 == "yes"; next }
        { now[$1] }
        $5 == "yes" && (was[$1] != is || ($2 == "loaded" && ($3 != "inactive" || $1 ~ /\.service$/))) { show($1) }
        END {
            for (unit in was) if (ran[unit] && !(unit in now)) show(unit)
            for (whose in units) print whose units[whose]
        }' "$pictured" "$pictured.now"
}

# units_acted: prints what units_changed does. What no manager shows any more has gone with its user.
units_acted() {
    awk '
        FILENAME == ARGV[1] && $1 == "since" { since = $2 + 0; print "units_since=" $2; next }
        FILENAME == ARGV[1] { was[$1] = $2 " " $3 " " $4; line[$1] = $0; next }
        FILENAME == ARGV[2] { now[$1]; next }
        { now[$1] }
        $5 + 0 > since || was[$1] != $2 " " $3 " " $4 {
            if ($1 in line) print "unit_before=" line[$1]
            print "unit_after=" $0
        }
        END { for (unit in line) if (!(unit in now)) print "unit_before=" line[unit] }' \
        "$pictured" "$pictured.now" "$pictured.shown"
}

# units_to_come PATH: prints what tells how systemd will act by dependencies when the system at PATH is activated:
# now=PICTURE of each unit; runs=UNIT KEY UNIT... of what stops and restarts with it; comes=UNIT for each that the
# system has, and comes=UNIT KEY [VALUE] for what it says of it; begins=UNIT for what it starts for each user.
units_to_come() {
    picture_of '' '*' | sed 's/^/now=/'
    units_bound | sed 's/^/runs=/'
    activated_users "$1" | sed 's/^/begins=/'
    {
        listing=$(unit_listing "$1")
        printf '%s\n' "$listing" | unit_links
        printf '%s\n' "$listing" | unit_files | unit_settings
        mounts_to_come "$1/etc/fstab"
    } | sed 's/^/comes=/'
}

# activated_users PATH: prints the unit that NixOS starts for each user who is there, and who is no user of the
# system's own.
activated_users() {
    [ -e "$1/etc/systemd/user/nixos-activation.service" ] || return 0
    user_managers | while read -r name; do
        [ "$(id -u -- "$name")" -lt 1000 ] || printf '%s/nixos-activation.service\n' "$name"
    done
}

# units_bound: prints UNIT KEY UNIT... for what systemd stops or restarts with a unit that is loaded.
units_bound() {
    properties=Id,RequiredBy,RequisiteOf,BoundBy,ConsistsOf,PropagatesStopTo
    systemctl show --property="$properties" '*' 2>/dev/null | awk '
        function lines(key) {
            for (key in value) if (key != "Id" && value[key] != "") print value["Id"], key, value[key]
            split("", value)
        }
        $0 == "" { lines() }
        match($0, /=/) { value[substr($0, 1, RSTART - 1)] = substr($0, RSTART + 1) }
        END { lines() }'
}

# unit_listing PATH: prints all that is where systemd looks for units once the system at PATH runs, first what
# counts first: a path, the letter of its kind, and where it leads if it is a link, with tabs between them.
unit_listing() {
    for directory in $(systemctl show --value --property=UnitPath); do
        [ "$directory" != /etc/systemd/system ] || directory=$1/etc/systemd/system
        find "$directory/" -mindepth 1 -maxdepth 2 -printf '%p\t%y\t%l\n' 2>/dev/null
    done
}

# unit_links: prints UNIT wants UNIT, and the like, and UNIT alias UNIT, of a listing.
unit_links() {
    awk -F '\t' '
        { name = $1; sub(/.*\//, "", name) }
        match($1, /[^\/]+\.(wants|requires|upholds)\/[^\/]*$/) {
            owner = key = substr($1, RSTART)
            sub(/\.[a-z]+\/.*/, "", owner)
            sub(/\/.*/, "", key)
            sub(/.*\./, "", key)
            print owner, key, name
        }
        $2 == "l" && $1 !~ /\.d\/[^\/]*$/ {
            sub(/.*\//, "", $3)
            if ($3 != name) print name, "alias", $3
        }'
}

# unit_files: prints the paths of the files with settings of a listing. What is masked has none.
unit_files() {
    awk -F '\t' '
        $2 == "d" || $1 ~ /\.(wants|requires|upholds)\/[^\/]*$/ { next }
        $1 ~ /\.d\/[^\/]*$/ { if ($1 ~ /\.conf$/) print $1; next }
        { name = $1; sub(/.*\//, "", name) }
        !(name in seen) && $3 != "/dev/null" { print $1 }
        { seen[name] }'
}

# unit_settings: prints UNIT, and UNIT KEY [VALUE] for each dependency, of the files whose paths it is given.
unit_settings() {
    awk '
        BEGIN {
            keys = "Wants|Requires|Requisite|BindsTo|Upholds|PartOf|Conflicts|Service|Sockets|"
            keys = "^(" keys "RefuseManualStart|X-OnlyManualStart|X-StopOnReconfiguration)[ \t]*="
        }
        {
            file = unit = $0
            # What only adds to a unit does not make one, and neither does an empty file.
            begins = !sub(/\.d\/[^\/]*$/, "", unit)
            sub(/.*\//, "", unit)
            text = ""
            while ((getline line <file) > 0) {
                if (begins) print unit
                begins = 0
                text = text line
                if (sub(/\\$/, " ", text)) continue
                if (match(text, keys)) {
                    key = substr(text, 1, RLENGTH - 1)
                    sub(/[ \t]+$/, "", key)
                    print unit, key, substr(text, RLENGTH + 1)
                }
                text = ""
            }
            close(file)
        }'
}

# mounts_to_come FILE: prints the units that systemd will make of that fstab, and which targets want them.
mounts_to_come() {
    [ -e "$1" ] || return 0
    while read -r device place kind options _rest; do
        case $device,$options, in '#'* | *,noauto,*) continue ;; esac
        target=local-fs.target suffix=mount
        case $kind,$options, in
            swap,*) target=swap.target suffix=swap place=$device ;;
            *,x-systemd.automount,*) suffix=automount ;;
            nfs,* | nfs4,* | cifs,* | *,_netdev,*) target=remote-fs.target ;;
        esac
        case $place in /?*) ;; *) continue ;; esac
        made=$(systemd-escape --path --suffix="$suffix" "$place" </dev/null) || continue
        printf '%s\n%s wants %s\n' "$made" "$target" "$made"
    done <"$1"
}

# units_left LISTED: notes the units that the last activation has left failed and that had not failed before it,
# once, below the system that runs. LISTED is what units_listed prints now.
units_left() {
    [ -s "$pictured" ] && [ ! -e "$pictured.left" ] || return 0
    failed_in "$pictured" >"$pictured.failed" || return 0
    {
        printf '%s\n' "$(resolve /run/current-system)"
        printf '%s\n' "$1" | failed_in - | grep -vxFf "$pictured.failed"
    } >"$pictured.left"
}

# left_failed RUNNING: prints left_failed=UNIT for each of them, while that system runs.
left_failed() {
    [ -r "$pictured.left" ] && read -r left_by <"$pictured.left" || return 0
    [ "$left_by" != "$1" ] ||
        sed -n 's/^failed_unit=/left_failed=/p' "$pictured.left"
}

# unit_logs UNIT...: prints UNIT=LINE for the last lines that each of them has printed in this run. What a unit
# has just said may be on its way to the journal.
unit_logs() {
    journalctl --sync 2>/dev/null || :
    for name in "$@"; do
        invocation=$(of_unit "$name" show --property=InvocationID | cut -d = -f 2)
        [ -z "$invocation" ] || journalctl --quiet --no-pager --output=cat --lines=5 \
            "_SYSTEMD_INVOCATION_ID=$invocation" 2>/dev/null | while IFS= read -r line; do
            printf '%s=%s\n' "$name" "$line"
        done
    done
}
