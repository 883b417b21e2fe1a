# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh disable=SC2154 # host.sh sets $state
# Copying closures: what the build host knows, what the target lacks, and the copy itself.

# closure PATH: prints "PATH SIZE" for each path of its closure, sizes in bytes of NAR.
closure() {
    paths=$(nix-store --query --requisites "$1") || exit
    # shellcheck disable=SC2086 # store paths have no blanks
    { printf '%s\n' "$paths" && printf '%s\n' $paths | xargs nix-store --query --size; } |
        awk '/^\// { path[n++] = $1; next } { print path[i++], $1 }'
}

# expect TOPLEVEL PATH...: roots TOPLEVEL before it is here, so that nothing of a copy is collected
# until the profile holds it, and prints what is missing.
expect() {
    roots=/nix/var/nix/gcroots/closure-nixos
    if [ -w /nix/var/nix/gcroots ] && ! held "$1"; then
        mkdir -p "$roots"
        ln -sfn "$1" "$roots/incoming"
    fi
    shift
    missing "$@"
}

# held TOPLEVEL: does a profile of systems hold it already? Then nothing would remove another root.
held() {
    for profile in /nix/var/nix/profiles/system /nix/var/nix/profiles/system-profiles/*; do
        [ "$(readlink -f "$profile")" != "$1" ] || return 0
    done
    return 1
}

# copy TOPLEVEL URL CONFIG [OPTION...]: copies the closure with Nix's own ssh, which gets CONFIG.
copy() {
    toplevel=$1 url=$2 config="$state/ssh-$$"
    case $config in *[[:space:]]*) die "Nix before 2.26 needs a home without blanks, not $HOME" ;; esac
    trap 'rm -f "$config"' EXIT
    mkdir -p "$state"
    printf '%s\n' "$3" >"$config"
    shift 3
    NIX_SSHOPTS="-F $config" nix --extra-experimental-features nix-command copy \
        --to "$url" "$@" "$toplevel"
}
