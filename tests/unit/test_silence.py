# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host costs that says nothing, and one that says of a job what cannot be."""

from __future__ import annotations

import tracemalloc
import types
import typing as t

import pytest
from ansible.errors import AnsibleConnectionFailure
from ansible_collections.closure.nixos.plugins.module_utils._build.build_log import BuildLog
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.plugin_utils._host import host as wire
from ansible_collections.closure.nixos.plugins.plugin_utils._host import job
from ansible_collections.closure.nixos.plugins.plugin_utils._host.host import Host, Reply
from ansible_collections.closure.nixos.plugins.plugin_utils._host.scripts import Script

Attempts = list[tuple[str, float]]


def silent(monkeypatch: pytest.MonkeyPatch, answers: dict[str, Reply]) -> tuple[Host, Attempts]:
    """A host that has answered once, and now answers but some scripts."""
    host: t.Any = Host.__new__(Host)
    attempts: Attempts = []
    host.name, host.retry_for, host._answered, host._exports = "web1", 600, True, ""
    host._control_socket = None
    host.task_run = types.SimpleNamespace(check_alive=lambda: None)

    def attempt(text: str, deadline: float, _file: str = "") -> Reply:
        attempts.append((text, deadline))
        if text not in answers:
            raise TimeoutError
        return answers[text]

    monkeypatch.setattr(host, "_attempt", attempt)
    monkeypatch.setattr(host, "reconnect", lambda: None)
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    return host, attempts


def test_a_silent_host_costs_one_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    host, attempts = silent(monkeypatch, {})
    with pytest.raises(AnsibleConnectionFailure, match="web1 gave no answer in 120 s"):
        host.run(Script("it"), 120)
    assert attempts == [("it", 120), (":", wire.SIGN)]


def test_a_script_that_hangs_costs_two(monkeypatch: pytest.MonkeyPatch) -> None:
    host, attempts = silent(monkeypatch, {":": Reply(0, b"", "")})
    with pytest.raises(AnsibleConnectionFailure):
        host.run(Script("it"), 120)
    assert attempts == [("it", 120), (":", wire.SIGN), ("it", 120)]


# Of an error at each attempt: what the host has left in this run, Ansible's retries, and how often
# it is tried then.
NEVER = {"had master, no retries": (1, 0, 2), "no master": (0, 0, 1), "two retries": (0, 2, 3)}


@pytest.mark.parametrize(("masters", "retries", "attempts"), NEVER.values(), ids=NEVER)
def test_a_host_that_this_run_has_not_reached_gets_ansibles_retries_and_one_line(
    monkeypatch: pytest.MonkeyPatch, masters: int, retries: int, attempts: int
) -> None:
    """A control master of the run before, of a host that is gone since, is no answer."""
    host, _attempts = silent(monkeypatch, {})
    left, lines, tried = [True] * masters, list[str](), list[str]()
    host._answered, host._retries = False, retries

    def refused(text: str, _deadline: float, _file: str = "") -> Reply:
        tried.append(text)
        raise AnsibleConnectionFailure("No route to host")

    monkeypatch.setattr(host, "_attempt", refused)
    monkeypatch.setattr(host, "_has_master", lambda: bool(left))
    monkeypatch.setattr(host, "reconnect", left.clear)
    monkeypatch.setattr(wire.display, "display", lines.append)
    with pytest.raises(AnsibleConnectionFailure, match="No route to host"):
        host.run(Script("it"), 120)
    assert tried == ["it"] * attempts
    assert lines == ["web1: the connection is lost, connecting again"] * (attempts > 1)


def lying(text: bytes) -> Host:
    """A host that says of a job always the same."""
    said = types.SimpleNamespace(name="web1", run=lambda _script: Reply(0, text, ""))
    return t.cast(Host, said)


def test_a_job_that_prints_for_ever_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "LONGEST", 10_000)
    followed = job.Job(lying(b"running\n1000 1000\n" + bytes(2000)), "build")
    with pytest.raises(ClosureError, match="web1 says that build has printed more than"):
        followed.wait(600)
    assert sum(output.size for output in followed._outputs) == 12_000


@pytest.mark.parametrize("sizes", [(2**20, 0), (0, 2**20), (2**20, 2**20)], ids=str)
def test_a_job_that_prints_for_ever_takes_little_memory(sizes: tuple[int, int]) -> None:
    """The words of a build go to its log too, and take the most."""
    text = (b"x" * 999 + b"\n") * (sum(sizes) // 1000 + 1)
    host = lying(b"running\n%d %d\n" % sizes + text[: sum(sizes)])
    log = BuildLog()
    tracemalloc.start()
    try:
        with pytest.raises(ClosureError, match="has printed more than"):
            job.Job(host, "build").wait(600, lambda _out, err: log.feed(err))
        assert log.text.endswith("x\n") == (sizes[1] > 0)
        assert tracemalloc.get_traced_memory()[1] < 100 * 10**6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("size", [10, 2**24 - 1, 2**24, 2**24 + 1, 2**25])
def test_of_a_long_output_its_beginning_and_end_are_kept(size: int) -> None:
    output = job._Output()
    whole = "".join(f"{number:07}\n" for number in range(size // 8 + 1))[:size]
    for start in range(0, size, 1_000_000):
        output.add(whole[start : start + 1_000_000].encode())
    begin, left_out, end = output.take().partition("\n[Ansible has left out")
    assert whole.startswith(begin) and whole.endswith(end[-1000:])
    assert bool(left_out) == (size > job.KEPT)
    assert len(begin) == (size if size <= job.KEPT else job.KEPT // 2)


@pytest.mark.parametrize("text", [b"running\n9 9\nx", b"gone", b"a\nb c\n", b"running\n1\nx"])
def test_a_poll_that_cannot_be_is_no_output(text: bytes) -> None:
    with pytest.raises((ClosureError, ValueError)):
        job.Job(lying(text), "build").wait(600)
