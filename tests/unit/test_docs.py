# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guides name what exists: files, headings, variables, modules and playbooks."""

from __future__ import annotations

import importlib
import pathlib
import re
import subprocess
import sys
import typing as t

import pytest
import yaml
from ansible_collections.closure.nixos.plugins.module_utils import _specs
from ansible_collections.closure.nixos.plugins.module_utils._deploy.options import (
    checked_spec,
    read_options,
)
from ansible_collections.closure.nixos.plugins.module_utils._deploy.outcome import Outcome, line

ROOT = pathlib.Path(__file__).parents[2]
PAGES = sorted(
    it for it in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")) if it.name != "CHANGELOG.md"
)

_LINK = re.compile(r"\[[^\]]+\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_CODE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_SHELL = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_YAML = re.compile(r"^```ya?ml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMANDS = re.compile(r"(?<=\n\n)((?: {4,}\S.*\n|\n(?= {4}))+)")
# What may be left out.
_OPTIONAL = re.compile(r"\[(-[^\]]+)\]")


def anchors(page: pathlib.Path) -> set[str]:
    """The names by which GitHub and MyST know the headings of a page."""
    text = _CODE.sub("", page.read_text(encoding="utf-8"))
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in _HEADING.findall(text)
    }


def role_variables() -> set[str]:
    """What the roles take, and the variables that they give to users."""
    specs = (yaml.safe_load(it.read_text()) for it in ROOT.glob("roles/*/meta/argument_specs.yml"))
    taken = {name for it in specs for name in it["argument_specs"]["main"]["options"]}
    return taken | {"deploy_result", "deploy_results", "python_is_there"}


def variables_of_playbooks() -> set[str]:
    texts = (it.read_text() for it in ROOT.glob("playbooks/**/*.yml"))
    return set(re.findall(r"\b[a-z]+_[a-z_]+\b", "\n".join(texts)))


def names() -> set[str]:
    """All that can be called by its name in the collection."""
    kinds = ("modules", "filter", "inventory", "lookup", "callback", "connection")
    found = {it.stem for kind in kinds for it in ROOT.glob(f"plugins/{kind}/*.py")}
    found |= {it.stem for it in ROOT.glob("playbooks/*.yml")}
    return found | {it.name for it in (ROOT / "roles").iterdir()} | {"git"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_link_of_a_page_leads_somewhere(page: pathlib.Path) -> None:
    broken = []
    for path, anchor in _LINK.findall(page.read_text(encoding="utf-8")):
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(f"{path}#{anchor}")
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_variable_that_a_page_names_exists(page: pathlib.Path) -> None:
    variable = r"\b(?:deploy|python|try)_[a-z]\w*[a-z]\b(?!__)"
    named = set(re.findall(variable, page.read_text(encoding="utf-8")))
    modules = {it for it in names() if it.startswith("deploy_")}
    known = role_variables() | variables_of_playbooks() | modules
    assert {it for it in named if "__" not in it} - known == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_name_of_the_collection_exists(page: pathlib.Path) -> None:
    named = set(re.findall(r"\bclosure\.nixos\.([a-z_]+)\b", page.read_text(encoding="utf-8")))
    assert named - names() == set()


def test_the_readme_leads_to_each_guide() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    linked = {path for path, _anchor in _LINK.findall(text)}
    assert {f"docs/{it.name}" for it in ROOT.glob("docs/*.md")} <= linked


def test_the_readme_shows_nix_before_it_shows_a_console() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.index("```nix\n") < text.index("```console\n")


def test_the_drawing_is_what_its_source_draws() -> None:
    drawn = subprocess.check_output([sys.executable, ROOT / "tests/docs/drawing"], text=True)
    assert (ROOT / "docs/deployment.svg").read_text(encoding="utf-8") == drawn


def test_pre_commit_has_the_legs_of_make_lint() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    program, *fast = hooks[0]["entry"].split()
    text = (ROOT / "tests/lint/run").read_text()
    legs = {it.replace("_", "-") for it in re.findall(r"^leg_(\w+)\(\)", text, re.MULTILINE)}
    assert program == hooks[1]["entry"] == "tests/lint/run"
    assert (hooks[0]["stages"], hooks[1]["stages"]) == (["pre-commit"], ["pre-push"])
    assert set(fast) <= legs and hooks[0]["name"] == ", ".join(fast)


def commands(page: pathlib.Path) -> list[str]:
    """The indented blocks of a page, which are all commands."""
    blocks = _COMMANDS.findall(_CODE.sub("", page.read_text(encoding="utf-8")))
    return [_OPTIONAL.sub(r"\1", block) for block in blocks]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_shell_of_a_page_is_sound(page: pathlib.Path, tmp_path: pathlib.Path) -> None:
    # Who types a command sees where `cd` has failed, and has the file that is read.
    command = ["shellcheck", "--shell=sh", "--exclude=SC1090,SC1091,SC2164"]
    for number, script in enumerate([*_SHELL.findall(page.read_text("utf-8")), *commands(page)]):
        file = tmp_path / str(number)
        file.write_text(script, encoding="utf-8")
        command.append(str(file))
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0 or not any(tmp_path.iterdir()), checked.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_of_a_page_have_no_comments(page: pathlib.Path) -> None:
    """The shell zsh, as people type in it, takes a comment for more words of the command."""
    lines = "\n".join(commands(page)).splitlines()
    assert [it for it in lines if re.search(r"(^|\s)#\s", it)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_of_a_page_name_what_exists(page: pathlib.Path) -> None:
    text = "\n".join(commands(page))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert set(re.findall(r"^ *make ([a-z-]+)", text, re.MULTILINE)) - targets == set()
    files = re.findall(r"(?<![\w/~.$}-])\.?/?((?:tests|examples)/[\w./-]+)", text)
    assert [it for it in files if not (ROOT / it).exists()] == []
    variables = set(re.findall(r"""-e '?(?:\{")?([a-z_]+)""", text))
    assert variables - role_variables() - variables_of_playbooks() == set()


def mappings(value: object) -> t.Iterator[dict[str, t.Any]]:
    """All mappings in what was read of YAML."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    for it in value if isinstance(value, list) else ():
        yield from mappings(it)


def wrong_options(found: dict[str, t.Any]) -> list[str]:
    """The options of our modules in a task, or in module_defaults, that no module has."""
    wrong = []
    for key, given in found.items():
        name = key.removeprefix("closure.nixos.").upper()
        if key != name.lower() and hasattr(_specs, name):
            options = getattr(_specs, name)["argument_spec"]
            wrong += [f"{key}: {it}" for it in given or () if it not in options]
    return wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_yaml_of_a_page_gives_modules_and_the_role_what_they_take(page: pathlib.Path) -> None:
    spec = yaml.safe_load((ROOT / "roles/deploy/meta/argument_specs.yml").read_text())
    options = checked_spec(spec["argument_specs"]["main"]["options"])
    for block in _YAML.findall(page.read_text(encoding="utf-8")):
        data = yaml.safe_load(block)
        assert data
        for found in mappings(data):
            assert wrong_options(found) == []
            # What a template gives is not known here.
            plain = {key: it for key, it in found.items() if "{{" not in str(it)}
            read_options(options, {key: it for key, it in plain.items() if key in options})


def test_the_examples_of_the_inventory_plugin_name_options_that_it_has() -> None:
    plugin = importlib.import_module("ansible_collections.closure.nixos.plugins.inventory.nixos")
    # The others are ansible-core's own, of its fragment `constructed`.
    known = {*yaml.safe_load(plugin.DOCUMENTATION)["options"], "keyed_groups", "groups", "compose"}
    documents = list(yaml.safe_load_all(plugin.EXAMPLES))
    assert documents and [it for it in documents if not it.keys() <= known] == []


def test_the_lines_of_the_guide_are_what_the_role_shows() -> None:
    units = {"restarted": 3, "reloaded": 1}
    outcomes = (
        Outcome("web1", "deployed", "switched 41 -> 42", units=units, seconds=12),
        Outcome("web2", "unchanged", "unchanged"),
    )
    shown = "\n".join(line(it, len("web1")) for it in outcomes)
    assert f"```text\n{shown}\n```" in (ROOT / "docs/operating.md").read_text(encoding="utf-8")


def test_each_page_is_on_the_site() -> None:
    """Sphinx would say so too, but the site is built before a release only."""
    build = (ROOT / "tests/docs/build").read_text(encoding="utf-8")
    pages = [it.stem for it in ROOT.glob("docs/*.md")]
    assert [it for it in pages if not re.search(rf'"(?:docs/)?{it}"', build)] == []
