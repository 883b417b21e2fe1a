# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guides name what exists: files, headings, variables, modules and playbooks."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

import pytest
import yaml

ROOT = pathlib.Path(__file__).parents[2]
PAGES = sorted(
    it for it in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")) if it.name != "CHANGELOG.md"
)

_LINK = re.compile(r"\[[^\]]+\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_CODE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_all_yaml_of_a_page_loads_and_its_shell_is_sound(page: pathlib.Path) -> None:
    text = page.read_text(encoding="utf-8")
    for block in re.findall(r"^```ya?ml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        assert yaml.safe_load(block)
    for script in re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        command = ["shellcheck", "--shell=sh", "-"]
        checked = subprocess.run(command, input=script, capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stdout


def test_each_page_is_on_the_site() -> None:
    """Sphinx would say so too, but the site is built before a release only."""
    build = (ROOT / "tests/docs/build").read_text(encoding="utf-8")
    pages = [it.stem for it in ROOT.glob("docs/*.md")]
    assert [it for it in pages if not re.search(rf'"(?:docs/)?{it}"', build)] == []
