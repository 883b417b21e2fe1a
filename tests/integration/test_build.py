# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""nix_build_system on the controller: what it builds, what a broken configuration leads to."""

from __future__ import annotations

import pathlib
import secrets
import signal
import subprocess
import typing as t

import pytest
from ansible_collections.closure.nixos.tests.integration._harness import (
    PATIENCE,
    Fleet,
    Play,
    Played,
    StartPlay,
    until,
)
from ansible_collections.closure.nixos.tests.integration._systems import (
    COPY,
    HOSTS,
    Task,
    build,
    module,
    nix,
    playbook,
    write_systems,
)

FLAKES = ("nix", "--extra-experimental-features", "nix-command flakes")
# A host's package that a builder makes; %s is its script, new each time.
PACKAGE = """{{ pkgs, ... }}: {{
  environment.systemPackages = [ (pkgs.runCommand "{name}" {{ }} ''{script}'') ];
}}"""


def package(script: str, name: str = "probe") -> str:
    return PACKAGE.format(name=name, script=f"{script} # {secrets.token_hex(4)}")


def built(played: Played) -> dict[str, dict[str, t.Any]]:
    return {host: played.result(host) for host in played.stats}


def messages(played: Played) -> dict[str, str]:
    """What was said of each host that failed."""
    assert "Traceback" not in played.text
    return {host: said["msg"] for host, said in built(played).items() if said.get("msg")}


def test_a_system_is_built_once_and_then_found(play: Play, tmp_path: pathlib.Path) -> None:
    file = write_systems(tmp_path)
    roots = tmp_path / "roots"
    text = playbook(build(file, roots=str(roots)))
    checked, first, again = play(text, "--check"), play(text), play(text)
    assert [played.stats["node1"]["changed"] for played in (checked, first, again)] == [1, 1, 0]
    for host in HOSTS:
        said = built(first)[host]
        assert said["path"] == built(checked)[host]["path"] == built(again)[host]["path"]
        assert said["drv_path"].endswith(".drv")
        assert said["platform"] == "x86_64-linux"
        assert said["nixos_version"] == "26.05.standin"
        assert (roots / host).readlink() == pathlib.Path(said["path"])
    rooted = nix("nix-store", "--gc", "--print-roots")
    assert all(f"{roots}/{host} -> {built(first)[host]['path']}" in rooted for host in HOSTS)


def test_a_later_task_of_the_same_run_has_nothing_left_to_do(
    play: Play, tmp_path: pathlib.Path
) -> None:
    file, roots = write_systems(tmp_path, package("mkdir $out")), str(tmp_path / "roots")
    first, again = (build(file, roots=roots) | {"name": name} for name in ("first", "again"))
    other = write_systems(tmp_path, package("mkdir $out", "other"))
    systems = {"other": {"file": str(other), "attr": "node1"}}
    named = module("nix_build_system", {"systems": systems, "build_host": "localhost"})
    twice = named | {"name": "twice", "loop": [1, 2]}
    text = playbook(first, again, twice)
    checked, played = play(text, "--check"), play(text)
    for host in HOSTS:
        would, did, left = (
            it.result(host, name)
            for it, name in ((checked, "again"), (played, "first"), (played, "again"))
        )
        assert (would["changed"], did["changed"], left["changed"]) == (True, True, False)
        assert did["built"] > 0 and left["built"] == 0 and left["plan"]["derivations"] == []
        assert left["path"] == did["path"] and left["nixos_version"] == did["nixos_version"]
        assert [it["changed"] for it in played.result(host, "twice")["results"]] == [True, False]


ATTRIBUTES: dict[str, tuple[list[str], str]] = {
    "with quotes and a dot": (['"web.example.org".system'], "node1"),
    "the first that exists": (["nothing.system", "node2.system", "node3.system"], "node2"),
    "a set with config": (["node3"], "node3"),
    "through config": (["node1.config.system.build.toplevel"], "node1"),
}


def test_an_attribute_is_found_as_nix_build_finds_it(play: Play, tmp_path: pathlib.Path) -> None:
    systems = write_systems(tmp_path)
    file = tmp_path / "more.nix"
    file.write_text(
        "{ dotted ? ''web.example.org'' }:"
        f" let all = import {systems}; in all // {{ ${{dotted}} = all.node1; }}"
    )
    tasks = [
        module("nix_build_system", {"file": str(file), "attr": attr}) | {"name": name}
        for name, (attr, _system) in ATTRIBUTES.items()
    ]
    single = tmp_path / "single.nix"
    single.write_text(f"(import {systems}).node2.system")
    tasks.append(module("nix_build_system", {"file": str(single)}) | {"name": "the whole file"})
    local = {"connection": "local", "hosts": "localhost"}
    played = play(playbook(*tasks, **local))
    names = {name: host for name, (_attr, host) in ATTRIBUTES.items()}
    names["the whole file"] = "node2"
    for name, host in names.items():
        assert f"-nixos-system-{host}-" in played.result("localhost", name)["path"], name


def test_a_failing_builder_is_named_with_its_log_for_its_own_hosts_only(
    play: Play, tmp_path: pathlib.Path
) -> None:
    file = write_systems(
        tmp_path,
        node1=package("echo first words; exit 7", "one"),
        node2=package("echo second words; exit 8", "two"),
    )
    played = play(playbook(build(file)))
    assert [played.stats[host]["failed"] for host in HOSTS] == [1, 1, 0]
    said = messages(played)
    for host, name, words in (("node1", "one", "first"), ("node2", "two", "second")):
        assert f"-{name}.drv does not build" in said[host]
        assert f"{words} words" in said[host]
        assert "nix-store --read-log /nix/store/" in said[host]
        assert built(played)[host]["drv_path"].endswith(".drv")
    assert built(played)["node3"]["path"]


def test_without_keep_going_nix_stops_at_the_first_failure(
    play: Play, tmp_path: pathlib.Path
) -> None:
    file = write_systems(
        tmp_path,
        node1=package("echo first words; exit 7", "one"),
        node2=package("echo second words; exit 8", "two"),
    )
    said = messages(play(playbook(build(file, keep_going=False, max_jobs="1"))))
    # Which of the two comes first is Nix's choice.
    failing = [said["node1"], said["node2"]]
    assert len([word for word in ("first", "second") if f"{word} words" in "".join(failing)]) == 1
    assert sum("is not built, because Nix stopped at another" in it for it in failing) == 1


def test_what_a_binary_cache_has_is_fetched_and_not_built(
    play: Play, tmp_path: pathlib.Path
) -> None:
    file, roots, key = (
        write_systems(tmp_path, hosts=["node1"]),
        tmp_path / "roots",
        tmp_path / "key",
    )
    path = built(play(playbook(build(file, roots=str(roots)), hosts="node1")))["node1"]["path"]
    nix("nix-store", "--generate-binary-cache-key", "test-1", str(key), f"{key}.pub")
    cache = f"file://{tmp_path}/cache"
    nix(*FLAKES, "copy", "--to", f"{cache}?secret-key={key}", path)
    (roots / "node1").unlink()
    nix("nix-store", "--delete", path)

    public = key.with_suffix(".pub").read_text()
    settings = {"substituters": [cache], "nix_options": {"trusted-public-keys": public}}
    text = playbook(build(file, roots=str(roots), **settings), hosts="node1")
    for said in (built(play(text, "--check"))["node1"], built(play(text))["node1"]):
        assert (said["path"], said["built"], said["fetched"]) == (path, 0, 1)
        assert said["plan"]["paths"] == [path] and said["plan"]["unpacked_bytes"] > 0
    assert (roots / "node1").readlink() == pathlib.Path(path)


def test_bad_requests_are_answered_with_sentences(play: Play, tmp_path: pathlib.Path) -> None:
    file = write_systems(tmp_path)
    broken = tmp_path / "broken.nix"
    broken.write_text("{\n  node1 = [ 1 2;\n}\n")
    package_only = tmp_path / "package.nix"
    package_only.write_text(
        f"{{ hello = (import {file}).node1.pkgs.hello; text = ''no system''; }}"
    )
    requests: dict[str, tuple[str, str, tuple[str, ...]]] = {
        "missing file": ("missing.nix", "node1", ("missing.nix", "does not exist on")),
        "syntax error": (str(broken), "node1", (str(broken), "syntax error", ":2:1")),
        "near name": (str(file), "nod1.system", ("no attribute nod1.system", "Did you mean node")),
        "no name": (str(file), "zzz.system", ("no attribute zzz.system", "node1, node2, node3")),
        "deep": (str(file), "node1.sytsem", ("sytsem does not exist", "Did you mean system")),
        "no system": (str(package_only), "text", ("text is not a NixOS system",)),
        "other package": (str(package_only), "hello", ("is not a NixOS system",)),
        "bad path": (str(file), 'node1."system', ("is no attribute path",)),
        "no host": (str(file), "node1.system", ("inventory has no host nobody",)),
    }
    tasks: list[Task] = []
    for name, (where, attr, _said) in requests.items():
        host = "nobody" if name == "no host" else "localhost"
        arguments = {"file": where, "attr": attr, "build_host": host}
        tasks.append(module("nix_build_system", arguments) | {"name": name, "ignore_errors": True})
    played = play(playbook(*tasks, hosts="node1"))
    assert "Traceback" not in played.text
    for name, (_where, _attr, expected) in requests.items():
        said = played.result("node1", name)["msg"]
        for words in expected:
            assert any(word in said for word in words.split("|")), (name, said)


def test_warnings_of_modules_are_shown(play: Play, tmp_path: pathlib.Path) -> None:
    file = write_systems(tmp_path, '{ warnings = [ "stateVersion is old" ]; }')
    played = play(playbook(build(file), hosts="node1"), "--check")
    assert "[WARNING]: node1: stateVersion is old" in played.text


def test_each_hosts_own_variables_make_its_request(play: Play, tmp_path: pathlib.Path) -> None:
    one, two = write_systems(tmp_path), write_systems(tmp_path)
    task = build("{{ my_file }}", attr=["{{ my_attr }}"])
    variables = {
        "my_file": f"{{{{ '{two}' if inventory_hostname == 'node3' else '{one}' }}}}",
        "my_attr": "{{ {'node1': 'node2'}[inventory_hostname] | default(inventory_hostname) }}",
    }
    played = play(playbook(task, vars=variables), "--check")
    paths = {host: built(played)[host]["path"] for host in HOSTS}
    expected = {"node1": (one, "node2"), "node2": (one, "node2"), "node3": (two, "node3")}
    assert paths == {
        host: nix("nix-instantiate", "--eval", "--json", str(file), "-A", f"{of}.system.outPath")[
            1:-1
        ]
        for host, (file, of) in expected.items()
    }


def test_a_host_without_its_variable_fails_alone(play: Play, tmp_path: pathlib.Path) -> None:
    task = build(write_systems(tmp_path), attr="{{ own[inventory_hostname] }}.system")
    own = {"node1": "node1", "node3": "node3"}
    played = play(playbook(task, vars={"own": own}), "--check")
    assert [played.stats[host]["failed"] for host in HOSTS] == [0, 1, 0], played.text
    assert "node2" in str(built(played)["node2"]["msg"])


@pytest.mark.parametrize(("strategy", "fails"), [("free", True), ("host_pinned", False)])
def test_a_host_that_waits_for_nobody_goes_on_while_another_is_built(
    play: Play, fleet: Fleet, tmp_path: pathlib.Path, strategy: str, fails: bool
) -> None:
    """The build of node1 ends only when another host has its system."""
    # Where a builder, who is another user, sees it.
    roots, mark = tmp_path / "roots", pathlib.Path(f"/var/tmp/copied-{secrets.token_hex(4)}")
    waits = f"until [ -e {mark} ]; do sleep 0.2; done; {'exit 7' if fails else 'touch $out'}"
    file = write_systems(tmp_path, node1=package(waits, "slow"))
    touch = {"name": "touch", "ansible.builtin.file": {"path": str(mark), "state": "touch"}}
    asks = build(file, max_jobs="3", timeout=PATIENCE, roots=str(roots))
    try:
        played = play(playbook(asks, COPY, touch | {"delegate_to": "localhost"}, strategy=strategy))
        again = play(playbook(asks, strategy=strategy))
    finally:
        mark.unlink(missing_ok=True)
    assert [played.stats[host]["failed"] for host in HOSTS] == [fails, 0, 0]
    if fails:
        assert "-slow.drv does not build" in built(played)["node1"]["msg"]
    for host in HOSTS[fails:]:
        said = played.result(host, "nix_build_system")
        assert said["changed"] and said["plan"]["derivations"] and said["closure_bytes"]
        assert fleet.exec(host, f"nix-store --check-validity {said['path']}") == ""
        assert (roots / host).readlink() == pathlib.Path(said["path"])
        assert again.stats[host]["changed"] == 0


def builders(mark: str) -> str:
    """The processes of a builder that has the mark in its environment or command line."""
    return subprocess.run(["pgrep", "-f", mark], check=False, capture_output=True, text=True).stdout


def test_a_build_ends_with_its_lease_when_nobody_asks_after_it(
    start_play: StartPlay, tmp_path: pathlib.Path
) -> None:
    seconds = f"3{secrets.randbelow(10**7):07}"
    file = write_systems(tmp_path, package(f"sleep {seconds}"), ["node1"])
    killed = start_play(playbook(build(file, build_lease=5), hosts="node1"))
    until(lambda: builders(f"sleep {seconds}"))
    killed.signal(signal.SIGKILL)
    assert builders(f"sleep {seconds}")
    until(lambda: not builders(f"sleep {seconds}"))


@pytest.mark.soak
def test_a_task_that_runs_out_of_time_stops_its_build(play: Play, tmp_path: pathlib.Path) -> None:
    seconds = f"3{secrets.randbelow(10**7):07}"
    file = write_systems(tmp_path, package(f"sleep {seconds}"), ["node1"])
    own = build(file, timeout=6) | {"name": "own", "ignore_errors": True}
    played = play(playbook(own, build(file) | {"timeout": 6}, hosts="node1"))
    assert "did not build within 6 s" in played.result("node1", "own")["msg"]
    assert "Timed out after 6 second" in str(played.result("node1", "nix_build_system"))
    until(lambda: not builders(f"sleep {seconds}"))
