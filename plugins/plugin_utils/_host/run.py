# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: one run of ansible-playbook, known on the hosts and on the controller.

A run has an identity that all its workers share, because ``kill -9`` of ansible-playbook leaves
its workers running: a host keeps the run that came last and refuses what is left of older ones
(``claim`` in ``host.sh``), and an orphaned worker stops by itself.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import getpass
import hashlib
import os
import pathlib
import platform
import secrets
import time
import typing as t

from ansible import constants as C
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError

# Seconds between two looks at what another task does.
_LOOK = 0.5


@dataclasses.dataclass(frozen=True)
class Run:
    """This run, as seen by one execution of one task.

    :param id: the same in all workers of one ansible-playbook, and in no other
    :param who: who deploys, for people
    :param task: this execution of a task; a loop executes its task several times
    :param directory: on the controller, private to the run; ansible-playbook removes it at its end
    """

    id: str
    who: str
    task: str
    directory: pathlib.Path
    parent: int

    def check_alive(self) -> None:
        """Stop a worker whose ansible-playbook is gone.

        :raises ClosureError: there is nobody left to hear of a result
        """
        if os.getppid() != self.parent:
            raise ClosureError("ansible-playbook has ended, so this worker stops too.")

    def note_answer(self, host: str) -> None:
        """Remember in all tasks of the run that a host has answered."""
        self._keep("answered", host)

    def has_answered(self, host: str) -> bool:
        """Say whether a host has answered in this run."""
        return self._note("answered", host).exists()

    def note_trial(self, host: str, boot: str) -> None:
        """Remember in all tasks of the run which boot of a host let us in to a system on trial."""
        self._keep("trial", host, boot)

    def trial_of(self, host: str) -> str:
        """Return that boot, empty without one."""
        note = self._note("trial", host)
        return note.read_text() if note.exists() else ""

    def is_first(self, what: str, host: str) -> bool:
        """Say whether a host asks for that for the first time in the run, and remember it."""
        is_first = not self._note(what, host).exists()
        self._keep(what, host)
        return is_first

    def _keep(self, what: str, host: str, text: str = "") -> None:
        self.directory.mkdir(mode=0o700, exist_ok=True)
        self._note(what, host).write_text(text)

    def _note(self, what: str, host: str) -> pathlib.Path:
        return self.directory / f"{what}-{hashlib.sha256(host.encode()).hexdigest()[:16]}"

    @contextlib.contextmanager
    def locked(
        self, name: str, look: t.Callable[[], None] | None = None
    ) -> t.Iterator[pathlib.Path]:
        """Hold the run's lock of that name on the controller; the kernel frees it at our death.

        :param look: called again and again while another task holds it; what it raises ends that
        :returns: a path in the run's directory for what the lock protects
        """
        self.directory.mkdir(mode=0o700, exist_ok=True)
        with open(self.directory / f"{name}.lock", "w", encoding="utf-8") as lock:
            while look and not _at_once(lock):
                look()
                time.sleep(_LOOK)
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield self.directory / name

    def ask_once(self, name: str, ask: t.Callable[[], str]) -> tuple[str, bool]:
        """Ask what is the same for all tasks of the run, unless one of them has done so.

        :param name: of any length
        :returns: the answer, and whether it is an earlier one
        """
        with self.locked(f"asked-{hashlib.sha256(name.encode()).hexdigest()}") as file:
            if file.exists():
                return file.read_text(encoding="utf-8"), True
            said = ask()
            new = file.with_suffix(".new")
            new.write_text(said, encoding="utf-8")
            new.replace(file)
        return said, False


def _at_once(lock: t.IO[str]) -> bool:
    """Take a lock, unless another one holds it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def this_run() -> Run:
    """Return the run that this worker belongs to.

    ansible-core makes ``DEFAULT_LOCAL_TMP`` once in the main process, with its pid and random
    characters in the name, before it forks workers (``ansible.constants``).
    """
    local_tmp = pathlib.Path(C.DEFAULT_LOCAL_TMP)
    started = time.strftime("%Y-%m-%d %H:%M:%S %z")
    return Run(
        id=local_tmp.name,
        who=f"{getpass.getuser()}@{platform.node()}, first seen {started}",
        task=secrets.token_hex(8),
        directory=local_tmp / "closure-nixos",
        parent=os.getppid(),
    )
