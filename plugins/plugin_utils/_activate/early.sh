# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh
# A plan before the copy: what a dry run reads of a system goes to the host, and is shown to that dry
# run only, as if it were in the store.

# early_needs SYSTEM: prints what a dry run of the system needs: the files that it reads, below
# /nix/store, and then program=PATH for each store path that it may run.
early_needs() {
    toplevel=$(readlink -f "$1")
    [ -d "$toplevel" ] || die "$1 is not in this store" 66
    {
        hops "$1"
        find -L "$1/etc/systemd" "$1/etc/fstab" ! -type d 2>/dev/null |
            while IFS= read -r file; do hops "$file"; done
    } | sed -n 's|^/nix/store/||p' | sort -u
    set -- "$toplevel"/dry-activate "$toplevel"/bin/* "$toplevel"/bin/.[!.]*
    # Programs are what these files are, or name. They name the system itself as well.
    { readlink -f "$@" && cat "$@"; } 2>/dev/null |
        grep -aoE '/nix/store/[0-9a-z]{32}-[-+._?=0-9a-zA-Z]+' | sort -u |
        while read -r program; do
            [ "$program" = "$toplevel" ] || [ ! -e "$program" ] || printf 'program=%s\n' "$program"
        done
}

# hops PATH: prints each link on the way that a path leads, by its own name, and where that ends.
hops() {
    hops_at='' hops_left=$1
    while [ -n "$hops_left" ]; do
        case $hops_left in /*) hops_left=${hops_left#/} && continue ;; esac
        hops_name=${hops_left%%/*}
        hops_left=${hops_left#"$hops_name"}
        case $hops_name in
            .) ;;
            ..) hops_at=${hops_at%/*} ;;
            *) hops_at=$hops_at/$hops_name ;;
        esac
        [ -L "$hops_at" ] || continue
        printf '%s\n' "$hops_at"
        hops_link=$(readlink "$hops_at")
        case $hops_link in /*) hops_at='' ;; *) hops_at=${hops_at%/*} ;; esac
        hops_left=$hops_link$hops_left
    done
    [ ! -e "$hops_at" ] || printf '%s\n' "$hops_at"
}

# early_pack FILE PATH...: writes these files and directories, below /nix/store, as one NAR, and prints its
# checksum.
early_pack() {
    place=$(make_directory) || exit
    until_exit "$place"
    when_stopped "${1%/*}"
    file=$1
    shift
    printf '%s\n' "$@" >"$place/names" && mkdir "$place/store" || exit
    tar -C /nix/store -cf "$place/files" -T "$place/names" &&
        tar -C "$place/store" -xf "$place/files" && chmod -R u+w "$place/store" &&
        nix-store --dump "$place/store" >"$place/archive" || exit
    checksum "$place/archive" && hand_over "$place/archive" "$file"
}

# In a mount namespace of its own: shows the files in $1 in the store too, and runs the words after it.
# Read-only, so that nothing can get into either of them.
# shellcheck disable=SC2016
overlaid='mount -t overlay overlay -o "ro,lowerdir=$1:/nix/store" /nix/store || exit 69; shift; exec "$@"'

# early FILE CHECKSUM COMMAND: runs the command where the store has what early_pack wrote too. Nobody else
# sees that, and nothing of it is left.
early() {
    unshare --mount true || die 'this host has no mount namespaces' 69
    sweep /run 'closure-nixos-early-*' && stage=$(mktemp -d /run/closure-nixos-early-XXXXXXXXXX) || exit
    until_exit "$stage"
    received=$(receive "$1" "$2") || exit
    until_exit "$received"
    nix-store --restore "$stage/store" <"$received/file" || die 'there is no room in /run on this host' 69
    EARLY=$stage/store unshare --mount /bin/sh -c "$overlaid" sh "$stage/store" /bin/sh -c "$3"
}

# unit_sources DIRECTORY: prints each file of a directory of units, below it, and where that leads if
# it is a link, with a tab between them.
unit_sources() {
    find "$1/" -mindepth 1 -maxdepth 2 ! -type d -printf '%P\t%l\n'
}
