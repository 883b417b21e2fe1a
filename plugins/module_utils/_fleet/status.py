# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a fleet runs, host by host. Private to the collection.

Decides, from the facts of M(closure.nixos.nixos_facts), how a host stands and what has drifted.
"""

from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Iterable, Mapping, Sequence

from ansible_collections.closure.nixos.plugins.module_utils._fleet.history import log
from ansible_collections.closure.nixos.plugins.module_utils._store.generations import (
    name_system,
    short_hash,
    short_name,
)
from ansible_collections.closure.nixos.plugins.module_utils._store.store_path import format_bytes

Facts = Mapping[str, t.Any]

# The worst first, which is how a table is read at night.
STATES = ("unreachable", "failed", "trial", "drift", "behind", "reboot", "ok")

# What is left of a commit's hash, as in the log of deployments.
_COMMIT = 7


@dataclasses.dataclass(frozen=True)
class Status:
    """How a host stands.

    :param state: one of STATES
    :param system: the running system for people, :param hash: the first letters of its hash
    :param version: of NixOS, :param generation: the one that records what runs
    :param since: when that generation was made, in UTC, :param by: who deployed it
    :param revision: ``system.configurationRevision`` of what runs
    :param result: how the last deployment ended
    :param behind: whether the configuration builds another system now; None where nobody asked, or
        it does not evaluate
    :param notes: what there is to say, each a phrase
    :param drift: those of the notes that somebody has to look at
    :param history: its last deployments, each a line, the newest first
    """

    host: str
    state: str
    system: str = ""
    hash: str = ""
    version: str = ""
    generation: int | None = None
    since: str = ""
    by: str = ""
    revision: str = ""
    result: str = ""
    behind: bool | None = None
    reboot: tuple[str, ...] = ()
    failed_units: tuple[str, ...] = ()
    nix_free: int | None = None
    boot_free: int | None = None
    notes: tuple[str, ...] = ()
    drift: tuple[str, ...] = ()
    generations: tuple[Mapping[str, t.Any], ...] = ()
    history: tuple[str, ...] = ()


def status_of(
    host: str, facts: Facts, wanted: str | None = None, problem: str | None = None
) -> Status:
    """Return how a host stands.

    :param facts: what ``nixos_facts`` returned for it
    :param wanted: the system that its configuration evaluates to now
    :param problem: why that is not known, where somebody has asked
    """
    running, deployment = facts["running"] or "", facts["deployment"] or {}
    holder = _holder(facts["generations"], running)
    drifted = drift_of(facts)
    behind = None if wanted is None else wanted != running
    return Status(
        host=host,
        state=_state(facts, drifted, behind),
        system=short_name(running),
        hash=short_hash(running),
        version=facts["version"] or "",
        generation=holder["number"] if holder else None,
        since=(holder and holder["date"]) or "",
        by=deployment.get("who", "").partition(",")[0] if deployment.get("to") == running else "",
        revision=facts["configuration_revision"] or "",
        result=deployment.get("outcome", ""),
        behind=behind,
        reboot=tuple(facts["reboot_reasons"]),
        failed_units=tuple(facts["failed_units"]),
        nix_free=facts["nix_free"],
        boot_free=facts["boot_free"],
        notes=(*_notes(facts, drifted, behind), *([problem] if problem else [])),
        drift=drifted,
        # Of Ansible's own kinds of dict, which are not made to be copied.
        generations=tuple(dict(entry) for entry in facts["generations"]),
        history=tuple(log(facts)),
    )


def statuses(rows: Iterable[Mapping[str, t.Any]]) -> list[Status]:
    """Return statuses that travelled as data, through a filter or a file."""
    return [Status(**{name: _frozen(it) for name, it in row.items()}) for row in rows]


def _frozen(value: t.Any) -> t.Any:
    return tuple(value) if isinstance(value, list) else value


def lost_status(host: str, why: str) -> Status:
    """Return how a host stands that did not answer."""
    first = (why.strip().splitlines() or ["it did not answer"])[0]
    return Status(host, "unreachable", notes=(first,), drift=(f"not reached: {first}",))


def drift_of(facts: Facts) -> tuple[str, ...]:
    """Say what a host runs or boots beside what was last deployed to it."""
    return tuple(_drift(facts))


def _drift(facts: Facts) -> t.Iterator[str]:
    running, profile, boots = facts["running"], facts["profile"], facts["boots"]
    expected = _expected(facts["deployment"])
    if expected and running != expected:
        yield f"runs {_named(facts, running)}, and {_named(facts, expected)} was deployed last"
        if running == facts["booted"]:
            yield "was rebooted into another system than the one that was deployed"
    if running != profile:
        yield f"runs {_named(facts, running)}, and its profile holds {_named(facts, profile)}"
    if boots is None and facts["user"] != "root":
        return
    if boots is None:
        yield "boots what nobody here has recorded"
    elif boots != running:
        yield f"boots {_named(facts, boots)} after the next reboot"


def _expected(deployment: Mapping[str, str] | None) -> str:
    """Return what runs after the last deployment; nothing where none or nobody knows its end."""
    ends = {"activated": "to", "confirmed": "to", "rolled-back": "from"}
    return (deployment or {}).get(ends.get((deployment or {}).get("outcome", ""), ""), "")


def _state(facts: Facts, drifted: Sequence[str], behind: bool | None) -> str:
    found = {
        "failed": facts["failed_units"] or facts["system_state"] == "maintenance",
        "trial": on_trial(facts),
        "drift": drifted,
        "behind": behind,
        "reboot": facts["reboot_required"],
    }
    return next((state for state in STATES if found.get(state)), "ok")


def on_trial(facts: Facts) -> bool:
    """Whether the host waits for somebody to confirm its system."""
    return (facts["trial"] or {}).get("state") in ("armed", "confirmed", "back")


def _notes(facts: Facts, drifted: Sequence[str], behind: bool | None) -> t.Iterator[str]:
    if facts["user"] != "root":
        yield f"was asked by {facts['user']}, and only root sees its deployments: set become"
    if facts["failed_units"]:
        yield f"failed: {', '.join(facts['failed_units'])}"
    if facts["system_state"] == "maintenance":
        yield "in maintenance mode, which `systemctl default` ends"
    if on_trial(facts):
        yield f"{name_system(facts['trial']['to'])} is on trial by {facts['trial']['who']}"
    yield from drifted
    if behind:
        yield "its configuration builds another system now"
    if facts["reboot_required"]:
        yield f"needs a reboot for {', '.join(facts['reboot_reasons'])}"


def _named(facts: Facts, path: str | None) -> str:
    """Name a system so that two of one name differ."""
    holder = _holder(facts["generations"], path or "")
    number = f"generation {holder['number']}, " if holder else ""
    return f"{number}{short_name(path)} ({short_hash(path)})"


def _holder(generations: Iterable[Mapping[str, t.Any]], path: str) -> Mapping[str, t.Any] | None:
    """Return the current generation if it records the path, else the newest that does."""
    holders = [entry for entry in generations if entry["path"] == path]
    return max(holders, key=lambda entry: (entry["current"], entry["number"]), default=None)


def table(rows: Sequence[Status]) -> str:
    """Return the rows for people, aligned, the worst first, each note on a line of its own."""
    ordered = sorted(rows, key=lambda row: (STATES.index(row.state), row.host))
    cells = [_cells(row) for row in ordered]
    sizes = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row, texts in zip(ordered, cells, strict=True):
        # What no host has takes no room.
        told = [text.ljust(size) for text, size in zip(texts, sizes, strict=True) if size]
        line = "  ".join(told).rstrip()
        lines.append(line)
        lines += [f"    {note}" for note in row.notes]
    return "\n".join([*lines, _spread(rows)])


def _cells(row: Status) -> tuple[str, ...]:
    number = "" if row.generation is None else f"gen {row.generation}"
    free = "" if row.nix_free is None else f"{format_bytes(row.nix_free)} free"
    told = (row.since[:10], row.by, row.revision[:_COMMIT], row.result)
    return (row.host, row.state, number, row.version, row.hash, *told, free)


def _spread(rows: Sequence[Status]) -> str:
    """Say how many hosts stand how."""
    counts = {state: sum(row.state == state for row in rows) for state in STATES}
    told = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    return f"{len(rows)} host{'s' * (len(rows) != 1)}: {told}" if rows else "no hosts"


def metrics(rows: Iterable[Status], time: float) -> str:
    """Return the rows as metrics for the textfile collector of Prometheus' node_exporter.

    :param time: when the hosts were asked, in seconds since 1970
    """
    lines = [
        "# HELP closure_nixos_host_state How a host stands: 1 for its state, by the label.",
        "# TYPE closure_nixos_host_state gauge",
    ]
    ordered = sorted(rows, key=lambda row: row.host)
    lines += [
        f"closure_nixos_host_state{_labels(host=row.host, state=state)} {int(row.state == state)}"
        for row in ordered
        for state in STATES
    ]
    lines += [
        "# HELP closure_nixos_host_drift How many things of a host are not as they were deployed.",
        "# TYPE closure_nixos_host_drift gauge",
        *(f"closure_nixos_host_drift{_labels(host=row.host)} {len(row.drift)}" for row in ordered),
        "# HELP closure_nixos_host_behind Whether its configuration builds another system now.",
        "# TYPE closure_nixos_host_behind gauge",
        *(
            f"closure_nixos_host_behind{_labels(host=row.host)} {int(row.behind)}"
            for row in ordered
            if row.behind is not None
        ),
        "# HELP closure_nixos_asked_seconds When the hosts were asked, in seconds since 1970.",
        "# TYPE closure_nixos_asked_seconds gauge",
        f"closure_nixos_asked_seconds {time:.0f}",
    ]
    return "\n".join(lines) + "\n"


def _labels(**labels: str) -> str:
    escaped = {
        name: value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        for name, value in labels.items()
    }
    return "{" + ",".join(f'{name}="{value}"' for name, value in escaped.items()) + "}"
