# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What becomes of a unit by what it was and what it is."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import subprocess
import typing as t

import pytest
from ansible_collections.closure.nixos.plugins.module_utils._activate.units import (
    Picture,
    State,
    UnitChanges,
    compare,
    parse_changes,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._host.scripts import script

# When the activation began.
SINCE = 150
# As systemd 257 shows it: a service that has run since long before.
LINE = (
    "a.service loaded active running 100 80 90 0 0 90 yes no no - /etc/systemd/system/a.service -"
)
RUNS = Picture(
    name="a.service",
    load="loaded",
    active="active",
    sub="running",
    configured=True,
    state_changed=100,
    began=90,
    active_exit=0,
    main_exit=0,
    checked=90,
    condition=True,
    unneeded=False,
    bus_name="-",
    triggered_by=(),
)
STOPPED = dataclasses.replace(
    RUNS, active="inactive", sub="dead", state_changed=300, active_exit=200, main_exit=250
)
# What systemd reads again from the unit's file, after it has forgotten it.
FORGOTTEN = dataclasses.replace(
    STOPPED, state_changed=0, began=0, active_exit=0, main_exit=0, checked=0, condition=False
)


def but(picture: Picture, **changes: t.Any) -> Picture:
    return dataclasses.replace(picture, **changes)


def test_the_answer_of_a_host_is_read() -> None:
    since, before = ("units_since", "150"), ("unit_before", "a.service loaded active running yes")
    again = ("unit_after", LINE.replace("100 80 90", "300 80 200"))
    assert parse_changes([since, before, again]) == UnitChanges(restarted=("a.service",))
    assert parse_changes([since, again]) == UnitChanges(started=("a.service",))
    assert parse_changes([since, before]) == UnitChanges(stopped=("a.service",))
    assert parse_changes([since]) == UnitChanges()
    assert parse_changes([("user", "root"), before, again]) is None
    cut_off = [("unit_after", "a.service loaded"), ("unit_before", "a.service")]
    assert parse_changes([since, *cut_off]) == UnitChanges()


@pytest.mark.parametrize(
    ("old", "new", "verb"),
    [
        pytest.param(None, RUNS, "started", id="new"),
        pytest.param(STOPPED, but(RUNS, began=200), "started", id="again"),
        pytest.param(
            STOPPED,
            but(STOPPED, began=200),
            "started",
            id="a oneshot without RemainAfterExit",
        ),
        pytest.param(RUNS, but(RUNS, began=200), "restarted", id="restarted"),
        pytest.param(RUNS, but(RUNS, state_changed=200), "reloaded", id="reloaded"),
        pytest.param(
            but(RUNS, name="a.timer", sub="waiting"),
            but(RUNS, name="a.timer", sub="waiting", state_changed=200),
            None,
            id="a timer that elapsed",
        ),
        pytest.param(
            RUNS, but(RUNS, sub="exited", state_changed=200), None, id="main process ended"
        ),
        pytest.param(RUNS, but(RUNS, active="failed"), "failed", id="failed"),
        pytest.param(but(RUNS, active="failed"), but(RUNS, active="failed"), None, id="still"),
        pytest.param(
            but(RUNS, active="failed"),
            but(RUNS, active="failed", began=200),
            "failed",
            id="failed again",
        ),
        pytest.param(RUNS, None, "stopped", id="gone"),
        pytest.param(
            RUNS, but(FORGOTTEN, load="not-found", configured=False), "stopped", id="removed"
        ),
        pytest.param(RUNS, but(FORGOTTEN, load="masked"), "stopped", id="masked"),
        pytest.param(RUNS, STOPPED, "lost", id="stopped by systemd"),
        pytest.param(RUNS, FORGOTTEN, "lost", id="stopped and forgotten"),
        pytest.param(RUNS, but(STOPPED, active="activating"), "stopped", id="about to start"),
        pytest.param(RUNS, but(STOPPED, main_exit=199), "stopped", id="ended by itself"),
        pytest.param(but(RUNS, sub="exited"), but(STOPPED, main_exit=50), "lost", id="a oneshot"),
        pytest.param(RUNS, but(STOPPED, condition=False), "stopped", id="its condition fails now"),
        pytest.param(RUNS, but(STOPPED, unneeded=True), "stopped", id="nobody needs it"),
        pytest.param(RUNS, but(STOPPED, triggered_by=("a.socket",)), "stopped", id="by socket"),
        pytest.param(RUNS, but(FORGOTTEN, bus_name="org.a"), "stopped", id="of the bus"),
        pytest.param(
            but(RUNS, name="c@1.service"), but(FORGOTTEN, name="c@1.service"), "stopped", id="login"
        ),
        pytest.param(
            but(RUNS, name="c@1.service"), but(STOPPED, name="c@1.service"), "lost", id="instance"
        ),
        pytest.param(
            but(RUNS, name="user@0.service"),
            but(STOPPED, name="user@0.service"),
            "stopped",
            id="user",
        ),
        pytest.param(
            but(RUNS, name="a.target"), but(STOPPED, name="a.target"), "stopped", id="a target"
        ),
        pytest.param(but(RUNS, name="a.scope"), None, None, id="a scope"),
        pytest.param(but(RUNS, configured=False), None, None, id="no file, or transient"),
    ],
)
def test_what_became_of_a_unit(old: Picture | None, new: Picture | None, verb: str | None) -> None:
    before: dict[str, State] = {old.name: old} if old else {}
    after = {new.name: new} if new else {}
    found = dataclasses.asdict(compare(before, after, SINCE))
    assert [name for name, units in found.items() if units] == ([verb] if verb else [])


def test_a_trigger_that_was_stopped_starts_nothing() -> None:
    socket = but(RUNS, name="a.socket", sub="listening")
    before: dict[str, State] = {"a.service": RUNS, "a.socket": socket}
    service = but(STOPPED, triggered_by=("a.socket",))
    after = {"a.service": service, "a.socket": but(STOPPED, name="a.socket")}
    assert compare(before, after, SINCE).lost == ("a.service", "a.socket")


# What `systemctl list-units --all --full --plain --no-legend` of systemd 257 says.
LISTED = """dev-tpmrm0.device loaded active plugged /dev/tpmrm0
init.scope loaded active running System and Service Manager
user-0.slice loaded active active User Slice of UID 0
t-none.mount loaded active mounted /t/none
a.service loaded active running It runs
b.service loaded inactive dead It may have run
b.target loaded inactive dead It has not
c.service not-found inactive dead c.service
"""


def shell(directory: pathlib.Path, *words: str) -> list[str]:
    """Call a function where systemctl lists those units."""
    fake = directory / "systemctl"
    fake.write_text(f"#!/bin/sh\ncat <<'END'\n{LISTED}END\n")
    fake.chmod(0o755)
    state = directory / "closure-nixos"
    text = script(*words).text.replace("state=/run/closure-nixos", f"state={state}")
    environment = os.environ | {
        "PATH": f"{directory}:{os.environ['PATH']}",
        "XDG_STATE_HOME": str(directory),
    }
    command = ["sh", "-s"]
    return subprocess.check_output(command, input=text, env=environment, text=True).splitlines()


def test_only_what_may_have_acted_and_people_configure_is_shown(tmp_path: pathlib.Path) -> None:
    """To show a unit costs its host a millisecond or two, and a host has many devices."""
    listed = shell(tmp_path, "states_of", "")
    assert [line.split()[0] for line in listed if line.endswith(" yes")] == [
        *("a.service", "b.service", "b.target", "c.service"),
    ]
    job = tmp_path / "closure-nixos/jobs/activation"
    job.mkdir(parents=True)
    gone = ["d.service loaded active running yes", "session-1.scope loaded active running no"]
    (job / "units").write_text("\n".join(["since 150", *listed, *gone, ""]))
    (job / "units.now").write_text("\n".join([*listed, ""]))
    shown = shell(tmp_path, "units_to_show")
    assert [sorted(line.split()) for line in shown] == [
        ["a.service", "b.service", "d.service", "system"]
    ]
