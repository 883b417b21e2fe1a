# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: installing a system below the root that is mounted for it."""

from __future__ import annotations

import dataclasses
import re

from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._install.installation import (
    Found,
    InstallOptions,
    actions_left,
    check_installable,
    parse_found,
)
from ansible_collections.closure.nixos.plugins.module_utils._store.generations import (
    profile_diff,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._host.host import (
    Host,
    demand,
    require_success,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._host.job import JobResult, run_leased
from ansible_collections.closure.nixos.plugins.plugin_utils._host.progress import Progress
from ansible_collections.closure.nixos.plugins.plugin_utils._host.scripts import script

# The last of what an activation or a boot loader has printed.
_LINES = 5
_ACTIVATION = re.compile(r"^activation=(\d+)$", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Installer:
    """Installs one system on a host that another system runs.

    :param host: whose Nix uses the store below the root
    """

    host: Host
    options: InstallOptions
    progress: Progress

    def install(self, check: bool) -> dict[str, object]:
        """Do what is left to do, or in check mode say what that is.

        :raises ClosureError: the system cannot be installed; the message says what is missing
        """
        before = self._look()
        left = actions_left(self.options, before)
        if not check or before.valid or not before.mounted:
            self._require_installable(before)
        if check or not left:
            return self._result(before, before, left)
        warnings = self._do(left)
        after = self._look()
        if still := actions_left(self.options, after):
            raise ClosureError(
                f"{self.host.name} has done all that there was to do, and these are still not as "
                f"they were asked for: {', '.join(still)}. Something else changes them there."
            )
        return self._result(before, after, left) | ({"warnings": warnings} if warnings else {})

    def _look(self) -> Found:
        options = self.options
        self._require_stdin()
        words = ("install_look", options.root, options.path, *options.access)
        reply = self.host.run(script(*words))
        require_success(self.host, reply, f"does not say what is below {options.root}")
        return parse_found(reply.text, options)

    def _require_stdin(self) -> None:
        """Refuse a connection on which secrets would travel as a file.

        :raises ClosureError: the connection takes no standard input
        """
        if not self.host.takes_stdin and any(self.options.access[:2]):
            raise ClosureError(
                f"{self.host.name}: its connection plugin hands no standard input on, so the key "
                "and the password hash would lie in a file there for a while. Use another one, "
                "such as ssh."
            )

    def _require_installable(self, found: Found) -> None:
        try:
            check_installable(self.options, found)
        except ClosureError as error:
            raise ClosureError(f"{self.host.name}: {error.message}", **error.details) from error

    def _do(self, left: tuple[str, ...]) -> list[str]:
        """Take the steps. A system wants its host key before its activation makes its users."""
        options, warnings = self.options, list[str]()
        if {"ssh_host_key", "authorized_keys"} & {*left}:
            words = (options.root, options.ssh_host_key, *options.authorized_keys)
            demand(self.host, "install_access", *words, request="access")
        if {"profile", "bootloader"} & {*left}:
            warnings = self._system()
        if "root_password" in left:
            words = (options.root, options.password_hash)
            demand(self.host, "install_password", *words, request="password")
        return warnings

    def _system(self) -> list[str]:
        options = self.options
        loader = "1" if options.install_bootloader else ""
        command = script("install_system", options.root, options.path, loader)
        ended = run_leased(self.host, "install", command, options.timeout, self._hear)
        if ended.exit_code != 0:
            raise self._failure(ended)
        if failed := _ACTIVATION.search(ended.stdout):
            return [
                f"{self.host.name}: the activation below {options.root} ended with {failed[1]}, "
                f"and the system activates again when it boots. It said: {_last(ended.stderr)}"
            ]
        return []

    def _failure(self, ended: JobResult) -> ClosureError:
        options = self.options
        return ClosureError(
            f"{self.host.name}: {options.path} was not installed below {options.root} ({ended.how})"
            f": {_last(ended.stderr)}. What is there may stay: mend this and run the task again.",
            rc=ended.exit_code,
            stderr=ended.stderr,
        )

    def _hear(self, _out: bytes, err: bytes) -> None:
        if lines := err.decode(errors="replace").split("\n")[:-1]:
            self.progress.say(lines[-1])

    def _result(self, before: Found, after: Found, left: tuple[str, ...]) -> dict[str, object]:
        options = self.options
        what = f"{options.path} below {options.root}"
        return {
            "changed": bool(left),
            "path": options.path,
            "root": options.root,
            "actions": list(left),
            "ssh_host_keys": list(after.ssh_host_keys),
            "msg": f"{', '.join(left)}: {what}" if left else f"{what} is installed already",
            "diff": profile_diff(options.profile, before.profile, options.path),
        }


def _last(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return "; ".join(lines[-_LINES:]) or "nothing"
