# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""nix_collect_garbage on a real host: what goes, what stays, and what the boot menu has."""

from __future__ import annotations

import pathlib
import typing as t

from ansible_collections.closure.nixos.tests.integration._harness import Fleet, Play, Played
from ansible_collections.closure.nixos.tests.integration._systems import (
    COPY,
    PROFILE,
    build,
    difference,
    module,
    playbook,
    quartet,
    switch,
    trace,
    write_systems,
)

ENTRIES = "ls /boot/loader/entries"
RUNNING = "/run/current-system"
SIZE = 3 << 20


def collect(**options: t.Any) -> str:
    return playbook(module("nix_collect_garbage", options), hosts="node1")


def deploy(play: Play, directory: pathlib.Path, *texts: str) -> None:
    """One system after another, in one play."""
    files = [
        write_systems(directory, node1=f'{{ environment.etc.motd.text = "{text}"; }}')
        for text in texts
    ]
    tasks = (task for file in files for task in quartet(file))
    played = play(playbook(*tasks, hosts="node1"))
    assert played.rc == 0, played.text


def result(played: Played) -> dict[str, t.Any]:
    return played.result("node1", "nix_collect_garbage")


def numbers(fleet: Fleet) -> list[int]:
    links = fleet.exec("node1", f"ls -d {PROFILE}-*-link").split()
    return sorted(int(link.split("-")[-2]) for link in links)


def test_old_generations_go_with_their_boot_entries(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    deploy(play, tmp_path, *"abcdef")
    running = fleet.exec("node1", "readlink -f /run/current-system").strip()
    booted = fleet.exec("node1", "readlink -f /run/booted-system").strip()
    rubbish = fleet.exec(
        "node1", f"head -c {SIZE} /dev/urandom >/root/rubbish; nix-store --add /root/rubbish"
    ).strip()
    _check_that_the_menu_follows(fleet, play)
    one = {"delete_generations": [numbers(fleet)[-2]], "collect": False}
    named = module("nix_collect_garbage", one)
    twice = play(playbook(named, named, hosts="node1")).results("node1", "nix_collect_garbage")
    assert [len(it["deleted"][PROFILE]) for it in twice] == [1, 0]
    there, entries = numbers(fleet), fleet.exec("node1", ENTRIES).split()
    before = trace(fleet, "node1")

    # Once in check mode, once for real, and both again.
    would = result(play(collect(keep=1), "--check", "--diff"))
    # Nix forgets roots whose link is gone whenever it is asked what is alive.
    new = difference(before, trace(fleet, "node1"))
    assert [it for it in new if "/gcroots/auto/" not in it] == []
    assert fleet.exec("node1", f"test -e {rubbish} && echo there") == "there\n"
    done = result(play(collect(keep=1)))
    again = [result(play(collect(keep=1), *words)) for words in (["--check"], [])]

    assert [it["changed"] for it in (would, done, *again)] == [True, True, False, False]
    assert would["deleted"] == done["deleted"]
    gone = done["deleted"][PROFILE]
    assert numbers(fleet) == done["kept"][PROFILE] == [it for it in there if it not in gone]
    assert there[-1] not in gone
    assert len(gone) >= 2
    assert done["boot_menu_written"] is True
    left = set(fleet.exec("node1", ENTRIES).split())
    assert left < set(entries)
    assert not [it for it in left for number in gone if it.endswith(f"-{number}.conf")]
    assert fleet.exec("node1", f"test -e {rubbish} || echo gone") == "gone\n"
    assert done["freed"] >= SIZE
    # What it would free is what it freed, but for what Nix counts in its own way.
    assert would["paths"] == done["paths"]
    assert would["freed"] >= SIZE
    for path in (running, booted):
        assert fleet.exec("node1", f"nix-store --verify-path {path}; echo $?").endswith("0\n")


def _check_that_the_menu_follows(fleet: Fleet, play: Play) -> None:
    """By nix_profile_set, and by a forced nixos_switch once somebody else deletes a generation."""
    third = numbers(fleet)[2]
    by_hand = {"ansible.builtin.raw": f"nix-env -p {PROFILE} --delete-generations {third}"}
    forced = module("nixos_switch", {"action": "boot", "force": True})
    # Of the two oldest one may have booted, and stays.
    keep = module("nix_profile_set", {"keep": len(numbers(fleet)) - 2})
    played = play(playbook(keep, by_hand, forced, forced, keep, hosts="node1"))
    assert played.rc == 0, played.text
    kept, again = played.results("node1", "nix_profile_set")
    assert (bool(kept["deleted"]), kept["boot_menu_written"]) == (True, True)
    assert (again["deleted"], again["boot_menu_written"]) == ([], False)
    assert [it["changed"] for it in played.results("node1", "nixos_switch")] == [True, False]
    entries = fleet.exec("node1", ENTRIES)
    assert not [it for it in (*kept["deleted"], third) if f"-{it}.conf" in entries]


def _check_what_a_trial_needs(fleet: Fleet, play: Play, directory: pathlib.Path) -> None:
    """A collection in the middle of one, which deletes no more than it may, and its way back."""
    before, recorded = (fleet.exec("node1", f"readlink -f {it}") for it in (RUNNING, PROFILE))
    # Each of them is more than may go.
    make = f"head -c {SIZE} /dev/urandom >/root/rubbish && nix-store --add /root/rubbish"
    rubbish = [fleet.exec("node1", make).strip() for _time in range(3)]
    file = write_systems(directory, node1='{ environment.etc.motd.text = "tried"; }')
    played = play(
        playbook(
            *(build(file), COPY, switch("switch", confirm_timeout=300)),
            module("nix_collect_garbage", {"keep": 1, "max_freed": "1K", "optimise": True}),
            module("nixos_rollback", {"to": "unconfirmed"}),
            hosts="node1",
        )
    )
    assert played.rc == 0, played.text
    assert fleet.exec("node1", f"ls -d {' '.join(rubbish)} 2>/dev/null | wc -l") in ("2\n", "3\n")
    done, tried = result(played), played.result("node1", "nix_build_system")["path"]
    assert done["freed"] >= 1024 and done["optimised"] > 0
    assert fleet.exec("node1", f"nix-store --verify-path {tried}; echo $?").endswith("0\n")
    assert fleet.exec("node1", f"readlink -f {RUNNING}") == before
    assert fleet.exec("node1", f"readlink -f {PROFILE}") == recorded


def test_what_is_needed_stays_and_what_is_wrong_is_said(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    deploy(play, tmp_path, "good", "newer")
    good = fleet.exec(
        "node1", f"readlink -f $(ls -dv {PROFILE}-*-link | tail -n 2 | head -n 1)"
    ).strip()
    # The profile holds the newer one; what runs is older than `keep` asks for.
    fleet.exec("node1", f"{good}/bin/switch-to-configuration test")
    kept = result(play(collect(keep=1, collect=False)))
    left = fleet.exec("node1", f"readlink -f {PROFILE}-*-link").split()
    assert good in left
    assert kept["paths"] == 0
    _check_what_a_trial_needs(fleet, play, tmp_path)
    for options, said in (
        ({"keep": 0}, "Keep at least 1"),
        ({"delete_generations": numbers(fleet)}, "is what the host runs, boots or rolls back to"),
        ({"keep_since": "a while"}, "keep_since: 'a while' is no age"),
        ({"keep": 1, "profiles": ["a b"]}, "cannot name a system profile"),
    ):
        failed = play(collect(**options))
        assert said in result(failed)["msg"]
    login = play(collect(keep=1), "-e", "ansible_user=deploy")
    assert "deploy cannot change the system. Set become: true" in result(login)["msg"]
