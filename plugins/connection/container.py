# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The connection plugin closure.nixos.container: into a container on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
name: container
short_description: Enter a container that the role closure.nixos.try has started
version_added: 0.1.0
description:
  - Runs commands in a container of systemd-nspawn on the controller, by C(nsenter).
  - The role P(closure.nixos.try#role) makes the host that uses it. C(ansible-playbook) has to run
    as root.
author:
  - closure.nixos contributors (@closure-nixos)
options:
  directory:
    description:
      - Directory of the container on the controller, which has its process in the file C(pid).
    type: str
    required: true
    vars:
      - name: closure_container_directory
extends_documentation_fragment:
  - connection_pipelining
"""

import pathlib
import shlex
import shutil
import subprocess

from ansible.errors import AnsibleError
from ansible.plugins.connection.local import Connection as LocalConnection

_LEADER = pathlib.Path(__file__).parents[2] / "roles/try/files/leader"
# As a login of NixOS has it, and of what else may be tried.
_PATH = "/run/wrappers/bin:/run/current-system/sw/bin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Connection(LocalConnection):
    """Local commands, in the namespaces of the container."""

    transport = "closure.nixos.container"
    has_pipelining = True

    def exec_command(
        self, cmd: str, in_data: bytes | None = None, sudoable: bool = True
    ) -> tuple[int, bytes, bytes]:
        """Run a command in the container."""
        environment = (f"PATH={_PATH}", "HOME=/root", "USER=root", "LOGNAME=root")
        namespaces = ("--mount", "--uts", "--ipc", "--net", "--pid")
        enter = ("nsenter", f"--target={self._leader()}", *namespaces)
        words = ("env", "-i", *environment, *enter, "/bin/sh", "-c", cmd)
        return super().exec_command(shlex.join(words), in_data, sudoable)

    def put_file(self, in_path: str, out_path: str) -> None:
        """Copy a file into the container."""
        shutil.copyfile(in_path, self._inside(out_path))

    def fetch_file(self, in_path: str, out_path: str) -> None:
        """Copy a file out of the container."""
        shutil.copyfile(self._inside(in_path), out_path)

    def _inside(self, path: str) -> str:
        return f"/proc/{self._leader()}/root/{path.lstrip('/')}"

    def _leader(self) -> str:
        """Return the first process of the container, as the controller numbers it."""
        directory = str(self.get_option("directory"))
        command = ["/bin/sh", str(_LEADER), directory]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        if found.returncode != 0:
            raise AnsibleError(
                f"no container runs for {directory}: read {directory}/console. "
                f"{found.stderr.strip()}"
            )
        return found.stdout.strip()
