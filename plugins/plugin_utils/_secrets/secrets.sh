# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh disable=SC2154 # host.sh and undo.sh set $state, $due and $undo
# Secrets, on the target. They come as arguments of functions and go on by printf, which is a part of
# the shell: no other process has them among its arguments or in its environment. No here-documents,
# because bash writes those to /tmp.
# A record is nine words: VERB NAME PATH UID GID MASK KEY UNITS CONTENT
#   VERB     add, write, own (owner or mode differ; compare the content), compare or remove
#   MASK     the umask of its mode        KEY   of systemd-creds, or empty for what is not encrypted
#   UNITS    VERB:UNIT..., whom a new content concerns
#   CONTENT  for printf %b

# What is ours: the size, the time and the path of each file, as we wrote it.
secrets_list=/var/lib/closure-nixos/secrets.list
secrets_staging=.closure-nixos-new
# What a call does, and what it has gathered.
how='' report='' written='' gone='' units='' staged='' entered='' all_same='' outcome='' subject=secrets
tab=$(printf '\t')
newline='
'

# secrets_look USERS GROUPS [PATH]...: prints what is there of users, groups and files.
secrets_look() {
    users=$1 groups=$2
    shift 2
    printf 'user=%s\n' "$(id -un)"
    printf 'systemd=%s\n' "$(systemctl --version 2>/dev/null | sed -n 's/^systemd \([0-9]*\).*/\1/p')"
    printf 'state=%s\n' "$(file_system "$state")"
    for name in $users; do printf 'uid=%s\t%s\n' "$name" "$(id_of passwd "$name")"; done
    for name in $groups; do printf 'gid=%s\t%s\n' "$name" "$(id_of group "$name")"; done
    last=
    for path; do
        [ "${path%/*}" != "$last" ] || continue
        last=${path%/*}
        secrets_directory "$last"
    done
    [ $# -eq 0 ] || stat --printf 'file=%s\t%u\t%g\t%a\t%F\t%n\n' -- "$@" 2>/dev/null
    [ ! -e "$secrets_list" ] || sed 's/^/ours=/' "$secrets_list"
    [ ! -s "$secrets_list" ] || cut -f 2 "$secrets_list" |
        xargs -d '\n' stat --printf 'now=%s %y\t%n\n' -- 2>/dev/null
    :
}

# id_of DATABASE NAME: prints a user's or group's number, if there is one.
id_of() {
    getent "$1" "$2" | cut -d : -f 3
}

# secrets_directory DIRECTORY: prints it, what there is of it, where that really is, and on which file system.
secrets_directory() {
    there=$1
    while [ -n "$there" ] && [ ! -e "$there" ] && [ ! -L "$there" ]; do there=${there%/*}; done
    printf 'directory=%s\t%s\t%s\t%s\n' "$1" "${there:-/}" "$(cd -P -- "${there:-/}" 2>/dev/null && pwd)" \
        "$(file_system "${there:-/}")"
}

# secrets_each FUNCTION [VERB NAME PATH UID GID MASK KEY UNITS CONTENT]...: calls the
# function with each record of nine words.
secrets_each() {
    each=$1
    shift
    while [ $# -gt 0 ]; do
        "$each" "$1" "$2" "$3" "$4" "$5" "$6" "$7" "$8" "$9" || return
        shift 9
    done
}

# secrets_compare [VERB NAME PATH UID GID MASK KEY UNITS CONTENT]...: prints what each record would change.
secrets_compare() {
    secrets_begin
    secrets_all_same "$@"
    secrets_each secrets_judge "$@" && printf '%s' "$report"
}

# secrets_put HOW PRIVATE [VERB NAME PATH UID GID MASK KEY UNITS CONTENT]...: makes the records
# true. HOW is put; or prepare, which leaves units to be told after the activation that follows.
# PRIVATE is a directory that only root enters, or empty.
secrets_put() {
    how=$1
    secrets_begin
    # A trial by a reboot has ended while nobody was there.
    [ ! -d "$lasting" ] || undo_tried || undo_run || die "some files could not be put back: see $lasting"
    [ -z "$2" ] || mkdir -p "$2" || die "$2 cannot be made"
    shift 2
    trap '{ secrets_sweep; }' EXIT
    secrets_all_same "$@"
    if ! secrets_each secrets_stage "$@" || ! secrets_finish; then die "$subject: not put"; fi
    printf '%s' "$report"
    secrets_tell
}

secrets_begin() {
    # shellcheck disable=SC3045 # dash, bash and busybox have it
    ulimit -c 0
    [ "$(command -v printf)" = printf ] || die "this host's shell has no printf of its own"
}

# What waits for its place is of no use after us.
secrets_sweep() {
    printf '%s' "$staged" | while IFS= read -r directory; do
        (enter "$directory" && rm -rf "./$secrets_staging")
    done
}

# secrets_all_same [VERB NAME PATH UID GID MASK KEY UNITS CONTENT]...: sets $all_same when
# all files that are there hold what they shall, which two digests tell. They never leave this shell.
# That the sizes are alike, who called us has seen.
secrets_all_same() {
    all_same=$(secrets_each secrets_given "$@" | sha256sum)
    [ "$all_same" = "$(secrets_each secrets_there "$@" | sha256sum)" ] || all_same=
}

# secrets_given VERB NAME PATH UID GID MASK KEY UNITS CONTENT: prints what shall be compared.
secrets_given() {
    case $1 in compare | own) printf '%b' "$9" ;; esac
}

# secrets_there VERB NAME PATH UID GID MASK KEY UNITS CONTENT: prints what it is compared with.
secrets_there() {
    case $1 in compare | own) secrets_content "$2" "$3" "$7" ;; esac
}

# secrets_content NAME PATH KEY: prints what is there, decrypted.
secrets_content() {
    if [ -z "$3" ]; then
        (enter "${2%/*}" && cat -- "./${2##*/}")
    else
        # One that this host cannot read is another one.
        systemd-creds decrypt --name="$1" -- "$2" - 2>/dev/null || :
    fi
}

# secrets_judge VERB NAME PATH UID GID MASK KEY UNITS CONTENT: sets and reports the outcome.
secrets_judge() {
    subject=$2
    case $1 in
        remove) outcome=removed ;;
        add) outcome=added ;;
        write) outcome=updated ;;
        *)
            outcome=unchanged
            if [ -z "$all_same" ] &&
                [ "$(secrets_given "$@" | sha256sum)" != "$(secrets_there "$@" | sha256sum)" ]; then
                outcome=updated
            elif [ "$1" = own ]; then
                outcome=owned
            fi
            ;;
    esac
    report="$report$outcome$tab$2$tab$3$newline"
    case $outcome in owned | unchanged) ;; *) units="$units $8" ;; esac
}

# secrets_stage VERB NAME PATH UID GID MASK KEY UNITS CONTENT: writes what differs to a
# directory beside its place that only root can enter. Nothing is in its place before all are written.
secrets_stage() {
    secrets_judge "$@"
    case $outcome in
        unchanged) return 0 ;;
        removed)
            gone="$gone$3$newline"
            return 0
            ;;
    esac
    secrets_enter "${3%/*}" || return
    written="$written$3$newline"
    base=./${3##*/}
    # The file has its owner and mode before it has its content.
    umask "$6"
    : >"$base" || return
    umask 077
    [ "$4:$5" = 0:0 ] || chown -- "$4:$5" "$base" || return
    if [ -z "$7" ]; then
        printf '%b' "$9" >"$base"
    else
        printf '%b' "$9" | systemd-creds encrypt --name="$2" --with-key="$7" - - >"$base"
    fi || secrets_unwritten "$2" "${3%/*}"
}

# secrets_unwritten NAME DIRECTORY: fails, and says what room there is.
secrets_unwritten() {
    die "$1: cannot be written to $2, where $(df -Pk -- "$2" | awk 'NR == 2 { print $4 }') KiB are free"
}

# secrets_enter DIRECTORY: goes to where files wait for their places in that directory, and makes both.
secrets_enter() {
    [ "$entered" != "$1" ] || return 0
    [ -d "$1" ] || (umask 026 && mkdir -p -- "$1") || return
    enter "$1" || die "$subject: a link leads to $1, and links are not followed"
    # Left by somebody who was killed.
    rm -rf "./$secrets_staging" && mkdir -m 700 "./$secrets_staging" || return
    staged="$staged$1$newline"
    enter "$1/$secrets_staging" || return
    entered=$1
}

# secrets_finish: puts all in their places, and remembers which are ours.
secrets_finish() {
    [ -n "$written$gone" ] || return 0
    if [ "$how" = prepare ] || trial_goes_on; then secrets_note_undo; fi
    for_lines "$staged" secrets_move && for_lines "$gone" undo_remove && secrets_record
}

# for_lines TEXT FUNCTION: calls the function with each line of the text, until one call fails.
for_lines() {
    rest=$1
    while [ -n "$rest" ]; do
        "$2" "${rest%%"$newline"*}" || return
        rest=${rest#*"$newline"}
    done
}

# A trial's secrets are a part of it (guard.sh writes this).
trial_goes_on() {
    ! undo_tried || return 0
    # The name of a file is the guard's state (guard.sh), and it counts while its unit is there.
    for waiting in armed confirmed back; do
        [ -e "$state/guard/state.$waiting" ] || continue
        case $(systemctl is-active closure-nixos-guard.service 2>/dev/null) in
            inactive | failed) return 1 ;;
        esac
        return 0
    done
    return 1
}

secrets_note_undo() {
    for_lines "$written$gone$secrets_list$newline" undo_note
    for unit in $units; do
        case $unit in restart:* | reload:*) undo_note_unit "$unit" ;; esac
    done
    ! undo_tried || undo_keep_all
}

# secrets_move DIRECTORY: each by a rename of its own.
secrets_move() {
    enter "$1/$secrets_staging" && find . -type f -exec mv -f -t .. -- {} + && cd .. &&
        rmdir "./$secrets_staging"
}

secrets_record() {
    mkdir -p "${secrets_list%/*}" || return
    {
        [ ! -e "$secrets_list" ] || while IFS= read -r line; do
            case "$newline$written$gone" in
                *"$newline${line#*"$tab"}$newline"*) ;;
                *) printf '%s\n' "$line" ;;
            esac
        done <"$secrets_list"
        [ -z "$written" ] || printf '%s' "$written" | xargs -d '\n' stat --printf '%s %y\t%n\n' --
    } | write "$secrets_list"
}

# secrets_tell: tells the units whom a new content concerns, and those that still wait for it.
secrets_tell() {
    told=
    for unit in $units; do
        case " $told " in *" $unit "*) continue ;; esac
        told="$told $unit"
        case $unit in
            reread:*) systemctl daemon-reload || return ;;
            # It ends by itself when its secret goes, and then systemd does not know it any more.
            stop:*)
                said=$(systemctl stop -- "${unit#*:}" 2>&1) || ! systemctl is-active --quiet -- "${unit#*:}" ||
                    die "$said"
                ;;
            *) due_note "${unit%%:*}" "${unit#*:}" || return ;;
        esac
    done
    if [ "$how" = prepare ]; then
        [ ! -e "$due" ] || printf 'waiting=%s\n' "$due"
        return 0
    fi
    trial_goes_on || undo_forget
    due_run
}

# secrets_restore: puts back what a deployment replaced, and tells the units.
secrets_restore() {
    undo_run || die "some files could not be put back: see $undo"
    due_run
}

# secrets_boot DIRECTORY: what is kept there, by path, goes to its places again. Runs at boot.
secrets_boot() {
    # The host has rolled back by this boot.
    [ ! -d "$lasting" ] || undo_tried || { undo_all "$lasting" && rm -rf "$lasting"; } || :
    cd "$1" || return
    find . -type f | {
        failed=0
        while IFS= read -r file; do
            [ ! -e "${file#.}" ] || continue
            if place_copy "$1${file#.}" "${file#.}"; then
                written="$written${file#.}$newline"
            else
                failed=1
            fi
        done
        # They are as old as the copies, and ours.
        [ -z "$written" ] || secrets_record || failed=1
        return "$failed"
    }
}
