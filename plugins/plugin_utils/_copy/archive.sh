# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh
# Store paths as files, for a way between two hosts that is not Nix's own.

# pack FILE COMPRESS PATH...: writes exactly these paths, and prints the file's checksum.
pack() {
    file=$1 compress=$2
    shift 2
    place=$(make_directory) || exit
    until_exit "$place"
    when_stopped "${file%/*}"
    watched nix-store --export "$@" >"$place/archive" || exit
    wrap "$place/archive" "$compress" "$file"
}

# pack_large FILE COMPRESS PATH: writes the NAR of one path, and prints the file's checksum and then
# what a binary cache says of the path, but for where its NAR is.
pack_large() {
    place=$(make_directory) || exit
    until_exit "$place"
    when_stopped "${1%/*}"
    watched nix-store --dump "$3" >"$place/archive" || exit
    wrap "$place/archive" "$2" "$1"
    printf 'StorePath: %s\nNarHash: %s\n' "$3" "$(nix-store --query --hash "$3")"
    printf 'NarSize: %s\n' "$(nix-store --query --size "$3")"
    printf 'References: %s\n' "$(nix-store --query --references "$3" |
        sed 's|.*/||' | paste -s -d ' ' -)"
}

# pack_cache FILE COMPRESS PATH...: writes these paths as a binary cache in a tar file, which keeps
# their signatures, and prints the file's checksum.
pack_cache() {
    place=$(make_directory) || exit
    until_exit "$place"
    when_stopped "${1%/*}"
    file=$1 cache=$place/cache compression=${2:+zstd}
    shift 2
    mkdir "$cache" || exit
    # Nix adds a path only to a cache that knows what it refers to.
    printf '%s\n' "$@" >"$cache.paths" || exit
    nix-store --query --references "$@" | sort -u | grep -vxFf "$cache.paths" | pretend "$cache"
    watched nix --extra-experimental-features nix-command copy --no-recursive \
        --to "file://$cache?compression=${compression:-none}" "$@" || exit
    watched tar -cf "$place/archive" -C "$cache" . || exit
    wrap "$place/archive" '' "$file" # it is
}

# pretend CACHE: has the cache know paths, one a line, that nobody will fetch from it.
pretend() {
    while read -r path; do
        name=${path#/nix/store/}
        printf 'StorePath: %s\nURL: nar/none\nNarHash: sha256:%052d\nNarSize: 1\n' "$path" 0 \
            >"$1/${name%%-*}.narinfo"
    done
}

# wrap FILE COMPRESS DESTINATION: prints its checksum, and gives it to the login, who will fetch it.
wrap() {
    if [ -n "$2" ]; then watched gzip -1 <"$1" >"$1.gz" && mv "$1.gz" "$1" || exit; fi
    checksum "$1" && hand_over "$1" "$3"
}

# unpack FILE CHECKSUM COMPRESS: adds what pack wrote to the store. An empty FILE is what came with the call.
unpack() {
    file=${1:-$TAKEN/archive}
    until_exit "${file%/*}"
    place=$(receive "$file" "$2") || exit
    until_exit "$place"
    if [ -n "$3" ]; then gzip -dc "$place/file"; else cat "$place/file"; fi |
        watched nix-store --import >/dev/null
}

# unpack_large FILE CHECKSUM COMPRESS INFO: adds what pack_large wrote to the store. Nix reads it as a
# binary cache, since it holds what it imports in memory.
unpack_large() {
    file=${1:-$TAKEN/archive}
    until_exit "${file%/*}"
    place=$(receive "$file" "$2") || exit
    until_exit "$place"
    path=$(printf '%s\n' "$4" | sed -n 's/^StorePath: //p')
    cache=$place/cache name=${path#/nix/store/}
    mkdir -p "$cache/nar" && mv "$place/file" "$cache/nar/path" || exit
    printf 'StoreDir: /nix/store\n' >"$cache/nix-cache-info" || exit
    printf '%s\nURL: nar/path\nCompression: %s\n' "$4" "${3:-none}" >"$cache/${name%%-*}.narinfo" || exit
    watched nix --extra-experimental-features nix-command copy --no-check-sigs --no-recursive \
        --from "file://$cache" "$path"
}

# unpack_cache FILE CHECKSUM CHECK PATH...: adds what pack_cache wrote to the store. With CHECK, its
# signatures are checked for root too.
unpack_cache() {
    file=${1:-$TAKEN/archive}
    until_exit "${file%/*}"
    place=$(receive "$file" "$2") || exit
    until_exit "$place"
    cache=$place/cache trusting=--no-check-sigs
    [ -z "$3" ] || trusting=
    mkdir "$cache" || exit
    watched tar -xf "$place/file" -C "$cache" || exit
    rm -f "$place/file" "$file"
    shift 3
    watched nix --extra-experimental-features nix-command copy ${trusting:+"$trusting"} \
        --no-recursive --from "file://$cache" "$@"
}
