# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Archives on the controller, for hosts that nothing reaches while they are made."""

from __future__ import annotations

import pathlib

from ansible_collections.closure.nixos.tests.integration._copies import (
    NIX,
    Copies,
    MakeClosure,
    Variables,
)
from ansible_collections.closure.nixos.tests.integration._systems import nix


def test_an_archive_file_brings_a_closure_to_a_host_without_a_network(
    copies: Copies, closure: MakeClosure, tmp_path: pathlib.Path
) -> None:
    new, file = closure(count=3, large=1, size=65 * 1024 * 1024), tmp_path / "closure.tar"
    part = next(path for path in new.paths if path.endswith("part1"))
    nowhere = {"ansible_host": "192.0.2.1"}
    write = {"path": new.path, "dest_archive": str(file), "exclude": [part], "compress": True}
    checked = copies("node2", write, "--check", **nowhere)
    assert checked["changed"] and not file.exists()
    written = copies("node2", write, **nowhere)
    assert written["missing_paths"] == checked["missing_paths"] and part not in written["msg"]
    assert [copies("node2", write, **nowhere)["changed"], file.stat().st_size < 1 << 20] == [0, 1]

    read, enter = {"src_archive": str(file)}, copies.enter("node2")
    refused = copies("node2", read, **enter)
    assert f"lacks 2 paths that {file} leaves out" in refused["msg"]
    copies("node2", {"path": part})
    checked = copies("node2", read, "--check", **enter)
    first, again = (copies("node2", read, **enter) for _time in range(2))
    assert checked["missing_paths"] == first["missing_paths"] == written["missing_paths"]
    assert [result["changed"] for result in (checked, first, again)] == [True, True, False]
    assert (copies.lacks("node2", new), first["path"]) == ([], new.path)


def test_an_archive_file_that_was_cut_or_altered_is_refused_before_anything_is_imported(
    copies: Copies, closure: MakeClosure, tmp_path: pathlib.Path
) -> None:
    new, file = closure(), tmp_path / "closure.tar"
    copies("node1", {"path": new.path, "dest_archive": str(file)})
    nowhere = copies("node1", {"path": new.path, "dest_archive": f"{tmp_path}/nowhere/closure.tar"})
    assert nowhere["failed"] and "was not written" in nowhere["msg"]
    whole = file.read_bytes()
    altered = whole.replace(b"copy-part0", b"copy-part9", 1)
    assert altered != whole
    for content, message in ((whole[: len(whole) // 2], "was cut"), (altered, "was altered")):
        file.write_bytes(content)
        said = copies("node1", {"src_archive": str(file)})
        assert said["failed"] and message in said["msg"]
    assert sorted(copies.lacks("node1", new)) == sorted(new.paths)


def test_an_archive_can_be_a_binary_cache_that_keeps_signatures(
    copies: Copies, closure: MakeClosure, key_file: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """Of what a host lacks, imported there for a login that nobody trusts."""
    new, cache = closure(count=3, large=1, size=1 << 20), tmp_path / "cache"
    part = next(path for path in new.paths if path.endswith("part1"))
    copies("node2", {"path": part})
    write: Variables = {"path": new.path, "dest_archive": f"{cache}/", "compress": True}
    write |= {"exclude_host": "node2", "sign_key_file": str(key_file)}
    checked = copies("node2", write, "--check")
    assert checked["changed"] and not cache.exists()
    written, again = (copies("node2", write) for _time in range(2))
    had = set(nix("nix-store", "--query", "--requisites", part).split())
    assert set(written["missing_paths"]) == set(new.paths) - had, written
    assert (written["changed"], again["changed"]) == (True, False)

    nar = next(cache.glob("nar/*"))
    whole = nar.read_bytes()
    for content, message in ((whole[:-1], "was altered"), (None, "was cut")):
        nar.write_bytes(content) if content else nar.unlink()
        refused = copies("node2", {"src_archive": str(cache)})
        assert message in refused["msg"]
    nar.write_bytes(whole)

    unknown = copies("node1", {"src_archive": str(cache)})
    assert f"paths that {cache} leaves out" in unknown["msg"]
    read = {"src_archive": str(cache), "check_sigs": True}
    said = copies("node2", read, ansible_user="deploy")
    assert (said["changed"], copies.lacks("node2", new)) == (True, []), said
    assert copies.leftovers("node2") == ""
    said_of = copies.fleet.exec("node2", f"{' '.join(NIX)} path-info --sigs {new.path}")
    assert "testbed-1:" in said_of
