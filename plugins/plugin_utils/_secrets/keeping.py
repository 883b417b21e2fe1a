# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: secrets on a host, in one round trip beside the one that asks."""

from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Sequence

from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._secrets.plan import (
    Look,
    Report,
    Step,
    check_host,
    diff,
    in_memory,
    parse_look,
    parse_report,
    plan_steps,
    summary,
    without_looking,
)
from ansible_collections.closure.nixos.plugins.module_utils._secrets.secret import (
    File,
    Secret,
    boot_files,
    check_total,
    files_of,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._host.host import Host, Reply
from ansible_collections.closure.nixos.plugins.plugin_utils._host.scripts import script

# The units that are restarted may take their time.
DEADLINE = 600


@dataclasses.dataclass(frozen=True)
class Keeping:
    """A host that keeps secrets.

    :param check: whether nothing may change there
    """

    host: Host
    check: bool

    def put(
        self,
        secrets: Sequence[Secret],
        contents: Sequence[bytes],
        directory: str,
        prune: bool,
        prepare: bool,
        lost: bool = False,
    ) -> dict[str, t.Any]:
        """Put the secrets in their places, and say what became of each.

        :param directory: for those that outlive a reboot
        :param prepare: whether an activation follows: owners may be missing, and units wait
        :param lost: whether only files in memory are put
        """
        check_total(contents)
        files = [
            file
            for secret, content in zip(secrets, contents, strict=True)
            for file in files_of(secret, content)
        ]
        if any(secret.copy for secret in secrets):
            files += boot_files(directory, script("secrets_boot", directory).text)
        look = self._look(files)
        files = in_memory(look, files) if lost else files
        check_host(look, files, any(file.tell or file.key for file in files))
        # In check mode nobody is created who would have been.
        steps, waiting = plan_steps(look, files, prune, prepare or self.check)
        # The copies keep their owners, so nobody else may come to them.
        private = directory if any(secret.copy for secret in secrets) else ""
        report = self._compare(steps) if self.check else self._put(steps, prepare, private)
        result = _result(look, steps, report) | {"waiting": list(waiting)}
        if left := sorted(look.changed - {file.path for file in files}) if prune else []:
            paths = ", ".join(left)
            result["warnings"] = [f"{paths}: somebody else has changed it, so it is left there."]
        return result

    def _look(self, files: Sequence[File]) -> Look:
        users = " ".join(sorted({file.owner for file in files}))
        groups = " ".join(sorted({file.group for file in files}))
        paths = sorted({file.path for file in files}, key=lambda path: path.rpartition("/"))
        reply = self.host.run(script("secrets_look", users, groups, *paths))
        _require(reply, "it does not say what is there")
        return parse_look(reply.text)

    def _compare(self, steps: Sequence[Step]) -> Report:
        if known := without_looking(steps):
            return known
        self._require_stdin()
        words = [word for step in steps for word in step.words]
        reply = self.host.run(script("secrets_compare", *words), deadline=DEADLINE)
        _require(reply, "the secrets were not compared")
        return parse_report(reply.text)

    def _put(self, steps: Sequence[Step], prepare: bool, private: str) -> Report:
        self._require_stdin()
        words = [word for step in steps for word in step.words]
        call = ("secrets_put", "prepare" if prepare else "put", private, *words)
        reply = self.host.run_once(*call, request="secrets", deadline=DEADLINE)
        _require(reply, "the secrets were not put")
        return parse_report(reply.text)

    def restore(self) -> dict[str, t.Any]:
        """Put back what an unfinished deployment has replaced."""
        if self.check:
            return {"changed": False, "restored": []}
        reply = self.host.run_once("secrets_restore", request="restore", deadline=DEADLINE)
        _require(reply, "the old secrets were not put back")
        report = parse_report(reply.text)
        restored = sorted({path for verb, path in report.told if verb == "restored"})
        return {"changed": bool(restored), "restored": restored} | _told(report)

    def _require_stdin(self) -> None:
        """Refuse a connection on which they would travel as a file.

        :raises ClosureError: the connection takes no standard input
        """
        if not self.host.takes_stdin:
            raise ClosureError(
                "its connection plugin hands no standard input on, so secrets would lie in a file "
                "there for a while. Use another one, such as ssh."
            )


def _require(reply: Reply, what: str) -> None:
    """Refuse an answer that is a failure; a host's words have no content in them."""
    if reply.rc != 0:
        said = ". ".join(reply.stderr.strip().splitlines())
        raise ClosureError(f"{what}: {said or 'it ended early'}.", rc=reply.rc, stderr=reply.stderr)


def _told(report: Report) -> dict[str, list[str]]:
    verbs = {"restarted": ("restart",), "reloaded": ("reload",)}
    return {
        key: sorted({unit for verb, unit in report.told if verb in wanted})
        for key, wanted in verbs.items()
    }


def _result(look: Look, steps: Sequence[Step], report: Report) -> dict[str, t.Any]:
    told = _told(report)
    changed = any(outcome != "unchanged" for outcome in report.outcomes.values())
    return {
        "changed": changed or any(told.values()),
        **summary(steps, report),
        **told,
        "pending": report.due,
        "diff": diff(look, steps, report),
    }
