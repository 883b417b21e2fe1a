# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.closure.nixos.plugins.module_utils._copy.transport import (
    BATCH_BYTES,
    IMPORT_BYTES,
    Access,
    Answer,
    Transport,
    batches,
    check_room,
    choose_transports,
    explain_copy,
    explain_stall,
    instead_of,
    is_for_people,
    is_large,
    limit_cache,
    parse_answer,
    parse_signatures,
    readable,
    require_signatures,
)
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from hypothesis import given
from hypothesis import strategies as st


def path(name: str) -> str:
    return f"/nix/store/{'0' * 32}-{name}"


A, B, C = path("a"), path("b"), path("c")
CLOSURE = {A: 1, B: 2, C: 3}
CACHE_KEY = "cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY="
KEY = "builder-1"


def answer(login: str = "deploy", **said: str) -> Answer:
    facts = {"login": login, "groups": "deploy wheel", "trusted-users": "root"}
    keys = {"trusted-public-keys": f"{CACHE_KEY} {KEY}:AAAA"}
    return Answer({A: 1, B: 2}, facts | keys | said)


def test_an_answer_has_the_missing_paths_in_the_order_of_the_closure_and_facts() -> None:
    parsed = parse_answer(f"{C}\n{A}\nlogin=deploy\ntrusted-users=root @wheel\n", CLOSURE)
    assert list(parsed.missing.items()) == [(A, 1), (C, 3)]
    assert parsed.said == {"login": "deploy", "trusted-users": "root @wheel"}
    assert parse_answer("", CLOSURE) == Answer({}, {})


@pytest.mark.parametrize("text", [path("other"), "/etc/passwd"])
def test_an_answer_with_other_paths_is_an_error(text: str) -> None:
    with pytest.raises(ClosureError, match=text):
        parse_answer(text, CLOSURE)


@pytest.mark.parametrize(
    ("login", "trusted_users", "trusted"),
    [
        ("root", "", True),
        ("deploy", "root", False),
        ("deploy", "root deploy", True),
        ("deploy", "@wheel", True),
        ("deploy", "wheel @admin deployer", False),
        ("deploy", "*", True),
    ],
)
def test_trusted_is_who_nix_conf_names(login: str, trusted_users: str, trusted: bool) -> None:
    assert answer(login, **{"trusted-users": trusted_users}).trusted is trusted


@pytest.mark.parametrize(
    ("signatures", "said", "accepted"),
    [
        (f"{A}\t{KEY}:s\n{B}\tultimate other-1:s {KEY}:s\n", {}, True),
        (f"{A}\t{KEY}:s\n{B}\tultimate\n", {}, False),
        (f"{A}\t{KEY}:s\n{B}\tother-1:s\n", {}, False),
        (f"{A}\t{KEY}:s\n{B}\tultimate ca:fixed:r:sha256:0000\n", {}, True),
        (f"{A}\n{B}\n", {"require-sigs": "false"}, True),
        (f"{A}\t{KEY}:s\n{B}\t{KEY}:s\n", {"trusted-public-keys": ""}, False),
        ("", {}, False),
    ],
)
def test_a_target_accepts_what_is_all_signed_by_a_key_it_trusts(
    signatures: str, said: dict[str, str], accepted: bool
) -> None:
    asked = answer(**said)
    assert asked.accepts(parse_signatures(signatures)) is accepted


ROOT, SUDO, ASKS, PLAIN = (Access("", by) for by in ("login", "sudo", "connection", ""))
NO_SSH = Access("the host is reached by the connection plugin docker", "login")
NO_SSH_PLAIN = Access("the host is reached by the connection plugin docker", "")


@pytest.mark.parametrize(
    ("access", "trusted", "signed", "names", "sudo", "reason"),
    [
        (ROOT, True, False, "ssh-ng archive", False, "the host trusts the login"),
        (ROOT, True, True, "ssh-ng archive", False, "signatures"),
        (PLAIN, True, False, "ssh-ng archive", False, "the host trusts the login"),
        (PLAIN, False, True, "ssh-ng", False, "signatures"),
        (SUDO, False, False, "ssh-ng archive", True, "sudo asks the login for no password"),
        (SUDO, False, True, "ssh-ng archive", True, "signatures"),
        (SUDO, True, False, "ssh-ng archive", False, "the host trusts the login"),
        (ASKS, False, False, "archive", False, "Nix cannot become root"),
        (ASKS, False, True, "ssh-ng archive", False, "signatures"),
        (ASKS, True, False, "ssh-ng archive", False, "the host trusts the login"),
        (NO_SSH, False, False, "archive", False, "plugin docker"),
        (NO_SSH, False, True, "archive", False, "plugin docker"),
        (NO_SSH_PLAIN, True, False, "archive", False, "plugin docker"),
    ],
)
def test_auto_has_the_transports_by_which_the_target_accepts_the_closure_best_first(
    access: Access, trusted: bool, signed: bool, names: str, sudo: bool, reason: str
) -> None:
    chosen = choose_transports(access, trusted, signed)
    assert " ".join(transport.name for transport in chosen) == names
    assert chosen[0].sudo == sudo
    assert reason in chosen[0].reason


@pytest.mark.parametrize(("access", "signed"), [(PLAIN, False), (NO_SSH_PLAIN, True)])
def test_a_closure_that_no_transport_brings_in_is_refused_with_the_ways_out(
    access: Access, signed: bool
) -> None:
    with pytest.raises(ClosureError, match=r"become: true.*sign_key_file.*trusted-users"):
        choose_transports(access, False, signed)


def test_a_check_that_the_task_demands_is_passed_by_signatures_alone() -> None:
    require_signatures(True)
    with pytest.raises(ClosureError, match=r"check_sigs is true.*sign_key_file"):
        require_signatures(False)


@pytest.mark.parametrize(
    ("stderr", "reason"),
    [
        (
            "ssh: connect to host a port 22: No route to host\r\n",
            "connect to host a port 22: No ro",
        ),
        ("error: protocol mismatch, got 'hello\n\x00\x01\x1b[31mxdtn\ufffd'", "got 'hello xdtn'"),
        (
            "sudo: nix-daemon: command not found\nerror: x",
            "sudo: nix-daemon: command not found error",
        ),
        ("", "ssh-ng does not carry: "),
        ("closed by jump\n" * 32 + "error: x", "carry: closed by jump error: x"),
        ("a" * 1000 + "b" * 1000, f"carry: {'a' * 150} ... {'b' * 150}"),
    ],
)
def test_the_next_transport_has_as_its_reason_why_the_first_does_not_carry(
    stderr: str, reason: str
) -> None:
    following = instead_of(Transport("ssh-ng", "x", True), Transport("archive", ""), stderr)
    assert (following.name, following.sudo) == ("archive", False)
    assert following.reason.startswith("ssh-ng does not carry: ") and reason in following.reason
    assert following.reason.isprintable()


@pytest.mark.parametrize(
    ("stderr", "check_sigs", "stops"),
    [
        ("@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @", False, True),
        ("error: cannot add path 'x' because it lacks a signature by a trusted key", True, True),
        ("error: cannot add path 'x' because it lacks a signature by a trusted key", False, False),
        ("error: unexpected end-of-file", True, False),
        ("root@10.0.0.1: Permission denied (publickey).", True, False),
    ],
)
def test_no_transport_goes_around_a_changed_key_or_a_check_that_the_task_demands(
    stderr: str, check_sigs: bool, stops: bool
) -> None:
    assert is_for_people(stderr, check_sigs) is stops


def test_what_a_program_said_keeps_its_text_alone() -> None:
    assert readable("\x1b[31;1merror:\x1b[0m\tno\x00\x07\r\nspäce\ufffd\n") == "error:\tno\nspäce"


MISSING = st.lists(st.integers(0, 2 * BATCH_BYTES), max_size=20).map(
    lambda sizes: {path(f"p{n}"): size for n, size in enumerate(sizes)}
)


@given(MISSING)
def test_batches_are_all_of_it_in_its_order_and_small(missing: dict[str, int]) -> None:
    parts = list(batches(missing))
    assert [item for part in parts for item in part.items()] == list(missing.items())
    for part in parts:
        assert part
        assert len(part) == 1 if is_large(part) else sum(part.values()) <= BATCH_BYTES
    assert all(is_large(part) for part in parts if max(part.values()) > IMPORT_BYTES)


@pytest.mark.parametrize(
    ("transport", "store", "files", "place"),
    [
        ("ssh", "2", "0", None),
        ("ssh", "1", "9", "/nix/store"),
        ("archive", "2", "2", None),
        ("archive", "2", "1", "/var/tmp"),
        ("archive as deploy", "2", "4", None),
        ("archive as deploy", "2", "3", "/var/tmp"),
        ("archive", "", "", None),
    ],
)
def test_room_is_checked_where_the_transport_needs_it(
    transport: str, store: str, files: str, place: str | None
) -> None:
    transport, _as, login = transport.partition(" as ")
    said = {"login": login or "root", "free /nix/store": store, "free /var/tmp": files}
    asked = Answer({A: 1024, B: 1000}, said)
    if place is None:
        check_room(asked, transport, "web1")
        return
    with pytest.raises(ClosureError, match=f"to web1, and {place} there has"):
        check_room(asked, transport, "web1")


@pytest.mark.parametrize(
    ("stderr", "sentence"),
    [
        ("error: cannot add path '/x' because it lacks a signature by a trusted key", "become: tr"),
        ("error: cannot add path '/x' because it lacks a valid signature", "sign_key_file"),
        ("sudo: a password is required", "sudo asks for a password there"),
        (
            "error: x\nsudo: interactive authentication is required",
            "sudo asks for a password there",
        ),
        ("sudo: nix-daemon: command not found", "web1:\nsudo: nix-daemon: command not found"),
        ("sudo: unable to resolve host web1", "web1:\nsudo: unable to resolve host web1"),
        ("@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @", "correct known_hosts on builder"),
        ("\x1b[31;1merror:\x1b[0m disk full", "error: disk full"),
    ],
)
def test_a_failed_copy_is_explained(stderr: str, sentence: str) -> None:
    said = explain_copy(stderr, A, "builder", "web1")
    assert said.startswith(f"{A} was not copied from builder to web1:")
    assert sentence in said


def test_a_stalled_copy_names_the_oldest_server() -> None:
    serving = "  812    9000 nix-store --serve --write\n 1200 12 nix-daemon --stdio\n"
    said = explain_stall(300, A, "web1", serving)
    assert "no progress for 300 s" in said and "kill 812" in said and "1200 12" in said
    assert "kill" not in explain_stall(300, A, "web1", "\n")


@pytest.mark.parametrize(
    ("url", "said", "refusal"),
    [
        ("https://cache.example.org", {"download-speed": "0"}, None),
        ("https://cache.example.org", {}, "too old"),
        ("file:///srv/cache", {"download-speed": "0"}, "http and https only"),
    ],
)
def test_what_is_fetched_is_limited_by_nix_where_it_can(
    url: str, said: dict[str, str], refusal: str | None
) -> None:
    if refusal is None:
        assert limit_cache(url, answer(**said), 512) == ["--option", "download-speed", "512"]
        return
    with pytest.raises(ClosureError, match=refusal):
        limit_cache(url, answer(**said), 512)
