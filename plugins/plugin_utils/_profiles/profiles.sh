# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh disable=SC2154 # host.sh sets $uid
# Profiles with a program that activates what they hold, such as home-manager's.
# PROFILE.activating holds the path whose activation has begun and has not ended well: a machine that
# goes down meanwhile may have recorded it.

# as_owner USER COMMAND: has a shell of that user run the command, in the environment of a login of theirs. What
# is in a home is the user's: root would follow their links.
as_owner() {
    [ "$uid" -eq 0 ] || die "$(id -un) cannot become $1: set become: true for this task" 77
    command -v setpriv >/dev/null || die "setpriv is not on this host's PATH: install util-linux there" 69
    number=$(id -u -- "$1" 2>/dev/null) || die "there is no user $1 on this host: deploy the system that has them first" 67
    # As everywhere, a script travels on stdin, which its commands do not get.
    printf 'main() {\n%s\n}\nmain </dev/null\n' "$2" |
        setpriv --reuid="$1" --regid="$(id -g -- "$1")" --init-groups --reset-env \
            env PATH="$PATH" XDG_RUNTIME_DIR="/run/user/$number" sh -s
}

# profile_place PROFILE: prints its path; what begins with ~/ is in the home.
profile_place() {
    case $1 in
        \~/*) printf '%s/%s\n' "$HOME" "${1#??}" ;;
        *) printf '%s\n' "$1" ;;
    esac
}

# profile_look PROFILE PATH PROGRAM: prints what there is to know before PATH is activated: where the profile
# is, what it holds and, when that is so, that an activation was cut short, and that PATH and its program
# are here, each as NAME=VALUE. Then the generations. PATH may be empty.
profile_look() {
    profile=$(profile_place "$1")
    printf 'profile=%s\nholds=%s\n' "$profile" "$(resolve "$profile")"
    [ ! -e "$profile.activating" ] || echo activating=1
    lacking=$(missing ${2:+"$2"}) || die "Nix on this host does not serve $(id -un): look at its allowed-users, and whose its daemon's socket is" 77
    if [ -n "$2" ] && [ -z "$lacking" ]; then
        echo valid=1
        [ ! -x "$2/$3" ] || echo program=1
    fi
    generations "$profile"
}

# profile_bring WORD...: has a path activated by its program, and records it in a profile. Each word is
# NAME=VALUE: profile; path; holds, the path in the profile; to, the generation to record it in, if not a new
# one; old, what is activated again when that fails, and number, its generation; fresh, whether a generation
# that was made for the path goes then; limit, in seconds. The program and its arguments follow --.
# The last line of a failure is "@profile", the exit status of the activation, and none, old or lost for what
# is back.
#
# The activation comes first, as home-manager's removes the files of what the profile holds.
profile_bring() {
    profile='' path='' holds='' to='' old='' number='' fresh='' limit=''
    while [ "$1" != -- ]; do
        case $1 in
            profile=*) profile=${1#*=} ;;
            path=*) path=${1#*=} ;;
            holds=*) holds=${1#*=} ;;
            to=*) to=${1#*=} ;;
            old=*) old=${1#*=} ;;
            number=*) number=${1#*=} ;;
            fresh=*) fresh=${1#*=} ;;
            limit=*) limit=${1#*=} ;;
        esac
        shift
    done
    shift
    [ "$(resolve "$profile")" = "$holds" ] || die "$profile on this host has changed meanwhile: run the task again" 75
    { for_all mkdir -p "${profile%/*}" && write "$profile.activating" "$path"; } ||
        die "cannot write $profile.activating on this host, so nothing was activated: make room there" 75
    ended=0 back=0 how=none
    (profile_run "$path" "$limit" "$@") || ended=$?
    [ "$ended" -ne 0 ] || profile_record "$profile" "$path" "$to" || ended=$?
    if [ "$ended" -ne 0 ]; then
        [ -z "$old" ] || how=old
        (profile_back "$profile" "$path" "$old" "$number" "$fresh" "$limit" "$@") || back=$? how=lost
    fi
    [ "$back" -ne 0 ] || rm -f "$profile.activating"
    [ "$ended" -ne 0 ] || return 0
    printf '\n@profile %s %s\n' "$ended" "$how"
    return 1
}

# profile_run PATH LIMIT PROGRAM...: runs a program of PATH, whose name for it is $PROFILE, as for deploy-rs.
profile_run() {
    PROFILE=$1 limit=$2 program=$1/$3
    shift 3
    [ -x "$program" ] || {
        printf '%s is not there, or cannot be run\n' "$program" >&2
        return 127
    }
    export PROFILE
    for_all timeout -k 10 "$limit" "$program" "$@"
}

# profile_back PROFILE PATH OLD NUMBER FRESH LIMIT PROGRAM...: activates OLD again, and records it.
profile_back() {
    profile=$1 path=$2 old=$3 number=$4 fresh=$5
    made=$(generation_of "$profile")
    if [ -z "$old" ]; then
        # An activation may have recorded itself.
        [ "$(resolve "$profile")" != "$path" ] || rm -f "$profile" "$profile-$made-link"
        return
    fi
    shift 5
    profile_run "$old" "$@" && profile_record "$profile" "$old" "$number" || return
    [ -z "$fresh" ] || [ "$made" = "$number" ] || delete_generations "$profile" "$made" "$path"
}

# profile_record PROFILE PATH [NUMBER]: as profile_set. An activation may have recorded PATH itself, as home-manager's
# does: in a new generation, of which there is no need when NUMBER holds it.
profile_record() {
    own=$(generation_of "$1")
    if [ -n "${3-}" ] && [ "$own" != "$3" ] && [ "$(resolve "$1")" = "$2" ]; then
        for_all nix-env --profile "$1" --switch-generation "$3" && delete_generations "$1" "$own" "$2"
    else
        profile_set "$@"
    fi
}

# profile_job USER ROOT PATH COMMAND: has the user run the command, which brings PATH, and then needs ROOT no
# more, the name of what has kept PATH from the garbage collector since its copy.
profile_job() {
    as_owner "$1" "$4" || return
    arrived "$3" && arrived "$3" "$2"
}
