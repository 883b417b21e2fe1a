# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh disable=SC2154 # host.sh sets $state
# Evaluating and building, on the build host.

# evaluate EXPRESSION: prints what it evaluates to as JSON. The derivations are written to the
# store, which --eval alone would not do.
evaluate() {
    printf '%s\n' "$1" | nix-instantiate --eval --json --strict --read-write-mode \
        --extra-experimental-features 'nix-command flakes' -
}

# build ROOTS [NAME DERIVATION OUTPUT]...: builds the derivations together and prints a
# line "NAME before" for each that was there, "NAME after" for each that is there now and has its
# link below ROOTS, which roots it.
build() {
    roots=${1:-$state/roots}
    shift
    mkdir -p "$roots"
    derivations=$(each_system derivation "$@")
    each_system before "$@"
    # shellcheck disable=SC2086 # store paths have no blanks
    nix-store --realise --keep-going --no-gc-warning $derivations >/dev/null
    built=$?
    each_system root "$@"
    return "$built"
}

each_system() {
    verb=$1
    shift
    while [ "$#" -gt 0 ]; do
        "$verb" "$1" "$2" "$3"
        shift 3
    done
}

derivation() {
    printf '%s\n' "$2"
}

before() {
    [ -n "$(missing "$3")" ] || printf '%s before\n' "$1"
}

root() {
    [ -z "$(missing "$3")" ] || return 0
    nix-store --realise "$2" --add-root "$roots/$1" >/dev/null || return 0
    printf '%s after %s %s\n' "$1" "$(cat "$3/system" 2>/dev/null)" \
        "$(cat "$3/nixos-version" 2>/dev/null)"
}
