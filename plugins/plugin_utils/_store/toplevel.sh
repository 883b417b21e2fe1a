# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh
# toplevel_facts DIR: prints one block, which module_utils/_store/toplevel.py reads:
#
#     toplevel=DIR            as it was given; begins the block
#     path=STORE PATH         what DIR resolves to
#     has_switch=1            there is a bin/switch-to-configuration
#     dbus_broker=0|1         the D-Bus implementation is not, or is, dbus-broker
#     kernel=, initrd=, kernel_modules=, firmware=
#                             what the link of that name (with "-") resolves to
#     system=, nixos_version=, init_interface_version=, kernel_params=,
#     switch_inhibitors=, reboot_triggers=
#                             the content of the file of that name (with "-"), newlines as blanks
#     kernel_version=         the version that its modules are for
#     specialisations=NAME    one line for each
#     toplevel_end=DIR        ends the block; without it the output was cut
#
# A line is left out when there is no such file; all are when DIR does not exist. Lines outside a
# block are the caller's. Files: nixpkgs, nixos/modules/system/activation/top-level.nix.

# toplevel_link KEY LINK: "KEY=" and where it leads.
toplevel_link() {
    if [ -e "$2" ]; then printf '%s=%s\n' "$1" "$(resolve "$2")"; fi
}

# toplevel_text KEY FILE: "KEY=" and its lines.
toplevel_text() {
    [ -f "$2" ] || return 0
    printf '%s=' "$1"
    while IFS= read -r toplevel_line || [ -n "$toplevel_line" ]; do
        printf '%s ' "$toplevel_line"
    done <"$2"
    printf '\n'
}

# toplevel_dbus_broker UNITS: which D-Bus a directory of units has.
toplevel_dbus_broker() {
    if [ -e "$1/dbus-broker.service" ]; then
        printf 'dbus_broker=1\n'
    elif [ -e "$1/dbus.service" ]; then
        printf 'dbus_broker=0\n'
    fi
}

# toplevel_kernel_version DIR: which kernel its modules are for.
toplevel_kernel_version() {
    for toplevel_modules in "$1"/kernel-modules/lib/modules/*; do
        [ ! -d "$toplevel_modules" ] || printf 'kernel_version=%s\n' "${toplevel_modules##*/}"
    done
}

# toplevel_specialisations DIR: their names.
toplevel_specialisations() {
    for toplevel_special in "$1"/specialisation/*; do
        [ -e "$toplevel_special" ] || continue
        printf 'specialisations=%s\n' "${toplevel_special##*/}"
    done
}

toplevel_facts() {
    printf 'toplevel=%s\n' "$1"
    toplevel_path=$(resolve "$1")
    # A host mostly runs what it has booted.
    if [ "$toplevel_path" != "${toplevel_known-}" ]; then
        toplevel_known=$toplevel_path
        toplevel_lines=$(toplevel_lines "$1" "$toplevel_path")
    fi
    [ -z "$toplevel_path" ] || printf '%s\n' "$toplevel_lines"
    printf 'toplevel_end=%s\n' "$1"
}

# toplevel_lines DIR PATH: what stands in its block.
toplevel_lines() {
    printf 'path=%s\n' "$2"
    # Below another root, a link of its store leads nowhere.
    if [ -e "$1/bin/switch-to-configuration" ] || [ -L "$1/bin/switch-to-configuration" ]; then printf 'has_switch=1\n'; fi
    toplevel_dbus_broker "$1/etc/systemd/system"
    toplevel_link kernel "$1/kernel"
    toplevel_link initrd "$1/initrd"
    toplevel_link kernel_modules "$1/kernel-modules"
    toplevel_link firmware "$1/firmware"
    toplevel_text system "$1/system"
    toplevel_text nixos_version "$1/nixos-version"
    toplevel_text init_interface_version "$1/init-interface-version"
    toplevel_text kernel_params "$1/kernel-params"
    toplevel_text switch_inhibitors "$1/switch-inhibitors"
    toplevel_text reboot_triggers "$1/reboot-triggers"
    toplevel_kernel_version "$1"
    toplevel_specialisations "$1"
}
