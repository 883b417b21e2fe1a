#!@busybox@/bin/sh
# shellcheck disable=SC2239 # the path is absolute once it is substituted
# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# install-bootloader TOPLEVEL: the files systemd-boot would read, for the generations of the system
# profile and of those with a name. As with nixpkgs' systemd-boot-builder, TOPLEVEL becomes the default only if it is
# a generation. Whatever fails, the old default and its files stay.

set -u
export PATH="@busybox@/bin" LC_ALL=C

toplevel=$(readlink -f "$1")
profiles=/nix/var/nix/profiles
entries=/boot/loader/entries
kernels=/boot/EFI/nixos
default=
# Names of the files that stay, each between two newlines. All of this runs at each deployment and for
# each generation, so it starts few processes.
keep="
"

fail() {
    echo "install-bootloader: $1" >&2
    exit 1
}

replace() { # FILE: with stdin, in one step; unchanged files are not written
    cat >"$1.tmp" || { rm -f "$1.tmp"; fail "cannot write $1; make room in /boot and try again."; }
    if cmp -s "$1.tmp" "$1"; then rm "$1.tmp"; else mv "$1.tmp" "$1"; fi
}

first_line() { # FILE: into $line, empty when there is none
    line=
    [ ! -e "$1" ] || IFS= read -r line <"$1" || return 0
}

boot_name() { # STORE-FILE: its name in /boot into $name: /nix/store/HASH-NAME/FILE -> HASH-NAME-FILE.efi
    name=$(readlink -f "$1")
    name=${name#/nix/store/}
    while :; do
        case $name in
        */*) name=${name%%/*}-${name#*/} ;;
        *) break ;;
        esac
    done
    name=$name.efi
}

install_system() { # SYSTEM ENTRY TITLE
    first_line "$1/nixos-version"
    text="title $3
version NixOS $line"
    for part in kernel initrd; do
        [ -e "$1/$part" ] || continue # a container has none
        boot_name "$1/$part"
        keep="$keep$name
"
        [ -e "$kernels/$name" ] || replace "$kernels/$name" <"$1/$part"
        key=$part
        [ "$part" = initrd ] || key=linux
        text="$text
$key /EFI/nixos/$name"
    done
    first_line "$1/kernel-params"
    text="$text
options init=$1/init $line"
    keep="$keep$2.conf
"
    [ "$(cat "$entries/$2.conf" 2>/dev/null)" = "$text" ] || echo "$text" | replace "$entries/$2.conf" || exit
}

install_generation() { # PROFILE NAME NUMBER
    system=$(readlink -f "$1-$3-link")
    title="Generation $3"
    prefix=nixos$2-generation-$3
    install_system "$system" "$prefix" "NixOS ($title)"
    [ "$system" != "$toplevel" ] || default=$prefix.conf
    for specialisation in "$system/specialisation"/*; do
        [ -e "$specialisation" ] || continue
        name=${specialisation##*/}
        install_system "$(readlink -f "$specialisation")" \
            "$prefix-specialisation-$name" "NixOS ($title, $name)"
    done
}

install_profile() { # PROFILE NAME
    for number in $(generations "$1"); do
        install_generation "$1" "$2" "$number"
    done
}

generations() { # PROFILE: numbers, ascending
    for link in "$1"-*-link; do
        [ -e "$link/nixos-version" ] || continue
        number=${link#"$1-"}
        echo "${number%-link}"
    done | grep -v '[^0-9]' | sort -n
}

set_default() {
    [ -n "$default" ] || return 0
    settings="timeout 5"
    [ ! -e /boot/loader/loader.conf ] || settings=$(grep -v '^default ' /boot/loader/loader.conf)
    printf '%s\n' "$settings" "default $default" | replace /boot/loader/loader.conf || exit
}

remove_unused() {
    for file in "$entries"/nixos*-generation-*.conf "$kernels"/*; do
        case $keep in
        *"
${file##*/}
"*) ;;
        *) rm -f "$file" ;;
        esac
    done
}

mkdir -p "$entries" "$kernels" || fail "cannot create directories in /boot; make room and try again."
install_profile "$profiles/system" ""
for profile in "$profiles"/system-profiles/*; do
    case $profile in *-link) continue ;; esac
    install_profile "$profile" "-${profile##*/}"
done
set_default
remove_unused
if [ "${NIXOS_INSTALL_BOOTLOADER-}" = 1 ]; then date | replace /boot/loader/installed; fi
