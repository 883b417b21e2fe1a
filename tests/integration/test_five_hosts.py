# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Five hosts in batches, one sick, one lost, one that needs a reboot, as ansible-runner has it."""

from __future__ import annotations

import json
import pathlib
import typing as t

import pytest
from ansible_collections.closure.nixos.tests.integration._harness import (
    Fleet,
    Play,
    control_masters,
    kill,
)
from ansible_collections.closure.nixos.tests.integration._systems import running, write_systems
from ansible_collections.closure.nixos.tests.integration._trials import FAILED, at, options
from ansible_collections.closure.nixos.tests.integration.conftest import _testbed
from ansible_collections.closure.nixos.tests.integration.test_deploy import role
from ansible_collections.closure.nixos.tests.integration.test_status import (
    NOWHERE,
    PICTURES,
)

FIVE = [f"node{number}" for number in range(1, 6)]
SUMMARY = {"ANSIBLE_CALLBACKS_ENABLED": "closure.nixos.summary"}
SICK = '{ environment.etc."t-sick".text = ""; }'
KERNEL = '{ boot.kernelVersion = "8.8.8"; }'


@pytest.fixture(scope="module")
def fleet(fleet_name: str, ansible_home: pathlib.Path) -> t.Iterator[Fleet]:
    """Five hosts of their own."""
    name = f"{fleet_name}-five"
    assert _testbed("up", name, *("-n", "5")) == 0
    yield Fleet(name)
    _testbed("down", name)
    for pid in control_masters(ansible_home):  # they wait for hosts that are gone
        kill(pid)


def boot(fleet: Fleet, host: str) -> str:
    return fleet.exec(host, "cat /proc/sys/kernel/random/boot_id")


@pytest.mark.soak
def test_five_hosts_in_batches_then_those_that_failed(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    lost = tmp_path / "lost.json"
    lost.write_text(json.dumps({"all": {"hosts": {"node4": NOWHERE}}}))
    (tmp_path / "check.yml").write_text(
        json.dumps([{"name": "Check", "ansible.builtin.raw": "test ! -e /etc/t-sick"}])
    )
    file = write_systems(tmp_path, hosts=FIVE, node2=SICK, node5=KERNEL)
    common = {"deploy_checks": [str(tmp_path / "check.yml")], "deploy_reboot": "required"}
    before, boots = ({host: read(fleet, host) for host in FIVE} for read in (running, boot))
    # With its own inventory, which stands behind that of the fleet.
    played = play(
        role(serial=[1, "50%", "100%"]),
        *("-i", str(lost), *options(file, **common)),
        env=SUMMARY,
    )

    stats = played.custom["closure_nixos"]
    assert {host: stats[host]["status"] for host in stats} == {
        "node1": "deployed",
        "node2": "failed",
        "node3": "deployed",
        "node5": "deployed",
    }
    counts = {host: (it["failed"], it["unreachable"]) for host, it in played.stats.items()}
    assert counts == {host: {"node2": (1, 0), "node4": (0, 1)}.get(host, (0, 0)) for host in FIVE}
    assert "rolled back" in played.result("node2", FAILED)["msg"]
    # One line a host, however it went, and no wider than a terminal of 80 columns.
    ends = [line for _time, line in played.lines if line.startswith("node")]
    told = {line.split()[0]: " ".join(line.split()[1:3]) for line in ends}
    assert {host: told[host].split()[0] for host in FIVE} == {
        "node1": "switched",
        "node2": "FAILED",
        "node3": "switched",
        "node4": "unreachable",
        "node5": "rebooted",
    }
    assert all(len(line) <= 80 for line in played.text.splitlines()[-10:]), played.text
    PICTURES.mkdir(exist_ok=True)
    (PICTURES / "five-hosts.txt").write_text(played.text)
    now = at(fleet, ["node1", "node3", "node5"])
    assert all(now[host] != before[host] for host in now)
    assert {host: running(fleet, host) for host in ("node2", "node4")} == {
        host: before[host] for host in ("node2", "node4")
    }
    assert [host for host in FIVE if boot(fleet, host) != boots[host]] == ["node5"]

    # What ansible-runner keeps of the run is what it said.
    (kept,) = tmp_path.glob("play-*/artifacts/*")
    # 4 is Ansible's word for hosts that cannot be reached.
    assert ((kept / "rc").read_text(), (kept / "status").read_text()) == ("4", "failed")
    events = [json.loads(it.read_text()) for it in (kept / "job_events").glob("*.json")]
    assert len(events) == len(played.events)
    assert {it["event_data"].get("host") for it in events} - {None} == set(FIVE)

    # Mended, only those that failed are deployed, each on its own.
    text = file.read_text().replace(SICK, "{ }")
    file.write_text(text)
    # As Ansible writes its retry files, which ansible-runner switches off.
    limit = tmp_path / "play.retry"
    limit.write_text("".join(f"{host}\n" for host in FIVE if any(counts[host])))
    again = play(
        role(strategy="host_pinned"),
        *("--limit", f"@{limit}", "--tags", "activate,check", *options(file, **common)),
    )
    assert again.rc == 0 and set(again.stats) == {"node2", "node4"}, again.text
    mended = {host: at(fleet, [host])[host] for host in FIVE}
    assert all(mended[host] != before[host] for host in FIVE)
    assert {host: mended[host] for host in now} == now

    # And then there is nothing to do, also one by one, or with a failure that would count for all.
    plays = json.loads(role(strategy="free", any_errors_fatal=True))
    plays[0]["roles"][0]["throttle"] = 1
    rest = play(json.dumps(plays), "--skip-tags", "activate", *options(file, **common))
    assert rest.rc == 0, rest.text
    assert {host: it["changed"] for host, it in rest.stats.items()} == dict.fromkeys(FIVE, 0)
    assert [rest.result(host, FAILED)["msg"] for host in FIVE] == [
        f"{host}: unchanged" for host in FIVE
    ]
