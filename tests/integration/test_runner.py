# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The project of examples/runner, run by ansible-runner: jobs, slices, one that is cancelled."""

from __future__ import annotations

import json
import pathlib
import shutil
import subprocess
import sys
import typing as t

import pytest
from ansible_collections.closure.nixos.tests.integration._harness import Event, Fleet, until
from ansible_collections.closure.nixos.tests.integration._systems import (
    HOSTS,
    difference,
    nix,
    recorded,
    running,
    trace,
    write_systems,
)
from ansible_runner.interface import run as run_job

EXAMPLE = pathlib.Path(__file__).parents[2] / "examples/runner"
RUNNER = str(pathlib.Path(sys.executable).with_name("ansible-runner"))
PLAYBOOK = ("-p", "deploy.yml")
BUILD = "Evaluate and build the systems of all hosts"
COPY = "Copy what the host does not have"
SLICES = ("node1", "node2:node3")


@pytest.fixture
def project(fleet: Fleet, environment: dict[str, str], tmp_path: pathlib.Path) -> pathlib.Path:
    """The example, with the hosts and systems of the tests in it."""
    directory = tmp_path / "runner"
    shutil.copytree(EXAMPLE, directory)
    shutil.copy(fleet.inventory, directory / "inventory/hosts.yml")
    shutil.copy(write_systems(tmp_path), directory / "project/nixos.nix")
    variables = {key: value for key, value in environment.items() if key != "ANSIBLE_CONFIG"}
    with (directory / "env/envvars").open("a") as file:
        file.writelines(f"{key}: {json.dumps(value)}\n" for key, value in variables.items())
    return directory


def runner(*words: object, stdin: bytes | None = None) -> bytes:
    command = [RUNNER, *map(str, words)]
    done = subprocess.run(command, input=stdin, capture_output=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    return done.stdout


class Job(t.NamedTuple):
    """What ansible-runner keeps of a run."""

    artifacts: pathlib.Path

    @property
    def ended(self) -> tuple[str, str]:
        return (self.artifacts / "rc").read_text(), (self.artifacts / "status").read_text()

    @property
    def events(self) -> list[Event]:
        files = (self.artifacts / "job_events").glob("[0-9]*-*.json")
        found = [json.loads(file.read_text()) for file in files]
        return sorted(found, key=lambda event: int(event["counter"]))

    def results(self, task: str) -> dict[str, dict[str, t.Any]]:
        """By host, the result of a task."""
        ended = [it["event_data"] for it in self.events if it["event"] == "runner_on_ok"]
        return {data["host"]: data["res"] for data in ended if data["task"] == task}

    @property
    def custom(self) -> dict[str, t.Any]:
        """What became of each host."""
        (stats,) = (it for it in self.events if it["event"] == "playbook_on_stats")
        return t.cast(dict[str, t.Any], stats["event_data"]["artifact_data"]["closure_nixos"])


def run(project: pathlib.Path, ident: str, *words: object) -> Job:
    runner("run", project, *PLAYBOOK, "--ident", ident, "--quiet", *words)
    # Kept for the next run. AWX makes a new directory for each.
    (project / "env/cmdline").unlink()
    return Job(project / "artifacts" / ident)


def slices(project: pathlib.Path, directory: pathlib.Path) -> list[Job]:
    """Deploy by two controllers at once, each with a part of the hosts, as AWX's mesh does."""
    workers: list[subprocess.Popen[bytes]] = []
    for number, hosts in enumerate(SLICES):
        own, sent = directory / f"controller-{number}", directory / f"sent-{number}"
        own.mkdir()
        sent.write_bytes(runner("transmit", project, *PLAYBOOK, "--limit", hosts))
        worker = [RUNNER, "worker", "--private-data-dir", str(own)]
        with sent.open("rb") as file, (directory / f"came-{number}").open("wb") as came:
            workers.append(subprocess.Popen(worker, stdin=file, stdout=came))
    assert [worker.wait() for worker in workers] == [0] * len(SLICES)
    jobs = []
    for number, _hosts in enumerate(SLICES):
        back = directory / f"back-{number}"
        back.mkdir()
        runner("process", back, "--ident", "job", stdin=(directory / f"came-{number}").read_bytes())
        jobs.append(Job(back / "artifacts/job"))
    return jobs


def test_a_job_that_builds_one_that_looks_and_two_that_deploy(
    fleet: Fleet, project: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """The controllers are two private directories of this machine, and share its store."""
    systems = project / "project/nixos.nix"
    for host in HOSTS:
        # Any dry run leaves it.
        fleet.exec(host, "mkdir -p /run/nixos && touch /run/nixos/switch-to-configuration.lock")
    before = {host: trace(fleet, host) for host in HOSTS}

    built = run(project, "build", "--cmdline", "--tags build")
    assert built.ended == ("0", "successful")
    assert all(result["built"] > 0 for result in built.results(BUILD).values())
    paths = {host: result["path"] for host, result in built.results(BUILD).items()}
    assert paths == {
        host: nix("nix-build", "--no-out-link", str(systems), "-A", f"{host}.system")
        for host in HOSTS
    }
    looked = run(project, "look", "--cmdline", "--check --diff")
    assert looked.ended == ("0", "successful")
    results = looked.results(COPY)
    assert {host: result["changed"] for host, result in results.items()} == (
        dict.fromkeys(HOSTS, True)
    )
    # What differs: no package where the host ran a system with the same ones, but the profile.
    tried = looked.results("Activate the system on trial")
    assert {host: it["diff"][-1]["after"].strip() for host, it in tried.items()} == paths
    assert all(it["plan_sent"] for it in tried.values())
    assert [difference(before[host], trace(fleet, host)) for host in HOSTS] == [[], [], []]

    jobs = slices(project, tmp_path)
    assert [job.ended for job in jobs] == [("0", "successful")] * len(SLICES)
    assert [set(job.custom) for job in jobs] == [set(part.split(":")) for part in SLICES]
    told = {host: result for job in jobs for host, result in job.custom.items()}
    assert {host: told[host]["status"] for host in told} == dict.fromkeys(HOSTS, "deployed")
    # Nothing was built once more.
    again = {host: it for job in jobs for host, it in job.results(BUILD).items()}
    assert {host: (again[host]["path"], again[host]["built"]) for host in again} == {
        host: (path, 0) for host, path in paths.items()
    }
    assert {host: (running(fleet, host), recorded(fleet, host)) for host in HOSTS} == {
        host: (path, path) for host, path in paths.items()
    }


@pytest.mark.soak
def test_a_job_that_is_cancelled_on_trial_leaves_the_old_system(
    fleet: Fleet, project: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    before = running(fleet, "node2"), recorded(fleet, "node2")
    check = tmp_path / "check.yml"
    check.write_text(json.dumps([{"name": "Wait", "ansible.builtin.raw": "sleep 30"}]))
    tasks: list[str] = []

    def remember(event: Event) -> None:
        if event["event"] == "playbook_on_task_start":
            tasks.append(event["event_data"]["task"])

    done = run_job(
        private_data_dir=str(project),
        playbook="deploy.yml",
        limit="node2",
        extravars={
            "deploy_checks": [str(check)],
            "deploy_confirm_timeout": 20,
            "deploy_check_timeout": 20,
        },
        event_handler=remember,
        cancel_callback=lambda: "Wait" in tasks,
        quiet=True,
    )
    assert done.status == "canceled"
    assert "Confirm the system" not in tasks
    guard = "systemctl is-active -q closure-nixos-guard"
    until(lambda: fleet.exec("node2", f"{guard} || echo gone", check=False) == "gone\n")
    assert (running(fleet, "node2"), recorded(fleet, "node2")) == before
