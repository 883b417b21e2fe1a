# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh disable=SC2154 # host.sh sets $state
# Copying closures: what the build host knows, what the target lacks, and the copy itself.

# expect ROOT LOGIN TOPLEVEL PATH...: prints what is missing and, if anything is, what there is to
# know for the choice of a transport. With ROOT, the name of a root, nothing of a copy is collected
# until the profile holds it.
expect() {
    root=$1 login=$2 toplevel=$3
    shift 3
    require_root_mounted
    lacking=$(missing "$@") || exit
    [ -z "$root" ] || plant "$root" "$toplevel" ${lacking:+"$@"} || exit
    [ -z "$lacking" ] || { printf '%s\n' "$lacking" && facts_for_copy "$login"; }
}

# plant ROOT TOPLEVEL [PATH...]: roots TOPLEVEL and each PATH of a closure that is not whole, before they
# are here: by archive they come in parts, and Nix heeds a root once its path is valid.
plant() {
    roots=/nix/var/nix/gcroots/closure-nixos
    # Nobody collects below another root.
    if [ -n "$(store_root)" ] || [ ! -w /nix/var/nix/gcroots ] || held "$2"; then return 0; fi
    # Another copy to this host may do the same right now.
    keep_state && mkdir -p "$roots" && exec 8>"$state/roots.lock" && flock -w 20 8 || return
    # Those of this closure stay: some may have arrived.
    if [ $# -eq 2 ] || [ "$(readlink "$roots/$1")" != "$2" ]; then
        rm -rf "${roots:?}/$1-parts" || return
    fi
    # Each path would say it once more.
    plant_links "$roots" "$@" 2>/dev/null || die "cannot write $roots on this host, so nothing was copied: make room there" 75
}

# plant_links ROOTS ROOT TOPLEVEL [PATH...]: makes them.
plant_links() {
    parts=$1/$2-parts
    ln -sfn "$3" "$1/$2" || return
    shift 3
    [ $# -gt 0 ] || return 0
    mkdir -p "$parts" && printf '%s\n' "$@" | xargs ln -sf -t "$parts"
}

# facts_for_copy LOGIN: prints what decides on the transport to this host, a name=value a line. LOGIN
# is who logs in here, empty when that is not known.
facts_for_copy() {
    login=${1:-${SUDO_USER:-$(id -un)}}
    printf 'login=%s\ngroups=%s\n' "$login" "$(id -nG "$login")"
    settings | sed -n '
        s/^\(trusted-users\|trusted-public-keys\|require-sigs\) = /\1=/p
        s/^\(substituters\|download-speed\) = /\1=/p'
    for place in "$(store_root)/nix/store" /var/tmp; do
        printf 'free %s=%s\n' "$place" "$(df -Pk "$(nearest "$place")" | awk 'NR == 2 { print $4 }')"
    done
}

# nearest PATH: prints what is there of it: the path itself or a directory above it.
nearest() {
    there=$1
    while [ ! -e "$there" ]; do there=${there%/*}; done
    printf '%s\n' "${there:-/}"
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

# held TOPLEVEL: does a profile of systems or a link that people asked for hold it already? Then nothing
# would remove another root.
held() {
    for link in /nix/var/nix/profiles/system /nix/var/nix/profiles/system-profiles/* \
        /nix/var/nix/gcroots/closure-nixos/kept/*; do
        [ "$(resolve "$link")" != "$1" ] || return 0
    done
    return 1
}

# sharing SOCKET FUNCTION [ARGUMENT...]: calls the function, whose ssh may share the connection that another
# one has open at SOCKET.
sharing() {
    SHARED_SOCKET=$1
    shift
    "$@"
}

# copy URL CONFIG DIRECTORY BWLIMIT WORD...: copies a closure with Nix's own ssh, at no more than BWLIMIT
# KiB a second if there is one. The words are options and the toplevel.
copy() {
    url=$1 place=$(make_directory) || exit
    with_ssh "$place" "$2" "$3"
    [ "$4" -eq 0 ] || limit "$4" "$place"
    shift 4
    by_ssh "$place" nix --extra-experimental-features nix-command copy --to "$url" "$@"
}

# reach URL CONFIG DIRECTORY: asks the store there for a sign of life, as a copy would.
reach() {
    place=$(make_directory) || exit
    with_ssh "$place" "$2" "$3"
    by_ssh "$place" nix --extra-experimental-features nix-command store ping --store "$1" >/dev/null
}

# by_ssh PLACE COMMAND...: runs a command of Nix over the connection that it may share, and where that does
# not carry, by a login.
by_ssh() {
    place=$1 login=$NIX_SSHOPTS
    shift
    if share_connection "$place"; then
        watched "$@" && return
        NIX_SSHOPTS=$login
    fi
    watched "$@"
}

# share_connection PLACE: has Nix's ssh go over that connection and no other. One that logs in after all
# says so to Nix, which would take that for the host's first bytes: newer Nix waits for it only where it
# finds no connection to share. By a link, because the socket goes when Ansible's ssh connects anew.
share_connection() {
    socket="${SHARED_SOCKET-}.$$"
    [ -S "$SHARED_SOCKET" ] && ln -f "$SHARED_SOCKET" "$socket" 2>/dev/null || return
    until_exit "$socket"
    printf 'ControlMaster no\nControlPath "%s"\nProxyCommand false\n' "$socket" | sed 's/%/%%/g' |
        cat - "$1/own" >"$1/shared" && NIX_SSHOPTS="-F $1/shared"
}

# with_ssh PLACE CONFIG DIRECTORY: gives Nix's ssh that configuration, with files in PLACE until the
# end. Relative paths in it start from DIRECTORY, or from home when that is empty. Nix before 2.26
# splits NIX_SSHOPTS at blanks, so PLACE is not at home, which may have some.
with_ssh() {
    place=$1
    until_exit "$place"
    ssh_counter >"$place/counter" || exit
    printf '%s\n' "$2" >"$place/own" || exit
    printf '%s\n' "Match exec \"sh $place/counter $place/starts\"" "ProxyCommand sh $place/counter" |
        cat - "$place/own" >"$place/config" || exit
    # A directory that cannot be entered has no files for ssh.
    cd "${3:-$HOME}" || :
    # Nobody is there to answer.
    export NIX_SSHOPTS="-F $place/config" SSH_ASKPASS_REQUIRE=never
}

# ssh_counter: prints a script that each ssh runs which reads our configuration. A loop of jumps, in
# which ssh starts itself for ever, ends at 32. A shell reads it: it need not be executable.
ssh_counter() {
    cat <<'COUNTER'
if [ -z "${1-}" ]; then
    echo 'ssh has started itself 32 times on the way to this host: its jump hosts form a loop' >&2
    exit 1
fi
echo >>"$1" && [ "$(wc -l <"$1")" -gt 32 ]
COUNTER
}

# limit KIB PLACE: gives Nix an ssh that sends at no more than that a second. Neither Nix nor ssh has
# such a setting, and a tool for it may not be there. It is a program, so it goes where programs are:
# what lies in /run, /tmp or a home may not be executable, and Nix would take the next ssh on PATH.
limit() {
    BWLIMIT=$(($1 * 1024)) SSH=$(command -v ssh) || die "there is no ssh on this host's PATH" 69
    mkdir "$2/limited" && limited_ssh >"$2/limited/ssh" && chmod +x "$2/limited/ssh" || exit
    limited=$(nix-store --add "$2/limited") || exit
    nix-store --realise "$limited" --add-root "$2/root" --indirect >/dev/null || exit
    PATH="$limited:$PATH"
    export BWLIMIT SSH
    "$limited/ssh" -V 2>/dev/null || die "bwlimit cannot be held: $limited/ssh does not run" 69
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
