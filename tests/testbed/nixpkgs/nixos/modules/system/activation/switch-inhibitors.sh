# shellcheck shell=sh
# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# switch-inhibitors TOPLEVEL ACTION: fails when a value changes that only a reboot can change safely.
# A system without the file counts as {}: only names that both systems have are compared.
inhibitors() { # TOPLEVEL: "name value" lines; toJSON writes one line and the values have no quotes in them
    [ -e "$1/switch-inhibitors" ] || return 0
    sed 's/^{//; s/}$//; s/","/"\n"/g' "$1/switch-inhibitors" | sed -n 's/^"\([^"]*\)":"\([^"]*\)"$/\1 \2/p'
}

changes() { # TOPLEVEL
    inhibitors "$1" | while read -r name new || [ -n "$name" ]; do
        old=$(inhibitors /run/current-system | sed -n "s,^$name ,,p")
        [ -z "$old" ] || [ "$old" = "$new" ] || echo "$name : $old -> $new"
    done
}

compare() { # TOPLEVEL
    printf 'Checking switch inhibitors...'
    changed=$(changes "$1")
    [ -n "$changed" ] || { echo " done"; return 0; }
    cat <<TEXT


There are changes to critical components of the system:

$changed

Switching into this system is not recommended.
You probably want to run 'nixos-rebuild boot' and reboot your system instead.

If you really want to switch into this configuration directly, then
you can set NIXOS_NO_CHECK=1 to ignore pre-switch checks.

WARNING: doing so might cause the switch to fail or your system to become unstable.
TEXT
    return 1
}

case $2 in
boot | dry-activate) echo "Not checking switch inhibitors (action = $2)" ;;
*) compare "$1" ;;
esac
