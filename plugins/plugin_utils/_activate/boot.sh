# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh disable=SC2034,SC2154 # host.sh, profile.sh, system.sh, guard.sh set the others
# Reboots, and systems that only the next boot starts. The record's file boot-once says of one:
# the boot that asked for it, its path, the number of the generation that was made for it or 0; then
# the units that had failed before.

# boot_once PROFILE PATH: has the next boot start PATH, and those after it what boots now.
boot_once() {
    recorded=$(resolve "$1") number=$(generation_of "$1")
    [ -n "$recorded" ] ||
        die "$1 holds no system to boot afterwards: deploy one without a confirmation first" 66
    tried_forget "$1" || return
    # The loader gets an entry for each generation, and the current one as its default. So the system
    # is a generation for a moment, before the loader is written, and never its default.
    newest=$(newest_generation "$1")
    profile_set "$1" "$2" && made=$(generation_of "$1") && profile_set "$1" "$recorded" "$number" || return
    [ "$made" -gt "$newest" ] || made=0
    boot_end=0
    {
        {
            printf '%s %s %s\n' "$(boot_id)" "$2" "$made"
            failed_units
        } | remember boot-once && for_all "$recorded/bin/switch-to-configuration" boot && (undo_outlast "$2") && (next_boot "$2")
    } || boot_end=$?
    if [ "$boot_end" -ne 0 ]; then
        [ "$made" -eq 0 ] || generation_forget "$1" "$made"
        remove "$record/boot-once"
        return "$boot_end"
    fi
    note outcome=unconfirmed by=task 'why=the next boot tries it' "who=$(who_runs)" \
        "run=$(line_of "$state/current")" "from=$(resolve /run/current-system)" "to=$2"
}

# tried_forget PROFILE: what was booted once and never confirmed is no generation to roll back to, and
# is not in the boot menu, nor what the next boot starts. Not while it runs.
tried_forget() {
    [ -r "$record/boot-once" ] || return 0
    read -r tried_from tried made <"$record/boot-once" || return 0
    [ "$(resolve /run/current-system)" != "$tried" ] || return 0
    [ "$tried_from" != "$(boot_id)" ] || next_boot_forget "$tried" || return
    if [ "${made:-0}" -gt 0 ] && [ "$(readlink "$1-$made-link")" = "$tried" ] &&
        [ "$(generation_of "$1")" != "$made" ]; then
        generation_forget "$1" "$made"
        default=$(loader_boots)
        [ -n "$default" ] || default=$(line_of "$record/loader-default") || default=$(resolve "$1")
        for_all "$default/bin/switch-to-configuration" boot || return
    fi
    remove "$record/boot-once"
}

# next_boot PATH: has the loader start PATH once.
next_boot() {
    entry=$(grep -ls "init=$1/init" /boot/loader/entries/*.conf | head -n 1)
    if [ -n "$entry" ]; then
        for_all bootctl set-oneshot "${entry##*/}"
    elif [ -e /boot/grub/grub.cfg ]; then
        title=$(grub_title "$1" </boot/grub/grub.cfg) && for_all grub-reboot --boot-directory=/boot "$title"
    else
        die 'only systemd-boot and GRUB can boot a system once: deploy with the action boot instead' 69
    fi
}

# next_boot_forget PATH: takes back that the loader starts PATH once. It ignores an entry that is gone.
next_boot_forget() {
    if grep -qs "init=$1/init" /boot/loader/entries/*.conf; then
        for_all bootctl set-oneshot ''
    elif [ -e /boot/grub/grub.cfg ]; then
        for_all grub-editenv /boot/grub/grubenv unset next_entry
    fi
}

# grub_title PATH: the title of the entry that starts PATH, below that of its menu, as grub-reboot
# takes it. Entries: nixpkgs, install-grub.pl.
grub_title() {
    awk -F '"' -v init="init=$1/init" '
        /^submenu "/ { menu = $2 ">" }
        /^menuentry "/ { title = $2 }
        index($0 " ", init " ") { print menu title; found = 1; exit }
        END { exit !found }'
}

# reboot_host BOOT_ID: reboots, unless that was done. A second later, so that we can say so.
reboot_host() {
    [ "$(boot_id)" = "$1" ] || return 0
    [ "$uid" -eq 0 ] || die 'only root can reboot it: set become' 77
    systemd-run --quiet --collect --on-active=1 systemctl reboot
}

# boot_facts: names this boot; says what only the next one starts, or that this is such a boot and
# which units had failed before it.
boot_facts() {
    line_fact boot_id /proc/sys/kernel/random/boot_id
    [ -r "$record/boot-once" ] || return 0
    read -r tried_from tried made <"$record/boot-once" || return 0
    [ "${made:-0}" -eq 0 ] || printf 'unconfirmed_generation=%s\n' "$made"
    if [ "$tried_from" = "$(boot_id)" ]; then
        printf 'boot_once=%s\n' "$tried"
    elif [ "$(resolve /run/booted-system)" = "$tried" ]; then
        printf 'boot_tried=%s\n' "$tried"
        sed -n 's/^failed_unit=/boot_failed=/p' "$record/boot-once"
    fi
}
