# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: shell scripts on a host, over any connection and become plugin.

Delivery is at least once: a script may have run though the call failed, and may run twice. So a
script either may (:meth:`Host.run`), or is a request that the host answers a second time without
doing it again, and refuses of a run that a newer one has replaced (:meth:`Host.run_once`).
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import hashlib
import mmap
import pathlib
import re
import secrets
import shlex
import time
import typing as t
from collections.abc import Mapping

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.become import BecomeBase
from ansible.plugins.connection import ConnectionBase
from ansible.utils.display import Display
from ansible.utils.path import unfrackpath
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._host.become import (
    cure,
    in_one_line,
    is_unanswered,
)
from ansible_collections.closure.nixos.plugins.module_utils._text import printable
from ansible_collections.closure.nixos.plugins.plugin_utils._host.deadline import (
    TooMuchError,
    within,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._host.run import Run
from ansible_collections.closure.nixos.plugins.plugin_utils._host.scripts import Script, script
from ansible_collections.closure.nixos.plugins.plugin_utils._host.temporary import temporary_file
from ansible_collections.closure.nixos.plugins.plugin_utils._host.trace import Trip

display = Display()

# A dead link ends its connection after 45 s of silence; a login may be silent for some time, too
# (PAM). A client of an existing control master cannot set this, so the master has to be our own.
KEEPALIVE = "-o ServerAliveInterval=15 -o ServerAliveCountMax=3"
# Seconds for a login, before the time of a script begins.
LOGIN = 60
# Bytes of an answer. The longest that there is has a line for each path of a closure.
LIMIT = 16 * 1024**2
# Seconds for a sign of life.
SIGN = 10

# Of directories for files on their way, as mktemp takes it.
_TEMPLATE = "closure-nixos-XXXXXXXXXX"
_DIRECTORY = re.compile(r"^/(?:var/)?tmp/closure-nixos-[A-Za-z0-9]{10}$", re.MULTILINE)

# Seconds by which two measures of a time may differ; a host counts hundredths.
_TICK = 0.05

_BOOT_ID = "/proc/sys/kernel/random/boot_id"

# /bin/sh is made by activation, so a broken activation can break it. These are left then.
SHELLS = ("/bin/sh", "/run/current-system/sw/bin/sh", "/run/booted-system/sw/bin/sh")


@dataclasses.dataclass(frozen=True)
class Reply:
    """What a script said: its exit status and its output, ``stdout`` byte for byte."""

    rc: int
    stdout: bytes
    stderr: str

    @property
    def text(self) -> str:
        """``stdout`` as text."""
        return self.stdout.decode(errors="replace")


@dataclasses.dataclass(frozen=True)
class Sent:
    """What travels behind a script, for ``taking`` of ``files.sh``.

    :param file: on the controller, empty for nothing
    :param deadline: seconds for all of it
    """

    file: str = ""
    deadline: float = 0

    def __bool__(self) -> bool:
        return bool(self.file)


NOTHING = Sent()


class _CutShortError(Exception):
    """The script began and its end was never seen."""


class _NoShellError(Exception):
    """The host answers and cannot run the shell."""


class Host:
    """A host that Ansible can reach, by the connection that Ansible made for it.

    :param connection: a connection plugin with its options and its become plugin set
    :param name: the host's name in the inventory, for messages
    :param shared: whether other runs may change this host at the same time, as on a build host
    :param retry_for: seconds for which a lost connection is made again, once the host has answered
    :param answers: whether the host answered before this task, so that the first connection gets
        that time too
    :param fresh: whether to make a connection of its own
    :param environment: for what runs on the host
    """

    def __init__(
        self,
        connection: ConnectionBase,
        name: str,
        run: Run,
        *,
        shared: bool = False,
        retry_for: float = 120,
        answers: bool = False,
        fresh: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self._exports = _exports(environment or {})
        self.task_run = run
        self.retry_for = retry_for
        self._who = "" if shared else run.who
        self._connection = connection
        # A fresh_connection finds out whether others could come in, and they have the first only.
        self._shells = list(SHELLS[:1] if fresh else SHELLS)
        # A plugin that says it cannot may raise or hang; one that says it can may still drop it.
        self._takes_stdin = bool(connection.has_pipelining)
        self._answered = answers or run.has_answered(name)
        self._made = time.monotonic()
        #: when the host said something last
        self.heard = 0.0
        # Names the boot of the host that we have met.
        self._boot = ""
        self._may_become = True
        self._retries = 0
        self._limited = False
        self._control_socket: pathlib.Path | None = None
        self._prepare(fresh)

    def run(self, sent: Script, deadline: float = 30, file: str = "") -> Reply:
        """Run a script that may run twice: again if the connection fails.

        :param deadline: seconds after which the connection is given up and made anew
        :param file: on the controller, whose bytes follow on standard input
        :raises AnsibleConnectionFailure: the host cannot be reached
        :raises ClosureError: the host answers and has no working shell
        """
        give_up = time.monotonic() + self.retry_for
        lost = 0
        silent = False
        while True:
            self.task_run.check_alive()
            # It may be of an earlier run, and the host gone since.
            had_master = self._has_master()
            try:
                if silent:
                    # A host that says nothing shall not cost another deadline.
                    self._attempt(":", min(deadline, SIGN))
                text = self._exports + sent.text
                size = len(text) + (_size(file) if file else 0)
                with Trip(self.name, sent, size).taken() as answered:
                    reply = self._attempt(text, deadline, file)
                    answered(reply.rc, reply.stdout, reply.stderr)
            except (AnsibleConnectionFailure, TimeoutError, _CutShortError) as error:
                self._answered |= self._has_master() and not had_master
                self.reconnect()
                lost += 1
                # One that says nothing on a new connection either would say nothing again.
                silent = isinstance(error, TimeoutError)
                if (silent and lost > 1) or not (
                    self._may_try_again(give_up) or (had_master and lost == 1)
                ):
                    raise self._unreachable(error, deadline) from error.__cause__
                # Once is enough for people.
                if lost == 1:
                    display.display(f"{self.name}: the connection is lost, connecting again")
                time.sleep(1)
            except _NoShellError:
                self._next_shell()
            else:
                self._answered = True
                self.heard = time.monotonic()
                self.task_run.note_answer(self.name)
                return reply

    def _has_master(self) -> bool:
        """A control master of ours means that the host has answered, within the last minute."""
        return bool(self._control_socket and self._control_socket.exists())

    @property
    def control_socket(self) -> str:
        """By what another ssh on the controller shares our connection, empty where none can."""
        return str(self._control_socket) if self._has_master() else ""

    def _is_in(self) -> bool:
        """Whether the login is through, as far as that can be told."""
        return not self._is_ssh or self._has_master()

    def _may_try_again(self, give_up: float) -> bool:
        """A host that has answered gets our time, one that never has gets Ansible's retries."""
        if self._answered:
            return time.monotonic() <= give_up
        self._retries -= 1
        return self._retries >= 0

    @property
    def boot(self) -> str:
        """Names the boot of the host that has answered, empty before it has."""
        return self._boot

    def require_boot(self, boot: str) -> None:
        """Have requests refused by any other boot of the host, if it has not answered yet."""
        self._boot = self._boot or boot

    def run_once(
        self,
        *words: str,
        request: str,
        then: tuple[str, ...] = (),
        deadline: float = 60,
        sent: Sent = NOTHING,
        any_boot: bool = False,
    ) -> Reply:
        """Have the host call a shell function once, however often the connection fails.

        A host that has rebooted since it first answered refuses: it does not know what it did.

        :param request: names this call among those of the task, the same when it is sent again
        :param then: a call that may run twice, for after it
        :param sent: what the function has beside its words
        :param any_boot: whether the function itself knows for which boot of the host it is meant
        """
        boot = "" if any_boot else self._boot
        identity = (self.task_run.id, self._who, f"{self.task_run.task}-{request}", boot)
        call = ("request", *identity, *words)
        if sent:
            call = ("taking", str(_size(sent.file)), *call)
        return self.run(script(*call, then=then), max(deadline, sent.deadline), sent.file)

    @contextlib.contextmanager
    def directory(self) -> t.Iterator[str]:
        """Have a directory on the host for files on their way, private to the login and to root.

        :raises ClosureError: the host does not make one
        """
        # In the login's name, because plugins read and write files as the login.
        reply = self._login().run(script("make_directory"), 60)
        require_success(self, reply, "makes no directory for files on their way")
        path = _directory_in(reply.text)
        if path is None:
            raise ClosureError(f"{self.name} named no directory that it has made: {reply.text!r}")
        try:
            yield path
        finally:
            # A host that is gone keeps them; the error that says so must not be hidden.
            with contextlib.suppress(AnsibleError):
                self.run(script("remove", path))

    @property
    def is_here(self) -> bool:
        """Whether the host's files are the controller's."""
        return bool(self._connection.transport == "local")

    @property
    def takes_stdin(self) -> bool:
        """Whether a script travels on standard input, as far as the last one has shown."""
        return self._takes_stdin

    @property
    def takes_files(self) -> bool:
        """Whether a file can travel behind a script: a terminal would change its bytes."""
        terminal = getattr(self._becomes(), "require_tty", False)
        return self._takes_stdin and not (terminal or self._limited)

    def fetch(self, path: str, local: str, deadline: float) -> None:
        """Copy a file of the login to the controller, again if the connection fails."""
        self._again(lambda: self._connection.fetch_file(path, local), f"{path} from", deadline)

    def send(self, local: str, path: str, deadline: float) -> None:
        """Copy a file of the controller to the login, again if the connection fails."""
        self._again(lambda: self._connection.put_file(local, path), f"{path} to", deadline)

    def limit_files(self, bwlimit: int) -> None:
        """Carry files at no more than so many KiB a second, 0 for no limit.

        :raises ClosureError: the connection plugin cannot
        """
        if not bwlimit or self.is_here:
            return
        self._limited = True
        connection = self._connection
        method = connection.transport == "ssh" and connection.get_option("ssh_transfer_method")
        if method not in ("smart", "sftp", "scp"):
            raise ClosureError(
                f"The files for {self.name} cannot be held to bwlimit: only the connection plugin "
                "ssh can, by sftp or scp. Leave bwlimit out, or copy by another transport."
            )
        program = "scp" if method == "scp" else "sftp"
        connection.set_option("ssh_transfer_method", program)
        extra = connection.get_option(f"{program}_extra_args") or ""
        # Their unit is the Kbit of 1024 (sftp(1), scp(1)).
        connection.set_option(f"{program}_extra_args", f"{extra} -l {bwlimit * 8}".strip())

    def _login(self) -> Host:
        """Return the host as the login finds it, who may have to become another user."""
        login = copy.copy(self)
        login._may_become = False
        return login

    def _again(self, call: t.Callable[[], object], what: str, deadline: float) -> None:
        """Do what may be done twice until the connection holds."""
        give_up = time.monotonic() + self.retry_for
        while True:
            self.task_run.check_alive()
            try:
                within(deadline, call)
            except (AnsibleConnectionFailure, TimeoutError) as error:
                self.reconnect()
                if not self._answered or time.monotonic() > give_up:
                    raise self._unreachable(error, deadline) from error.__cause__
                time.sleep(1)
            except AnsibleError as error:
                raise ClosureError(f"{self.name}: {what} was not carried: {error}") from error
            else:
                return

    def reconnect(self) -> None:
        """Make the next script open a connection of its own.

        A control master that hangs would hang ``ssh -O stop`` too: it loses its socket instead
        and ends by its keepalive.
        """
        if self._control_socket:
            self._control_socket.unlink(missing_ok=True)
        elif type(self._connection).reset is not ConnectionBase.reset:
            # What is wrong with the connection, the next script will hear.
            with contextlib.suppress(AnsibleError, TimeoutError):
                within(10, self._connection.reset)

    def connection_is(self, age: int | None = None) -> t.Literal["new", "old", "unknown"]:
        """Say whether the connection has been made since this object was: the host knows.

        No option of ssh counts for that, because people can set them all.

        :param age: hundredths of a second, as the host's last answer said, if it did
        """
        if age is None:
            # What become starts need not have the server of ssh among its parents; the login has.
            login = self._login()
            said = login.run(script("login_age")).text.strip()
            self.heard = login.heard
            age = int(said) if said.isdigit() else None
        if age is None:
            return "unknown"
        return "new" if age / 100 <= self.heard - self._made + _TICK else "old"

    def require_new_connection(self, age: int | None, unless_known: bool = False) -> None:
        """Refuse a connection that need not be new, so that others may be shut out.

        :param age: as of :meth:`connection_is`
        :param unless_known: accept one of which the host does not say when it was made
        :raises ClosureError: it is old, or nobody knows
        """
        found = self.connection_is(age)
        # Other plugins have no connection that lasts.
        if found == "new" or (found == "unknown" and (unless_known or not self._is_ssh)):
            return
        if found == "old":
            raise ClosureError(
                f"{self.name} is not asked over a new connection, so whether it lets people in is "
                "not known. Take ControlPath, ControlMaster and -S out of its ssh arguments."
            )
        raise ClosureError(
            f"{self.name} does not say whether this connection is new: none of OpenSSH's servers "
            "carries it. If you know that people can log in there, set connection: any of "
            "nixos_confirm, or deploy_confirm_connection: any of the role deploy."
        )

    @property
    def _is_ssh(self) -> bool:
        return bool(self._connection.transport in ("ssh", "paramiko", "paramiko_ssh"))

    def _prepare(self, fresh: bool) -> None:
        options = self._connection.option_definitions
        if "pipelining" in options:
            # Without it `local` gives a become password a terminal and loses the script.
            self._connection.set_option("pipelining", True)
        if "use_tty" in options:
            # A terminal would change the bytes of a script that travels as a file.
            self._connection.set_option("use_tty", False)
        if "reconnection_retries" in options:
            # Its retries run a script again; ours know which may be.
            self._retries = int(self._connection.get_option("reconnection_retries") or 0)
            self._connection.set_option("reconnection_retries", 0)
        if "control_path" in options:
            self._own_control_master(secrets.token_hex(8) if fresh else "")

    def _own_control_master(self, nonce: str) -> None:
        option, set_option = self._connection.get_option, self._connection.set_option
        # A terminal changes the bytes of scripts; for ssh, the last of these options counts.
        extra = option("ssh_extra_args") or ""
        set_option("ssh_extra_args", f"{extra} {KEEPALIVE} -T".strip())
        place = (option("host"), option("port"), option("remote_user"), option("ssh_common_args"))
        name = "cn-" + hashlib.sha1(f"{place}{nonce}".encode()).hexdigest()[:10]
        set_option("control_path", f"%(directory)s/{name}")
        directory = pathlib.Path(unfrackpath(option("control_path_dir")))
        given = option("ssh_args") or ""
        if "controlpersist" not in f"{given} {option('ssh_common_args')} {extra}".lower():
            # Somebody wants each call to connect anew.
            set_option("ssh_args", f"-o ControlMaster=no -o ControlPath=none {given}")
            return
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._control_socket = directory / name
        # Of most options, ssh takes the first; people may have given one of their own.
        path = str(self._control_socket).replace("%", "%%")
        own = shlex.quote(f'ControlPath="{path}"')
        set_option("ssh_args", f"-o ControlMaster=auto -o {own} {given}")

    def _attempt(self, text: str, deadline: float, file: str = "") -> Reply:
        nonce = secrets.token_hex(8)
        framed = _frame(text, nonce, file)
        deliver = self._by_stdin if self._takes_stdin else self._by_file
        try:
            rc, stdout, stderr = within(
                deadline, lambda: deliver(framed), begun=self._is_in, before=LOGIN, limit=LIMIT
            )
        except TooMuchError as error:
            self.reconnect()
            raise ClosureError(
                f"{self.name} answers without an end: more than {LIMIT // 1024**2} MiB. Look at "
                f"{self._shells[0]} there, and at what a login prints."
            ) from error
        except AnsibleError as error:
            if self._is_refused(error):
                raise self._refusal(str(error.message)) from error
            raise
        chatter, begun, rest = stdout.partition(f"{nonce} begin ".encode())
        if not begun:
            return self._not_begun(text, deadline, rc, chatter, stderr)
        boot, _newline, rest = rest.partition(b"\n")
        self._boot = self._boot or boot.decode()
        said, end, status = rest.rpartition(f"\n{nonce} end ".encode())
        if not end:
            raise _CutShortError
        return Reply(int(status), said, stderr.decode(errors="replace"))

    def _not_begun(
        self, text: str, deadline: float, rc: int, stdout: bytes, stderr: bytes
    ) -> Reply:
        """Tell why a script did not begin: no shell, no stdin, or no way in."""
        if self._lacks_shell(rc, deadline):
            raise _NoShellError
        if rc == 0 and self._takes_stdin:  # the shell read an empty script
            self._takes_stdin = False
            return self._attempt(text, deadline)
        raise self._refusal((stderr + stdout).decode(errors="replace"), rc)

    def _is_refused(self, error: AnsibleError) -> bool:
        """Whether a connection plugin says that the login may not become another user."""
        if not self._becomes():
            return False
        # A host that has let it before may be busy.
        waited = is_unanswered(str(error.message)) and not self.heard
        return waited or not isinstance(error, AnsibleConnectionFailure)

    def _refusal(self, said: str, rc: int = 1) -> ClosureError:
        said = said.strip()
        here = self.is_here and bool(self._becomes())
        return ClosureError(
            f"{self.name} does not run {self._shells[0]} for us (exit status {rc}): "
            f"{in_one_line(said)}. {cure(said, here)}",
            rc=rc,
            stderr=said,
        )

    def _lacks_shell(self, rc: int, deadline: float) -> bool:
        if self._becomes():
            # sudo says of a broken shell what it likes, and a missing sudo would say 127 itself.
            probe = f"{self._shells[0]} -c :"
            call = functools.partial(self._connection.exec_command, probe, sudoable=False)
            rc = within(deadline, call)[0]
        return rc in (126, 127)

    def _next_shell(self) -> None:
        broken = self._shells.pop(0)
        if not self._shells:
            raise ClosureError(
                f"{self.name} answers, but {broken} does not run, and no other shell that "
                "was tried did. Boot an older generation on its console."
            )

    def _by_stdin(self, framed: bytes) -> tuple[int, bytes, bytes]:
        return self._execute(f"{self._shells[0]} -s", framed)

    def _by_file(self, framed: bytes) -> tuple[int, bytes, bytes]:
        """For a connection that has no stdin: a file that only this login can read."""
        # Only mktemp can tell that nobody has made it before; its name is read by others then.
        made = self._connection.exec_command(f"mktemp -d /tmp/{_TEMPLATE}", sudoable=False)
        directory = _directory_in(made[1].decode(errors="replace")) if made[0] == 0 else None
        if directory is None:
            return made
        with temporary_file() as local:
            # It may hold secrets, and is gone once the shell has it.
            local.write(f"rm -rf {directory}\n".encode() + framed)
            local.flush()
            self._connection.put_file(local.name, f"{directory}/script")
        try:
            return self._execute(f"{self._shells[0]} {directory}/script", None)
        finally:
            self._connection.exec_command(f"rm -rf {directory}", sudoable=False)

    def _execute(self, command: str, stdin: bytes | None) -> tuple[int, bytes, bytes]:
        connection = self._connection
        become = self._becomes()
        if become:
            connection._shell.executable = self._shells[0]  # become wraps the command in it
            command = become.build_become_command(command, connection._shell)
        return connection.exec_command(command, in_data=stdin, sudoable=bool(become))

    def _becomes(self) -> BecomeBase | None:
        """Like ActionBase, do not become the user who is logged in."""
        become = self._connection.become
        if not (become and self._may_become):
            return None
        try:
            login = self._connection.get_option("remote_user")
        except KeyError:
            login = None
        return become if login is None or login != become.get_option("become_user") else None

    def _unreachable(self, error: Exception, deadline: float) -> AnsibleConnectionFailure:
        if isinstance(error, AnsibleConnectionFailure):
            return AnsibleConnectionFailure(printable(str(error.message)))
        what = f"gave no answer in {deadline:g} s"
        if isinstance(error, _CutShortError):
            what = "lost the connection in the middle of a script"
        again = f", again and again for {self.retry_for:g} s" if self._answered else ""
        return AnsibleConnectionFailure(
            f"{self.name} {what}{again}. Look whether it is up, and busy or out of memory."
        )


def _frame(text: str, nonce: str, file: str = "") -> bytes:
    """Wrap a script so that it runs whole or not at all, and so that its output can be told apart.

    The shell reads the whole function before it runs any of it; commands cannot eat the script,
    because their stdin is empty; a login's chatter stands before the first mark; and output that
    was cut lacks the last.

    A file stands behind it, after lines that a shell may have read ahead, and a mark. What nobody
    has read of it is read in the end: who sends it would take that for a lost connection.
    """
    main = _MAIN_WITH_FILE if file else "(main) </dev/null\nrc=$?"
    framed = (
        f"main() {{\n{text}\n}}\n"
        f"frame() {{\nread -r boot <{_BOOT_ID} || boot=\n"
        f"printf '%s begin %s\\n' {nonce} \"$boot\"\n{main.replace('NONCE', nonce)}\n"
        f'[ "$rc" -ne 255 ] || rc=254\nprintf \'\\n%s end %s\\n\' {nonce} "$rc"\nexit "$rc"\n}}\n'
        "frame\n"
    ).encode(errors="surrogateescape")
    if not file:
        return framed
    # By way of a map, so that there is one copy of it in memory.
    with open(file, "rb") as sent, mmap.mmap(sent.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return b"".join((framed, _READ_AHEAD, f"{nonce}\n".encode(), data))


_MAIN_WITH_FILE = """while IFS= read -r line && [ "$line" != NONCE ]; do :; done
(main)
rc=$?
cat >/dev/null"""
# More than a shell reads at once.
_READ_AHEAD = (b" " * 1023 + b"\n") * 16


def _size(file: str) -> int:
    return pathlib.Path(file).stat().st_size


def _exports(environment: Mapping[str, str]) -> str:
    """Return the shell for an environment; values travel in the script and so in no argv.

    :raises ClosureError: the shell has no variable of such a name
    """
    for name in environment:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise ClosureError(f"environment has {name!r}, which is no name of a variable.")
    return "".join(f"export {name}={shlex.quote(it)}\n" for name, it in environment.items())


def _directory_in(text: str) -> str | None:
    """Return the directory that was made, beside which a login may have talked."""
    found = _DIRECTORY.findall(text)
    return found[-1] if found else None


def require_success(host: Host, reply: Reply, what: str) -> None:
    """Refuse an answer that is a failure.

    :param what: that the host does not do, for the message
    """
    if reply.rc != 0:
        said = reply.stderr.strip() or reply.text.strip()
        raise ClosureError(f"{host.name} {what}: {said}", rc=reply.rc, stderr=reply.stderr)


def require_root(host: Host, user: str) -> None:
    """Refuse to go on as anyone but root.

    :param user: as whom the host has answered
    :raises ClosureError: the login cannot change the system
    """
    if user != "root":
        raise ClosureError(
            f"{host.name}: {user} cannot change the system. Set become: true for this task."
        )


def demand(
    host: Host,
    *words: str,
    request: str,
    then: tuple[str, ...] = (),
    what: str = "",
    sent: Sent = NOTHING,
) -> Reply:
    """Have a host call a function once, as :meth:`Host.run_once` does.

    :param what: that the host does not do then, for the message
    :raises ClosureError: it refuses, in its own words
    """
    reply = host.run_once(*words, request=request, then=then, sent=sent)
    if reply.rc != 0:
        who, said = f"{host.name} {what}".strip(), reply.stderr.strip().rstrip(".")
        raise ClosureError(f"{who}: {said}.", rc=reply.rc, stderr=reply.stderr)
    return reply
