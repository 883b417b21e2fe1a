# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh disable=SC2154 # host.sh sets $state
# Copying closures: what the build host knows, what the target lacks, and the copy itself.

# closure PATH...: prints "PATH SIZE" for each path of their closure, sizes in bytes of NAR.
closure() {
    paths=$(nix-store --query --requisites "$@") || exit
    # shellcheck disable=SC2086 # store paths have no blanks
    { printf '%s\n' "$paths" && printf '%s\n' $paths | xargs nix-store --query --size; } |
        awk '/^\// { path[n++] = $1; next } { print path[i++], $1 }'
}

# expect ROOT LOGIN TOPLEVEL PATH...: prints what is missing and, if anything is, what there is to
# know about the way here. With ROOT it roots TOPLEVEL before it is here, so that nothing of a copy
# is collected until the profile holds it.
expect() {
    roots=/nix/var/nix/gcroots/closure-nixos login=$2
    if [ -n "$1" ] && [ -w /nix/var/nix/gcroots ] && ! held "$3"; then
        mkdir -p "$roots"
        ln -sfn "$3" "$roots/incoming"
    fi
    shift 3
    lacking=$(missing "$@") || exit
    [ -z "$lacking" ] || { printf '%s\n' "$lacking" && road "$login"; }
}

# road LOGIN: prints what decides on the way to this host, a name=value a line. LOGIN is who logs
# in here, empty when that is not known.
road() {
    login=${1:-${SUDO_USER:-$(id -un)}}
    printf 'login=%s\ngroups=%s\n' "$login" "$(id -nG "$login")"
    settings | sed -n \
        's/^\(trusted-users\|trusted-public-keys\|require-sigs\|substituters\) = /\1=/p'
    for place in /nix/store /var/tmp; do
        printf 'free %s=%s\n' "$place" "$(df -Pk "$place" | awk 'NR == 2 { print $4 }')"
    done
}

# Its name before Nix 2.20, and from then on.
settings() {
    nix --extra-experimental-features nix-command show-config 2>/dev/null ||
        nix --extra-experimental-features nix-command config show
}

# signatures PATH...: prints each path with the names and signatures of its keys.
signatures() {
    printf '%s\n' "$@" | xargs nix --extra-experimental-features nix-command path-info --sigs
}

# sign KEYFILE PATH...: signs paths in this store with a secret key that stays here.
sign() {
    key=$1
    shift
    [ -r "$key" ] || die "the key file $key is not there or cannot be read"
    printf '%s\n' "$@" |
        xargs nix --extra-experimental-features nix-command store sign --key-file "$key"
}

# substitute PATH...: fetches from the caches of this host what they have; the rest comes to us.
substitute() {
    printf '%s\n' "$@" | xargs nix-store --realise --ignore-unknown >/dev/null
}

# serving: prints process, age and command of the Nix servers here that ssh has started.
serving() {
    ps -eo pid=,etimes=,args= | sort -k 2 -nr | awk '
        $3 ~ /(^|\/)nix-store$/ && /--serve/ || $3 ~ /(^|\/)nix-daemon$/ && /--stdio/'
}

# held TOPLEVEL: does a profile of systems hold it already? Then nothing would remove another root.
held() {
    for profile in /nix/var/nix/profiles/system /nix/var/nix/profiles/system-profiles/*; do
        [ "$(readlink -f "$profile")" != "$1" ] || return 0
    done
    return 1
}

# copy TOPLEVEL URL CONFIG [OPTION...]: copies the closure with Nix's own ssh, which gets CONFIG.
copy() {
    toplevel=$1 url=$2 config="$state/ssh-$$"
    case $config in *[[:space:]]*) die "Nix before 2.26 needs a home without blanks, not $HOME" ;; esac
    trap 'rm -f "$config"' EXIT
    mkdir -p "$state"
    printf '%s\n' "$3" >"$config"
    shift 3
    NIX_SSHOPTS="-F $config" nix --extra-experimental-features nix-command copy \
        --to "$url" "$@" "$toplevel" &
    nix=$!
    sent "$nix" &
    wait "$nix"
}

# sent PID: prints what a process has written so far, while it lives. That is how far a copy is:
# Nix itself says nothing in the middle of a path, and before 2.26 not over ssh at all.
sent() {
    while sleep 1 && [ -r "/proc/$1/io" ]; do
        sed -n 's/^wchar: //p' "/proc/$1/io"
    done 2>/dev/null
}
