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

fail() {
    echo "install-bootloader: $1" >&2
    exit 1
}

replace() { # FILE: with stdin, in one step; unchanged files are not written
    cat >"$1.tmp" || { rm -f "$1.tmp"; fail "cannot write $1; make room in /boot and try again."; }
    if cmp -s "$1.tmp" "$1"; then rm "$1.tmp"; else mv "$1.tmp" "$1"; fi
}

boot_file() { # STORE-FILE: its name in /boot, as /nix/store/HASH-NAME/FILE -> HASH-NAME-FILE.efi
    readlink -f "$1" | sed 's,^/nix/store/,,; s,/,-,g; s,$,.efi,'
}

entry() { # SYSTEM TITLE
    echo "title $2"
    echo "version NixOS $(cat "$1/nixos-version")"
    for part in kernel initrd; do
        [ ! -e "$1/$part" ] || echo "$part /EFI/nixos/$(boot_file "$1/$part")" | sed 's/^kernel/linux/'
    done
    echo "options init=$1/init $(cat "$1/kernel-params" 2>/dev/null)"
}

install_system() { # SYSTEM ENTRY TITLE
    for part in kernel initrd; do
        [ -e "$1/$part" ] || continue # a container has none
        file=$(boot_file "$1/$part")
        echo "$file" >>"$keep"
        [ -e "$kernels/$file" ] || replace "$kernels/$file" <"$1/$part"
    done
    echo "$2.conf" >>"$keep"
    entry "$1" "$3" >"$keep.entry"
    replace "$entries/$2.conf" <"$keep.entry"
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
    {
        if [ -e /boot/loader/loader.conf ]; then grep -v '^default ' /boot/loader/loader.conf; else echo "timeout 5"; fi
        echo "default $default"
    } >"$keep.loader"
    replace /boot/loader/loader.conf <"$keep.loader"
}

remove_unused() {
    for file in "$entries"/nixos*-generation-*.conf "$kernels"/*; do
        grep -Fqx -e "${file##*/}" "$keep" || rm -f "$file"
    done
}

mkdir -p "$entries" "$kernels" || fail "cannot create directories in /boot; make room and try again."
# Not in /boot: what is needed to write it must not depend on its room.
scratch=$(mktemp -d) || fail "cannot create a temporary directory."
trap 'rm -rf "$scratch"' EXIT
keep=$scratch/keep
: >"$keep"
install_profile "$profiles/system" ""
for profile in "$profiles"/system-profiles/*; do
    case $profile in *-link) continue ;; esac
    install_profile "$profile" "-${profile##*/}"
done
set_default
remove_unused
if [ "${NIXOS_INSTALL_BOOTLOADER-}" = 1 ]; then date | replace /boot/loader/installed; fi
