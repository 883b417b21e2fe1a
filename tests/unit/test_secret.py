# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a secret is to be: names, places and all that is refused, without its content."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import typing as t

import pytest
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._secrets.plan import for_printf
from ansible_collections.closure.nixos.plugins.module_utils._secrets.secret import (
    LIMIT,
    File,
    Secret,
    boot_files,
    check_content,
    check_total,
    decode_content,
    files_of,
    parse_secrets,
)

CANARY = "hunter2-canary"
DEFAULTS: dict[str, t.Any] = {
    "credstore": None,
    "persistent": None,
    "with_key": None,
    "key_unit": None,
    "persistent_directory": "/var/lib/kept",
}


def parse(secrets: dict[t.Any, t.Any], **args: t.Any) -> tuple[Secret, ...]:
    return parse_secrets(DEFAULTS | {"secrets": secrets} | args)


def one(args: dict[str, t.Any] | None = None, /, **given: t.Any) -> Secret:
    return parse({"it": {"content": CANARY} | given}, **(args or {}))[0]


def test_a_secret_is_roots_and_in_memory() -> None:
    secret = one()
    assert (secret.path, secret.owner, secret.group) == ("/run/keys/it", "root", "root")
    assert (secret.mode, secret.copy, secret.key, secret.tell) == (0o400, "", "", ())
    assert CANARY not in repr(secret) + repr(files_of(secret, CANARY.encode()))


@pytest.mark.parametrize(
    ("args", "given", "place"),
    [
        ({}, {"credstore": "volatile"}, ("/run/credstore/it", "", "")),
        ({}, {"credstore": "encrypted"}, ("/etc/credstore.encrypted/it", "", "auto")),
        (
            {"credstore": "encrypted", "with_key": "host"},
            {},
            ("/etc/credstore.encrypted/it", "", "host"),
        ),
        ({"credstore": "encrypted"}, {"persistent": False}, ("/run/keys/it", "", "")),
        ({"persistent": True}, {}, ("/run/keys/it", "/var/lib/kept/run/keys/it", "")),
        ({"persistent": True}, {"credstore": "volatile"}, ("/run/credstore/it", "", "")),
        ({}, {"path": "/srv/app/key"}, ("/srv/app/key", "", "")),
    ],
)
def test_the_place_is_that_of_the_secret_or_of_all(
    args: dict[str, t.Any], given: dict[str, t.Any], place: tuple[str, str, str]
) -> None:
    secret = one(args, **given)
    assert (secret.path, secret.copy, secret.key) == place


BAD_NAMES = ["", ".", "..", "a/b", "../a", "a\nb", "a b", "-a", ".a", "é", "a" * 201, 1]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_could_lead_elsewhere_is_refused(name: object) -> None:
    with pytest.raises(ClosureError, match="cannot be a secret's name"):
        parse({name: {"content": CANARY}})


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"file": "x"}, "mutually exclusive: content|content_base64|file|command"),
        ({"content": None}, "one of the following is required: content, content_base64, file"),
        ({"content": 5}, "has a content that is not a text"),
        ({"content": ["x"]}, "has a content that is not a text"),
        ({"content": None, "command": [1]}, "has a command that is not a list of words"),
        ({"contents": "x"}, "Unsupported parameters: contents. Supported parameters include"),
        ({"mode": "0777"}, "has the mode 0777. Write it in quotes"),
        ({"mode": 0o400}, "has the mode 256. Write it in quotes"),
        ({"owner": "a b"}, "has the owner 'a b'"),
        ({"group": "-R"}, "has the group '-R'"),
        ({"path": "relative/x"}, "has the path 'relative/x'"),
        ({"path": "/top"}, "has the path '/top'"),
        ({"path": "/run/../etc/shadow"}, "has the path '/run/../etc/shadow'"),
        ({"path": "/run//x"}, "has the path '/run//x'"),
        ({"path": "/run/x/"}, "has the path '/run/x/'"),
        ({"path": "/run/x\ny"}, "has the path '/run/x\\ny'"),
        ({"path": "/nix/store/x"}, "everybody can read"),
        ({"credstore": "volatile", "owner": "app"}, "has credstore and owner"),
        ({"credstore": "encrypted", "path": "/run/x/y"}, "has credstore and path"),
        ({"credstore": "encrypted", "persistent": True}, "has both credstore and persistent"),
        ({"credstore": "plain"}, "value of credstore must be one of: encrypted, volatile"),
        ({"restart": ["nginx"]}, "is to restart 'nginx'. Name a unit with its kind"),
        ({"reload": ["a.service --now"]}, "is to reload 'a.service --now'"),
        ({"key_unit": True, "path": "/run/x y/z"}, "cannot have a key_unit"),
    ],
)
def test_what_cannot_be_meant_is_said_with_the_name_and_without_the_content(
    given: dict[str, t.Any], words: str
) -> None:
    with pytest.raises(ClosureError) as raised:
        one(**given)
    assert raised.value.message.startswith("it")
    assert words in raised.value.message
    assert CANARY not in raised.value.message and not raised.value.details


def test_a_secret_that_is_no_dictionary_is_refused_without_saying_it() -> None:
    with pytest.raises(ClosureError) as raised:
        parse({"it": CANARY})
    assert raised.value.message.startswith("it is not a dictionary")


def test_two_secrets_of_one_path_are_refused() -> None:
    other = {"content": "x", "path": "/run/keys/it"}
    with pytest.raises(ClosureError, match="it and other are both to be /run/keys/it"):
        parse({"it": {"content": CANARY}, "other": other})


def test_a_credential_has_no_colon_in_its_name() -> None:
    with pytest.raises(ClosureError, match="a:b has a colon"):
        parse({"a:b": {"content": "x", "credstore": "volatile"}})


@pytest.mark.parametrize(("content", "why"), [(b"", "empty"), (bytes(LIMIT + 1), "more than")])
def test_empty_and_long_contents_are_refused(content: bytes, why: str) -> None:
    with pytest.raises(ClosureError, match=why):
        check_content(one(), content)


def test_many_long_contents_are_refused_together() -> None:
    check_total([bytes(LIMIT)] * 16)
    with pytest.raises(ClosureError, match="together"):
        check_total([bytes(LIMIT)] * 17)


@pytest.mark.parametrize(
    ("given", "content"),
    [
        ({"content": "a\n"}, b"a\n"),
        ({"content": "\udcff\x00é"}, b"\xff\x00\xc3\xa9"),
        ({"content": None, "content_base64": "AAEC\n/w==\n"}, b"\x00\x01\x02\xff"),
    ],
)
def test_a_content_is_kept_byte_for_byte(given: dict[str, t.Any], content: bytes) -> None:
    assert decode_content(one(**given)) == content


def test_what_is_not_base64_is_refused() -> None:
    with pytest.raises(ClosureError, match=r"^it has a content_base64 that is not Base64\.$"):
        decode_content(one(content=None, content_base64="hunter2-canary"))


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox"])
@pytest.mark.parametrize(
    "content", [bytes(range(256)) * 2, b"%s\\0101\\c'\"$(id)`id`\n\n", b"\x007\n\t \\"]
)
def test_every_shell_prints_every_content(shell: str, content: bytes) -> None:
    path = shutil.which(shell)
    assert path, f"{shell} is not installed"
    command = [path, "sh", "-s"] if shell == "busybox" else [path, "-s"]
    script = f"printf '%b' {shlex.quote(for_printf(content))}"
    printed = subprocess.run(command, input=script.encode(), stdout=subprocess.PIPE, check=True)
    assert printed.stdout == content


def test_a_unit_is_told_of_a_new_content() -> None:
    secret = one(restart=["a.service"], reload=["b.service"], key_unit=True)
    own, unit = files_of(secret, b"x")
    assert own.tell == ("start:it-key.service", "restart:a.service", "reload:b.service")
    assert unit.path == "/etc/systemd/system.attached/it-key.service"
    assert unit.tell == ("reread:units", "start:it-key.service")
    assert unit.helper and b"/run/keys/it" in unit.content


def test_the_copy_that_lasts_is_as_the_secret_is() -> None:
    own, copy = files_of(one({"persistent": True}, mode="0440", group="app"), b"x")
    assert copy == File("it", "/var/lib/kept/run/keys/it", b"x", group="app", mode=0o440)
    assert (own.path, own.mode, own.group) == ("/run/keys/it", 0o440, "app")


def test_the_boot_unit_comes_before_services() -> None:
    script, unit, wants = boot_files("/var/lib/kept", "secrets_boot")
    assert b"Before=sysinit.target" in unit.content and script.path.encode() in unit.content
    assert b"/var/lib/kept" in unit.content
    assert wants.path.endswith("/sysinit.target.d/closure-nixos-secrets.conf")
