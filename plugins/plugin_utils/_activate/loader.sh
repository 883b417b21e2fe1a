# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh
# What the boot loader starts by default, by its own files, where we may read them and they say so.

# loader_boots: the toplevel that the loader starts, of the loader that was installed last. The
# default of systemd-boot that `bootctl set-default` keeps in the firmware comes before its file's.
loader_boots() {
    newest=$(newest_file /boot/loader/loader.conf /boot/grub/grub.cfg /boot/extlinux/extlinux.conf)
    case $newest in
        */loader.conf)
            entry=$(loader_firmware_default)
            loader_entry "${entry:-$(loader_default </boot/loader/loader.conf)}"
            ;;
        */grub.cfg) grub_default </boot/grub/grub.cfg ;;
        */extlinux.conf) extlinux_default </boot/extlinux/extlinux.conf ;;
    esac
}

# newest_file FILE...: prints the name of the one that was written last, of those that are there. To ask for their
# times is a process, and a host mostly has one.
newest_file() {
    for file in "$@"; do
        shift
        [ ! -e "$file" ] || set -- "$@" "$file"
    done
    [ $# -lt 2 ] || set -- "$(ls -t "$@")"
    printf '%s\n' "${1%%"
"*}"
}

# loader_default: prints the default of the loader.conf on standard input.
loader_default() {
    while read -r key value || [ -n "$key" ]; do
        [ "$key" != default ] || printf '%s\n' "$value"
    done
}

# loader_menu: the checksum of what the boot loader offers. A host that boots otherwise has one of
# nothing.
loader_menu() {
    cat /boot/loader/loader.conf /boot/loader/entries/*.conf /boot/grub/grub.cfg \
        /boot/extlinux/extlinux.conf 2>/dev/null | cksum
}

# Four bytes of attributes, and UTF-16.
loader_firmware_default() {
    variable=/sys/firmware/efi/efivars/LoaderEntryDefault-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f
    [ ! -r "$variable" ] || tail -c +5 "$variable" | tr -d '\000'
}

# loader_entry NAME: the toplevel that an entry of systemd-boot starts, or the entry's file when it
# starts none or is not there. Nothing for a pattern, and for what has no file here.
loader_entry() {
    case $1 in '' | *[*?@]* | auto-* | *.efi) return 0 ;; esac
    entry=/boot/loader/entries/${1%.conf}.conf
    toplevel=$(sed -n 's,^options\(.*[[:blank:]]\)init=\([^[:blank:]]*\)/init\([[:blank:]].*\)\{0\,1\}$,\2,p' "$entry" 2>/dev/null)
    printf '%s\n' "${toplevel:-$entry}"
}

# grub_default: the same of the grub.cfg on standard input. Its default is the number of an entry
# of the first level, unless GRUB remembers what was started last. Written by nixpkgs,
# install-grub.pl.
grub_default() {
    awk '
        sub(/^[ \t]*set default=/, "") && !/next_entry/ { gsub(/"/, ""); wanted = $0 }
        !depth && /^[ \t]*(menuentry|submenu) "/ { entry = count++ }
        /\{[ \t]*$/ { depth++ }
        /^[ \t]*\}[ \t]*$/ { depth-- }
        match($0, /[ \t]init=[^ \t]+\/init/) && !(entry in found) {
            found[entry] = substr($0, RSTART + 6, RLENGTH - 11)
        }
        END { if (wanted ~ /^[0-9]+$/) print found[wanted + 0] }'
}

# extlinux_default: the same of the extlinux.conf on standard input. Written by nixpkgs,
# extlinux-conf-builder.sh.
extlinux_default() {
    awk '
        $1 == "DEFAULT" { wanted = $2 }
        $1 == "LABEL" { label = $2 }
        $1 == "APPEND" && label == wanted && match($0, /[ \t]init=[^ \t]+\/init/) {
            print substr($0, RSTART + 6, RLENGTH - 11)
            exit
        }'
}
