# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""nixpkgs_pin with a tarball whose content changes, and what is built from its file."""

from __future__ import annotations

import contextlib
import io
import json
import pathlib
import secrets
import socketserver
import ssl
import subprocess
import threading
import typing as t

import pytest
import yaml
from ansible_collections.closure.nixos.plugins.modules import nixpkgs_pin
from ansible_collections.closure.nixos.tests.integration._harness import TESTBED, Play, Played
from ansible_collections.closure.nixos.tests.integration._systems import (
    Task,
    module,
    nix,
    playbook,
)

HASH = ("nix", "--extra-experimental-features", "nix-command", "hash", "to-base32")
LOCAL = {"hosts": "localhost", "connection": "local"}


def publish(directory: pathlib.Path, suffix: str) -> dict[str, str]:
    """Put another release of the stand-in nixpkgs upstream, and say how Nix pins it."""
    program = str(TESTBED.with_name("make-nixpkgs-tarball"))
    done = subprocess.run([program, str(directory), suffix], stdout=subprocess.PIPE, check=True)
    return {str(key): str(value) for key, value in json.loads(done.stdout).items()}


def pin(path: pathlib.Path, **arguments: str) -> Task:
    return module("nixpkgs_pin", {"path": str(path)} | arguments, ignore_errors=True)


def pinned(played: Played, task: str = "nixpkgs_pin") -> Task:
    assert "Traceback" not in played.text
    return played.result("localhost", task)


def test_a_pin_is_written_kept_and_updated(play: Play, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "nixpkgs.json"
    upstream = publish(tmp_path, ".1")
    text = playbook(pin(file, url=upstream["url"]), **LOCAL)

    checked = pinned(play(text, "--check", "--diff"))
    assert checked["changed"] and not file.exists()
    first = pinned(play(text, "--diff"))
    assert checked["diff"] == first["diff"] and first["diff"]["after"] == file.read_text()
    assert file.stat().st_mode & 0o777 == 0o644
    assert set(yaml.safe_load(nixpkgs_pin.RETURN)) - {"rc", "stderr"} <= first.keys()
    assert checked.keys() == first.keys()

    file.chmod(0o640)
    again = pinned(play(text))
    assert not again["changed"] and "is up to date" in again["msg"]
    assert again["sha256"] == first["sha256"]

    publish(tmp_path, ".2")
    later = pinned(play(text))
    assert later["changed"] and later["sha256"] != first["sha256"]
    assert json.loads(file.read_text())["sha256"] == later["sha256"]
    assert file.stat().st_mode & 0o777 == 0o640


def test_a_pin_that_nix_prefetch_url_made_is_the_same(play: Play, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "nixpkgs.json"
    upstream = publish(tmp_path, ".1")
    file.write_text(json.dumps(upstream))
    build = module(
        "nix_build_system", {"configuration": [{}], "nixpkgs": str(file)}, ignore_errors=True
    )
    played = play(playbook(pin(file, url=upstream["url"]), build, **LOCAL))
    assert not pinned(played)["changed"]
    assert json.loads(file.read_text()) == upstream
    assert pinned(played, "nix_build_system")["path"].endswith(".1")

    publish(tmp_path, ".2")
    (tmp_path / "nixpkgs.json").write_text(json.dumps(upstream | {"sha256": "0" * 52}))
    moved = play(playbook(build, pin(file, url=upstream["url"]), build, **LOCAL))
    first, second = moved.results("localhost", "nix_build_system")
    assert first["failed"] and "is not what was pinned" in first["msg"]
    assert pinned(moved)["changed"]
    assert second["failed"], "a failure is kept for the run"
    healed = play(playbook(build, **LOCAL))
    assert pinned(healed, "nix_build_system")["path"].endswith(".2")


class GitHub(socketserver.ThreadingTCPServer):
    """Answers as api.github.com and github.com do, to whoever takes it for the way there.

    Nix has no other address for GitHub, but heeds a proxy and trusts the authorities that it is
    told to trust, as in companies.
    """

    daemon_threads = True
    commit = ""

    def __init__(self, directory: pathlib.Path) -> None:
        super().__init__(("127.0.0.1", 0), _GitHubRequest)
        self.directory = directory
        self.certificate = directory / "github.pem"
        names = "subjectAltName=DNS:api.github.com,DNS:github.com"
        make = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=github.com -addext"
        out = ["-keyout", str(self.certificate), "-out", f"{self.certificate}.crt"]
        subprocess.run([*make.split(), names, *out], check=True, capture_output=True)
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(f"{self.certificate}.crt", self.certificate)

    @property
    def environment(self) -> dict[str, str]:
        proxy = f"http://127.0.0.1:{self.server_address[1]}"
        return {"https_proxy": proxy, "NIX_SSL_CERT_FILE": f"{self.certificate}.crt"}

    def answer(self, path: str) -> bytes:
        if path == "/repos/NixOS/nixpkgs/commits/nixos-25.11":
            return json.dumps(
                {"sha": self.commit, "commit": {"tree": {"sha": self.commit}}}
            ).encode()
        assert self.commit in path, path
        return (self.directory / "nixpkgs.tar.gz").read_bytes()


class _GitHubRequest(socketserver.StreamRequestHandler):
    server: GitHub

    def handle(self) -> None:
        self._header(self.rfile)
        self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        # A client may hang up in the middle.
        with contextlib.suppress(OSError):
            line = self.server.tls.wrap_socket(self.connection, server_side=True)
            body = self.server.answer(self._header(line.makefile("rb")))
            head = f"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
            line.sendall(head.encode() + body)

    def _header(self, lines: io.BufferedIOBase) -> str:
        first = lines.readline().decode()
        while lines.readline().strip():
            pass
        return first.split()[1]


@pytest.fixture
def github(tmp_path: pathlib.Path) -> t.Iterator[GitHub]:
    with GitHub(tmp_path) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_a_branch_of_github_is_pinned_by_its_commit(
    play: Play, tmp_path: pathlib.Path, github: GitHub
) -> None:
    file = tmp_path / "nixpkgs.json"
    build = module("nix_build_system", {"configuration": [{}], "nixpkgs": str(file)})
    text = playbook(pin(file, ref="nixos-25.11"), build, **LOCAL)
    for suffix in (".1", ".2"):
        github.commit = secrets.token_hex(20)
        upstream = publish(tmp_path, suffix)
        first, again = (play(text, env=github.environment) for _time in range(2))
        said = pinned(first)
        assert said["changed"] and not pinned(again)["changed"], said["msg"]
        assert said["rev"] == github.commit
        assert said["url"] == f"https://github.com/NixOS/nixpkgs/archive/{github.commit}.tar.gz"
        assert nix(*HASH, said["sha256"]) == upstream["sha256"]
        assert pinned(first, "nix_build_system")["path"].endswith(suffix)
    exact = playbook(pin(file, rev=github.commit), **LOCAL)
    assert not pinned(play(exact, env=github.environment))["changed"]


def test_bad_requests_are_answered_with_sentences(play: Play, tmp_path: pathlib.Path) -> None:
    (tmp_path / "other.json").write_text('{"pins": {}}')
    url = f"file://{tmp_path}/missing.tar.gz"
    there = {"delegate_to": "node1", "vars": {"ansible_connection": "ssh"}}
    cases = {
        "missing": (pin(tmp_path / "a.json", url=url), "localhost does not get file:///"),
        "foreign": (pin(tmp_path / "other.json", url=url), "other.json is no pin"),
        "nothing": (pin(tmp_path / "a.json"), "Give one of url, ref and rev"),
        "directory": (pin(tmp_path, url=url), "cannot be read or written"),
        "home": (pin(pathlib.Path("~/a.json"), url=url) | there, "whose home that is on node1"),
    }
    played = play(playbook(*(task | {"name": name} for name, (task, _s) in cases.items()), **LOCAL))
    for name, (_task, words) in cases.items():
        assert words in pinned(played, name)["msg"], name
