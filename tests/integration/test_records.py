# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host keeps of its deployments, and who reads it."""

from __future__ import annotations

import json
import pathlib
import subprocess

from ansible_collections.closure.nixos.tests.integration._harness import Fleet, Play
from ansible_collections.closure.nixos.tests.integration._systems import (
    difference,
    running,
    trace,
    write_systems,
)

DEPLOY = pathlib.Path("closure.nixos.deploy")
LOG = pathlib.Path("closure.nixos.log")
REVISION = '{ system.configurationRevision = "8a2b1c0d"; system.nixos.revision = "6ea1f4ea"; }'
PLACE = "/var/lib/closure-nixos/elsewhere"


def commit(directory: pathlib.Path, subject: str) -> str:
    git = ["git", "-C", str(directory), "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (("init", "-q"), ("add", "."), ("commit", "-qm", subject)):
        subprocess.run([*git, *words], check=True)
    done = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_a_deployment_leaves_a_record_that_the_log_shows(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    infra = tmp_path / "infra"
    infra.mkdir()
    (infra / "nixpkgs.json").write_text('{"rev": "6ea1f4ea"}')
    file = write_systems(infra, REVISION, ["node1"])
    revision = commit(infra, "Fix the site")
    fleet.exec("node1", f"rm -rf {PLACE}")
    common = ("--limit", "node1", "-e", f"deploy_history_directory={PLACE}")
    old = running(fleet, "node1")
    keep = ("-e", json.dumps({"deploy_retention": {"keep": 1, "collect": False}}))
    wrong = play(DEPLOY, *common, "-e", '{"deploy_retention": {"keep_since": "soon"}}')
    assert "deploy_retention: keep_since: 'soon' is no age" in wrong.text
    assert running(fleet, "node1") == old

    first = play(DEPLOY, *common, *keep, "-e", f"nixos_file={file}")
    # Beside what runs, what has booted stays.
    kept = fleet.exec("node1", "nix-env -p /nix/var/nix/profiles/system --list-generations")
    assert len(kept.splitlines()) == 2
    again = play(DEPLOY, *common, "-e", f"nixos_file={file}")
    assert (first.rc, again.rc) == (0, 0), first.text

    # Only the last of two stays; this one fails its check.
    file.write_text(file.read_text().replace("6ea1f4ea", "7fb205fb"))
    check = tmp_path / "check.yml"
    check.write_text(json.dumps([{"name": "Check", "ansible.builtin.fail": {"msg": "HTTP 502"}}]))
    failed = play(
        DEPLOY, *common, *keep, "-e", f"nixos_file={file} deploy_checks={check} deploy_history=2"
    )
    assert failed.rc == 2
    assert not failed.results("node1", "Delete old generations and collect garbage")[-1].get(
        "deleted"
    )
    assert fleet.exec("node1", f"stat -c '%a %U' {PLACE}/history") == "600 root\n"
    good, bad = map(json.loads, fleet.exec("node1", f"cat {PLACE}/history").splitlines())
    assert (good["from"], good["to"]) == (old, running(fleet, "node1"))
    assert (good["revision"], good["subject"], good["dirty"]) == (revision, "Fix the site", False)
    assert (good["nixpkgs"], good["source"]) == ("6ea1f4ea", str(file))
    assert (good["result"], bad["result"], bad["dirty"]) == ("deployed", "failed", True)
    assert bad["why"].startswith("Check: HTTP 502 (rolled back to ")
    assert good["user"] and good["controller"] and good["time"] < bad["time"]

    before = trace(fleet, "node1")
    log = play(LOG, *common, "-e", "log_count=1")
    facts = log.result("node1", "Look at the host")["ansible_facts"]["nixos"]
    assert facts["history"] == [bad]
    assert facts["configuration_revision"] == "8a2b1c0d"
    assert facts["nixpkgs_revision"] == "6ea1f4ea"
    (line,) = log.result("node1", "Show its deployments")["msg"]
    assert "FAILED  Check: HTTP 502" in line and f"{revision[:10]}+ Fix the site" in line
    assert difference(before, trace(fleet, "node1")) == []
