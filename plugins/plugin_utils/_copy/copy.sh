# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh disable=SC2154 # host.sh sets $state
# Copying closures: what the build host knows, what the target lacks, and the copy itself.

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
    settings | sed -n '
        s/^\(trusted-users\|trusted-public-keys\|require-sigs\) = /\1=/p
        s/^\(substituters\|download-speed\) = /\1=/p'
    for place in /nix/store /var/tmp; do
        printf 'free %s=%s\n' "$place" "$(df -Pk "$place" | awk 'NR == 2 { print $4 }')"
    done
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
    watched nix-store --realise --ignore-unknown "$@" >/dev/null
}

# held TOPLEVEL: does a profile of systems hold it already? Then nothing would remove another root.
held() {
    for profile in /nix/var/nix/profiles/system /nix/var/nix/profiles/system-profiles/*; do
        [ "$(readlink -f "$profile")" != "$1" ] || return 0
    done
    return 1
}

# copy TOPLEVEL URL CONFIG BWLIMIT [OPTION...]: copies the closure with Nix's own ssh, which gets
# CONFIG, at no more than BWLIMIT KiB a second if there is one.
copy() {
    toplevel=$1 url=$2 directory="$state/ssh-$$"
    case $directory in
        *[[:space:]]*) die "Nix before 2.26 needs a home without blanks, not $HOME" ;;
    esac
    # A shell that a signal ends forgets EXIT.
    trap 'exit 143' TERM HUP
    trap 'rm -rf "$directory"' EXIT
    mkdir -p "$directory"
    printf '%s\n' "$3" >"$directory/config"
    [ "$4" -eq 0 ] || limit "$4" "$directory"
    shift 4
    export NIX_SSHOPTS="-F $directory/config"
    watched nix --extra-experimental-features nix-command copy --to "$url" "$@" "$toplevel"
}

# limit KIB DIRECTORY: gives Nix an ssh in DIRECTORY that sends at no more than that a second. Neither Nix nor ssh has such
# a setting, and a tool for it may not be there.
limit() {
    BWLIMIT=$(($1 * 1024)) SSH=$(command -v ssh)
    limited_ssh >"$2/ssh"
    chmod +x "$2/ssh"
    PATH="$2:$PATH"
    export BWLIMIT SSH
}

# Each pipe has one holder, so that Nix sees the end of ssh, and ssh that of Nix.
limited_ssh() {
    cat <<'SSH'
#!/bin/sh
owed=0
# A dd that does not count bytes has filled its block, for all we know.
count='/records in/ && $1 != "0+0" { sent = 65536 } / byte/ { sent = $1 } END { print sent + 0 }'
exec 4<&0
while sent=$(dd bs=65536 count=1 <&4 2>&1 >&3 | awk "$count") && [ "$sent" -gt 0 ]; do
    owed=$((owed + sent))
    if [ "$owed" -ge "$BWLIMIT" ]; then
        sleep "$((owed / BWLIMIT))"
        owed=$((owed % BWLIMIT))
    fi
done 3>&1 | "$SSH" "$@" 4<&- &
exec 4<&- >&-
wait "$!"
SSH
}
