# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh
# Closures to and from a binary cache.

# push URL PATH: writes to a binary cache what it lacks of the closure.
push() {
    watched nix --extra-experimental-features nix-command copy --to "$1" "$2"
}

# pull URL PATH [OPTION...]: fetches what is missing of the closure from a binary cache.
pull() {
    url=$1 toplevel=$2
    shift 2
    watched nix --extra-experimental-features nix-command copy --from "$url" "$@" "$toplevel"
}
