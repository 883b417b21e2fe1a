# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How an evaluation is divided, and what Nix says of its parts. Private to the collection.

A unit is what is asked of one system: its toplevel, or one of its options. Shares of units are
evaluated by processes of their own (``evaluate.nix``, ``build.sh``).
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import json
import re
import typing as t
from collections.abc import Mapping, Sequence

from ansible_collections.closure.nixos.plugins.module_utils._build.nix_errors import warnings_in
from ansible_collections.closure.nixos.plugins.module_utils._build.request import Request

_ENDED = re.compile(r"^@ended (\d+) (\d+) (\d+)\n", re.MULTILINE)
_MARK = re.compile(r"^trace: closure\.nixos: (begin|found) (\d+) (.*)\n?", re.MULTILINE)
# What the toplevel of a NixOS takes at most, as its evaluation was measured: half of this.
_BYTES_OF_A_WORKER = 1024**3


@dataclasses.dataclass(frozen=True)
class Unit:
    """What is asked of the system of one host, as a goal's ``.nix`` file takes it.

    :param key: tells it from the host's other units
    :param leads: whether nothing else is asked of the host when this cannot be answered
    """

    host: str
    asked: t.Any = dataclasses.field(default=None, compare=False)
    key: str = ""
    leads: bool = False


@dataclasses.dataclass(frozen=True)
class Share:
    """Units that one process evaluates, unless they end it."""

    expression: str
    units: tuple[Unit, ...]


@dataclasses.dataclass(frozen=True)
class Answer:
    """What Nix said of a unit.

    :param found: as JSON, ``None`` where it was not evaluated
    :param stderr: what Nix said meanwhile; of a unit that failed it ends with the error
    :param status: of the process that it ended, ``None`` when it did not
    :param search_path: whether ``NIX_PATH`` counted
    """

    found: t.Any
    stderr: str
    status: int | None = None
    search_path: bool = False


Answers = dict[Unit, Answer]


def workers_of(asked: str, machine: str, hosts: int, memory: int) -> tuple[int, int]:
    """Return how many processes evaluate at the same time, and the bytes for each, 0 for no limit.

    :param asked: a number, or ``auto``
    :param machine: what ``machine`` printed (``build.sh``): cores, and free bytes
    :param memory: bytes for all of them together, 0 for three quarters of what is free
    """
    cores, free = (int(word) for word in machine.split())
    budget = memory or free * 3 // 4
    wanted = min(cores, budget // _BYTES_OF_A_WORKER) if asked == "auto" else int(asked)
    workers = max(1, min(wanted, hosts))
    return workers, budget // workers if memory or asked == "auto" else 0


def shares_of(
    requests: Mapping[str, Request], units: Sequence[Unit], workers: int
) -> tuple[Share, ...]:
    """Divide units among processes: hosts of one expression stand together, in even shares."""
    groups: dict[str, dict[str, list[Unit]]] = {}
    for unit in units:
        hosts = groups.setdefault(requests[unit.host].expression, {})
        hosts.setdefault(unit.host, []).append(unit)
    shares: list[Share] = []
    for expression, hosts in groups.items():
        number = -(-workers * len(hosts) // len(requests))
        for part in range(min(number, len(hosts))):
            own = itertools.islice(hosts.values(), part, None, number)
            shares.append(Share(expression, tuple(itertools.chain.from_iterable(own))))
    return tuple(shares)


def data_of(requests: Mapping[str, Request], shares: Sequence[Share]) -> str:
    """Write what ``requests.nix`` and ``evaluate.nix`` read, as JSON."""
    sources = {json.dumps(it.source): it.source for it in requests.values()}
    numbers = {text: number for number, text in enumerate(sources)}
    hosts = {host: number for number, host in enumerate(requests)}
    data = {
        "sources": list(sources.values()),
        "requests": [
            {
                "host": host,
                "source": numbers[json.dumps(it.source)],
                "attrs": it.attrs,
                "args": it.args,
                "special": it.special,
            }
            for host, it in requests.items()
        ],
        "shares": [_positions(share, hosts) for share in shares],
    }
    return json.dumps(data)


def _positions(share: Share, hosts: Mapping[str, int]) -> list[dict[str, t.Any]]:
    last = {unit.host: position for position, unit in enumerate(share.units)}
    return [
        {
            "request": hosts[unit.host],
            "asked": unit.asked,
            "next": (last[unit.host] if unit.leads else position) + 1,
        }
        for position, unit in enumerate(share.units)
    ]


def parse_answers(text: str, shares: Sequence[Share]) -> Answers:
    """Read what ``evaluate`` printed (``build.sh``): what Nix said of each unit."""
    # What was said, and then three numbers, for each process that ended.
    parts = _ENDED.split(text)
    answers: Answers = {}
    last: dict[int, tuple[str, int]] = {}
    for said, share, status in zip(parts[0::4], parts[1::4], parts[2::4], strict=False):
        last[int(share)] = said, int(status)
        answers |= _of_process(said, shares[int(share)].units, int(status))
    for number, share in enumerate(shares):
        answers |= _left(share, answers, *last.get(number, (text, 1)))
    return answers


def _of_process(said: str, units: Sequence[Unit], status: int) -> Answers:
    """Return what one process found, and its error as the answer of the unit that it ended with."""
    answers: Answers = {}
    ahead, *marks = _MARK.split(said)
    begun: Unit | None = None
    for kind, number, rest, behind in zip(*(marks[n::4] for n in range(4)), strict=True):
        unit = units[int(number)]
        if kind == "begin":
            begun, ahead = unit, behind
        elif (found := _json(rest)) is not None:
            answers[unit], begun, ahead = Answer(found, ahead), None, behind
    if status and begun:
        answers[begun] = Answer(None, ahead, status)
    return answers


def _json(text: str) -> t.Any:
    """Read JSON; ``None`` when it is cut short, because its writer was killed."""
    try:
        return json.loads(text)
    except ValueError:
        return None


def _left(share: Share, answers: Answers, said: str, status: int) -> Answers:
    """Return the answers of units that no process came to: that of what stood in the way."""
    in_the_way = {
        unit.host: answers[unit]
        for unit in share.units
        if unit.leads and unit in answers and answers[unit].found is None
    }
    last = Answer(None, said, status)
    return {unit: in_the_way.get(unit.host, last) for unit in share.units if unit not in answers}


def warnings_of(answers: Answers) -> list[str]:
    """Return the warnings of an evaluation, each once and with the hosts that it was shown for."""
    hosts: dict[str, dict[str, None]] = collections.defaultdict(dict)
    for unit, answer in answers.items():
        for warning in warnings_in(answer.stderr):
            hosts[warning][unit.host] = None
    return [f"{', '.join(names)}: {warning}" for warning, names in hosts.items()]


def parse_jobs(text: str) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """Read what nix-eval-jobs printed: what was found by host, and the error of a host by host.

    Each line is a JSON object with ``attrPath``, and with ``drvPath`` and ``outputs`` or ``error``
    (nix-eval-jobs, src/worker.cc). A worker that ends early leaves out what it did not come to.
    """
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    named = {line["attrPath"][0]: line for line in lines if line.get("attrPath")}
    found = {
        host: {"drv": line["drvPath"], "out": line["outputs"]["out"]}
        for host, line in named.items()
        # The output of a content-addressed derivation is not known before it is built.
        if line.get("outputs", {}).get("out")
    }
    return found, {host: line["error"] for host, line in named.items() if "error" in line}
