# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh disable=SC2154 # host.sh sets $state
# Evaluating and building, on the build host.

# configured SETTINGS FUNCTION [ARGUMENT...]: calls the function with lines of nix.conf that count
# for every Nix command in it. They may hold access tokens, and so may the arguments. So a job's file
# with them does not stay behind; the shell has read it by now.
configured() {
    case $0 in */jobs/*/command) rm -f "$0" ;; esac
    NIX_CONFIG="${NIX_CONFIG-}
extra-experimental-features = nix-command flakes"
    [ -z "$1" ] || include "$1"
    export NIX_CONFIG
    shift
    "$@"
}

# include SETTINGS: adds them to NIX_CONFIG by a file until the end, because all that a command starts
# has its environment.
include() {
    case $state in *[[:space:]]*) die "$state has a blank, and Nix includes no such file: set XDG_STATE_HOME" ;; esac
    secret=$(secret_file) || exit
    until_exit "$secret"
    printf '%s' "$1" >"$secret" || exit
    NIX_CONFIG="$NIX_CONFIG
include $secret"
}

# add_source FILE CHECKSUM: adds the tree in a tar file to the store, roots it until the next one, and
# prints its path.
add_source() {
    place=$(receive "$1" "$2") || exit
    until_exit "$place"
    mkdir "$place/source" && tar -xf "$place/file" -C "$place/source" || return
    # No system has a name with a dot in front.
    mkdir -p "$state/roots" && path=$(nix-store --add "$place/source") || return
    nix-store --realise "$path" --add-root "$state/roots/.source" >/dev/null || return
    printf '%s\n' "$path"
}

# flake_lock FILES PLACE [INPUT REFERENCE]...: locks the flake in data.json with other inputs, in a copy of it,
# roots that at PLACE until the next one, and prints its directory.
flake_lock() {
    files=$(unpack_files "$1") && place=$2 || exit
    until_exit "$files"
    shift 2
    left=$#
    while [ "$left" -gt 0 ]; do
        set -- "$@" --override-input "$1" "$2"
        shift 2
        left=$((left - 2))
    done
    url=$(flake_said "$files" url) || return
    nix flake metadata --json --no-write-lock-file "$url" "$@" >"$files/metadata" || return
    source=$(flake_said "$files" path) && directory=$(flake_said "$files" directory) || return
    cp -R "$source" "$files/source" && chmod -R u+w "$files/source" &&
        flake_said "$files" locks >"$files/source/$directory/flake.lock" || return
    mkdir -p "$state/roots" && copy=$(nix-store --add "$files/source") &&
        nix-store --realise "$copy" --add-root "$state/roots/$place" >/dev/null || return
    printf '%s\n' "$copy${directory:+/$directory}"
}

# flake_said FILES NAME: prints what flake_lock.nix has of that name. URLs and paths need no quotes of JSON.
flake_said() {
    nix-instantiate --eval --read-write-mode --json --strict "$1/flake_lock.nix" --argstr metadata "$1/metadata" -A "$2" |
        sed 's/^"\(.*\)"$/\1/'
}

# looking_up DIRECTORY SEARCH_PATH FUNCTION [ARGUMENT...]: calls the function in DIRECTORY, where the
# host has that. NIX_PATH counts only where SEARCH_PATH is true. Set and empty it also shuts out the
# channels, which Nix looks at when it is not set.
looking_up() {
    ! [ -d "$1" ] || cd "$1" || return
    [ "$2" = true ] || export NIX_PATH=
    shift 2
    "$@"
}

# unpack_files FILES: writes files to a new private directory and prints its path. In FILES, a line
# "@file NAME" stands before each.
unpack_files() {
    directory=$(make_directory) || exit
    printf '%s\n' "$1" |
        (cd "$directory" && awk '/^@file / { name = $2; next } { print >name }') || return
    printf '%s\n' "$directory"
}

# machine: prints how many cores this host has for us, and how many bytes of memory are free.
machine() {
    nproc
    awk '$1 == "MemAvailable:" { printf "%.0f\n", $2 * 1024 }' /proc/meminfo
}

# evaluate FILES GOAL WORKERS MEMORY EXPRESSION...: evaluates the shares of data.json, each with its
# EXPRESSION, by that many processes at a time. MEMORY is in bytes for each of them, 0 for no limit.
# Prints what Nix said of each share, and "@ended SHARE STATUS HEAP" behind each process.
evaluate() {
    files=$(unpack_files "$1") || exit
    until_exit "$files"
    goal=$2 workers=$3 memory=$4
    shift 4
    evaluated "$files" &
    watch=$! worker=0 pids=
    while [ "$worker" -lt "$workers" ]; do
        evaluate_shares "$files" "$goal" "$workers" "$memory" "$worker" "$@" &
        pids="$pids $!" worker=$((worker + 1))
    done
    # shellcheck disable=SC2086 # numbers have no blanks
    wait $pids
    kill "$watch" 2>/dev/null
    cat "$files"/said.*
}

# evaluated FILES: prints how many units are evaluated, again and again, for who waits.
evaluated() {
    # What is left of a sleep must not hold our outputs open.
    while sleep 1 >/dev/null 2>&1; do
        cat "$1"/said.* "$1"/err.* 2>/dev/null | grep -c '^trace: closure.nixos: found ' >&2
    done
}

# evaluate_shares FILES GOAL WORKERS MEMORY WORKER EXPRESSION...: evaluates each WORKERS-th share.
evaluate_shares() {
    files=$1 goal=$2 workers=$3 memory=$4 worker=$5 share=0
    shift 5
    for expression; do
        if [ $((share % workers)) -eq "$worker" ]; then
            evaluate_share "$files" "$goal" "$memory" "$share" "$expression"
        fi
        share=$((share + 1))
    done
}

# evaluate_share FILES GOAL MEMORY SHARE EXPRESSION: evaluates a share from where it stands to its
# end. A unit that ends Nix is left out, and the next process goes on behind it: Nix cannot catch all
# errors, and says of those that it can catch nothing but that there is one.
evaluate_share() {
    files=$1 goal=$2 memory=$3 share=$4 from=0
    size=$(cat "$files/size.$share") err="$files/err.$share" stats="$files/stats.$share"
    # Nobody knows what a unit takes before the first is evaluated. A NixOS takes less than this.
    count=$size
    if [ "$memory" -gt 0 ]; then count=$(most $((memory / 1073741824)) 1); fi
    while [ "$from" -lt "$size" ]; do
        status=0 heap=0
        expression_text "$5" | NIX_SHOW_STATS=1 NIX_SHOW_STATS_PATH="$stats" \
            nix-instantiate --eval --json --strict --read-write-mode --show-trace \
            --argstr closure "$files" --argstr program evaluate --argstr goal "$goal" \
            --argstr share "$share" --argstr from "$from" --argstr count "$count" \
            - >/dev/null 2>"$err" || status=$?
        begun=$(sed -n 's/^trace: closure.nixos: begin \([0-9]* [0-9]*\)$/\1/p' "$err" | tail -n 1)
        if [ "$status" -eq 0 ]; then
            from=$((from + count))
            heap=$(sed -n 's/.*"heapSize": *\([1-9][0-9]*\).*/\1/p' "$stats")
            heap=${heap:-1}
            if [ "$memory" -gt 0 ]; then count=$(most $((memory * count / heap)) 1); fi
        elif [ "$status" -gt 128 ] && [ "${begun% *}" -gt "$from" ] 2>/dev/null; then
            # Killed, as for want of memory, which those before it have filled.
            from=${begun% *} count=1
        else
            from=${begun#* }
        fi
        {
            cat "$err"
            printf '\n@ended %s %s %s\n' "$share" "$status" "$heap"
        } >>"$files/said.$share" || return
        rm -f "$err"
        # Nothing was begun: what it said holds for all that is left.
        [ -n "$from" ] || return 0
    done
}

# evaluate_jobs FILES OPTIONS EXPRESSION: has nix-eval-jobs evaluate, with OPTIONS between blanks, and
# prints a line of JSON for each host.
evaluate_jobs() {
    command -v nix-eval-jobs >/dev/null || exit 127
    files=$(unpack_files "$1") || exit
    until_exit "$files"
    mkdir "$files/roots" || exit # it warns when the derivations have no roots while it runs
    # shellcheck disable=SC2086 # options are words
    nix-eval-jobs --show-trace --gc-roots-dir "$files/roots" $2 \
        --argstr closure "$files" --argstr program jobs \
        --expr "$(expression_text "$3")"
}

# expression_text EXPRESSION: prints the one expression that Nix reads as a text: what the user wrote,
# in brackets, as an argument of ours. Only so do relative paths in it start from the directory we
# are in; and its lines keep their numbers.
expression_text() {
    # shellcheck disable=SC2016 # they are variables of Nix
    printf '{ closure, program, ... }@args: import "${closure}/${program}.nix" (args // { expression = (%s\n); })\n' "$1"
}

# most NUMBER NUMBER: prints the greater one.
most() {
    if [ "$1" -gt "$2" ]; then echo "$1"; else echo "$2"; fi
}

# fetch FILES: prints what the source in data.json is, as JSON.
fetch() {
    files=$(unpack_files "$1") || exit
    until_exit "$files"
    nix-instantiate --eval --json --strict --argstr closure "$files" "$files/fetch.nix"
}

# build ROOTS [NAME DERIVATION OUTPUT]...: builds the derivations together and prints what
# was planned for each that was not there, and "@built NAME PLATFORM VERSION BYTES" for each as soon as it
# is there and has its link below ROOTS, which roots it.
build() {
    roots=${1:-$state/roots}
    # Of whoever builds, who need not be who deploys.
    case $roots in \~/*) roots=$HOME/${roots#\~/} ;; esac
    shift
    mkdir -p "$roots" || exit
    derivations=$(each_system derivation "$@")
    each_system plan "$@"
    place=$(make_directory) || exit
    until_exit "$place"
    exec 7>"$place/.building"
    flock 7
    # shellcheck disable=SC2086 # store paths have no blanks
    nix-store --realise --no-gc-warning --log-format internal-json $derivations >/dev/null &
    building=$! built=0
    exec 7>&-
    # The lock ends with Nix, and so does the wait; what Nix has left running may go on to hold it.
    until flock -w 1 "$place/.building" true || ! kill -0 "$building" 2>/dev/null; do
        root_new "$place" "$roots" "$@"
    done
    wait "$building" || built=$?
    root_new "$place" "$roots" "$@"
    return "$built"
}

# root_new PLACE ROOTS [NAME DERIVATION OUTPUT]...: roots each that has come, which a file in PLACE tells.
root_new() {
    place=$1 roots=$2
    shift 2
    while [ "$#" -gt 0 ]; do
        if [ -e "$3" ] && [ ! -e "$place/$1" ]; then root "$roots/$1" "$1" "$2" "$3" "$place/$1"; fi
        shift 3
    done
}

# each_system FUNCTION [NAME DERIVATION OUTPUT]...: calls the function for each of them.
each_system() {
    verb=$1
    shift
    while [ "$#" -gt 0 ]; do
        "$verb" "$1" "$2" "$3"
        shift 3
    done
}

# derivation NAME DERIVATION OUTPUT: prints the second of them.
derivation() {
    printf '%s\n' "$2"
}

# plan NAME DERIVATION OUTPUT: "@plan NAME" and what Nix would build and fetch, unless OUTPUT is
# there.
plan() {
    [ -n "$(missing "$3")" ] || return 0
    printf '@plan %s\n' "$1"
    nix-store --realise --dry-run --no-gc-warning "$2" 2>&1
}

# root LINK NAME DERIVATION OUTPUT NOTE: roots what was built, and says so, in the file NOTE too.
root() {
    [ -z "$(missing "$4")" ] || return 0
    nix-store --realise "$3" --add-root "$1" >/dev/null || return 0
    printf '@built %s %s %s %s\n' "$2" "$(content "$4/system")" "$(content "$4/nixos-version")" \
        "$(nix-store --query --requisites "$4" | xargs nix-store --query --size |
            awk '{ bytes += $1 } END { printf "%.0f", bytes }')" && : >"$5"
}

# content FILE: prints it, or a dash for nothing.
content() {
    if [ -f "$1" ] && [ -s "$1" ]; then cat "$1"; else echo -; fi
}
