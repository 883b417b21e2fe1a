# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: signs of life from a task that takes long."""

from __future__ import annotations

import os
import time

from ansible import constants as C
from ansible.errors import AnsibleError
from ansible.utils.display import Display
from ansible_collections.closure.nixos.plugins.module_utils._text import printable, without_password

# Seconds before the first line, and between two of them.
INTERVAL = 5


def read_by_people() -> bool:
    """Whether people read what ansible-playbook prints: lines of ours would break JSON."""
    return "json" not in str(C.config.get_config_value("DEFAULT_STDOUT_CALLBACK")).lower()


def headers_come_late() -> bool:
    """Say whether a task's header is shown with its first result, and not when it starts.

    The callback ``default`` and those made of it do so when they do not show all results.
    """
    names = ("display_skipped_hosts", "display_ok_hosts")
    try:
        shown = [
            C.config.get_config_value(name, plugin_type="callback", plugin_name="default")
            for name in names
        ]
    except AnsibleError:  # of another callback nobody knows
        return False
    return not all(shown)


class Progress:
    """Lines for the person who watches, each with the host's name in front.

    An action plugin's ``Display`` reaches the terminal at once, from all workers, and becomes an
    event of ansible-runner.
    """

    def __init__(self, host: str, no_log: bool = False, task: str = "") -> None:
        self._host = host
        # The reader does not know yet which task speaks.
        self._task = f"{task}: " if task and headers_come_late() else ""
        self._no_log = no_log
        self._silent = (
            no_log or os.environ.get("CLOSURE_NIXOS_PROGRESS") == "0" or not read_by_people()
        )
        self._next = time.monotonic() + INTERVAL

    def say(self, text: str) -> None:
        """Show what goes on now, unless something was shown a moment ago."""
        if self._silent or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + INTERVAL
        self.show(text)

    def show(self, text: str) -> None:
        """Show what people have to know without a wait and without ``-v``."""
        if not self._silent:
            Display().display(_shown(f"{self._host}: {self._task}{text}"))

    def tell(self, text: str) -> None:
        """Show a line to those who asked for more with -v."""
        if not self._silent:
            Display().v(_shown(text), host=self._host)

    def warn(self, text: str) -> None:
        """Show a warning, once for all hosts."""
        if not self._no_log:
            Display().warning(_shown(text))


def _shown(text: str) -> str:
    return printable(without_password(text))
