# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: a long command on a host that no connection holds.

The host keeps all of it (``job.sh``); we ask for what is new since a byte offset, so a lost
connection costs nothing but time.
"""

from __future__ import annotations

import dataclasses
import secrets
import time
import typing as t

from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.plugin_utils._host.host import (
    NOTHING,
    Host,
    Reply,
    Sent,
    demand,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._host.scripts import Script, script

# Tenths of a second that the host waits for news before it answers.
POLL = 50

# Bytes of both outputs, more than job_limit in job.sh allows a job.
LONGEST = 136 * 1024**2
# Bytes of an output that are kept here; who has to see all of it hears it.
KEPT = 16 * 1024**2
_LEFT_OUT = b"\n[Ansible has left out what was printed here.]\n"


@dataclasses.dataclass(frozen=True)
class JobResult:
    """How a job ended.

    :param exit_code: of the command; ``None`` when it was killed, or nobody saw its end
    :param how: systemd's words for the end, such as ``success exited 0``, or ``gone``
    :param after: what the job's ``after`` printed, "" where it did not
    """

    exit_code: int | None
    how: str
    stdout: str
    stderr: str
    after: str = ""


class _Output:
    """What a job has printed: how much, and its beginning and its end."""

    def __init__(self) -> None:
        self.size = 0
        self._begin, self._end = bytearray(), bytearray()

    def add(self, part: bytes) -> None:
        self.size += len(part)
        room = KEPT // 2 - len(self._begin)
        self._begin += part[:room]
        self._end += part[room:]
        del self._end[: -KEPT // 2]

    def take(self) -> str:
        """Return it as text, and keep it no longer."""
        whole = self.size == len(self._begin) + len(self._end)
        text = b"".join((self._begin, b"" if whole else _LEFT_OUT, self._end))
        self._begin, self._end = bytearray(), bytearray()
        return text.decode(errors="replace")


class Job:
    """A command that runs detached on a host.

    :param name: names the job on that host, ``[a-z0-9-]``; one of a name runs at a time
    :param unit: the systemd unit to run it as, where the host has systemd
    :param lease: seconds after which the job ends itself when nobody asks after it; 0 for never
    :param after: a call that may run twice, for once the job has ended
    """

    def __init__(
        self, host: Host, name: str, unit: str = "", lease: int = 0, after: tuple[str, ...] = ()
    ) -> None:
        self.name = name
        self._host = host
        self._unit = unit
        self._lease = lease
        self._after = after
        self._token = secrets.token_hex(4)
        self._outputs = (_Output(), _Output())
        self._heard: Reply | None = None

    def start(self, command: Script, sent: Sent = NOTHING) -> None:
        """Start the command.

        :param sent: what it finds below ``$TAKEN``, and removes
        :raises ClosureError: the host refuses, or a job of this name is running there
        """
        words = ("job_start", self.name, self._unit, str(self._lease), command.text)
        self._begin(words, f"start-{self._token}", f"does not start {self.name}", sent)

    def start_by(self, *words: str, request: str) -> None:
        """Call another function that starts the job, once.

        :param request: as of :meth:`Host.run_once`
        :raises ClosureError: the host refuses, in its own words
        """
        self._begin(words, request, "")

    def _begin(self, words: tuple[str, ...], request: str, what: str, sent: Sent = NOTHING) -> None:
        """Start the job and listen: many have ended soon."""
        poll = self._poll_words(POLL)
        self._heard = demand(self._host, *words, request=request, then=poll, what=what, sent=sent)

    def wait(
        self, limit: float, hear: t.Callable[[bytes, bytes], None] = lambda out, err: None
    ) -> JobResult:
        """Follow the job to its end.

        :param limit: seconds to wait
        :param hear: called with what came new on stdout and stderr at each poll
        :raises TimeoutError: the job still runs; it is left running
        :raises AnsibleConnectionFailure: the connection was lost for too long
        """
        end = time.monotonic() + limit
        while True:
            condition, *new, after = self._poll(end - time.monotonic())
            for output, part in zip(self._outputs, new, strict=True):
                output.add(part)
            if sum(output.size for output in self._outputs) > LONGEST:
                raise ClosureError(
                    f"{self._host.name} says that {self.name} has printed more than "
                    f"{LONGEST // 1024**2} MiB, and no job can. Look at the host."
                )
            hear(*new)
            if condition != "running":
                return self._ended(condition, after.decode(errors="replace"))
            if time.monotonic() > end:
                raise TimeoutError

    def stop(self) -> None:
        """End the job and everything it started."""
        self._host.run(script("job_stop", self.name))

    def forget(self) -> None:
        """Remove what the host keeps of an ended job."""
        self._host.run(script("job_forget", self.name))

    def _poll(self, left: float) -> tuple[str, bytes, bytes, bytes]:
        words = self._poll_words(max(0, min(POLL, round(left * 10))))
        reply = self._heard or self._host.run(script(*words))
        self._heard = None
        return _parts(self._host, reply)

    def _poll_words(self, wait: int) -> tuple[str, ...]:
        heard = " ".join(str(output.size) for output in self._outputs)
        poll = (self.name, secrets.token_hex(4), str(wait), heard)
        return ("job_end", *poll, *self._after) if self._after else ("job_poll", *poll)

    def _ended(self, how: str, after: str) -> JobResult:
        # Only EXIT_CODE=exited carries an exit status: systemd calls a stopped unit a success too.
        words = how.split()
        code = int(words[2]) if len(words) == 3 and words[1] == "exited" else None
        stdout, stderr = (output.take() for output in self._outputs)
        return JobResult(code, how, stdout, stderr, after)


def run_leased(
    host: Host,
    what: str,
    command: Script,
    limit: float,
    hear: t.Callable[[bytes, bytes], None],
    lease: int = 30,
    sent: Sent = NOTHING,
) -> JobResult:
    """Run a command as a job that ends with us: a build or a copy.

    :param what: a verb, for the job's name and for messages
    :raises ClosureError: it did not end within the limit; it was stopped
    """
    job = Job(host, f"{what}-{host.task_run.task}", lease=lease)
    try:
        # The answer to a start has the job's first seconds in it.
        job.start(command, sent)
        ended = job.wait(limit, hear)
    except TimeoutError as error:
        job.stop()
        message = f"{host.name} did not {what} within {limit:g} s. It was stopped there."
        raise ClosureError(message) from error
    except BaseException:  # a task's timeout is one
        job.stop()
        raise
    if not sent or ended.exit_code != 0:
        job.forget()
    # To forget one that has said little is a round trip: its next part does that, or the next day.
    return ended


def _parts(host: Host, reply: Reply) -> tuple[str, bytes, bytes, bytes]:
    if reply.rc != 0:
        raise ClosureError(f"{host.name}: {reply.stderr.strip()}", rc=reply.rc)
    condition, sizes, rest = reply.stdout.split(b"\n", 2)
    out, err = (int(size) for size in sizes.split())
    if len(rest) < out + err:
        raise ClosureError(f"{host.name} lost output of a job: {len(rest)} of {out + err} bytes.")
    return condition.decode(), rest[:out], rest[out : out + err], rest[out + err :]
