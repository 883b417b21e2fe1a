# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stands in for nix-eval-jobs, which Debian does not have.

It takes the options that we use, refuses all others, and prints the lines that its README.md and
src/worker.cc describe (https://github.com/nix-community/nix-eval-jobs). What it does not do is to
evaluate in several processes: nix-instantiate evaluates, one attribute after another.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import subprocess

_JOB = """
root: name:
let job = root.${name}; in
if job.type or null == "derivation"
then { inherit (job) name system drvPath; outputs = { out = job.outPath; }; }
else null
"""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="nix-eval-jobs", allow_abbrev=False)
    parser.add_argument("--show-trace", action="store_true", required=True)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--max-memory-size", type=int, default=4096)
    parser.add_argument("--gc-roots-dir", type=pathlib.Path, required=True)
    parser.add_argument("--argstr", nargs=2, action="append", default=[])
    parser.add_argument("--expr", action="store_true", required=True)
    parser.add_argument("text")
    return parser.parse_args()


def evaluate(
    given: argparse.Namespace, function: str, **more: str
) -> subprocess.CompletedProcess[str]:
    """Apply a function to the root, which is called with the arguments that were given."""
    values = dict(given.argstr) | more
    words = [word for name, value in values.items() for word in ("--argstr", name, value)]
    names = "".join(f"{name} = {name}; " for name in dict(given.argstr))
    formals = ", ".join(values)
    text = f"{{ {formals} }}: ({function}) (({given.text}) {{ {names}}})"
    extra = "".join(f" {name}" for name in more)
    how = ("--eval", "--json", "--strict", "--read-write-mode", "--show-trace")
    command = ["nix-instantiate", *how, *words, "-"]
    return subprocess.run(command, input=text + extra, capture_output=True, text=True, check=False)


def main() -> None:
    given = arguments()
    root = evaluate(given, "builtins.attrNames")
    if root.returncode != 0:
        raise SystemExit(root.stderr)
    for name in json.loads(root.stdout):
        job = evaluate(given, _JOB, attribute=name)
        found = {"error": job.stderr} if job.returncode else json.loads(job.stdout)
        if found is not None:
            attr = f'"{name}"' if "." in name else name
            print(json.dumps({"attr": attr, "attrPath": [name]} | found), flush=True)


if __name__ == "__main__":
    main()
