# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh
# What a host keeps, on the target.

# retained PROFILE...: prints "now=SECONDS" since 1970 and the generations of each profile.
retained() {
    printf 'now=%s\n' "$(date +%s)"
    for profile in "$@"; do
        generations "$profile"
    done
}

# would_free [LINK PATH]...: prints how many store paths nothing would need without these links, and
# their bytes: "paths=N" and "bytes=N".
would_free() {
    directory=$(mktemp -d) || die 'there is no room for files in TMPDIR' 75
    trap 'rm -rf "$directory"' EXIT
    links=$directory/links live=$directory/live dead=$directory/dead
    : >"$links" || die 'there is no room for files in TMPDIR' 75
    nix-store --gc --print-dead 2>/dev/null >"$dead" || die 'Nix does not say what nothing needs'
    while [ $# -gt 0 ]; do
        printf '%s\n' "$1" >>"$links" || die 'there is no room for files in TMPDIR' 75
        nix-store --query --requisites "$2" >>"$dead" || die "Nix does not say what $2 needs"
        shift 2
    done
    # "LINK -> PATH"; braces stand for roots of processes.
    nix-store --gc --print-roots 2>/dev/null | sed -n 's/^\(.*\) -> \(\/.*\)$/\1 \2/p' |
        awk -v links="$links" 'BEGIN { while ((getline line <links) > 0) gone[line] = 1 }
            !($1 in gone) { print $NF }' | sort -u | xargs -r nix-store --query --requisites |
        sort -u >"$live" || die 'there is no room for files in TMPDIR' 75
    sort -u "$dead" | comm -23 - "$live" >"$links" || die 'there is no room for files in TMPDIR' 75
    printf 'paths=%s\n' "$(wc -l <"$links")"
    printf 'bytes=%s\n' "$(xargs -r nix-store --query --size <"$links" 2>/dev/null |
        awk '{ bytes += $1 } END { printf "%.0f", bytes }')"
}

# collect MAX_FREED OPTIMISE: deletes what nothing needs, no more than so many bytes when there is a
# number, and replaces equal files by links when OPTIMISE is true.
collect() {
    if [ -n "$1" ]; then
        nix-store --gc --max-freed "$1" || return
    else
        nix-store --gc || return
    fi
    [ "$2" != true ] || nix-store --optimise
}
