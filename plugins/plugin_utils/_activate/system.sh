# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh disable=SC2154 # host.sh sets $state
# What a target is and what it does: facts, and the activation itself.

unit=nixos-rebuild-switch-to-configuration.service
# What is remembered across reboots, for root only: why a deployment failed is for whoever deployed.
record=/var/lib/closure-nixos
# What units_listed has printed, if somebody has asked.
units_now=

# system_facts PROFILE [PATH [SPECIALISATION]]: prints "name=value" lines and the blocks of
# toplevel_facts and generations, for the running and the booted system and for PATH, or else the
# profile's system, and its specialisation.
system_facts() {
    path=${2:-$1}
    # What is in the store need not be there yet.
    case $path in /nix/store/*) ;; *) path=$(resolve "$path") ;; esac
    printf 'path_asked=%s\n' "$path"
    printf 'specialisation_asked=%s\n' "${3-}"
    printf 'user=%s\n' "$(user_name)"
    printf 'uptime=%s\n' "$(uptime_hundredths)"
    printf 'login_age=%s\n' "$(login_age)"
    printf 'platform=%s\n' "$(platform)"
    system_runs=$(resolve /run/current-system)
    printf 'running=%s\n' "$system_runs"
    printf 'booted=%s\n' "$(resolve /run/booted-system)"
    printf 'runs_specialisation=%s\n' "$(running_specialisation "$system_runs" "$1" /run/booted-system)"
    line_fact loader_default "$record/loader-default"
    printf 'loader_boots=%s\n' "$(loader_boots)"
    printf 'loader_menu=%s\n' "$(loader_menu)"
    printf 'state=%s\n' "$(systemctl is-system-running 2>/dev/null)"
    line_fact boot_pending "$record/boot-pending"
    printf 'switching=%s\n' "$(switching)"
    printf 'activation=%s\n' "$(unacknowledged_activation)"
    line_fact activation_end "$state/jobs/activation/status"
    guard_facts
    boot_facts
    printf '%s\n' "${units_now:-$(units_listed)}" | failed_in -
    left_failed "$system_runs"
    generations "$1"
    toplevel_facts /run/current-system
    toplevel_facts /run/booted-system
    profile_room "$1"
    [ -z "$path" ] || path_facts "$path" "$system_runs"
    [ -z "${3-}" ] || toplevel_facts "$path/specialisation/$3"
}

# host_facts PROFILE DIRECTORY COUNT: the system_facts, and what only those ask who look at a host: also
# its last COUNT deployments.
host_facts() {
    printf 'kernel_release=%s\n' "$(uname -r)"
    printf 'nix=%s\n' "$(nix-store --version 2>/dev/null)"
    printf 'nix_trusted=%s\n' "$(store_ping | sed -n 's/.*"trusted": *\([a-z0-9]*\).*/\1/p')"
    printf 'nix_keys=%s\n' "$(settings 2>/dev/null | sed -n 's/^trusted-public-keys = //p')"
    printf 'nix_free=%s\n' "$(room /nix/store)"
    printf 'boot_free=%s\n' "$(room /boot)"
    printf 'revisions=%s\n' "$(/run/current-system/sw/bin/nixos-version --json 2>/dev/null | tr -d '\n')"
    [ ! -e /etc/NIXOS ] || printf 'nixos=1\n'
    updaters
    history_facts "$2" "$3"
    system_facts "$1"
}

# updaters: prints the units that change systems by themselves, or delete generations: NixOS's own
# (nixpkgs, auto-upgrade.nix and nix-gc.nix) and comin.
updaters() {
    updaters='nixos-upgrade.timer comin.service nix-gc.timer'
    # It says a word for each.
    # shellcheck disable=SC2086
    systemctl is-active $updaters 2>/dev/null | for name in $updaters; do
        read -r active || break
        [ "$active" = active ] || continue
        [ "$name" != nix-gc.timer ] || gc_deletes_generations || continue
        printf 'updater=%s\n' "$name"
    done
}

# gc_deletes_generations: whether nix-gc.service is told to: its command is in a script.
gc_deletes_generations() {
    command=$(systemctl show -p ExecStart nix-gc.service)
    program=${command#*path=}
    { printf '%s\n' "$command" && cat "${program%% *}"; } 2>/dev/null | grep -Eqs -e ' (-d|--delete)'
}

store_ping() {
    nix --extra-experimental-features nix-command store ping --json 2>/dev/null
}

# profile_room PROFILE: what is free where its next generation will be.
profile_room() {
    directory=${1%/*}
    [ -d "$directory" ] || directory=${directory%/*}
    stat -f -c '%a %S %c %d' "$directory" 2>/dev/null | while read -r blocks size inodes left; do
        printf 'profile_free=%s\n' $((blocks * size))
        # A file system that makes inodes when it needs them, such as btrfs, says that it has none at all.
        [ "$inodes" -eq 0 ] || printf 'profile_inodes=%s\n' "$left"
    done
}

# boot_room PATH: where the boot loader copies kernels, what room /boot has, and what the kernel and
# the initrd take that are not there yet. Their names: nixpkgs, systemd-boot-builder.py and
# install-grub.pl.
boot_room() {
    images=$(boot_images)
    [ -n "$images" ] || return 0
    needed=0
    for file in $(readlink -e "$1/kernel" "$1/initrd"); do
        name=${file#/nix/store/}
        while [ "$name" != "${name%%/*}" ]; do name=${name%%/*}-${name#*/}; done
        [ -e "$images/$name" ] || [ -e "$images/$name.efi" ] || [ -e "$images/store-$name.efi" ] ||
            needed=$((needed + $(wc -c <"$file")))
    done
    printf 'boot_free=%s\nboot_needed=%s\n' "$(room /boot)" "$needed"
}

# boot_images: where systemd-boot keeps kernels, or GRUB. GRUB copies them only where it cannot read
# the store, and empties the directory when it can.
boot_images() {
    if [ -d /boot/EFI/nixos ]; then
        echo /boot/EFI/nixos
    elif [ -n "$(ls /boot/kernels 2>/dev/null)" ]; then
        echo /boot/kernels
    fi
}

# running_specialisation RUNNING SYSTEM...: the name of the specialisation that RUNNING is, of one of the systems.
running_specialisation() {
    special_runs=$1
    shift
    for special_of in "$@"; do
        for special in "$special_of"/specialisation/*; do
            [ -e "$special" ] || continue
            [ "$(resolve "$special")" = "$special_runs" ] || continue
            printf '%s\n' "${special##*/}"
            return
        done
    done
}

# switching: who switches this host now, by what every switch has: our unit, which is also that of
# nixos-rebuild, or the lock.
switching() {
    case $(systemctl is-active "$unit" 2>/dev/null) in
        active | activating | reloading | deactivating) switcher=$unit ;;
        *) switcher=$(lock_holder) ;;
    esac
    printf '%s\n' "$switcher"
}

# To try the lock would take it from a switch that begins right now.
lock_holder() {
    lock=/run/nixos/switch-to-configuration.lock
    inode=$(stat -c %i "$lock" 2>/dev/null) || return 0
    grep -q " FLOCK .*:$inode " /proc/locks || return 0
    # Another file system may have a file of this number.
    for holder in $(find /proc/[0-9]*/fd -lname "$lock" 2>/dev/null | cut -d / -f 3); do
        # Anybody may have begun it, and given it any name.
        printf 'process %s (%s)' "$holder" "$(tr '\0' ' ' <"/proc/$holder/cmdline" | LC_ALL=C tr -dc ' -~' | cut -c 1-200)"
        break
    done
}

# unacknowledged_activation: the words of our last activation, until somebody has heard how it ended.
unacknowledged_activation() {
    activation="$state/jobs/activation"
    [ -e "$activation/acknowledged" ] || tail -n 1 "$activation/command" 2>/dev/null
}

# acknowledged_facts PROFILE [PATH [SPECIALISATION]]: the system_facts for who has heard how our last activation ended. One that was
# killed has left half of its work, and is not over until another one has ended.
acknowledged_facts() {
    activation="$state/jobs/activation"
    [ ! -d "$activation" ] || grep -Eqs ' (killed|dumped) ' "$activation/status" || : >"$activation/acknowledged"
    guard_heard
    units_now=$(units_listed)
    units_left "$units_now"
    system_facts "$@"
    units_changed "$units_now"
}

# heard_facts PROFILE [PATH [SPECIALISATION]]: the acknowledged_facts after an activation that has gone well. Of
# another one, somebody must have heard the end before.
heard_facts() {
    grep -q ' exited 0$' "$state/jobs/activation/status" && acknowledged_facts "$@"
}

# same_snippets OLD NEW NAME...: prints the names of those parts of the activation script that are
# the same in both systems.
same_snippets() {
    before=$1/activate after=$2/activate
    shift 2
    for name in "$@"; do
        text=$(snippet "$name" <"$before")
        [ -z "$text" ] || [ "$text" != "$(snippet "$name" <"$after")" ] || printf '%s\n' "$name"
    done
}

# snippet NAME: the text of that part of the activation script on standard input. Heads: nixpkgs,
# activation-script.nix.
snippet() {
    head="#### Activation script snippet $1:" awk '
        /^#### Activation script snippet / { wanted = $0 == ENVIRON["head"] }
        wanted'
}

# path_facts PATH RUNNING: what is known of a path that may be activated.
path_facts() {
    # What runs is rooted, and Nix is slow to ask.
    if [ "$1" = "$2" ] || nix-store --check-validity "$1" 2>/dev/null; then
        printf 'valid=1\n'
    fi
    boot_room "$1"
    toplevel_facts "$1"
}

# dry_activate PATH SKIP: what activating it would do, asked where nothing can be changed: some NixOS
# versions switch swap off in a dry run, and activation scripts do what they like. Needs root: as
# anyone else it ends with 0 and a plan that is wrong.
dry_activate() {
    [ "$uid" -eq 0 ] || die 'planning an activation needs root' 77
    [ -d /run/systemd/system ] || die 'this host does not run systemd, so no activation can be planned' 69
    # For its lock. /run is named below because to protect the kernel's settings makes it writable.
    mkdir -p /run/nixos
    ended=0 skip=$2 mounts=@mount capabilities=CAP_DAC_READ_SEARCH
    set -- "$1/bin/switch-to-configuration" dry-activate
    if [ -n "${EARLY-}" ]; then
        # The mount namespace is systemd's, so the service mounts for itself, and then gives that up.
        set -- setpriv "--bounding-set=-all,+dac_read_search" "--inh-caps=-all,+dac_read_search" -- "$@"
        set -- /bin/sh -c "$overlaid" sh "$EARLY" "$@"
        mounts='' capabilities="$capabilities CAP_SYS_ADMIN CAP_SETPCAP"
    fi
    systemd-run --quiet --pipe --wait --collect --no-ask-password \
        --setenv=PATH="$PATH" --setenv=LC_ALL=C --setenv=NIXOS_NO_CHECK="$skip" --property=RuntimeMaxSec=170 \
        --property=ProtectSystem=strict --property=ReadOnlyPaths='/run -/dev/shm' \
        --property=ReadWritePaths=/run/nixos --property=ProtectHome=read-only \
        --property=PrivateTmp=yes --property=ProtectKernelTunables=yes \
        --property=ProtectControlGroups=yes --property=CapabilityBoundingSet="$capabilities" \
        --property=SystemCallFilter="~@swap $mounts @reboot @module @clock kill tkill" \
        --property=SystemCallErrorNumber=EPERM --property=SystemCallArchitectures=native \
        "$@" 2>&1 || ended=$?
    # systemd.exec(5): what it could not set up.
    case $ended in 226 | 228) die "this host has no way to keep a dry run from changing it, so no \
activation can be planned: systemd ended it with exit status $ended" 69 ;; esac
    return "$ended"
}

# activate INSTALL SKIP BEFORE [ACTION PATH]...: runs each action until one fails. SKIP is 1 to ask no
# pre-switch checks. BEFORE is for who finds this call in the job's command: what the host was.
activate() {
    units_before >"$pictured" || rm -f "$pictured"
    export NIXOS_INSTALL_BOOTLOADER="$1" NIXOS_NO_CHECK="$2"
    shift 3
    while [ $# -gt 0 ]; do
        step "$1" "$2" || exit
        # It boots, whatever comes: nothing puts the old secrets back.
        [ "$1" != boot ] || undo_forget
        shift 2
    done
}

# step ACTION PATH: runs the action and remembers the loader's default, which the action has
# written unless it ended before (1, 11) or died.
step() {
    for_all "$2/bin/switch-to-configuration" "$1"
    ended=$?
    case $1:$ended in
        boot:0 | switch:[0234] | switch:100)
            # Without a record it is made the default once more.
            printf '%s\n' "$2" | remember loader-default || remove "$record/loader-default"
            # What an earlier run was interrupted in does not count any more. A guard reads it.
            [ "$(guard_at)" = confirmed ] || remove "$record/boot-pending"
            ;;
    esac
    return "$ended"
}

# remember NAME: writes standard input to that file of the record.
remember() {
    { { [ -d "$record" ] || mkdir -p "$record"; } && chmod 700 "$record" && write "$record/$1"; } || {
        printf 'cannot write %s on this host: make room there\n' "$record/$1" >&2
        return 74
    }
}
