# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh
# The generations of a profile; module_utils/_generations.py reads them and says what they mean.

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
