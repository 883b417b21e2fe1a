# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh disable=SC2154 # host.sh sets $state
# Evaluating and building, on the build host.

# configured SETTINGS FUNCTION [ARGUMENT...]: calls the function with lines of nix.conf that count
# for every Nix command in it.
configured() {
    NIX_CONFIG="${NIX_CONFIG-}
extra-experimental-features = nix-command flakes
$1"
    export NIX_CONFIG
    shift
    "$@"
}

# add_source DIRECTORY: adds the tree in DIRECTORY/source.tar to the store, roots it until the next
# one, and prints its path.
add_source() {
    mkdir "$1/source" && tar -xf "$1/source.tar" -C "$1/source" || return
    mkdir -p "$state/roots" && path=$(nix-store --add "$1/source") || return
    nix-store --realise "$path" --add-root "$state/roots/source" >/dev/null || return
    printf '%s\n' "$path"
}

# evaluate DIRECTORY SEARCH_PATH EXPRESSION [OPTION...]: prints what it evaluates to as JSON, and a
# line with the bytes of memory that took. The derivations are written to the store, which --eval
# alone would not do. NIX_PATH counts only where SEARCH_PATH is true: set and empty it also shuts
# out the channels, which Nix looks at when it is not set.
evaluate() {
    look_up "$1" "$2"
    expression=$3 stats=$(mktemp)
    trap 'rm -f "$stats"' EXIT
    shift 3
    printf '%s\n' "$expression" | NIX_SHOW_STATS=1 NIX_SHOW_STATS_PATH="$stats" \
        nix-instantiate --eval --json --strict --read-write-mode "$@" - || return
    printf '\n'
    sed -n 's/.*"heapSize": *\([0-9]*\).*/\1/p' "$stats"
}

# evaluate_jobs DIRECTORY SEARCH_PATH EXPRESSION [OPTION...]: the same by nix-eval-jobs, a line of
# JSON for each attribute.
evaluate_jobs() {
    command -v nix-eval-jobs >/dev/null || exit 127
    look_up "$1" "$2"
    # It warns when the derivations have no roots while it runs.
    expression=$3 roots=$(mktemp -d)
    trap 'rm -rf "$roots"' EXIT
    shift 3
    nix-eval-jobs --gc-roots-dir "$roots" "$@" --expr "$expression"
}

# look_up DIRECTORY SEARCH_PATH: where names in expressions are looked up.
look_up() {
    ! [ -d "$1" ] || cd "$1" || exit
    [ "$2" = true ] || export NIX_PATH=
}

# build ROOTS [NAME DERIVATION OUTPUT]...: builds the derivations together and prints what
# was planned for each that was not there, and "@built NAME PLATFORM VERSION BYTES" for each that is
# there now and has its link below ROOTS, which roots it.
build() {
    roots=${1:-$state/roots}
    # Of whoever builds, who need not be who deploys.
    case $roots in \~/*) roots=$HOME/${roots#\~/} ;; esac
    shift
    mkdir -p "$roots"
    derivations=$(each_system derivation "$@")
    each_system plan "$@"
    # shellcheck disable=SC2086 # store paths have no blanks
    nix-store --realise --no-gc-warning --log-format internal-json $derivations >/dev/null
    built=$?
    while [ "$#" -gt 0 ]; do
        root "$roots/$1" "$1" "$2" "$3"
        shift 3
    done
    return "$built"
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

# root LINK NAME DERIVATION OUTPUT: roots what was built, and says so.
root() {
    [ -z "$(missing "$4")" ] || return 0
    nix-store --realise "$3" --add-root "$1" >/dev/null || return 0
    printf '@built %s %s %s %s\n' "$2" "$(content "$4/system")" "$(content "$4/nixos-version")" \
        "$(nix-store --query --requisites "$4" | xargs nix-store --query --size |
            awk '{ bytes += $1 } END { printf "%.0f", bytes }')"
}

# content FILE: prints it, or a dash for nothing.
content() {
    if [ -s "$1" ]; then cat "$1"; else echo -; fi
}
