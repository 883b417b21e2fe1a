# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._store.generations import (
    Generation,
    Target,
    name_system,
    next_set,
    parse_generations,
    profile_path,
    rollback_target,
    surplus,
)

SH = Path(__file__).parents[2] / "plugins" / "plugin_utils" / "_store"
LIST_GENERATIONS = (SH / "generations.sh").read_text()
SHELLS = {"sh": ["sh"], "dash": ["dash"], "ash": ["busybox", "ash"], "bash": ["bash"]}
MADE = 1_795_365_098  # 2026-11-22T16:31:38Z


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> list[str]:
    command = SHELLS[request.param]
    if shutil.which(command[0]) is None:
        pytest.skip(f"no {command[0]} here")
    return command


def listing(shell: list[str], profile: Path, path: str = os.environ["PATH"]) -> str:
    script = LIST_GENERATIONS + 'set -eu\ngenerations "$1"'
    executable = shutil.which(shell[0]) or ""
    return subprocess.run(
        [executable, *shell[1:], "-c", script, "probe", str(profile)],
        check=True,
        capture_output=True,
        text=True,
        env={"PATH": path},
    ).stdout


def store_path(number: int) -> str:
    return f"/nix/store/{'0' * 32}-nixos-system-web1-{number}"


def make(profile: Path, *numbers: int, current: int) -> None:
    for number in numbers:
        link = profile.with_name(f"{profile.name}-{number}-link")
        link.symlink_to(store_path(number))
        os.utime(link, (MADE, MADE), follow_symlinks=False)
    profile.symlink_to(f"{profile.name}-{current}-link")


def generation(number: int, *, current: bool = False, holds: int | None = None) -> Generation:
    return Generation(number, store_path(holds or number), "2026-11-22T16:31:38Z", current)


def test_the_links_of_a_profile_are_its_generations(tmp_path: Path, shell: list[str]) -> None:
    profile = tmp_path / "system"
    make(profile, 9, 10, 2, current=9)
    assert parse_generations(listing(shell, profile), str(profile)) == (
        generation(2),
        generation(9, current=True),
        generation(10),
    )


def test_what_is_no_link_of_the_profile_is_left_out(tmp_path: Path, shell: list[str]) -> None:
    profile = tmp_path / "web"
    make(profile, 1, current=1)
    make(tmp_path / "web-2", 5, current=5)
    for name in ("web--link", "web-x-link", "web-1-link.tmp", "web-7-link", "web.lock"):
        (tmp_path / name).touch()
    found = parse_generations(listing(shell, profile), str(profile))
    assert found == (generation(1, current=True),)


def test_a_profile_that_points_by_a_full_path(tmp_path: Path, shell: list[str]) -> None:
    profile = tmp_path / "system"
    make(profile, 1, 2, current=1)
    profile.unlink()
    profile.symlink_to(f"{profile}-2-link")
    found = parse_generations(listing(shell, profile), str(profile))
    assert [entry.current for entry in found] == [False, True]


def test_a_profile_without_its_own_link_has_no_current_one(
    tmp_path: Path, shell: list[str]
) -> None:
    profile = tmp_path / "system"
    make(profile, 1, current=1)
    profile.unlink()
    assert parse_generations(listing(shell, profile), str(profile)) == (generation(1),)


def test_a_profile_that_does_not_exist_has_none(tmp_path: Path, shell: list[str]) -> None:
    profile = tmp_path / "absent" / "system"
    assert parse_generations(listing(shell, profile), str(profile)) == ()


def test_a_host_without_stat_gives_no_date(tmp_path: Path) -> None:
    profile = tmp_path / "system"
    make(profile, 1, current=1)
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "readlink").symlink_to(shutil.which("readlink") or "")
    (found,) = parse_generations(listing(["sh"], profile, str(tools)), str(profile))
    assert found == Generation(1, store_path(1), None, True)


def test_two_profiles_in_one_answer() -> None:
    text = (
        "Welcome!\n"
        f"generations=/p/a\n1 1 - {store_path(1)}\ngenerations_end=/p/a\n"
        f"generations=/p/b\n4 0 0 {store_path(4)}\ngenerations_end=/p/b\n"
    )
    assert parse_generations(text, "/p/a") == (Generation(1, store_path(1), None, True),)
    assert parse_generations(text, "/p/b") == (
        Generation(4, store_path(4), "1970-01-01T00:00:00Z", False),
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "generations=/p/a\n",
        f"generations=/p/a\n1 1 - {store_path(1)}\n",
        "generations_end=/p/a\n",
        "generations=/p/b\ngenerations_end=/p/b\n",
    ],
)
def test_a_list_that_is_not_complete_is_refused(text: str) -> None:
    with pytest.raises(ClosureError, match="no complete list of the generations of /p/a"):
        parse_generations(text, "/p/a")


@pytest.mark.parametrize("line", ["", "x", "1 2 - /x", "1 1 -", "a 1 - /x", "1 1 soon /x"])
def test_a_line_that_is_no_generation_is_shown(line: str) -> None:
    with pytest.raises(ClosureError, match=f"The host printed '{line}'"):
        parse_generations(f"generations=/p\n{line}\ngenerations_end=/p\n", "/p")


def test_ten_comes_after_nine() -> None:
    numbers = list(range(1, 25))
    random.Random(0).shuffle(numbers)
    lines = "".join(f"{number} 0 - {store_path(number)}\n" for number in numbers)
    found = parse_generations(f"generations=/p\n{lines}generations_end=/p\n", "/p")
    assert [entry.number for entry in found] == list(range(1, 25))


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("system", "/nix/var/nix/profiles/system"),
        ("web", "/nix/var/nix/profiles/system-profiles/web"),
        ("test-2.1_x+y", "/nix/var/nix/profiles/system-profiles/test-2.1_x+y"),
    ],
)
def test_where_a_profile_is(name: str, path: str) -> None:
    assert profile_path(name) == path


def test_the_profile_of_the_system_is_meant_if_none_is_named() -> None:
    assert profile_path() == profile_path("system")


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "../x", "-p", ".hidden", "a b", "a\n", "web-1-link", "a;b", "ä"]
)
def test_a_name_that_cannot_be_a_profiles_is_refused(name: str) -> None:
    with pytest.raises(ClosureError, match="cannot name a system profile"):
        profile_path(name)


@pytest.mark.parametrize(
    ("generations", "expected"),
    [
        pytest.param([], "new", id="no profile yet"),
        pytest.param([generation(1, current=True)], "unchanged", id="current and highest"),
        pytest.param([generation(1), generation(2, current=True)], "new", id="an older one"),
        pytest.param(
            [generation(1), generation(2, current=True), generation(3, holds=1)],
            "relink",
            id="the highest, after a rollback",
        ),
        pytest.param(
            [generation(1, current=True), generation(2)],
            "unchanged",
            id="current after a rollback, where nix-env --set would make a new one",
        ),
        pytest.param(
            [generation(10, holds=1), generation(9, current=True)], "relink", id="not in order"
        ),
        pytest.param([generation(1)], "relink", id="the profile's own link is gone"),
    ],
)
def test_what_setting_the_profile_takes(generations: list[Generation], expected: str) -> None:
    assert next_set(generations, store_path(1)) == expected


RECORDED = (generation(1), generation(3, holds=1), generation(10, current=True))


def target(number: int | None, holds: int) -> Target:
    return Target(number, store_path(holds))


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        pytest.param("3", target(3, 1), id="a number"),
        pytest.param("10", target(10, 10), id="the current number"),
        pytest.param(store_path(1), target(3, 1), id="the newest with that path"),
        pytest.param(store_path(7), target(None, 7), id="a path of no generation"),
        pytest.param("booted", target(3, 1), id="booted"),
        pytest.param(None, target(3, 1), id="the one before"),
    ],
)
def test_what_a_rollback_goes_to(to: str | None, expected: Target) -> None:
    for generations in (RECORDED, RECORDED[::-1]):
        assert rollback_target(generations, to, store_path(1)) == expected


def test_of_generations_with_the_same_path_the_current_one_is_meant() -> None:
    generations = generation(1, current=True), generation(2, holds=1)
    assert rollback_target(generations, store_path(1)) == target(1, 1)


def test_the_one_before_is_older_and_another_system() -> None:
    newer = generation(11), generation(10, current=True), generation(9, holds=10)
    assert rollback_target((*newer, generation(4), generation(2)), None) == target(4, 4)
    with pytest.raises(ClosureError, match="No generation before 10 holds another system"):
        rollback_target(newer, None)


@pytest.mark.parametrize(
    ("to", "sentence"),
    [
        ("2", "There is no generation 2. "),
        ("last", "to: last is neither the number of a generation, nor a store path, nor booted. "),
    ],
)
def test_what_does_not_exist_is_answered_with_what_does(to: str, sentence: str) -> None:
    with pytest.raises(ClosureError) as caught:
        rollback_target(RECORDED, to)
    assert caught.value.message == (
        f"{sentence}Choose one of these: 1: {store_path(1)}, 3: {store_path(1)}, "
        f"10 (current): {store_path(10)}."
    )


@pytest.mark.parametrize(
    ("to", "sentence"),
    [
        ("1", "deploy a system to the host first"),
        (None, "The profile points to none of its generations"),
        ("booted", "did not boot NixOS"),
        ("/run/current-system", "is not a store path"),
    ],
)
def test_there_is_nothing_to_roll_back_to(to: str | None, sentence: str) -> None:
    with pytest.raises(ClosureError, match=sentence):
        rollback_target((), to)


FIVE = tuple(
    Generation(number, f"/nix/store/system-{number}", None, current=number == 4)
    for number in (1, 2, 3, 4, 7)
)


@pytest.mark.parametrize(
    ("keep", "path", "spared", "gone"),
    [
        (None, "system-4", [], []),
        (9, "system-4", [], []),
        (2, "system-4", [], [1, 2, 3]),
        (1, "system-4", [], [1, 2, 3]),
        (1, "system-4", ["system-2", None], [1, 3]),
        (2, "system-9", [], [1, 2, 3, 4]),
        (2, "system-7", [], [1, 2, 3]),
        (2, "system-2", [], [1, 3, 4]),
    ],
)
def test_the_newest_generations_stay_and_those_in_use(
    keep: int | None, path: str, spared: list[str | None], gone: list[int]
) -> None:
    full = [f"/nix/store/{name}" if name else None for name in spared]
    old = surplus(FIVE, keep, f"/nix/store/{path}", full)
    assert [entry.number for entry in old] == gone


def test_a_profile_without_generations_has_none_too_many() -> None:
    assert surplus((), 1, "/nix/store/new", ()) == ()


def test_two_systems_of_one_name_are_told_apart() -> None:
    one, other = (f"/nix/store/{letter * 32}-nixos-system-web1" for letter in "ab")
    assert name_system(one) == "nixos-system-web1 (aaaaaaa)" != name_system(other)
    assert name_system(one, 41) == "generation 41, nixos-system-web1"
    assert name_system(None) == "nothing"
