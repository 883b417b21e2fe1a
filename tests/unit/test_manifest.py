# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from ansible_collections.closure.nixos.plugins.module_utils._copy.manifest import (
    Manifest,
    Part,
    cached_part,
    parse_manifest,
)
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError

A, B = (f"/nix/store/{'0' * 32}-{name}" for name in "ab")
MANIFEST = Manifest(
    B, {A: 1, B: 2}, (Part("part-0", "00", "gzip", (A,)), Part("part-1", "11", "", (B,), "info"))
)


def test_a_manifest_is_read_as_it_was_written() -> None:
    assert parse_manifest(MANIFEST.dump(), "file") == MANIFEST
    assert MANIFEST.carried == {A, B}


def test_the_paths_that_are_left_out_are_in_no_part() -> None:
    assert Manifest(B, {A: 1, B: 2}, MANIFEST.parts[1:]).carried == {B}


@pytest.mark.parametrize(
    "change",
    [
        {"path": "/etc/passwd"},
        {"closure": {"/etc/passwd": 1}},
        {"parts": [{"name": "part-0"}]},
        {"parts": None},
        {"more": 1},
    ],
    ids=str,
)
def test_a_manifest_that_means_something_else_is_refused(change: dict[str, object]) -> None:
    text = json.dumps(json.loads(MANIFEST.dump()) | change)
    with pytest.raises(ClosureError):
        parse_manifest(text, "file")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 1'])
def test_what_is_no_manifest_is_refused_with_the_name_of_the_file(text: str) -> None:
    with pytest.raises(ClosureError, match="file has a manifest that cannot be read"):
        parse_manifest(text, "file")


def test_a_manifest_of_a_later_version_is_refused() -> None:
    text = json.dumps(json.loads(MANIFEST.dump()) | {"version": 2})
    with pytest.raises(ClosureError, match="is of version 2"):
        parse_manifest(text, "file")


NAR = "nar/0638k552m77h3vvpl28aafklw63068w6y2imacdqxis18ky5gv1c.nar.zst"
INFO = f"StorePath: {A}\nURL: {NAR}\nCompression: zstd\nSig: one-1:s==\nSig: two-1:s==\n"


def test_a_path_of_a_binary_cache_is_a_part_with_its_signatures() -> None:
    part = cached_part(INFO, "00")
    assert part == Part(NAR, "00", "zstd", (A,), INFO)
    by_content = cached_part(f"StorePath: {B}\nURL: {NAR}\nCA: text:sha256:00\n")
    keys = Manifest(B, {A: 1, B: 2}, (part, by_content)).signatures
    assert keys == {A: {"one-1", "two-1"}, B: {"ca"}}
    assert MANIFEST.signatures == {A: frozenset(), B: frozenset()}


@pytest.mark.parametrize(
    "change", [(NAR, "/etc/passwd"), (NAR, "nar/../../key.nar"), (A, "/etc/passwd"), (INFO, "")]
)
def test_a_path_of_a_binary_cache_that_leads_elsewhere_is_refused(change: tuple[str, str]) -> None:
    with pytest.raises(ClosureError):
        cached_part(INFO.replace(*change))
