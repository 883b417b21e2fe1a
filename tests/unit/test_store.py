# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._store.store_path import (
    PackageChange,
    check_store_path,
    closure_diff,
    format_bytes,
    name_and_version,
    parse_path_infos,
    render_diff,
)
from hypothesis import given
from hypothesis import strategies as st

HASH = "0123456789abcdfghijklmnpqrsvwxyz"
OTHER_HASH = "1" * 32

NAMES = st.from_regex(r"[a-zA-Z0-9+\-_?=][a-zA-Z0-9+\-._?=]{0,40}", fullmatch=True)
HASHES = st.from_regex(r"[0-9abcdfghijklmnpqrsvwxyz]{32}", fullmatch=True)
PATHS = st.builds("/nix/store/{}-{}".format, HASHES, NAMES)
CLOSURES = st.dictionaries(PATHS, st.integers(0, 10**10), max_size=8)


def path(name: str, digest: str = HASH) -> str:
    return f"/nix/store/{digest}-{name}"


@pytest.mark.parametrize(
    "name",
    ["hello", "hello-2.10", "a", "x" * 211, ".hidden", "gtk+3-3.24?a=b", "-dash", "..."],
)
def test_a_store_path_is_accepted(name: str) -> None:
    assert check_store_path(path(name)) == path(name)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/nix/store",
        "/nix/store/",
        "hello",
        f"/nix/store/{HASH}",
        f"/nix/store/{HASH}-",
        f"/nix/store/{HASH[:-1]}-hello",
        f"/nix/store/{HASH[:-1]}e-hello",
        f"/nix/store/{HASH.upper()}-hello",
        path("x" * 212),
        path("."),
        path(".."),
        path(".-x"),
        path("..-x"),
        path("hello\n"),
        path("hello world"),
        path("hello;reboot"),
        path("hällo"),
        path("hello") + "/",
        path("hello") + "/bin/hello",
        f"{HASH}-hello",
        f"/gnu/store/{HASH}-hello",
        f"/nix/store//{HASH}-hello",
    ],
)
def test_what_is_no_store_path_is_refused_and_named(text: str) -> None:
    with pytest.raises(ClosureError, match="is not a store path") as caught:
        check_store_path(text)
    assert repr(text) in caught.value.message


def test_the_store_may_be_another_directory() -> None:
    other = f"/data/store/{HASH}-hello"
    assert check_store_path(other, store_dir="/data/store") == other
    with pytest.raises(ClosureError, match="/data/store/HASH-NAME"):
        check_store_path(path("hello"), store_dir="/data/store")


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(f"{path('hello')}\t226560", id="nix-store, joined by a tab"),
        pytest.param(f"{path('hello')}\t      226560", id="nix 2.8 path-info -s, aligned"),
        pytest.param(f"{path('hello')} 226560", id="joined by a space"),
    ],
)
def test_a_path_info_is_read(line: str) -> None:
    assert parse_path_infos(f"{line}\n\n") == {path("hello"): 226560}


@pytest.mark.parametrize("line", [path("hello"), f"{path('hello')} big", "hello 1", "1"])
def test_a_line_that_is_no_path_info_is_refused(line: str) -> None:
    with pytest.raises(ClosureError, match=r"is not a store path|Expected a store path"):
        parse_path_infos(line)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("hello-2.10", ("hello", "2.10")),
        ("hello", ("hello", "")),
        ("bash-5.1-p16", ("bash", "5.1-p16")),
        ("bash-5.1-p16-dev", ("bash", "5.1-p16")),
        ("openssl-3.0.14-bin", ("openssl", "3.0.14")),
        ("glibc-2.35-lib32", ("glibc", "2.35")),
        ("python3.11-requests-2.31.0", ("python3.11-requests", "2.31.0")),
        ("nixos-system-web1-25.11.20251201.abcdef", ("nixos-system-web1", "25.11.20251201.abcdef")),
        ("unit-sshd.service", ("unit-sshd.service", "")),
        ("x-_1", ("x", "_1")),
        ("linux-6.12.1-modules", ("linux", "6.12.1")),
        ("hello-", ("hello-", "")),
        # An output's name and a last word look the same, for Nix too.
        ("system-path", ("system", "")),
    ],
)
def test_name_and_version(name: str, expected: tuple[str, str]) -> None:
    assert name_and_version(path(name)) == expected


def test_the_diff_of_a_version_and_its_size() -> None:
    changes = closure_diff(
        {path("hello-2.10"): 100_000, path("glibc-2.35"): 5},
        {path("hello-2.12"): 112_902, path("glibc-2.35"): 5},
    )
    assert changes == (PackageChange("hello", ("2.10",), ("2.12",), 12_902),)
    assert render_diff(changes) == "hello: 2.10 → 2.12, +12.6 KiB\n"


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param({}, {"new-1": 10}, "new: ∅ → 1\n", id="added"),
        pytest.param({"old-1": 10}, {}, "old: 1 → ∅\n", id="removed"),
        pytest.param({}, {"etc": 10}, "etc: ∅ → ε\n", id="empty version"),
        pytest.param({"x-1": 10}, {"x-1": 8201}, "", id="size change of 8191 bytes"),
        pytest.param({"x-1": 10}, {"x-1": 8202}, "x: +8.0 KiB\n", id="size change of 8 KiB"),
        pytest.param({"x-1": 8202}, {"x-1": 10}, "x: -8.0 KiB\n", id="smaller by 8 KiB"),
        pytest.param(
            {"x-1": 1, "x-2": 1}, {"x-2": 1, "x-3": 1}, "x: 1 → 3\n", id="common version left out"
        ),
        pytest.param(
            {"x-1": 1, "x-2": 1}, {"x-10": 1, "x": 1}, "x: 1, 2 → 10, ε\n", id="several versions"
        ),
        pytest.param({"x-1": 1, "x-1-dev": 1}, {"x-1": 2}, "", id="outputs are one package"),
        pytest.param(
            {"b-1": 1, "a-1": 1}, {"b-2": 1, "a-2": 1}, "a: 1 → 2\nb: 1 → 2\n", id="sorted by name"
        ),
    ],
)
def test_the_diff_as_people_read_it(
    before: dict[str, int], after: dict[str, int], expected: str
) -> None:
    def closure(names: dict[str, int], digest: str) -> dict[str, int]:
        return {path(name, digest): size for name, size in names.items()}

    assert render_diff(closure_diff(closure(before, HASH), closure(after, OTHER_HASH))) == expected


@given(CLOSURES)
def test_a_closure_does_not_differ_from_itself(closure: dict[str, int]) -> None:
    assert closure_diff(closure, closure) == ()


@given(CLOSURES, CLOSURES)
def test_the_diff_backwards_is_the_opposite(one: dict[str, int], other: dict[str, int]) -> None:
    opposite = tuple(
        PackageChange(change.name, change.after, change.before, -change.size_delta)
        for change in closure_diff(one, other)
    )
    assert closure_diff(other, one) == opposite


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (-1023, "-1023 B"),
        (1024, "1.0 KiB"),
        (-12_902, "-12.6 KiB"),
        (1024**2 - 1, "1.0 MiB"),
        (1024**2, "1.0 MiB"),
        (1024**3 - 1, "1.0 GiB"),
        (3 * 1024**4, "3.0 TiB"),
        (5000 * 1024**4, "5000.0 TiB"),
    ],
)
def test_bytes_for_people(count: int, expected: str) -> None:
    assert format_bytes(count) == expected
