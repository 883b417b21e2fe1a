# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh
# Links that keep store paths, on the target.

gc_roots=/nix/var/nix/gcroots/closure-nixos

# arrived PATH [ROOT]: ends the root of a copy, now that another link holds what it brought.
arrived() {
    copied=$gc_roots/${2:-incoming}
    [ "$(readlink "$copied")" != "$1" ] || rm -rf "$copied" "$copied-parts"
}

# root_look NAME PATH: prints who asks, what the link of that name holds, and PATH if the store lacks it.
root_look() {
    lacking=
    [ -z "$2" ] || lacking=$(missing "$2") || exit
    printf 'user=%s\nholds=%s\nlacks=%s\n' "$(id -un)" "$(readlink "$gc_roots/kept/$1")" "$lacking"
}

# root_set NAME PATH: has the link of that name hold the path, or be gone where PATH is empty.
root_set() {
    link=$gc_roots/kept/$1
    if [ -n "$2" ]; then
        mkdir -p "$gc_roots/kept" && ln -sfn "$2" "$link"
    else
        rm -f "$link"
    fi || die "$link cannot be written on this host, so nothing was changed: make room there" 75
    [ -z "$2" ] || arrived "$2"
}
