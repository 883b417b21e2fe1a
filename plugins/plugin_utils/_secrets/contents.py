# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: the contents of secrets, on the controller and in memory only."""

from __future__ import annotations

import pathlib
import subprocess
import typing as t

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._secrets.secret import (
    LIMIT,
    Secret,
    check_content,
    decode_content,
)


def read_content(action: ActionBase, secret: Secret) -> bytes:
    """Return a secret's content, byte for byte.

    :raises ClosureError: there is none, or it cannot be meant
    """
    readers: dict[str, t.Callable[[], bytes]] = {
        "file": lambda: _from_file(action, secret),
        "command": lambda: _from_command(secret),
    }
    read = readers.get(secret.source.kind, lambda: decode_content(secret))
    return check_content(secret, read())


def _from_file(action: ActionBase, secret: Secret) -> bytes:
    """Read a file where Ansible looks for one, decrypted when vault has encrypted it."""
    try:
        path = pathlib.Path(action._find_needle("files", secret.source.value))
        if path.stat().st_size > 2 * LIMIT:
            return bytes(LIMIT + 1)  # too long in any case
        # Not get_real_file, which would decrypt into a file.
        content, _show = action._loader._get_file_contents(str(path))
    except (AnsibleError, OSError) as error:
        raise ClosureError(
            f"{secret.name}: its file {secret.source.value} cannot be read on the controller. "
            "Look whether it is there, and which vault password it needs."
        ) from error
    return bytes(content)


def _from_command(secret: Secret) -> bytes:
    try:
        done = subprocess.run(
            secret.source.value, stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
    except OSError as error:
        why = f"does not start ({error.strerror})"
        raise _no_output(secret, why) from error
    if done.returncode != 0:
        # What it says may hold what it was asked for.
        raise _no_output(secret, f"ended with exit code {done.returncode}")
    return done.stdout


def _no_output(secret: Secret, why: str) -> ClosureError:
    program = secret.source.value[0]
    return ClosureError(
        f"{secret.name}: its command {why}. Run {program} on the controller to see."
    )
