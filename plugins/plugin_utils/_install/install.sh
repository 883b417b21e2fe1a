# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh
# A system that is installed below the root it will have: the steps of nixos-install and nixos-enter
# (nixpkgs, pkgs/by-name/ni). NIX_REMOTE has Nix use the store there.

# in_root ROOT PATH: prints where PATH is once its own links were followed, which count from ROOT.
in_root() {
    followed=$2
    while link=$(readlink "$1$followed"); do
        case $link in
            /*) followed=$link ;;
            *) followed=${followed%/*}/$link ;;
        esac
    done
    printf '%s\n' "$1$followed"
}

# install_look ROOT PATH TEXT CONTENT [WORD]...: prints "name=value" lines and the blocks of toplevel_facts
# and generations: what there is below ROOT of PATH, and whether root has that password hash, sshd that
# private key, and root's authorized_keys each WORD.
install_look() {
    root=$1 path=$2 password=$3 key=$4
    shift 4
    printf 'user=%s\nplatform=%s\n' "$(id -un)" "$(platform)"
    if ! mountpoint -q "$root"; then return 0; fi
    printf 'mounted=1\n'
    [ -n "$(missing "$path")" ] || printf 'valid=1\n'
    [ ! -e "$root/etc/NIXOS" ] || printf 'marked=1\n'
    printf 'loader_default=%s\n' "$(line_of "$root/var/lib/closure-nixos/loader-default")"
    install_same_access "$root" "$password" "$key" "$@"
    ssh_public_key "$root" | sed 's/^/ssh_host_key=/'
    install_mounts "$root" "$path"
    install_boot_room "$root" "$path"
    generations "$root/nix/var/nix/profiles/system"
    toplevel_facts "$root$path"
}

# install_same_access ROOT TEXT CONTENT [WORD]...: prints which of them are there already.
install_same_access() {
    [ -z "$2" ] || [ "$(root_password "$1")" != "$2" ] || printf 'same_password=1\n'
    [ -z "$3" ] || ! printf '%s\n' "$3" | cmp -s - "$1/etc/ssh/ssh_host_ed25519_key" ||
        printf 'same_key=1\n'
    authorized=$1/root/.ssh/authorized_keys
    shift 3
    for word; do grep -qsxF -e "$word" "$authorized" || return 0; done
    printf 'same_authorized=1\n'
}

# root_password ROOT: prints the hash.
root_password() {
    awk -F : '$1 == "root" { print $2 }' "$1/etc/shadow" 2>/dev/null
}

# ssh_public_key ROOT: prints TYPE KEY of the key that the sshd there will show, if it has one.
ssh_public_key() {
    key_file=$1/etc/ssh/ssh_host_ed25519_key
    [ ! -s "$key_file" ] || ssh-keygen -y -f "$key_file" </dev/null | cut -d ' ' -f 1,2
}

# install_mounts ROOT PATH: prints, of each file system that PATH mounts at its boot, "DEVICE PLACE" where
# nothing is mounted for it below ROOT. What can only be there in the running system is left out, and
# what the boot does without.
install_mounts() {
    fstab=$(in_root "$1" "$2/etc")
    fstab=$(in_root "$1" "${fstab#"$1"}/fstab")
    [ -r "$fstab" ] || return 0
    sed 's/#.*//' "$fstab" | while read -r device place kind options _; do
        case ,$options, in *,noauto,* | *,nofail,* | *,bind,* | *,rbind,* | *,_netdev,*) continue ;; esac
        case $kind:$device in
            zfs:* | bcachefs:* | *:/dev/* | *:UUID=* | *:LABEL=* | *:PARTUUID=* | *:PARTLABEL=*) ;;
            *) continue ;;
        esac
        case $place in /?*) mountpoint -q "$1$place" || printf 'unmounted=%s %s\n' "$device" "$place" ;; esac
    done
}

# install_boot_room ROOT PATH: prints what is free in a /boot that nothing was installed in yet, and what the
# kernel and the initrd take.
install_boot_room() {
    if ! mountpoint -q "$1/boot" || [ -e "$1/boot/EFI/nixos" ] || [ -e "$1/boot/kernels" ]; then return 0; fi
    needed=0
    for name in kernel initrd; do
        file=$(in_root "$1" "$2/$name")
        [ ! -f "$file" ] || needed=$((needed + $(wc -c <"$file")))
    done
    printf 'boot_free=%s\nboot_needed=%s\n' "$(room "$1/boot")" "$needed"
}

# install_access ROOT CONTENT [WORD]...: puts the host key of sshd there, or has one made where there is
# none, and adds each WORD to root's authorized_keys. An activation may want the key, and a system without
# it makes one at its boot that nobody knows.
install_access() {
    root=$1 key=$2
    shift 2
    command -v ssh-keygen >/dev/null ||
        die "ssh-keygen is not on this host's PATH: install OpenSSH there" 69
    public=$(public_half "$key") || exit
    for_all mkdir -p "$root/etc/ssh" || die "$root/etc/ssh cannot be made" 75
    install_host_key "$root/etc/ssh/ssh_host_ed25519_key" "$key" "$public"
    [ $# -gt 0 ] || return 0
    authorized=$root/root/.ssh/authorized_keys
    { mkdir -p "${authorized%/*}" && : >>"$authorized" &&
        printf '%s\n' "$@" | awk '!seen[$0]++' "$authorized" - >"$authorized.new" &&
        mv -f "$authorized.new" "$authorized"; } || die "$authorized cannot be written" 75
}

# public_half CONTENT: prints the public key of a private one; nothing for none. ssh-keygen reads files.
public_half() {
    [ -n "$1" ] || return 0
    half=$(secret_file) || exit
    until_exit "$half"
    printf '%s\n' "$1" >"$half" || die "$half cannot be written" 75
    ssh-keygen -y -f "$half" </dev/null ||
        die 'ssh_host_key is no private key without a passphrase, so the host has got none' 65
}

# install_host_key FILE CONTENT PUBLIC: writes the key, or has one made where there is none.
install_host_key() {
    if [ -n "$2" ]; then
        { printf '%s\n' "$3" | write "$1.pub" && chmod 644 "$1.pub" &&
            printf '%s\n' "$2" | write "$1"; } || die "$1 cannot be written" 75
    elif [ ! -s "$1" ]; then
        ssh-keygen -q -t ed25519 -N '' -C '' -f "$1" </dev/null || die "$1 cannot be made" 75
    fi
}

# install_password ROOT TEXT: makes it root's password hash. awk gets it by a pipe.
install_password() {
    shadow=$1/etc/shadow
    grep -qs '^root:' "$shadow" ||
        die "$shadow has no line for root after the activation, so root gets no password: set it in the configuration" 78
    cp -p "$shadow" "$shadow.new" || die "$shadow cannot be written" 75
    { printf '%s\n' "$2" | awk -F : -v OFS=: '
        FNR == NR { hash = $0; next }
        $1 == "root" { $2 = hash }
        { print }' - "$shadow" >"$shadow.new" && mv -f "$shadow.new" "$shadow"; } ||
        die "$shadow cannot be written" 75
}

# install_system ROOT PATH LOADER: records PATH in the profile there, activates it below ROOT and, unless
# LOADER is empty, has it install its boot loader. Prints how an activation failed.
install_system() {
    profile=$1/nix/var/nix/profiles/system
    { for_all mkdir -p "$1/etc" "${profile%/*}" && for_all touch "$1/etc/NIXOS"; } ||
        die "$1/etc cannot be written" 75
    [ "$(readlink "${profile%/*}/$(readlink "$profile")")" = "$2" ] ||
        for_all nix-env --profile "$profile" --set "$2" || exit
    # Its mounts end with it.
    unshare --mount --propagation private sh -c "$(install_inside)" sh "$1" "$2" "$3" || exit
    [ -z "$3" ] || install_remember "$1" "$2"
}

# install_inside: prints the script for a mount namespace of its own, ROOT PATH LOADER. What an activation
# puts into /run is for what runs, so it stays in memory. GRUB wants an mtab.
install_inside() {
    cat <<'INSIDE'
umask 022
root=$1 path=$2 loader=$3
cd "$root" && mkdir -p dev proc sys run tmp && chmod 1777 tmp && ln -sfn /proc/mounts etc/mtab &&
    mount --rbind /dev dev && mount --rbind /proc proc && mount --rbind /sys sys &&
    mount -t tmpfs -o mode=755 tmpfs run || exit 74
unset TMPDIR NIX_REMOTE
IN_NIXOS_ENTER=1 chroot . "$path/activate" >&2 || printf 'activation=%s\n' "$?"
[ -z "$loader" ] || NIXOS_INSTALL_BOOTLOADER=1 chroot . "$path/bin/switch-to-configuration" boot >&2
INSIDE
}

# install_remember ROOT PATH: what the first deployment finds as the boot default.
install_remember() {
    record_there=$1/var/lib/closure-nixos
    { for_all mkdir -p "$1/var/lib" && mkdir -p "$record_there" &&
        write "$record_there/loader-default" "$2"; } || die "$record_there cannot be written" 75
}
