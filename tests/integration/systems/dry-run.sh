# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh
# A switch-to-configuration that tries to change the host in its dry run, and says when it could.
try() {
    if "$@" 2>/dev/null; then echo "did $*"; fi
}
for place in /etc /run /nix /var/lib /boot /root /dev/shm; do
    try touch "$place/t-dry"
done
try mount -t tmpfs tmpfs /mnt
try umount /dev/shm
try kill "$(cat /run/t-dry.pid)"
try sysctl -w vm.swappiness=1
try hostname t-dry
# There is no swap here. Whoever may not switch it off is told so before that.
swapoff /etc/t-dry 2>&1 | grep -q 'not permitted' || echo did swapoff
echo would start the following units: t.service >&2
