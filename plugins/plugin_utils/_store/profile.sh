# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh disable=SC2154 # host.sh sets $state
# Profiles, on the target.

# profile_update PROFILE PATH NUMBER [OLD OLDPATH]...: profile_set, then deletes the generations OLD,
# then prints those that there are.
profile_update() {
    profile_set "$1" "$2" "$3" || return
    profile=$1
    shift 3
    delete_generations "$profile" "$@" || return
    generations "$profile"
}

# delete_generations PROFILE [NUMBER PATH]...: deletes those that still hold their path: numbers are
# given anew once their generation was deleted.
delete_generations() {
    profile=$1 numbers=
    shift
    while [ $# -gt 0 ]; do
        [ "$(readlink "$profile-$1-link")" != "$2" ] || numbers="$numbers $1"
        shift 2
    done
    # shellcheck disable=SC2086 # one word for each
    [ -z "$numbers" ] || for_all nix-env --profile "$profile" --delete-generations $numbers
}

# profile_set PROFILE PATH [NUMBER]: points the profile at the path, unless it does: `nix-env --set`
# compares with the highest generation, so after a rollback it would make a new one for the current
# path. Where the generation of that number still holds the path, the profile rolls back to it;
# numbers are given anew once their generation was deleted.
profile_set() {
    [ "$(resolve "$1")" != "$2" ] || return 0
    for_all mkdir -p "$(dirname "$1")" || return
    if [ -n "${3-}" ] && [ "$(readlink "$1-$3-link")" = "$2" ]; then
        for_all nix-env --profile "$1" --switch-generation "$3" || return
    else
        for_all nix-env --profile "$1" --set "$2" || return
    fi
    arrived "$2"
}

# generation_of PROFILE: prints the number of its current generation.
generation_of() {
    current=$(readlink "$1") || return 0
    current=${current##*/}
    current=${current#"${1##*/}-"}
    printf '%s\n' "${current%-link}"
}
