# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Links that keep store paths: their names, and what a host says of them."""

from __future__ import annotations

import pytest
from ansible_collections.closure.nixos.plugins.module_utils._build.build_options import (
    BuildOptions,
    EvaluationOptions,
)
from ansible_collections.closure.nixos.plugins.module_utils._build.build_plan import read_evaluated
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._store.roots import (
    RootLook,
    check_root_name,
    parse_root,
)

PATH = "/nix/store/593xx3l8wi9pcchklvs46qxa76w6x4dq-jq-1.6"


@pytest.mark.parametrize("name", ["python", "jq-1.6", "_x", "a.b+c"])
def test_names_of_links(name: str) -> None:
    assert check_root_name(name) == name


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "a b", "a\n", "-f", "ä"])
def test_what_is_no_name_of_a_link_is_refused(name: str) -> None:
    with pytest.raises(ClosureError, match="cannot be the name of a link"):
        check_root_name(name)


@pytest.mark.parametrize(
    ("said", "look"),
    [
        ("user=root\nholds=\nlacks=\n", RootLook("root", "", lacks=False)),
        (f"user=deploy\nholds={PATH}\nlacks=\n", RootLook("deploy", PATH, lacks=False)),
        (f"user=root\nholds=\nlacks={PATH}\n", RootLook("root", "", lacks=True)),
    ],
)
def test_what_a_host_says_of_a_link(said: str, look: RootLook) -> None:
    assert parse_root(said) == look


def test_an_answer_that_was_cut_is_no_answer() -> None:
    with pytest.raises(LookupError):
        parse_root("user=root\nholds=\n")


def test_a_package_has_another_link_than_the_system_of_its_host() -> None:
    options = BuildOptions(EvaluationOptions(), goal="package", name="jq")
    assert options.root_of("web1") == ".jq.web1"
    assert BuildOptions(EvaluationOptions()).root_of("web1") == "web1"


def test_of_a_package_the_output_is_built_that_it_stands_for() -> None:
    found = {"drv": f"{PATH}.drv", "out": PATH}
    assert read_evaluated(found).wanted == f"{PATH}.drv"
    assert read_evaluated(found | {"output": "bin"}).wanted == f"{PATH}.drv!bin"
