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
    generations_links "$1" | while IFS= read -r generations_line; do
        generations_link=${generations_line#* }
        generations_link=${generations_link%% -> *}
        generations_path=${generations_line##* -> }
        # stat(1) quotes them.
        generations_link=${generations_link#\'} generations_link=${generations_link%\'}
        generations_path=${generations_path#\'} generations_path=${generations_path%\'}
        generations_number=${generations_link#"$1"-}
        case ${generations_current##*/} in
            "${generations_link##*/}") generations_is_current=1 ;;
            *) generations_is_current=0 ;;
        esac
        printf '%s %s %s %s\n' "${generations_number%-link}" "$generations_is_current" \
            "${generations_line%% *}" "$generations_path"
    done
    printf 'generations_end=%s\n' "$1"
}

# generations_links PROFILE: prints "TIME LINK -> PATH" for each: a host can have hundreds, so by one
# process.
generations_links() {
    generations_profile=$1
    set --
    for generations_link in "$generations_profile"-*-link; do
        generations_number=${generations_link#"$generations_profile"-}
        generations_number=${generations_number%-link}
        case $generations_number in '' | *[!0-9]*) continue ;; esac
        [ ! -L "$generations_link" ] || set -- "$@" "$generations_link"
    done
    [ $# -gt 0 ] || return 0
    generations_found=$(stat -c '%Y %N' "$@" 2>/dev/null) || :
    if [ -n "$generations_found" ]; then
        printf '%s\n' "$generations_found"
    else
        for generations_link in "$@"; do
            printf '%s\n' "- $generations_link -> $(readlink "$generations_link")"
        done
    fi
}
