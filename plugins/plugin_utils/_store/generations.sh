# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh
# generations PROFILE: prints one block, which module_utils/_store/generations.py reads:
#
#     generations=PROFILE          as it was given; begins the block
#     NUMBER CURRENT TIME PATH     one line for each link PROFILE-NUMBER-link: CURRENT is 1 for the
#                                  one PROFILE points to, else 0; TIME is when the link was made,
#                                  in seconds since 1970, or - without a stat(1) that knows -c
#     generations_end=PROFILE      ends the block; without it the output was cut
#
# Lines outside a block are the caller's. Links: nix, libstore/profiles.cc.

generations() {
    printf 'generations=%s\n' "$1"
    generations_current=$(readlink "$1") || generations_current=
    for generations_link in "$1"-*-link; do
        generations_number=${generations_link#"$1"-}
        generations_number=${generations_number%-link}
        case $generations_number in '' | *[!0-9]*) continue ;; esac
        case ${generations_current##*/} in
            "${generations_link##*/}") generations_is_current=1 ;;
            *) generations_is_current=0 ;;
        esac
        generations_time=$(stat -c %Y "$generations_link" 2>/dev/null) || generations_time=-
        generations_path=$(readlink "$generations_link") || continue
        printf '%s %s %s %s\n' "$generations_number" "$generations_is_current" \
            "$generations_time" "$generations_path"
    done
    printf 'generations_end=%s\n' "$1"
}
