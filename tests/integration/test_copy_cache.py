# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copies by binary caches."""

from __future__ import annotations

import pathlib
import socket

import pytest
from ansible_collections.closure.nixos.tests.integration._copies import (
    NIX,
    Configure,
    Copies,
    MakeClosure,
)
from ansible_collections.closure.nixos.tests.integration._systems import nix


def test_hosts_fetch_from_a_binary_cache_that_the_build_host_fills(
    copies: Copies,
    closure: MakeClosure,
    web: str,
    key_file: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    new = closure()
    task = {"path": new.path, "transport": "cache", "cache": web}
    unsigned = copies("node2", task)
    assert "sign_key_file" in unsigned["msg"] and "check_sigs: false" in unsigned["msg"]
    said = copies("node2", task | {"check_sigs": False})
    assert (said["transport"], copies.lacks("node2", new)) == ("cache", []), said
    # Signed, for a login that the host does not trust, and filled by its other end.
    signed = closure()
    upload = {"cache_upload": f"file://{tmp_path}/web", "sign_key_file": str(key_file)}
    said = copies("node2", task | upload | {"path": signed.path}, ansible_user="deploy")
    assert (said["transport"], copies.lacks("node2", signed)) == ("cache", []), said
    assert copies("node2", task)["changed"] is False


def test_the_password_of_a_cache_stands_in_no_arguments_and_no_message(
    copies: Copies, closure: MakeClosure, web: str
) -> None:
    """Both ends of the copy get it: the controller as who fills the cache, and node2."""
    new, place = closure(count=1), web.removeprefix("http://")
    cache = f"http://me:open%40sesame@{place}/locked"
    task = {"path": new.path, "transport": "cache", "cache": cache, "check_sigs": False}
    wrapper = '#!/bin/sh\necho "$*" >>/root/arguments\nexec /usr/bin/nix "$@"'
    copies.fleet.exec(
        "node2", f"echo '{wrapper}' >/usr/local/bin/nix; chmod 755 /usr/local/bin/nix"
    )
    try:
        played = copies.played("node2", task)
        arguments = copies.fleet.exec("node2", "cat /root/arguments")
        left = copies.fleet.exec("node2", "ls /run/closure-nixos")
    finally:
        copies.fleet.exec("node2", "rm -f /usr/local/bin/nix /root/arguments")
    said = played.result("node2")
    assert (said.get("transport"), copies.lacks("node2", new)) == ("cache", []), said
    assert f"--from http://{place}/locked" in arguments and "sesame" not in arguments
    assert "sesame" not in str(said) + played.text and "netrc" not in left
    other = closure(count=1)
    wrong = copies("node2", task | {"cache": f"http://me:wrong@{place}/locked", "path": other.path})
    assert wrong["failed"] and "http://me:***@" in wrong["msg"] and "wrong" not in str(wrong), wrong


def test_what_the_hosts_own_caches_have_does_not_cross_the_line(
    copies: Copies,
    closure: MakeClosure,
    web: str,
    key_file: pathlib.Path,
    configure: Configure,
    tmp_path: pathlib.Path,
) -> None:
    """node2's cache has all of one closure, and of the other only a part."""
    whole, new = closure(), closure()
    part = next(path for path in new.paths if path.endswith("part3"))
    cache = f"file://{tmp_path}/web?secret-key={key_file}"
    nix(*NIX, "copy", "--to", cache, whole.path, part)
    configure(f"substituters = {web}")
    assert copies("node2", whole)["transport"] == "substituted"
    assert copies("node2", new)["transport"] == "ssh-ng"
    assert copies.lacks("node2", whole) == copies.lacks("node2", new) == []
    said = copies.fleet.exec("node2", f"{' '.join(NIX)} path-info --sigs {' '.join(new.paths)}")
    fetched = {line.split()[0] for line in said.splitlines() if "testbed-1:" in line}
    assert fetched == set(nix("nix-store", "--query", "--requisites", part).split())


@pytest.mark.soak
def test_a_cache_that_does_not_answer_ends_the_copy_by_it_and_no_other(
    copies: Copies, closure: MakeClosure, web: str, configure: Configure, tmp_path: pathlib.Path
) -> None:
    new, address = closure(), web.removeprefix("http://").partition(":")[0]
    task = {"path": new.path, "stall_timeout": 3}
    upload = {"transport": "cache", "cache_upload": f"file://{tmp_path}/web"}
    with socket.create_server((address, 0)) as silent:
        cache = f"http://{address}:{silent.getsockname()[1]}"
        said = copies("node2", task | upload | {"cache": cache})
        assert said["failed"] and "made no progress for 3 s" in said["msg"], said
        configure(f"substituters = {cache}")
        played = copies.played("node2", task)
    assert (played.result("node2")["transport"], copies.lacks("node2", new)) == ("ssh-ng", [])
    assert "The build host sends what is left" in " ".join(played.text.split())
