# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh disable=SC2154 # host.sh sets $state
# Files that a deployment replaces: what they were, in memory until it is certain, and the units that
# have to hear of it.
# $undo/old   holds the old files by their paths     $undo/absent  has an empty file for each new one
# $undo/units the units that are told when all is put back
# $due        a line for each unit that is to be told: VERB UNIT EPOCH
# $lasting    is the same as $undo while a trial by a reboot goes on, but only of files that are on a disk,
#             where the old ones lay as well; and `tried`: the boot that asked for it, and the system

undo=$state/undo
due=$state/due
lasting=/var/lib/closure-nixos/undo

# enter DIRECTORY: makes it the current directory, unless a link leads there.
enter() {
    # POSIX has cd -P set PWD to the directory's own path.
    cd -P -- "$1" 2>/dev/null && [ "$PWD" = "$1" ]
}

# undo_note PATH: keeps what the file is, unless an earlier note of this deployment does.
undo_note() {
    [ ! -e "$undo/old$1" ] && [ ! -e "$undo/absent$1" ] || return 0
    if [ -e "$1" ]; then
        mkdir -p "$undo/old${1%/*}" && cp -p -- "$1" "$undo/part" && mv "$undo/part" "$undo/old$1"
    else
        mkdir -p "$undo/absent${1%/*}" && : >"$undo/absent$1"
    fi || die "$1: what it was cannot be kept in $undo. Make room there"
}

# undo_note_unit TOKEN: remembers whom to tell when the files are put back.
undo_note_unit() {
    { mkdir -p "$undo" && printf '%s\n' "$1" >>"$undo/units"; } ||
        die "${1#*:}: that it is to be told cannot be kept in $undo. Make room there"
}

# undo_run: puts back what was noted, prints the paths and forgets it. The units that hear of it are
# due. It does all that it can, and fails when something is left.
undo_run() {
    [ -d "$undo" ] || [ -d "$lasting" ] || return 0
    left=0
    # What a trial by a reboot has replaced is the older of the two.
    undo_all "$undo" || left=1
    undo_all "$lasting" || left=1
    # Some may be units.
    [ ! -d /run/systemd/system ] || systemctl daemon-reload </dev/null || left=1
    for noted in "$undo/units" "$lasting/units"; do
        [ -e "$noted" ] || continue
        while IFS=: read -r verb name; do due_note "$verb" "$name" || left=1; done <"$noted"
    done
    [ "$left" -ne 0 ] || undo_forget
    return "$left"
}

# undo_all DIRECTORY: puts back the files that are noted there.
undo_all() {
    undone=0
    undo_files "$1" absent undo_remove || undone=1
    undo_files "$1" old undo_put || undone=1
    return "$undone"
}

# undo_files DIRECTORY KIND FUNCTION: calls the function for each file that is noted so: PATH, DIRECTORY, KIND.
undo_files() {
    [ -d "$1/$2" ] || return 0
    (cd "$1/$2" && find . -type f) | {
        failed=0
        while IFS= read -r path; do "$3" "${path#.}" "$1" "$2" || failed=1; done
        return "$failed"
    }
}

# undo_remove PATH [DIRECTORY KIND]...: removes the file. The unit of a secret would go on without it, and
# wait for the secret.
undo_remove() {
    case $1 in *-key.service) systemctl stop -- "${1##*/}" </dev/null || : ;; esac
    (enter "${1%/*}" && rm -f -- "./${1##*/}") || return
    [ $# -eq 1 ] || printf 'restored=%s\n' "$1"
}

# undo_put PATH DIRECTORY KIND: puts the old file back.
undo_put() {
    place_copy "$2/$3$1" "$1" && printf 'restored=%s\n' "$1"
}

# undo_outlast PATH: keeps what the reboot into PATH, a system on trial, would lose of the notes.
undo_outlast() {
    [ -d "$undo" ] || return 0
    mkdir -p "$lasting" || undo_full
    chmod 700 "$lasting" || undo_full
    printf '%s %s\n' "$(boot_id)" "$1" | write "$lasting/tried" || undo_full
    undo_keep_all
}

# undo_keep_all: adds the notes of this boot.
undo_keep_all() {
    if [ -e "$undo/units" ]; then cat "$undo/units" >>"$lasting/units" || undo_full; fi
    undo_files "$undo" old undo_keep || undo_full
    undo_files "$undo" absent undo_keep || undo_full
}

undo_full() {
    die "$lasting on this host cannot be written: make room there" 75
}

# undo_keep PATH DIRECTORY KIND: keeps the note of a file on a disk, unless an older one is there. What is
# in memory goes nowhere else.
undo_keep() {
    case $(file_system "$1") in tmpfs | ramfs) return 0 ;; esac
    [ ! -e "$lasting/old$1" ] && [ ! -e "$lasting/absent$1" ] || return 0
    mkdir -p "$lasting/$3${1%/*}" && cp -p -- "$2/$3$1" "$lasting/part" &&
        mv "$lasting/part" "$lasting/$3$1"
}

# undo_tried: whether a system is on trial by a reboot, which runs, or is still to come.
undo_tried() {
    [ -r "$lasting/tried" ] && read -r tried_from tried_path <"$lasting/tried" || return
    [ "$tried_from" = "$(boot_id)" ] || [ "$(resolve /run/booted-system)" = "$tried_path" ]
}

# file_system PATH: what kind it is of, where PATH is or will be.
file_system() {
    if [ -e "$1" ]; then stat -f -c %T -- "$1"; else file_system "$(dirname "$1")"; fi
}

# place_copy FROM PATH: copies a file with its owner, mode and times to its place, in one step.
place_copy() {
    (
        umask 026
        mkdir -p -- "${2%/*}" && enter "${2%/*}" || exit
        rm -rf ./.closure-nixos-copy && mkdir -m 700 ./.closure-nixos-copy &&
            cp -p -- "$1" ./.closure-nixos-copy/file && mv -fT ./.closure-nixos-copy/file "./${2##*/}"
        ended=$?
        rm -rf ./.closure-nixos-copy
        exit "$ended"
    )
}

# undo_forget: what was replaced is not needed any more.
undo_forget() {
    rm -rf "$undo" "$lasting"
}

# due_note VERB UNIT: remembers to start, restart or reload the unit, and what it is now, so that nobody
# does it again who finds that systemd has done it since.
due_note() {
    printf '%s %s %s\n' "$1" "$2" "$(unit_epoch "$1" "$2")" >>"$due"
}

# unit_epoch VERB UNIT: prints what changes when the unit is restarted, or reloaded.
unit_epoch() {
    case $1 in
        restart) property=InvocationID ;;
        *) property=StateChangeTimestampMonotonic ;;
    esac
    systemctl show --value -p "$property" -- "$2" </dev/null
}

# due_run: does what is due, but to units that do not run, and prints it.
due_run() {
    [ -e "$due" ] || return 0
    mv -f "$due" "$due.now" || return
    failed=
    while read -r verb name epoch; do
        [ "$(unit_epoch "$verb" "$name")" = "$epoch" ] || continue
        case $verb:$(systemctl is-active -- "$name" </dev/null) in
            start:* | *:active | *:activating | *:reloading | *:failed) ;;
            *) continue ;;
        esac
        case $verb in reload) order=reload-or-restart ;; *) order=$verb ;; esac
        if systemctl "$order" -- "$name" </dev/null; then
            printf '%s=%s\n' "$verb" "$name"
        else
            failed="$failed $name"
        fi
    done <"$due.now"
    rm -f "$due.now"
    [ -z "$failed" ] || die "these units do not start:$failed. See \`systemctl status\` there"
}
