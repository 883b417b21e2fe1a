# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh
# Stands in front of every script that is sent to a host.

# sshd gives a login that is not bash nothing but /usr/bin:/bin, and NixOS keeps no tools there.
PATH="$PATH:/run/wrappers/bin:/run/current-system/sw/bin:/run/booted-system/sw/bin"
PATH="$PATH:/nix/var/nix/profiles/default/bin"
LC_ALL=C
umask 077
export PATH LC_ALL

# Whose script this is, as the kernel says it: to ask id would be a process for each script.
uid=
[ ! -r /proc/self/status ] || while read -r key _ uid _ && [ "$key" != Uid: ]; do :; done </proc/self/status
[ -n "$uid" ] || uid=$(id -u)

# What must outlive a connection: in memory for root, who activates; at home for others, who build.
if [ "$uid" -eq 0 ]; then
    state=/run/closure-nixos
else
    state="${XDG_STATE_HOME:-${HOME:?has no value on this host}/.local/state}/closure-nixos"
fi

# die MESSAGE [STATUS]: a message for people, and the failure of the script. Nothing may exit with 255:
# ssh says that of a lost connection.
die() {
    printf '%s\n' "$1" >&2
    exit "${2:-1}"
}

# write FILE [LINE]: writes the line, or else standard input, there in one step, so that a reader finds
# all of it or the old.
write() {
    if [ $# -gt 1 ]; then printf '%s\n' "$2"; else cat; fi >"$1.new" && mv -f "$1.new" "$1"
}

# What read_line sets.
first_line=

# read_line FILE: sets first_line to its first line, if it can be read. To capture what a function prints is
# a process.
read_line() {
    first_line=
    [ -r "$1" ] && { IFS= read -r first_line <"$1" || [ -n "$first_line" ]; }
}

# line_of FILE: prints its first line, if it can be read.
line_of() {
    read_line "$1" && printf '%s\n' "$first_line"
}

# line_fact NAME FILE: prints NAME= and its first line, if it can be read.
line_fact() {
    read_line "$2" || :
    printf '%s=%s\n' "$1" "$first_line"
}

# resolve LINK: prints where it leads, if it is there. Only within $( ), because it may change the directory:
# most links lead to directories, and for those the shell knows without a process.
resolve() {
    [ ! -e "$1" ] || { cd -P -- "$1" 2>/dev/null && pwd -P; } || readlink -f "$1"
}

# user_name: prints ours.
user_name() {
    if [ "$uid" -eq 0 ]; then echo root; else id -un; fi
}

# platform: prints it in Nix's words; uname's own where Nix has no other.
platform() {
    uname -sm | {
        read -r kernel machine
        case $kernel in Linux) kernel=linux ;; *) kernel=$(echo "$kernel" | tr '[:upper:]' '[:lower:]') ;; esac
        case $machine in
            i?86) machine=i686 ;;
            arm64) machine=aarch64 ;;
        esac
        printf '%s-%s\n' "$machine" "$kernel"
    }
}

# room DIRECTORY: the bytes that are free there.
room() {
    [ ! -d "$1" ] || df -Pk "$1" | { read -r _ && read -r _ _ _ free _ && echo $((free * 1024)); }
}

# for_all COMMAND...: runs it with the umask of what all may read: a system's files, its profile, its
# boot menu. Ours is for what we write ourselves.
for_all() {
    (umask 022 && exec "$@")
}

# quote WORD: as the shell reads it.
quote() {
    case $1 in
        *\'*) printf "'%s'" "$(printf '%s\n' "$1" | sed "s/'/'\\\\''/g")" ;;
        *) printf "'%s'" "$1" ;;
    esac
}

# remove PATH...: and all below it.
remove() {
    rm -rf "$@"
}

# How much is kept of runs, of their requests and of their jobs: more than there are at a time.
kept=200

# keep_newest DIRECTORY: keeps so many of what is in it.
keep_newest() {
    (set -- "$1"/* && [ $# -gt "$kept" ]) || return 0
    # Our own names, without blanks. The activation is of no run alone.
    # shellcheck disable=SC2010,SC2012
    ls -t "$1" | grep -vx activation | tail -n "+$((kept + 1))" |
        while read -r surplus; do rm -rf "${1:?}/$surplus"; done
}

# login_age: prints for how many hundredths of a second the ssh connection that carries us has been there;
# nothing where no server of ssh is among our parents. All sessions of one connection have one server.
login_age() {
    process=$$
    while [ "$process" -gt 1 ] && read -r stat <"/proc/$process/stat"; do
        # The name in parentheses may have blanks; then come the fields from the third on, proc(5).
        name=${stat#*\(} fields=${stat##*\) }
        case ${name%\)*} in
            sshd | sshd-session | dropbear)
                # shellcheck disable=SC2086 # one word for each
                echo $(($(uptime_hundredths) - $(word 20 $fields)))
                return
                ;;
        esac
        fields=${fields#* }
        process=${fields%% *}
    done
}

# word NUMBER WORD...: prints the word of that number.
word() {
    shift "$1"
    printf '%s\n' "$1"
}

# uptime_hundredths: for how many hundredths of a second the host has been up.
uptime_hundredths() {
    read -r up_for _ </proc/uptime
    printf '%s%s\n' "${up_for%.*}" "${up_for#*.}"
}

boot_id() {
    line_of /proc/sys/kernel/random/boot_id
}

# claim RUN WHO: makes RUN this host's run, or refuses a run that a newer one has replaced. What
# is left of a killed ansible-playbook (its workers live on) can then do nothing more here.
claim() {
    # What cannot be read, or was cut, names no run.
    current=$(line_of "$state/current") || current=
    [ "$current" != "$1" ] || return 0
    [ ! -e "$state/runs/$1" ] || [ -z "$current" ] ||
        die "this run was replaced on this host by a newer one: $(cat "$state/runs/$current" 2>&1)" 75
    [ ! -d "$state/current" ] || rm -rf "$state/current"
    {
        mkdir -p "$state/runs" && write "$state/runs/$1" "$2" && write "$state/current" "$1"
    } || die "cannot write below $state on this host: make room there and run the task again" 75
    # Workers of a killed run end at once, so none is left of what is a week old.
    find "$state/runs" -type f -mtime +6 -exec rm -f {} +
    keep_newest "$state/runs"
}

# request RUN WHO ID BOOT FUNCTION [ARGUMENT...]: runs the function in the name of RUN, and only once:
# a connection may fail after the script ran, so it is sent again and then repeats its answer.
# Without WHO the host is shared by all runs, as a build host is, and RUN claims nothing.
request() {
    [ -z "$4" ] || [ "$4" = "$(boot_id)" ] ||
        die 'this host has rebooted since the task began: run the task again' 75
    command -v flock >/dev/null || die "flock is not on this host's PATH: install util-linux there" 75
    keep_state
    exec 9>"$state/lock" || exit 75
    flock -w 20 9 || die "another request holds $state/lock on this host" 75
    [ -z "$2" ] || claim "$1" "$2"
    answer="$state/requests/$1/$3"
    shift 4
    if [ ! -e "$answer/rc" ]; then
        # An answer without its exit status was cut short (killed, or out of space).
        [ ! -d "$answer" ] || die "this request was interrupted before: see $answer on this host" 75
        if [ -d "$state/requests" ] && [ ! -d "${answer%/*}" ]; then
            sweep "$state/requests" '*'
            keep_newest "$state/requests"
        fi
        { mkdir -p "$answer" && true >"$answer/out"; } ||
            die "cannot write $answer on this host: make room there and run the task again" 75
        trap '' HUP PIPE
        rc=0
        # What the function leaves running must not keep the lock.
        ("$@") >"$answer/out" 2>"$answer/err" 9>&- || rc=$?
        write "$answer/rc" "$rc" || die "cannot write $answer/rc on this host" 75
    fi
    exec 9>&-
    cat "$answer/out"
    [ ! -s "$answer/err" ] || cat "$answer/err" >&2
    rc=$(line_of "$answer/rc")
    return "${rc:-75}"
}
