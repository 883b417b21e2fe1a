# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The generated ssh_config means what Ansible's arguments mean: ssh itself is asked."""

from __future__ import annotations

import pathlib
import shlex
import shutil
import subprocess

import pytest
from ansible_collections.closure.nixos.plugins.module_utils._copy.ssh_config import (
    SshOptions,
    alias,
    ssh_config,
)
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError

HOST = "web1.example.org"
# Always ours, whatever Ansible says; and the defaults of this machine's own configuration.
OURS = {
    "batchmode",
    "controlmaster",
    "controlpath",
    "controlpersist",
    "host",
    "originalhost",
    "requesttty",
    "serveralivecountmax",
    "serveraliveinterval",
}


def meaning(*arguments: str) -> dict[str, list[str]]:
    """What ssh makes of arguments, by keyword."""
    done = subprocess.run(["ssh", "-G", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        keyword, _blank, value = line.partition(" ")
        found.setdefault(keyword, []).append(value)
    return {keyword: values for keyword, values in found.items() if keyword not in OURS}


def configured(options: SshOptions, directory: pathlib.Path) -> dict[str, list[str]]:
    """What ssh makes of the generated configuration."""
    file = directory / "config"
    file.write_text(ssh_config(options))
    return meaning("-F", str(file), alias(options))


needs_ssh = pytest.mark.skipif(not shutil.which("ssh"), reason="there is no ssh here")

ARGUMENTS = [
    "-o Port=2222",
    "-oPort=2222 -o 'User = nix'",
    "-p 2222 -l nix -4 -C -A",
    "-o 'UserKnownHostsFile=/tmp/one /tmp/two'",
    "-o 'UserKnownHostsFile=\"/tmp/my hosts\"' -o StrictHostKeyChecking=no",
    "-i 'KEYS/my key'",
    "-i KEYS/it\\'s",
    "-i 'KEYS/a #1'",
    "-i 'KEYS/a\"b'",
    "-i KEYS/one -i KEYS/two -o IdentitiesOnly=yes",
    "-J jump@bastion.example.org:2200",
    "-J jump@one:2200,two,ssh://nix@three:22",
    "-o ProxyJump=jump@bastion.example.org:2200",
    "-o ProxyCommand='ssh -W %h:%p \"bastion\"'",
    "-o 'ProxyCommand=\"/opt/my proxy\" --it=#1 %h %p'",
    "-c aes256-ctr -m hmac-sha2-256",
    "-o ControlMaster=auto -o ControlPersist=60s -o ControlPath=/tmp/cp -o Compression=yes",
    "-o SetEnv=A=b",
    "-v -T -q",
]


@needs_ssh
@pytest.mark.parametrize("text", ARGUMENTS)
def test_arguments_mean_the_same_in_the_file(text: str, tmp_path: pathlib.Path) -> None:
    for name in (
        "my key",
        "one",
        "two",
        "it's",
        "a #1",
        'a"b',
    ):  # ssh forgets a key that is not there
        (tmp_path / name).touch()
    text = text.replace("KEYS", str(tmp_path))
    options = SshOptions(HOST, arguments=("", text, ""))
    assert configured(options, tmp_path) == meaning(*_loud(text), HOST)


def _loud(text: str) -> list[str]:
    # What a copy prints is what we read, so it is neither made silent nor verbose.
    return [word for word in shlex.split(text) if word not in ("-q", "-v", "-T")]


@needs_ssh
def test_the_plugins_own_options_are_in_the_file(tmp_path: pathlib.Path) -> None:
    options = SshOptions("10.0.0.1", 2200, "nix", "/tmp/my keys/key", 7, False)
    found = configured(options, tmp_path)
    assert found["hostname"] == ["10.0.0.1"]
    assert (found["port"], found["user"], found["connecttimeout"]) == (["2200"], ["nix"], ["7"])
    assert found["identityfile"] == ["/tmp/my keys/key"]
    assert found["stricthostkeychecking"] == ["false"]


@needs_ssh
def test_the_first_argument_wins_over_the_plugin_and_the_plugin_over_the_rest(
    tmp_path: pathlib.Path,
) -> None:
    """As on the command line that the plugin makes: ssh_args, its options, the other arguments."""
    arguments = ("-o Port=1", "-o Port=3 -o User=late", "-o ConnectTimeout=4")
    found = configured(SshOptions(HOST, 2, "early", arguments=arguments), tmp_path)
    assert (found["port"], found["user"]) == (["1"], ["early"])
    assert found["connecttimeout"] == ["4"]


@needs_ssh
def test_a_file_that_was_given_is_included_instead_of_the_usual_ones(
    tmp_path: pathlib.Path,
) -> None:
    mine = tmp_path / "my file"
    mine.write_text(f"Host {HOST}\n  User from-my-file\n  Port 99\n")
    options = SshOptions(HOST, port=5, arguments=(f"-F '{mine}'",))
    found = configured(options, tmp_path)
    assert (found["user"], found["port"]) == (["from-my-file"], ["5"])
    assert "~/.ssh/config" not in ssh_config(options)
    assert "Include ~/.ssh/config" in ssh_config(SshOptions(HOST))
    assert "Include" not in ssh_config(SshOptions(HOST, arguments=("-F none",)))


@needs_ssh
def test_a_jump_host_gets_nothing_of_ours_but_the_files_that_ansibles_ssh_would_give_it(
    tmp_path: pathlib.Path,
) -> None:
    mine, file = tmp_path / "mine", tmp_path / "config"
    mine.write_text("Host bastion\n  User from-my-file\n")
    arguments = (f"-F {mine} -J bastion:2200 -o Port=99 -o BatchMode=no -o User=web",)
    file.write_text(ssh_config(SshOptions(HOST, 22, "web", "/key", 7, False, arguments)))
    assert meaning("-F", str(file), "bastion") == meaning("-F", str(mine), "bastion")
    assert "proxyjump" in meaning("-F", str(file), HOST)


@pytest.mark.parametrize(
    ("argument", "directory", "line"),
    [
        ("-F my.conf", "/play", "Include /play/my.conf"),
        ("-F my.conf", "/my play", 'Include "/my play/my.conf"'),
        ("-F my.conf", "", "Include ~/my.conf"),
        ("-F one -F ~/two", "/play", "Include ~/two"),
    ],
)
def test_a_relative_file_is_found_where_ansibles_ssh_finds_it(
    argument: str, directory: str, line: str
) -> None:
    config = ssh_config(SshOptions(HOST, arguments=(argument,), directory=directory))
    assert [it for it in config.splitlines() if it.startswith("Include")] == [line]


def test_a_copy_shares_no_control_master_and_never_asks() -> None:
    lines = ssh_config(SshOptions(HOST, arguments=("-o ControlPath=/x -o BatchMode=no",))).split(
        "\n"
    )
    assert "ControlPath none" in lines and "ControlMaster no" in lines
    assert "ControlPath=/x" not in " ".join(lines)
    # ssh takes the first value.
    assert lines.index("BatchMode yes") < lines.index("BatchMode no")


ALIASES = {
    "web1.example.org": "web1.example.org",
    "10.0.0.1": "10.0.0.1",
    "localhost": "closure-nixos-target",
    "::1": "closure-nixos-target",
    "2001:db8::7": "closure-nixos-target",
    "Web1": "Web1",
    "web_1": "web_1",
    "LocalHost": "closure-nixos-target",
    "jump": "closure-nixos-target",
    "Hop": "closure-nixos-target",
    "-oProxyCommand=evil": "closure-nixos-target",
    "": "closure-nixos-target",
}


@pytest.mark.parametrize(("host", "name"), ALIASES.items())
def test_nix_gets_a_name_that_it_cannot_misread(host: str, name: str) -> None:
    options = SshOptions(host, arguments=("-o ProxyJump=me@jump:22", "-J ssh://hop,other"))
    assert alias(options) == name
    assert (f"HostName {host}" in ssh_config(options).split("\n")) is (host != name)


BAD = ["-o 'Port=22", "--what", "user@host", "-p", "-o Host=*", "-o 'Match all'", "-o Include=x"]


@pytest.mark.parametrize("text", BAD)
def test_arguments_that_ssh_would_not_take_are_named(text: str) -> None:
    with pytest.raises(ClosureError) as caught:
        ssh_config(SshOptions(HOST, arguments=(text,)))
    assert text in caught.value.message


LINES = [
    SshOptions("web1\nHost *"),
    SshOptions(HOST, user="nix\nHost *"),
    SshOptions(HOST, key_file="/k\nHost *"),
    SshOptions(HOST, arguments=("-o 'User=a\nHost *'",)),
    SshOptions(HOST, arguments=("-i 'a\rb'",)),
]


@pytest.mark.parametrize("options", LINES, ids=str)
def test_a_value_with_a_line_break_is_refused(options: SshOptions) -> None:
    with pytest.raises(ClosureError, match="line break"):
        ssh_config(options)
