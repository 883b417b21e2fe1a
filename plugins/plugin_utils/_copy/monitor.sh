# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh
# Whether a Nix command goes on, and who may keep it from that.

# The output of the script, also where a command's own goes to a file.
exec 3>&1

# watched COMMAND [ARGUMENT...]: runs it and says there how far it is, while it lives:
# `io READ WRITTEN`, in bytes. Nix itself says nothing in the middle of a path, and before 2.26
# nothing at all of a copy over ssh.
watched() {
    # The shell takes its standard input from a command in the background.
    { "$@" <&4 4<&- & } 4<&0
    watched=$!
    # The end of a job is that of its pipes: no sleep may hold one.
    while sleep 1 >/dev/null 3>&- && [ -r "/proc/$watched/io" ]; do
        sed -n '/^[rw]char/s/.*: //p' "/proc/$watched/io" |
            { read -r in && read -r out && echo "io $in $out"; }
    done >&3 2>/dev/null &
    watcher=$! ended=0
    wait "$watched" || ended=$?
    { kill "$watcher" && wait "$watcher"; } 2>/dev/null
    return "$ended"
}

# serving: prints process, age and command of the Nix servers here that ssh has started.
serving() {
    ps -eo pid=,etimes=,args= | sort -k 2 -nr | awk '
        $3 ~ /(^|\/)nix-store$/ && /--serve/ || $3 ~ /(^|\/)nix-daemon$/ && /--stdio/'
}
