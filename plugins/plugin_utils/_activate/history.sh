# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh
# The deployments of a host, one JSON object a line, for root alone.

# history_add DIRECTORY COUNT LINE: adds a line, of which the last COUNT stay.
history_add() {
    history=$1/history
    {
        mkdir -p "$1" && {
            [ ! -e "$history" ] || tail -n "$(($2 - 1))" "$history"
            printf '%s\n' "$3"
        } | write "$history"
    } || die "cannot write $history on this host: make room there" 74
}

# history_facts DIRECTORY COUNT: prints the last lines, as history=LINE.
history_facts() {
    [ ! -r "$1/history" ] || tail -n "$2" "$1/history" | sed 's/^/history=/'
}
