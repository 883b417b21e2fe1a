# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What ansible-builder makes of the collection and of the example, short of a container engine."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys

import yaml

ROOT = pathlib.Path(__file__).parents[2]
DEFINITION = ROOT / "examples/runner/execution-environment.yml"
# https://docs.docker.com/reference/dockerfile/
INSTRUCTIONS = {"FROM", "ARG", "ENV", "USER", "RUN", "COPY"}
INSTRUCTIONS |= {"WORKDIR", "LABEL", "ENTRYPOINT", "CMD"}
_INSTRUCTION = re.compile(r"^(?!#)(\S+)(?: .*\\\n(?:.*\\\n)*.*| .*)?$", re.MULTILINE)


def builder(*words: str | pathlib.Path) -> str:
    command = [str(pathlib.Path(sys.executable).with_name("ansible-builder")), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_collection_names_the_packages_that_it_calls() -> None:
    found = builder("introspect", os.environ["ANSIBLE_COLLECTIONS_PATH"])
    system = yaml.safe_load(found[found.index("---") :])["system"]
    packages = {line.split()[0] for line in system}
    assert packages == {"git", "openssh-client", "openssh-clients", "util-linux"}
    assert all("from collection closure.nixos" in line for line in system)


def test_the_examples_context_is_built(tmp_path: pathlib.Path) -> None:
    file = "Containerfile"
    builder(*("create", "--output-filename", file), "--file", DEFINITION, "--context", tmp_path)
    text = (tmp_path / file).read_text()
    assert {found[1] for found in _INSTRUCTION.finditer(text)} <= INSTRUCTIONS
    base = yaml.safe_load(DEFINITION.read_text())["images"]["base_image"]["name"]
    assert f'ARG EE_BASE_IMAGE="{base}"' in text
    # Nix comes into the last stage, and is tried there.
    last = text.rpartition("\nFROM ")[2]
    assert re.search(r"^COPY --from=nixos/nix:[\d.]+ /nix /nix$", last, re.MULTILINE)
    assert "\nRUN nix-build --version\n" in last
    wanted = yaml.safe_load((tmp_path / "_build/requirements.yml").read_text())
    assert wanted == {"collections": [{"name": "closure.nixos"}]}
