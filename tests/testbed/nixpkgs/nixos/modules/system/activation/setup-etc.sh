#!@busybox@/bin/sh
# shellcheck disable=SC2239 # the path is absolute once it is substituted
# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# setup-etc ETCDIR: put a generation's /etc into the host's. NixOS owns its whole /etc; a host of
# the testbed is Debian underneath, so each file is linked by itself and Debian's stay.

set -u
export PATH="@busybox@/bin" LC_ALL=C

etc=$1
# What the generations have put into /etc, a path per line. NixOS lists its copies in this file.
clean=/etc/.clean
status=0

warn() {
    echo "warning: $1" >&2
}

forbidden() { # PATH: files without which the host could not be reached, or not be entered
    case $1 in
    passwd | group | shadow | sudoers* | ssh/* | nix/* | resolv.conf | hosts) return 0 ;;
    static | static/* | .clean*) return 0 ;;
    esac
    return 1
}

generation_files() { # paths below $etc, without the .mode, .uid and .gid that go with a copy
    cd "$etc" || exit
    find -L . ! -type d | sed 's,^\./,,' | sort | while read -r path; do
        case $path in
        *.mode | *.uid | *.gid) [ ! -e "${path%.*}" ] || continue ;;
        esac
        printf '%s\n' "$path"
    done
}

ours() { # PATH: absent, or put there by a generation
    [ -e "/etc/$1" ] || [ -L "/etc/$1" ] || return 0
    case $(readlink "/etc/$1") in
    /etc/static/*) return 0 ;;
    esac
    { [ -f "/etc/$1" ] || [ -L "/etc/$1" ]; } && grep -Fqx -e "$1" "$clean"
}

link() { # PATH: what its link says; an alias and a .wants link refer to the unit in /etc
    case $1:$(readlink "$etc/$1") in
    *:/* | *:) echo "/etc/static/$1" ;;
    systemd/system/* | systemd/user/*) readlink "$etc/$1" ;;
    *) echo "/etc/static/$1" ;;
    esac
}

put() { # PATH
    mkdir -p "$(dirname "/etc/$1")" || return
    mode=symlink
    [ ! -e "$etc/$1.mode" ] || mode=$(cat "$etc/$1.mode")
    case $mode in
    symlink) ln -s "$(link "$1")" "/etc/$1.tmp" ;;
    direct-symlink) ln -s "$(readlink -f "$etc/$1")" "/etc/$1.tmp" ;;
    *) copy "$1" "$mode" ;;
    esac && mv -T "/etc/$1.tmp" "/etc/$1"
}

owner() { # FILE: a numeric id has a + in front
    if [ -e "$1" ]; then sed 's/^+//' "$1"; else echo 0; fi
}

copy() { # PATH MODE
    cp -L "$etc/$1" "/etc/$1.tmp" &&
        chown "$(owner "$etc/$1.uid"):$(owner "$etc/$1.gid")" "/etc/$1.tmp" &&
        chmod "$2" "/etc/$1.tmp"
}

install_file() { # PATH
    [ "$(readlink "/etc/$1")" != "$(link "$1")" ] || [ -e "$etc/$1.mode" ] || return 0
    if forbidden "$1" || ! ours "$1"; then
        warn "/etc/$1 belongs to the host, it is not replaced"
        return
    fi
    # Before the file itself: what an interrupted run leaves behind is found again.
    grep -Fqx -e "$1" "$clean" || echo "$1" >>"$clean"
    put "$1" && return
    rm -f "/etc/$1.tmp"
    warn "could not set up /etc/$1"
    status=1
}

select_lines() { # TEST FILE OTHER: the lines of FILE that are (TEST "") or are not ("!") in OTHER
    awk "FILENAME == ARGV[1] { other[\$0]; next } $1(\$0 in other)" "$3" "$2"
}

remove_file() { # PATH: with the directories that it leaves empty
    ours "$1" || return 0
    rm -f "/etc/$1"
    (cd /etc && rmdir -p "$(dirname "$1")" 2>/dev/null)
}

[ -d "$etc" ] || { echo "setup-etc: $etc is not a directory; give the etc directory of a system." >&2; exit 1; }
echo "setting up /etc..."
ln -sfn "$etc" /etc/static.tmp && mv -T /etc/static.tmp /etc/static || exit
touch "$clean"
generation_files >"$clean.new"

# First what is gone: a directory may take the place of a file, or a file that of a directory.
select_lines "!" "$clean" "$clean.new" >"$clean.gone"
while read -r path; do
    remove_file "$path"
done <"$clean.gone"
select_lines "" "$clean" "$clean.new" >"$clean.tmp" && mv "$clean.tmp" "$clean"
while read -r path; do
    install_file "$path"
done <"$clean.new"
rm -f "$clean.new" "$clean.gone"
exit "$status"
