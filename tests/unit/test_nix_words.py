# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What we say to Nix, and what its versions' words mean; the version that said it is in the id."""

from __future__ import annotations

import pytest
from ansible_collections.closure.nixos.plugins.module_utils._build.nix_errors import (
    failed_builders,
    warnings_in,
)
from ansible_collections.closure.nixos.plugins.module_utils._build.request import (
    parse_attr,
    show_attr,
)
from ansible_collections.closure.nixos.plugins.module_utils._copy.transport import explain_copy
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from hypothesis import given
from hypothesis import strategies as st

PATH = f"/nix/store/{'a' * 32}-nixos-system-web1-26.05"
DRV = f"/nix/store/{'b' * 32}-hello-2.12.drv"
OTHER = f"/nix/store/{'c' * 32}-nixos-system-web1.drv"

ATTRIBUTES = {
    "": (),
    "web1": ("web1",),
    "nodes.web1.system": ("nodes", "web1", "system"),
    '"web1.example.org".system': ("web1.example.org", "system"),
    'nodes."a\\"b".x': ("nodes", 'a"b', "x"),
    "web-1_x'": ("web-1_x'",),
    '"${x}"': ("${x}",),
}


@pytest.mark.parametrize(("text", "names"), ATTRIBUTES.items())
def test_an_attribute_path_is_split_as_nix_build_splits_it(
    text: str, names: tuple[str, ...]
) -> None:
    assert parse_attr(text) == names


@pytest.mark.parametrize("text", ['"web1', "a..b", ".a", '"a"b.c', 'a"b"'])
def test_what_is_no_attribute_path_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ClosureError) as caught:
        parse_attr(text)
    assert repr(text) in caught.value.message
    assert '"web1.example.org".system' in caught.value.message


@given(st.lists(st.text(min_size=1).map(str.strip).filter(bool)))
def test_a_path_that_is_shown_can_be_read_again(names: list[str]) -> None:
    plain = [name.translate({ord(bad): "" for bad in "\n\r\t"}) or "x" for name in names]
    assert parse_attr(show_attr(plain)) == tuple(plain)


FAILURES = {
    "nix 2.8": f"""\
building '{DRV}'...
error: builder for '{DRV}' failed with exit code 7;
       last 2 log lines:
       > first words
       > last words
       For full logs, run 'nix log {DRV}'.
error: 1 dependencies of derivation '{OTHER}' failed to build
""",
    "nix 2.18, colours": f"""\
\x1b[31;1merror:\x1b[0m builder for '\x1b[35;1m{DRV}\x1b[0m' failed with exit code 7;
       last 2 log lines:
       > first words
       > last words
       For full logs, run '\x1b[1mnix-store -l {DRV}\x1b[0m'.
\x1b[31;1merror:\x1b[0m 1 dependencies of derivation '\x1b[35;1m{OTHER}\x1b[0m' failed to build
""",
    "nix 2.31": f"""\
error: Cannot build '{DRV}'.
       Reason: builder failed with exit code 7.
       Output paths:
         {PATH}
       Last 2 log lines:
       > first words
       > last words
       For full logs, run:
         nix-store -l {DRV}
error: Cannot build '{OTHER}'.
       Reason: 1 dependency failed.
       Output paths:
         {PATH}
""",
}


@pytest.mark.parametrize("stderr", FAILURES.values(), ids=FAILURES)
def test_the_failed_builder_is_found_with_the_end_of_its_log(stderr: str) -> None:
    """And not what depends on it: that has no log."""
    found = failed_builders(stderr)
    assert found.keys() == {DRV}
    assert "> first words" in found[DRV] and "> last words" in found[DRV]
    assert "\x1b" not in found[DRV]


REFUSALS = {
    "nix 2.26, ssh-ng": (
        f"error: cannot add path '{PATH}' because it lacks a signature by a trusted key",
        "web1 trusts no signature of the closure",
    ),
    "nix 2.3, ssh": (
        f"error: cannot import path '{PATH}' because it lacks a valid signature",
        "web1 trusts no signature of the closure",
    ),
    "sudo 1.9": ("sudo: a password is required", "sudo asks for a password"),
    "other": ("ssh: connect to host web1 port 22: No route to host", "No route to host"),
}


@pytest.mark.parametrize(("stderr", "expected"), REFUSALS.values(), ids=REFUSALS)
def test_a_refused_copy_says_from_where_to_where_and_why(stderr: str, expected: str) -> None:
    said = explain_copy(stderr, PATH, "builder", "web1")
    assert said.startswith(f"{PATH} was not copied from builder to web1")
    assert expected in said


def test_the_three_ways_out_of_a_missing_signature_are_named() -> None:
    said = explain_copy("lacks a signature by a trusted key", PATH, "builder", "web1")
    for way in ("become: true", "trusted-public-keys", "trusted-users", "check_sigs: false"):
        assert way in said
    # Root reads it too.
    assert "Become root" not in said


WARNINGS = {
    "nix 2.8": "trace: warning: a is deprecated\n",
    "nix 2.24": "evaluation warning: a is deprecated\n",
    "nix 2.18, colours": "trace: \x1b[1;31mwarning: a is deprecated\x1b[0m\n",
    # Lix says "trace:" too where nixpkgs has no builtins.warn, which came with 2.95.
    "Lix 2.92": "trace: \x1b[1;31mwarning: a is deprecated\x1b[0m\n",
    "of Nix itself": "\x1b[35;1mwarning:\x1b[0m a is deprecated\n",
}


@pytest.mark.parametrize("stderr", WARNINGS.values(), ids=WARNINGS)
def test_warnings_are_found_among_other_lines(stderr: str) -> None:
    assert warnings_in(f"building\n{stderr}trace: 1\n") == ["a is deprecated"]
