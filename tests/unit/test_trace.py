# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Round trips as people see them, and as a profiler reads them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.closure.nixos.plugins.plugin_utils._host.scripts import Script, script
from ansible_collections.closure.nixos.plugins.plugin_utils._host.trace import VARIABLE, Trip

REQUEST = ("request", "run", "who", "id", "boot")
SECRET = ("add", "it", "/run/keys/it", "0", "0", "077", "", "", "canary")
CALLS = {
    ("system_facts", "/p", "/nix/store/x"): "system_facts /p /nix/store/x",
    (*REQUEST, "job_start", "build-1", "", "30", "canary"): (
        "request run who id boot job_start build-1 '' 30 '***'"
    ),
    ("secrets_put", "put", "", *SECRET): "secrets_put '***'",
    ("configured", "canary", "looking_up", "/", "true", "machine"): (
        "configured '***' looking_up / true machine"
    ),
    ("pull", "http://a", "canary", "/nix/store/x"): "pull '***'",
    (*REQUEST, "guard_order", "canary"): "request run who id boot guard_order '***'",
    (*REQUEST, "guard_arm", "command=canary", "to=/x"): "request run who id boot guard_arm '***'",
    ("pin_write", "/pin", "canary"): "pin_write /pin '***'",
    ("fetch", "canary"): "fetch '***'",
}


@pytest.mark.parametrize(("words", "shown"), CALLS.items(), ids=lambda it: str(it)[:20])
def test_a_call_is_shown_without_what_may_be_secret(words: tuple[str, ...], shown: str) -> None:
    sent = script(*words)
    assert sent.shown == shown
    assert "canary" not in sent.shown + sent.what


def test_what_a_script_is_for_is_its_functions() -> None:
    assert script("system_facts", "/p", then=("boot_id",)).what == "system_facts boot_id"
    assert Script("echo canary").what == "script"


def events(file: Path) -> list[dict[str, object]]:
    text = file.read_text()
    assert text.startswith("[\n") and text.endswith(",\n")
    found: list[dict[str, object]] = json.loads(f"{text[:-2]}]")
    return found


def test_several_processes_write_one_trace_with_a_lane_for_each_host(tmp_path: Path) -> None:
    text = (
        "import sys; from ansible_collections.closure.nixos.plugins.plugin_utils._host import "
        "scripts, trace\nfor number in range(50):\n"
        "    with trace.Trip(sys.argv[1], scripts.Script('x'), 1).taken() as answered:\n"
        "        answered(0, bytes(number), '')\n"
    )
    environment = os.environ | {
        "PYTHONPATH": ":".join(sys.path),
        VARIABLE: str(tmp_path / "trace.json"),
    }
    hosts = ("web1", "web2", "web1", "db1")
    writers = [
        subprocess.Popen([sys.executable, "-c", text, host], env=environment) for host in hosts
    ]
    assert [writer.wait() for writer in writers] == [0] * 4
    found = events(tmp_path / "trace.json")
    lanes = {it["tid"]: it["args"] for it in found if it["ph"] == "M"}
    trips = [it for it in found if it["ph"] == "X"]
    assert {str(it) for it in lanes.values()} == {str({"name": host}) for host in hosts}
    assert len(trips) == 200 and {it["tid"] for it in trips} == lanes.keys()
    assert (tmp_path / "trace.json").stat().st_mode & 0o777 == 0o600


def test_a_trip_that_fails_is_told_and_a_trace_that_cannot_be_written_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "trace.json"))
    with pytest.raises(TimeoutError), Trip("web1", Script("x"), 1).taken():
        raise TimeoutError
    assert events(tmp_path / "trace.json")[-1]["args"] == {
        "sent": 1,
        "received": 0,
        "end": "TimeoutError",
    }
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with Trip("web1", Script("x"), 1).taken() as answered:
        answered(0, b"", "")
