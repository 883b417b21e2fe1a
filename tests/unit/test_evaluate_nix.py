# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our Nix files and the shell around them, with the Nix that is here."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import typing as t
from collections.abc import Mapping, Sequence

import pytest
from ansible_collections.closure.nixos.plugins.module_utils._build.evaluation import (
    Answers,
    Unit,
    data_of,
    parse_answers,
    shares_of,
)
from ansible_collections.closure.nixos.plugins.module_utils._build.request import Request
from ansible_collections.closure.nixos.plugins.plugin_utils._build.nix_files import nix_files
from ansible_collections.closure.nixos.plugins.plugin_utils._host.scripts import script
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.skipif(
    not shutil.which("nix-instantiate"), reason="Nix itself evaluates here"
)

# Nix has no character 0, and no half of a surrogate pair.
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
NUMBERS = st.integers(-(2**63), 2**63 - 1)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
# Goals of our own: what was asked, and what was found.
GOALS = {
    "echo.nix": "asked: _system: { inherit asked; }",
    "show.nix": "_asked: it: { inherit it; }",
}
SYSTEM = '{ config = { }; options = { }; name = "%s"; }'


def evaluate(
    requests: Mapping[str, Request],
    goal: str = "show",
    units: Sequence[Unit] = (),
    directory: pathlib.Path = pathlib.Path("/"),
    workers: int = 1,
    memory: int = 0,
) -> tuple[Answers, int]:
    """Evaluate as on a build host, and say how many processes that took."""
    units = units or [Unit(host) for host in requests]
    shares = shares_of(requests, units, workers)
    sizes = {f"size.{n}": str(len(share.units)) for n, share in enumerate(shares)}
    files = nix_files(data_of(requests, shares), GOALS | sizes)
    words = ("evaluate", files, goal, str(workers), str(memory), *(it.expression for it in shares))
    done = subprocess.run(
        ["/bin/sh", "-s"],
        input=script("looking_up", str(directory), "false", *words).text,
        capture_output=True,
        text=True,
        check=True,
    )
    return parse_answers(done.stdout, shares), done.stdout.count("@ended ")


def expression(text: str, *attrs: tuple[str, ...], **args: t.Any) -> Request:
    return Request({"expression": text}, "it", attrs, args, expression=text)


def found(requests: Mapping[str, Request], **more: t.Any) -> dict[str, t.Any]:
    answers, _processes = evaluate(requests, **more)
    return {unit.host: it.found and it.found["it"] for unit, it in answers.items()}


@settings(max_examples=5, deadline=None)
@given(st.lists(VALUES, min_size=40, max_size=40))
def test_any_json_reaches_nix_byte_for_byte(values: list[t.Any]) -> None:
    ((unit, answer),) = evaluate({"h": expression("{ }")}, "echo", [Unit("h", values)])[0].items()
    assert answer.found == {"asked": values}, answer.stderr
    assert unit.host == "h"


def test_what_may_be_secret_is_in_no_arguments_and_no_environment(tmp_path: pathlib.Path) -> None:
    """However many processes evaluate: neither the arguments of systems, nor settings of Nix."""
    witness = tmp_path / "nix-instantiate"
    real = shutil.which("nix-instantiate")
    seen = f"{{ echo \"$*\"; tr '\\0' '\\n' </proc/$$/environ; }} >>{tmp_path}/seen"
    witness.write_text(f'#!/bin/sh\n{seen}\nexec {real} "$@"\n')
    witness.chmod(0o755)
    text = "{ token }: { config = 1; options = 1; inherit token; }"
    requests = {f"h{n}": expression(text, (), token="canary-of-args") for n in range(4)}
    shares = shares_of(requests, [Unit(host) for host in requests], 2)
    sizes = {f"size.{n}": str(len(share.units)) for n, share in enumerate(shares)}
    files = nix_files(data_of(requests, shares), GOALS | sizes)
    words = ("evaluate", files, "show", "2", "0", *(it.expression for it in shares))
    settings = "access-tokens = github.com=canary-of-settings\n"
    command = script("configured", settings, "looking_up", "/", "false", *words).text
    command = command.replace("state=/run/closure-nixos", f"state={tmp_path}/state")
    done = subprocess.run(
        ["/bin/sh", "-s"],
        input=f'XDG_STATE_HOME={tmp_path} PATH="{tmp_path}:$PATH"\n{command}',
        capture_output=True,
        text=True,
        check=True,
    )
    answers = parse_answers(done.stdout, shares)
    assert [it.found["it"]["token"] for it in answers.values()] == ["canary-of-args"] * 4
    seen_text = (tmp_path / "seen").read_text()
    assert seen_text.count("--argstr program evaluate") == 2
    assert "include " in seen_text and "canary" not in seen_text
    assert not list(tmp_path.rglob("secret-*"))


TEXT = [
    "${x}",
    "''${x}''",
    '"',
    "\\",
    "\n\r\t",
    "ü\u2028\U0001f600",
    "@file x",
    "\n@file y\n",
    "'$(id)'",
]


def test_texts_that_mean_something_to_nix_or_to_a_shell_reach_it_as_they_are() -> None:
    text = "{ texts }: { config = 1; options = 1; inherit texts; }"
    assert found({"h": expression(text, (), texts=TEXT)})["h"]["texts"] == TEXT


ATTRIBUTES = {
    "all of it": (SYSTEM % "all", (), "all"),
    "the host's name": (f"{{ h = {SYSTEM % 'h'}; }}", (), "h"),
    "a path": (f"{{ a.b = {SYSTEM % 'b'}; }}", (("a", "b"),), "b"),
    "the first that exists": (
        f"{{ a = {SYSTEM % 'a'}; b = throw ''never''; }}",
        (("x",), ("a",), ("b",)),
        "a",
    ),
    "not the platform of a toplevel": (
        '{ h = { type = "derivation"; system = "x86_64-linux"; name = "top"; }; }',
        (("h", "system"), ("h",)),
        "top",
    ),
    "called on the way": (f"{{ n ? 1 }}: {{ h = {{ n }}: {SYSTEM % '${n}'}; }}", (("h",),), "7"),
}


@pytest.mark.parametrize(("text", "attrs", "name"), ATTRIBUTES.values(), ids=ATTRIBUTES)
def test_a_system_is_found(text: str, attrs: tuple[tuple[str, ...], ...], name: str) -> None:
    assert found({"h": expression(text, *attrs, n="7")})["h"]["name"] == name


def test_an_attribute_that_is_missing_is_told_with_its_neighbours() -> None:
    answers, _processes = evaluate({"h": expression("{ a = 1; b = 2; }")})
    assert 'no attribute {"among":["a","b"],"name":"h"}' in answers[Unit("h")].stderr


def test_an_expression_starts_from_its_directory_and_keeps_its_lines(
    tmp_path: pathlib.Path,
) -> None:
    (tmp_path / "x.nix").write_text(SYSTEM % "x")
    given = {"a": expression("import ./x.nix"), "b": expression("{\n  h = 1 +;\n}")}
    answers, _processes = evaluate(given, directory=tmp_path)
    assert answers[Unit("a")].found["it"]["name"] == "x"
    assert ":2:10" in answers[Unit("b")].stderr


BAD = {"throws": 'throw "no"', "aborts": 'builtins.abort "no"', "lacks": "{ }.no"}


@pytest.mark.parametrize("workers", [1, 3])
def test_a_bad_host_costs_a_process_and_no_other_its_answer(workers: int) -> None:
    hosts = "abcdefgh"
    own = " ".join(f"{name} = {SYSTEM % name};" for name in hosts if name not in "bfg")
    text = (
        f"{{ {own} {' '.join(f'{n} = {it};' for n, it in zip('bfg', BAD.values(), strict=True))} }}"
    )
    given = {host: expression(text, (host,)) for host in hosts}
    answers, processes = evaluate(given, workers=workers)
    assert {unit.host for unit, it in answers.items() if it.found is None} == set("bfg")
    assert all("no" in answers[Unit(host)].stderr for host in "bfg")
    # One for each bad host, and one for the rest of each share, where there is a rest.
    assert workers + 1 <= processes <= 3 + workers


def test_memory_ends_a_process_before_it_is_full() -> None:
    text = f"{{ a = {SYSTEM % 'a'}; b = {SYSTEM % 'b'}; c = {SYSTEM % 'c'}; }}"
    given = {host: expression(text) for host in "abc"}
    assert evaluate(given, memory=1)[1] == 3
    assert evaluate(given, memory=8 * 1024**3)[1] == 1
    assert evaluate(given)[1] == 1


KILLED = """#!/bin/sh
while [ "$#" -gt 0 ]; do
    case $2 in from) from=$3 ;; count) count=$3 ;; esac
    shift
done
cat >/dev/null
say() { echo "trace: closure.nixos: $*" >&2; }
say begin "$from" $((from + 1))
say found "$from" '{"it": 1}'
[ "$count" -gt 1 ] || exit 0
say begin $((from + 1)) $((from + 2))
kill -KILL $$
"""


def test_what_is_killed_when_memory_is_full_is_evaluated_again_alone(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "nix-instantiate"
    program.write_text(KILLED)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    given = {host: expression("{ }") for host in "abc"}
    answers, processes = evaluate(given)
    assert [it.found for it in answers.values()] == [{"it": 1}] * 3
    # All of them, and then one by one.
    assert processes == 3


EXTENDS = """{ modules }: {
  config.system.build.toplevel = { drvPath = toString (builtins.length modules); outPath = "o"; };
}"""


@pytest.mark.parametrize(
    ("goal", "text", "what"),
    [
        # What lib.nixosSystem returns, and what nixpkgs' nixos/default.nix does.
        ("container", f"extendModules = {EXTENDS};", {"drv": "1", "out": "o"}),
        (
            "container",
            f"options._module.args.value.extendModules = {EXTENDS};",
            {"drv": "1", "out": "o"},
        ),
        ("container", "", None),
        (
            "vm",
            'config.system.build.vm = { drvPath = "d"; outPath = "o"; };',
            {"drv": "d", "out": "o"},
        ),
        ("vm", "", None),
        (
            "package",
            'type = "derivation"; drvPath = "d"; outPath = "o"; outputName = "bin";',
            {"drv": "d", "out": "o", "output": "bin"},
        ),
        ("package", "", None),
    ],
)
def test_what_is_found_beside_systems(goal: str, text: str, what: dict[str, str] | None) -> None:
    options = "" if "options." in text else "options = { };"
    request = expression(f"{{ config = {{ }}; {options} {text} }}")
    answers, _processes = evaluate({"web1": request}, goal=goal)
    assert answers[Unit("web1")].found == what
