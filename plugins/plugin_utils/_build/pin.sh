# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh
# The file that pins a nixpkgs.

# pin_read PATH: prints the file, or nothing when there is none.
pin_read() {
    ! [ -e "$1" ] || cat "$1"
}

# pin_write PATH TEXT: replaces the file, which keeps its mode. A new one is for all to read, as
# the other files of a repository are.
pin_write() {
    umask 022
    if [ -e "$1" ]; then cp -p "$1" "$1.new" || return; fi
    printf '%s\n' "$2" | write "$1"
}
