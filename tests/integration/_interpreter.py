# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Python for hosts that have none: the one that runs the tests, as a package of the stand-in."""

from __future__ import annotations

import pathlib
import re
import secrets
import shutil
import subprocess
import sys
import sysconfig

_LEFT_OUT = (
    *("__pycache__", "config-*", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "test"),
    *("*-packages", "tkinter", "turtledemo", "distutils"),
)
# Those of the C library, which a host has as well.
_OF_LIBC = re.compile(r"(?:libc|libm|libdl|libpthread|librt|libutil|ld-[\w.-]+|linux-vdso)\.so")
_LIBRARY = re.compile(r"^\s+(\S+) => (/\S+)", re.MULTILINE)
# The big part is the same each time. The interpreter finds its modules beside itself, and the
# libraries that the host may lack by what starts it.
_PACKAGE = """final: prev: {{
  python3 =
    let
      parts = final.runCommand "python3-parts" {{ }} ''
        mkdir -p $out/bin
        cp -R ${{{files}}}/lib $out/lib
        cp ${{{files}}}/python $out/bin/python{version}
      '';
    in
    final.writeScriptBin "python3" ''
      #!/bin/sh
      # {nonce}
      LD_LIBRARY_PATH=${{parts}}/lib exec ${{parts}}/bin/python{version} "$@"
    '';
}}
"""


def python_overlay(directory: pathlib.Path) -> str:
    """Copy the interpreter below a directory, and return an overlay that has it, new each time."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    files = directory / "python-files"
    library = pathlib.Path(sysconfig.get_path("stdlib"))
    shutil.copytree(
        library, files / "lib" / f"python{version}", ignore=shutil.ignore_patterns(*_LEFT_OUT)
    )
    program = pathlib.Path(sys.executable).resolve()
    shutil.copy(program, files / "python")
    said = subprocess.run(["ldd", program], stdout=subprocess.PIPE, text=True, check=True).stdout
    for name, path in _LIBRARY.findall(said):
        if not _OF_LIBC.match(name):
            shutil.copy(path, files / "lib" / name)
    return _PACKAGE.format(version=version, files=files, nonce=secrets.token_hex(8))
