# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A stand-in for QEMU: TREE SCRIPTS TOPLEVEL OPTION... boots the system in a container on the tree.

Who connects to the port that is forwarded to 22 gets an sshd in there, with keys that are new each
time.
"""

from __future__ import annotations

import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

# As QEMU's own processes are called.
NAME = "qemu-standin"
# Below /etc itself, the activation of the stand-in system has no say.
KEYS = "/etc/static/ssh/authorized_keys.d/%u"
SSHD = f"/usr/sbin/sshd -i -o StrictModes=no -o AuthorizedKeysFile={KEYS}"


def main() -> None:
    """Listen, boot, and serve until a signal comes."""
    pathlib.Path("/proc/self/comm").write_text(NAME)
    tree, scripts, toplevel, *options = sys.argv[1:]
    forward = re.search(r"hostfwd=tcp:([\d.]+):(\d+)-:(\d+)", " ".join(options))
    serial = options[options.index("-serial") + 1].removeprefix("file:")
    assert forward and options[options.index("-display") + 1] == "none", options
    listener = socket.create_server((forward[1], int(forward[2])))
    machine = f"{pathlib.Path.cwd()}/machine"
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    while forward[3] != "22":
        listener.accept()[0].close()  # nobody answers on another port
    try:
        subprocess.run(["sh", f"{scripts}/start", machine, toplevel, tree], check=True)
        pathlib.Path(serial).symlink_to("machine/console")
        serve(listener, ["sh", f"{scripts}/enter", machine, "sh", "-c"])
    finally:
        subprocess.run(["sh", f"{scripts}/stop", machine], check=True)


def serve(listener: socket.socket, enter: list[str]) -> None:
    """Give each connection an sshd of its own."""
    while subprocess.run([*enter, "mkdir -p /run/sshd && ssh-keygen -A"], check=False).returncode:
        time.sleep(0.5)
    while True:
        connection, _address = listener.accept()
        channel = connection.fileno()
        with connection:
            subprocess.Popen([*enter, f"exec {SSHD}"], stdin=channel, stdout=channel)


main()
