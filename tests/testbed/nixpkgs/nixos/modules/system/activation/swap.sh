#!@busybox@/bin/sh
# shellcheck disable=SC2239 # the path is absolute once it is substituted
# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# swap on DEVICE..., swap off DEVICE: swapon and swapoff of a host that is a container. Swap belongs to
# the machine, so a host only says in its /proc/swaps what a machine of its own would use.
# A test that writes a device to /run/closure-testbed/swap-is-full has its swapoff fail.

set -u
export PATH="@busybox@/bin"

state=/run/closure-testbed
swaps=$state/swaps

show() { # over the machine's own, from the first device on
    [ ! -e $swaps ] || return 0
    mkdir -p $state && printf 'Filename\tType\tSize\tUsed\tPriority\n' >$swaps &&
        mount -o bind $swaps /proc/swaps
}

on() { # DEVICE
    show || return
    grep -q "^$1[[:space:]]" $swaps || printf '%s\tpartition\t1048576\t0\t-2\n' "$1" >>$swaps
}

off() { # DEVICE
    if ! grep -qs "^$1[[:space:]]" $swaps; then
        echo "swapoff: $1: Invalid argument (os error 22)" >&2
        return 1
    fi
    if grep -Fqsx -e "$1" $state/swap-is-full; then
        echo "swapoff: $1: Cannot allocate memory (os error 12)" >&2
        return 1
    fi
    rest=$(grep -v "^$1[[:space:]]" $swaps)
    printf '%s\n' "$rest" >$swaps # the file that is mounted, so not by rename
}

verb=$1
shift
for device; do
    "$verb" "$device" || exit
done
