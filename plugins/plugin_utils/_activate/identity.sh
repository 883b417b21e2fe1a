# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh

# What a host says of itself once, for the repository of its configuration.

# ssh_host_keys: prints the public keys that its sshd shows, a line each. Only root may ask sshd which
# they are; they are in /etc/ssh unless the configuration says otherwise. A key that was put there may
# be the private half alone, which is enough for sshd.
ssh_host_keys() {
    PATH=$PATH:/run/current-system/sw/bin
    {
        sshd -T 2>/dev/null | sed -n 's/^hostkey //p' | grep . ||
            printf '%s\n' /etc/ssh/ssh_host_rsa_key /etc/ssh/ssh_host_ed25519_key
    } | while IFS= read -r key; do
        if [ -r "$key.pub" ]; then
            cat "$key.pub"
        elif [ -r "$key" ]; then
            ssh-keygen -y -f "$key" </dev/null
        fi
    done | cut -d ' ' -f 1,2
}

# hardware_config: prints what would be hardware-configuration.nix.
hardware_config() {
    PATH=$PATH:/run/current-system/sw/bin nixos-generate-config --show-hardware-config
}
