# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh disable=SC2154 # host.sh sets $state
# What became of systemd's units in an activation: pictures of them before and after it. systemd
# starts, stops and restarts more than switch-to-configuration asks for.

pictured=$state/jobs/activation/units

# units_picture: prints a line for each unit that is loaded, of the system and of users who are there, with
# the words that module_utils/_activate/units.py names. But for devices: they are many, and it takes systemd
# a millisecond or two to show a unit.
units_picture() {
    picture_of_all ''
    user_managers | while read -r name; do picture_of_all "$name/" </dev/null; done
}

# picture_of_all WHOSE: the same of one manager.
picture_of_all() {
    picture_of "$1" '*.service' '*.socket' '*.timer' '*.path' '*.mount' '*.automount' '*.swap' '*.target' \
        '*.slice' '*.scope'
}

# picture_of WHOSE UNIT...: the same for those, or a pattern, of the system or of USER/. systemctl chooses
# the order of what it shows. One that does not run now may have run meanwhile.
picture_of() {
    whose=$1
    shift
    properties=Id,LoadState,ActiveState,SubState,InvocationID,StateChangeTimestampMonotonic
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

# units_changed: prints the lines of both pictures that differ, where there is one of before the last
# activation. A unit that is not loaded any more is loaded again, to see whether its file is there.
units_changed() {
    [ -s "$pictured" ] || return 0
    units_picture >"$pictured.now" || return 0
    units_gone >"$pictured.gone" || return 0
    # Names have backslashes.
    # shellcheck disable=SC2086 # one word for each
    (set -f && while read -r whose names; do picture_of "${whose#system}" $names </dev/null; done) \
        <"$pictured.gone" >>"$pictured.now"
    units_missing unit_before "$pictured.now" "$pictured"
    units_missing unit_after "$pictured" "$pictured.now"
}

# units_gone: prints "WHOSE UNIT..." for each manager whose units are not loaded any more; the system's is
# called system.
units_gone() {
    awk '
        NR == FNR { now[$1]; next }
        ($1 in now) || $3 != "active" { next }
        { whose = "system"; name = $1 }
        match(name, "/") { whose = substr(name, 1, RSTART); name = substr(name, RSTART + 1) }
        { gone[whose] = gone[whose] " " name }
        END { for (whose in gone) print whose gone[whose] }' "$pictured.now" "$pictured"
}

# units_to_come PATH: prints what tells how systemd will act by dependencies when the system at PATH is activated:
# now=PICTURE of each unit; runs=UNIT KEY UNIT... of what stops and restarts with it; comes=UNIT for each that the
# system has, and comes=UNIT KEY [VALUE] for what it says of it.
units_to_come() {
    picture_of '' '*' | sed 's/^/now=/'
    units_bound | sed 's/^/runs=/'
    {
        listing=$(unit_listing "$1")
        printf '%s\n' "$listing" | unit_links
        printf '%s\n' "$listing" | unit_files | unit_settings
        mounts_to_come "$1/etc/fstab"
    } | sed 's/^/comes=/'
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

# units_left: notes the units that the last activation has left failed and that had not failed before it,
# once, below the system that runs.
units_left() {
    [ -s "$pictured" ] && [ ! -e "$pictured.left" ] || return 0
    {
        resolve /run/current-system
        failed_units | awk 'NR == FNR { if ($3 == "failed" || $4 == "auto-restart") before["failed_unit=" $1]; next }
            !($0 in before)' "$pictured" -
    } >"$pictured.left"
}

# left_failed: prints left_failed=UNIT for each of them, while that system runs.
left_failed() {
    [ -r "$pictured.left" ] && read -r left_by <"$pictured.left" || return 0
    [ "$left_by" != "$(resolve /run/current-system)" ] ||
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
