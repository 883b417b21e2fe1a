# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A task that does nothing but use the wire: for the tests of Host, Job and Run."""

from __future__ import annotations

import hashlib
import json
import pathlib
import resource
import tempfile
import time
import typing as t

from ansible.plugins.connection import ConnectionBase
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.plugin_utils._host.action import ClosureAction
from ansible_collections.closure.nixos.plugins.plugin_utils._host.connections import (
    build_connection,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._host.host import Host
from ansible_collections.closure.nixos.plugins.plugin_utils._host.job import Job
from ansible_collections.closure.nixos.plugins.plugin_utils._host.scripts import (
    Function,
    Script,
    registry,
    script,
)

SPEC = {
    "argument_spec": {
        "read": {"type": "str"},
        "change": {"type": "str"},
        "job": {"type": "str"},
        "name": {"type": "str", "default": "wire"},
        "unit": {"type": "str", "default": ""},
        "lease": {"type": "int", "default": 0},
        "limit": {"type": "float", "default": 60},
        "deadline": {"type": "float", "default": 30},
        "retry_for": {"type": "float", "default": 60},
        "on": {"type": "str"},
        "stdin": {"type": "bool", "default": True},
        "times": {"type": "int", "default": 1},
        "bring": {"type": "str"},
        "parse": {"type": "str"},
        "fresh": {"type": "bool", "default": False},
    }
}

# What a request of these tests calls.
_CALLED = Function("called", ("COMMAND...",), "_host/wire.sh", 'called() {\n    "$@"\n}\n')
_ARRIVED = Function(
    "what_came",
    ("FILE", "CHECKSUM"),
    "_host/wire.sh",
    """what_came() {
    place=$(receive "$1" "$2") || exit
    until_exit "$place"
    stat -c '%U %a' "$place" "${1%/*}"
    cat "$place/file"
}
""",
)
for _function in (_CALLED, _ARRIVED):
    registry().functions.setdefault(_function.name, _function)
    registry().needed.setdefault(_function.name, registry().needs(_function.name))


class ActionModule(ClosureAction):
    """Run one script, one request or one job, and say all there is to say about it."""

    spec = SPEC

    def act(self, args: dict[str, t.Any]) -> dict[str, t.Any]:
        """Do what the argument that was given asks for."""
        before = _peak()
        try:
            return self._do(args)
        except ClosureError as error:
            error.details["grown"] = _peak() - before
            raise

    def _do(self, args: dict[str, t.Any]) -> dict[str, t.Any]:
        if args["fresh"]:
            return {"found": self.fresh_connection().connection_is()}
        host = self._host(args["on"]) if args["on"] else self.target()
        host.retry_for = args["retry_for"]
        if not args["stdin"]:
            _lose_stdin(host._connection)
        if args["read"]:
            for _time in range(args["times"]):
                start = time.monotonic()
                reply = host.run(Script(args["read"]), args["deadline"])
            return _said(reply.rc, reply.stdout, reply.stderr, start)
        if args["change"]:
            for _time in range(args["times"]):
                start = time.monotonic()
                words = ("called", "sh", "-c", args["change"])
                reply = host.run_once(*words, request=args["name"])
            return _said(reply.rc, reply.stdout, reply.stderr, start)
        if args["parse"]:
            return {"parsed": json.loads(host.run(Script(args["parse"])).text)}
        if args["bring"]:
            return _brought(host, args["bring"], args["times"])
        job = Job(host, args["name"], args["unit"], args["lease"])
        parts: list[bytes] = []
        # As all modules do: a host that has answered gets our time.
        host.run(Script(":"))
        start = time.monotonic()
        try:
            job.start(Script(args["job"]))
            ended = job.wait(args["limit"], lambda out, err: parts.append(out))
        except ClosureError:
            raise  # the job of this name may be another's
        except BaseException:
            job.stop()
            raise
        heard = b"".join(parts)
        return _said(ended.exit_code, heard, ended.stderr, start) | {"how": ended.how}

    def _host(self, name: str) -> Host:
        return Host(build_connection(self, self.task_vars, name), name, self.task_run)


def _peak() -> int:
    """Return the most memory that this worker has had, in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _said(rc: int | None, stdout: bytes, stderr: str, start: float) -> dict[str, t.Any]:
    said = {
        "rc": rc,
        "stdout": stdout[:10_000].decode(errors="replace"),
        "bytes": len(stdout),
        "end": stdout[-20:].decode(errors="replace"),
        "sha256": hashlib.sha256(stdout).hexdigest(),
        "stderr": stderr,
        "seconds": round(time.monotonic() - start, 3),
    }
    return {"said": said}


def _brought(host: Host, text: str, times: int) -> dict[str, t.Any]:
    """Bring the host a file again and again, and say what it is there."""
    found = []
    checksum = hashlib.sha256(text.encode()).hexdigest()
    with tempfile.NamedTemporaryFile() as local:
        pathlib.Path(local.name).write_text(text)
        for _time in range(times):
            with host.directory() as directory:
                host.send(local.name, f"{directory}/it", 60)
                reply = host.run(script("what_came", f"{directory}/it", checksum))
                found.append(reply.text or reply.stderr)
    return {"found": found}


def _lose_stdin(connection: ConnectionBase) -> None:
    """Make the connection one that drops what is sent on stdin."""
    execute = connection.exec_command

    def lossy(
        cmd: str, in_data: bytes | None = None, sudoable: bool = True
    ) -> tuple[int, bytes, bytes]:
        return execute(cmd, in_data=b"\n" if in_data else None, sudoable=sudoable)

    connection.exec_command = lossy  # type: ignore[method-assign]
