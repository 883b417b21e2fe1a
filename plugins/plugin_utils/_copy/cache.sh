# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh disable=SC2154 # host.sh sets $state
# Closures to and from a binary cache.

# push URL NETRC PATH: writes to a binary cache what it lacks of the closure.
push() {
    with_netrc "$2"
    watched nix --extra-experimental-features nix-command copy --to "$1" "$3"
}

# pull URL NETRC PATH [OPTION]...: fetches what is missing of the closure from a binary cache.
pull() {
    with_netrc "$2"
    url=$1 toplevel=$3
    shift 3
    watched nix --extra-experimental-features nix-command copy --from "$url" "$@" "$toplevel"
}

# with_netrc NETRC: gives Nix these logins, if there are any, by a file until the end.
with_netrc() {
    [ -n "$1" ] || return 0
    secret=$(secret_file) || exit
    until_exit "$secret"
    printf '%s' "$1" >"$secret" || exit
    NIX_CONFIG=$(printf '%s\nnetrc-file = %s' "${NIX_CONFIG-}" "$secret")
    export NIX_CONFIG
}
