# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cached read-only layers of the hosts' roots: a Debian tree, and generation 1 on top of it."""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from _command import TestbedError, run

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "closure-nixos-testbed")
SUITES = ("trixie", "bookworm", "sid")  # the first unless another is asked for
PREFERENCES = HERE / "debian" / "preferences"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
PACKAGES = [
    *("systemd", "systemd-sysv", "dbus", "openssh-server", "iproute2", "procps", "sudo"),
    *("nix-bin", "nix-setup-systemd"),
    # Other ways to become root (run0 asks polkit), and what decrypts secrets on a host.
    *("opendoas", "polkitd", "age"),
    # A load balancer, and what talks to its socket.
    *("haproxy", "socat"),
]
# Mounts and processes of a build vanish with it, and it dies with the testbed (even by kill -9).
ISOLATED = [
    *("setpriv", "--pdeathsig", "KILL"),
    *("unshare", "--mount", "--pid", "--mount-proc", "--fork", "--kill-child"),
]


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold a lock on a directory, made if need be and again if it was removed meanwhile."""
    while True:
        directory.mkdir(parents=True, exist_ok=True)
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if directory.exists() and os.path.samestat(os.fstat(handle), directory.stat()):
                yield
                return
        finally:
            os.close(handle)


def cached(name: str, build: Callable[[Path], None]) -> Path:
    """The cached directory of this name; built under another name, so that it is never partial."""
    final, partial = CACHE / name, CACHE / f"{name}.partial"
    if final.exists():  # no waiting for what others build
        return final
    with locked(CACHE):
        if not final.exists():
            shutil.rmtree(partial, ignore_errors=True)
            build(partial)
            partial.rename(final)
    return final


def debian_tree(suite: str, python: bool) -> Path:
    packages = [*PACKAGES, *(["python3"] if python else [])]
    # A host that builds copies from itself, and the server of sid brings no client any more.
    packages += ["openssh-client"] if suite == "sid" else []
    files = [HERE / "debian" / name for name in ("bootctl", "customize", "stage-2")]
    files += [PREFERENCES] if suite == "sid" else []
    made_of = [suite, *packages, *(file.read_text() for file in files)]
    key = hashlib.sha256("\0".join(made_of).encode()).hexdigest()[:16]
    return cached(f"debian-{key}", lambda target: make_debian_tree(target, suite, packages))


def make_debian_tree(target: Path, suite: str, packages: list[str]) -> None:
    print(f"building the Debian tree of {suite} (once, about half a minute)", flush=True)
    source = f"deb [signed-by={KEYRING}] {mirror()}"
    suites, more = [suite], list[str]()
    if suite == "sid":
        suites = [suite, SUITES[0]]
        more = [
            f'--setup-hook=install -D "{PREFERENCES}" "$1/etc/apt/preferences.d/testbed"',
            # A mirror that stands still for more than a week has a sid that apt calls expired.
            "--aptopt=Acquire::Check-Valid-Until false",
        ]
    run(
        *ISOLATED,
        *("mmdebstrap", "--quiet", "--variant=apt", f"--include={','.join(packages)}"),
        *(*more, f"--customize-hook={HERE / 'debian' / 'customize'}"),
        *(suite, str(target), *(f"{source} {each} main" for each in suites)),
    )


def mirror() -> str:
    """This machine's own mirror; apt reads both formats of its sources."""
    machine = platform.freedesktop_os_release()
    query = ("--format", "$(RELEASE) $(REPO_URI)", "Created-By: Packages", "Component: main")
    if machine["ID"] == "debian":
        for target in run("apt-get", "indextargets", *query).splitlines():
            suite, uri = target.split(maxsplit=1)
            if suite in (machine.get("VERSION_CODENAME"), "stable"):
                return uri
    return "http://deb.debian.org/debian"


def seed_layer(tree: Path) -> Path:
    """Generation 1, installed over the tree."""
    toplevel = build_seed()
    name = f"seed-{Path(toplevel).name}-{tree.name}"
    return cached(name, lambda target: make_seed_layer(target, tree, toplevel)) / "diff"


def build_seed() -> str:
    CACHE.mkdir(parents=True, exist_ok=True)
    run(str(HERE / "nixpkgs" / "prepare"))
    seed = str(HERE / "seed.nix")
    # No substituters: an offline Nix waits for every cache it knows.
    options = ("--option", "substituters", "", "--out-link", str(CACHE / "seed"))
    return run("nix-build", seed, "-A", "system", *options).strip()


def make_seed_layer(target: Path, tree: Path, toplevel: str) -> None:
    print(f"installing generation 1: {toplevel}", flush=True)
    closure = run("nix-store", "--query", "--requisites", toplevel).split()
    export = subprocess.Popen(["nix-store", "--export", *closure], stdout=subprocess.PIPE)
    argv = [*ISOLATED, str(HERE / "seed-layer"), str(tree), str(target), toplevel]
    done = subprocess.run(argv, stdin=export.stdout, capture_output=True, text=True, check=False)
    if export.wait() or done.returncode:
        raise TestbedError(f"Generation 1 could not be installed: {done.stderr.strip()}")
