# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh disable=SC2154 # host.sh sets $state
# Files on their way, where other users can write too. Everybody reads the names in our command
# lines, so nothing here rests on a name: a directory is made new by mktemp or it is checked, and
# what root reads from a directory of a login it copies first. docs/security.md has all places.

# make_directory: makes a directory that only we can enter, and prints it. Not in /tmp, which may be
# in memory.
make_directory() {
    # Where others may rename what is ours, it does not stay ours.
    case $(stat -c '%u %a' /var/tmp) in
        '0 1'??? | '0 '[0-7][0145][0145]) ;;
        *) die '/var/tmp on this host has to belong to root and to have the mode 1777' 77 ;;
    esac
    sweep /var/tmp 'closure-nixos-*'
    mktemp -d /var/tmp/closure-nixos-XXXXXXXXXX
}

# until_exit PATH: removes it when this shell ends.
until_exit() {
    until_exit="${until_exit-} $(quote "$1")"
    clean_up
}

# when_stopped DIRECTORY: removes it when this shell is stopped, as when its lease ends: nobody comes for
# it then.
when_stopped() {
    when_stopped="${when_stopped-} $(quote "$1")"
    clean_up
}

# clean_up: sets that up. A shell that a signal ends forgets EXIT.
clean_up() {
    # shellcheck disable=SC2064 # which paths is known now
    trap "rm -rf ${when_stopped-}; exit 143" TERM HUP
    # shellcheck disable=SC2064
    trap "rm -rf ${until_exit-}" EXIT
}

# secret_file: makes a file that only we can read, and prints its name. A job's ends with the job, also
# when it is killed.
secret_file() {
    case $0 in
        */jobs/*/command) holder=${0%/*} ;;
        *) holder=$state && keep_state && sweep "$state" 'secret-*' ;;
    esac
    mktemp "$holder/secret-XXXXXXXXXX"
}

# sweep DIRECTORY PATTERN: removes what is ours in it, of these names, and older than a day: runs that
# were killed have left it.
sweep() {
    find "$1" -mindepth 1 -maxdepth 1 -name "$2" -user "$uid" -mtime +0 -exec rm -rf {} +
}

# ours DIRECTORY: can nobody else, but root, change what is in it?
ours() {
    case $(stat -c '%u %a %F' "$1") in
        # What is above it may hand its group down.
        "$uid 700 directory" | "$uid 2700 directory") ;;
        *) return 1 ;;
    esac
}

# keep_state: makes the directory of what must outlive a connection. In one that others can change, or by
# a link, they would say what runs.
keep_state() {
    # A rule of the directory above it counts more than our umask, which is for those above.
    # shellcheck disable=SC2174
    { { [ -d "$state" ] || mkdir -p -m 700 "$state"; } && ours "$state"; } ||
        die "$state on this host is no directory that only $(id -un) can enter, or cannot be made: remove it" 77
}

# receive FILE CHECKSUM: takes what somebody has brought to FILE into a directory of our own, as `file`,
# and prints that directory. Who has brought it may change it while we look, so it is read once, and
# then only our copy counts. It may be a link, which we do not follow, or a pipe, which we do not wait for.
receive() {
    received=$(make_directory) || exit
    trap 'rm -rf "$received"' EXIT
    if ours "${1%/*}"; then ln "$1" "$received/file"; else take_over "$1" "$received/file"; fi ||
        die "$1 on this host cannot be read" 66
    [ "$(checksum "$received/file")" = "$2" ] ||
        die "the archive was cut or altered: its checksum is wrong" 65
    trap - EXIT
    printf '%s\n' "$received"
}

# taking BYTES FUNCTION [ARGUMENT...]: calls the function with so many bytes of standard input as the file
# $TAKEN/archive, in a directory of our own: a job that it starts gets that, and else it is gone afterwards.
taking() {
    TAKEN=$(make_directory) || exit
    export TAKEN
    # A cut connection is one that nobody can be told of.
    trap 'exit 143' TERM HUP PIPE
    # A call that comes twice starts no second job.
    trap '[ -e "$TAKEN/given" ] || rm -rf "$TAKEN"' EXIT
    head -c "$1" >"$TAKEN/archive" || die "cannot write $TAKEN on this host: make room there" 75
    [ "$(wc -c <"$TAKEN/archive")" -eq "$1" ] || die 'the archive was cut or altered: it came without its end' 65
    shift
    "$@" </dev/null
}

# take_over FILE COPY: copies it.
take_over() {
    dd if="$1" of="$2" iflag=nofollow,nonblock bs=1M status=none
}

# hand_over FILE DESTINATION: gives a file of ours to who owns the directory of DESTINATION, and puts it
# there. It replaces what is there, a link too, and follows none: a login may exchange its directory.
hand_over() {
    place=${2%/*}
    cd -P "${place%/*}" && above=$(pwd -P) && cd -P "./${place##*/}" || exit
    [ "$(pwd -P)" = "${above%/}/${place##*/}" ] || die "$place on this host is a link" 77
    owner=$(stat -c '%u %a' .) || exit
    case $owner in
        *' 700') ;;
        *) die "${2%/*} on this host can be entered by others" 77 ;;
    esac
    chown "${owner% *}" "$1" && mv -fT "$1" "./${2##*/}"
}

# checksum FILE: prints it.
checksum() {
    sha256sum <"$1" | cut -d ' ' -f 1
}
