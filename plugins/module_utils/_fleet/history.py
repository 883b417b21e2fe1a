# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The deployments of a host for people. Private to the collection."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping

from ansible_collections.closure.nixos.plugins.module_utils._store.generations import short_name

Record = Mapping[str, t.Any]

_COMMIT = 10


def log(facts: Mapping[str, t.Any]) -> list[str]:
    """Return a line for each deployment of a host, the newest first.

    :param facts: what ``nixos_facts`` returned for it, with its history
    """
    records = facts["history"]
    lines = [_line(record) for record in reversed(records)]
    # A host ends a trial by itself, also when nobody is there any more to record it.
    last = facts["deployment"] or {}
    if last and last.get("run") not in {record.get("run") for record in records}:
        lines.insert(0, _own(last))
    return lines


def _line(record: Record) -> str:
    when = str(record.get("time", "")).replace("T", " ").removesuffix("Z")
    who = f"{record.get('user')}@{record.get('controller')}"
    said = f"{record.get('what')}  {record.get('why') or ''}".rstrip()
    return "  ".join(filter(None, (when, who, said, _source(record), f"{record.get('seconds')} s")))


def _source(record: Record) -> str:
    """Say from which commit, with a plus when it was not all."""
    if not record.get("revision"):
        return short_name(record.get("to"))
    commit = str(record["revision"])[:_COMMIT] + ("+" if record.get("dirty") else "")
    return f"{commit} {record.get('subject') or ''}".strip()


def _own(last: Mapping[str, str]) -> str:
    when = last.get("time", "").replace("T", " ").removesuffix("Z")
    who = last.get("who", "").partition(",")[0]
    return f"{when}  {who}  {last.get('outcome')}  {last.get('why', '')}"
