# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh
# Questions to a store.

# missing PATH...: prints those that this store does not have. A closure can be longer than what
# one command takes.
missing() {
    # A store that is not there yet has nothing, and Nix would make it to say so.
    if [ -n "$(store_root)" ] && [ ! -e "$(store_root)/nix/var/nix/db" ]; then
        printf '%s\n' "$@"
        return
    fi
    printf '%s\n' "$@" | xargs nix-store --check-validity --print-invalid
}

# store_root: prints what the store is below that Nix uses here, nothing for the host's own.
store_root() {
    case ${NIX_REMOTE-} in 'local?root='*) printf '%s\n' "${NIX_REMOTE#*=}" ;; esac
}

# require_root_mounted: refuses a root that no file system is mounted on. It would be in the memory of an
# installer, and gone after the reboot.
require_root_mounted() {
    mounted_root=$(store_root)
    [ -z "$mounted_root" ] || mountpoint -q "$mounted_root" ||
        die "nothing is mounted on $mounted_root on this host: mount the file system there that is to be the new system's root" 78
}

# settings: what Nix is told; by its name before Nix 2.20, and from then on.
settings() {
    nix --extra-experimental-features nix-command show-config 2>/dev/null ||
        nix --extra-experimental-features nix-command config show
}

# closure PATH...: prints "PATH SIZE" for each path of their closure, sizes in bytes of NAR.
closure() {
    paths=$(nix-store --query --requisites "$@") || exit
    # shellcheck disable=SC2086 # store paths have no blanks
    { printf '%s\n' "$paths" && printf '%s\n' $paths | xargs nix-store --query --size; } |
        awk '/^\// { path[n++] = $1; next } { print path[i++], $1 }'
}
