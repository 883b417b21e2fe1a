# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Archives that nobody of ours has written: each is refused with a sentence, soon and cheaply."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pathlib
import resource
import subprocess
import tarfile
import typing as t

import pytest
from ansible_collections.closure.nixos.plugins.module_utils._copy.manifest import (
    MANIFEST,
    Manifest,
    Part,
)
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.plugin_utils._copy.archive_files import (
    holds,
    read_manifest,
)

PATH = f"/nix/store/{'0' * 32}-a"
CONTENT = b"content"
PART = Part("part-0", hashlib.sha256(CONTENT).hexdigest(), "", (PATH,))
WHOLE = Manifest(PATH, {PATH: 7}, (PART,))
NAR = f"nar/{'0' * 52}.nar"
INFO = f"StorePath: {PATH}\nURL: {NAR}\nCompression: none\n"
CACHED = Manifest(PATH, {PATH: 7}, (Part(NAR, PART.checksum, "none", (PATH,), INFO),))


def changed(manifest: Manifest, **values: object) -> bytes:
    return json.dumps(json.loads(manifest.dump()) | values).encode()


def changed_part(**values: object) -> bytes:
    (part,) = json.loads(WHOLE.dump())["parts"]
    return changed(WHOLE, parts=[part | values])


def write_tar(
    file: pathlib.Path, manifest: bytes | tarfile.TarInfo, part: bytes | tarfile.TarInfo = CONTENT
) -> None:
    with tarfile.open(file, "w") as tar:
        for name, content in (("part-0", part), (MANIFEST, manifest)):
            info = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.name = name
            if isinstance(content, bytes):
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
            else:
                tar.addfile(info)


def write_cache(directory: pathlib.Path) -> None:
    (directory / "nar").mkdir(parents=True)
    (directory / NAR).write_bytes(CONTENT)
    (directory / f"{'0' * 32}.narinfo").write_text(INFO)
    (directory / MANIFEST).write_text(CACHED.dump())


def member(kind: bytes, link: str = "", size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo("x")
    info.type, info.linkname, info.size = kind, link, size
    return info


@pytest.fixture
def little_memory() -> t.Iterator[None]:
    """Let the process have 1 GiB more than it has."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30), hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def test_what_is_whole_is_read(tmp_path: pathlib.Path) -> None:
    write_tar(tmp_path / "file", WHOLE.dump().encode())
    write_cache(tmp_path / "cache")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert read_manifest(tmp_path / "file") == read_manifest(tmp_path / "link") == WHOLE
    assert read_manifest(tmp_path / "cache") == CACHED
    assert holds(tmp_path / "file", PATH, [PATH]) and not holds(tmp_path / "none", PATH, [PATH])


HOSTILE_FILES: dict[str, tuple[bytes | tarfile.TarInfo, bytes | tarfile.TarInfo]] = {
    "deep JSON": (b"[" * 100_000, CONTENT),
    "deep JSON in a key": (b'{"version": ' + b"[" * 100_000, CONTENT),
    "no UTF-8": (b"\xff\xfe\xff", CONTENT),
    "a number of many digits": (b'{"version": ' + b"9" * 10_000 + b"}", CONTENT),
    "a list": (b"[]", CONTENT),
    "nothing": (b"", CONTENT),
    "a size as text": (changed(WHOLE, closure={PATH: "7"}), CONTENT),
    "a size below zero": (changed(WHOLE, closure={PATH: -7}), CONTENT),
    "a size that is true": (changed(WHOLE, closure={PATH: True}), CONTENT),
    "an endless size": (changed(WHOLE, closure={PATH: float("inf")}), CONTENT),
    "a list of sizes": (changed(WHOLE, closure=[PATH]), CONTENT),
    "a closure without its path": (changed(WHOLE, closure={}), CONTENT),
    "null for a path": (changed(WHOLE, path=None), CONTENT),
    "null for a name": (changed_part(name=None), CONTENT),
    "null for a checksum": (changed_part(checksum=None), CONTENT),
    "null for paths": (changed_part(paths=None), CONTENT),
    "null among paths": (changed_part(paths=[None]), CONTENT),
    "no paths": (changed_part(paths=[]), CONTENT),
    "text for paths": (changed_part(paths=PATH), CONTENT),
    "a number for info": (changed_part(info=7), CONTENT),
    "text for true": (changed_part(cache="yes"), CONTENT),
    "a name that leads elsewhere": (changed_part(name="../../etc/passwd"), CONTENT),
    "a manifest that is a link to itself": (member(tarfile.SYMTYPE, MANIFEST), CONTENT),
    "a manifest that is a link to its part": (member(tarfile.LNKTYPE, "part-0"), CONTENT),
    "a part that is a link to itself": (WHOLE.dump().encode(), member(tarfile.SYMTYPE, "part-0")),
    "a part that is a device": (WHOLE.dump().encode(), member(tarfile.CHRTYPE)),
    "a part that is a pipe": (WHOLE.dump().encode(), member(tarfile.FIFOTYPE)),
    "a manifest that is a directory": (member(tarfile.DIRTYPE), CONTENT),
}


@pytest.mark.parametrize(("manifest", "part"), HOSTILE_FILES.values(), ids=HOSTILE_FILES)
def test_a_hostile_file_is_refused(
    tmp_path: pathlib.Path, manifest: bytes | tarfile.TarInfo, part: bytes | tarfile.TarInfo
) -> None:
    file = tmp_path / "closure.tar"
    write_tar(file, manifest, part)
    refused(file)


def refused(place: pathlib.Path) -> None:
    with pytest.raises(ClosureError, match=str(place)) as caught:
        read_manifest(place)
    assert "\n" not in caught.value.message and len(caught.value.message) < 500
    assert not holds(place, PATH, [PATH])


@pytest.mark.usefixtures("little_memory")
def test_a_manifest_that_is_all_holes_is_refused(tmp_path: pathlib.Path) -> None:
    """It says 6 GB and costs no room on the disk."""
    file = tmp_path / "holes.tar"
    info = tarfile.TarInfo(MANIFEST)
    info.size = 6 << 30
    file.write_bytes(info.tobuf())
    os.truncate(file, (6 << 30) + 10240)
    refused(file)


def test_a_sparse_member_is_refused(tmp_path: pathlib.Path) -> None:
    """As `tar --sparse` writes it, in the format of GNU."""
    (tmp_path / MANIFEST).touch()
    os.truncate(tmp_path / MANIFEST, 1 << 30)
    command = ["tar", "-C", str(tmp_path), "--sparse", "-cf", str(tmp_path / "file"), MANIFEST]
    subprocess.run(command, check=True)
    refused(tmp_path / "file")


HOSTILE_PLACES: dict[str, t.Callable[[pathlib.Path], object]] = {
    "nothing": lambda place: None,
    "a link to itself": lambda place: place.symlink_to(place),
    "a link to nothing": lambda place: place.symlink_to(place.with_name("nothing")),
    "a pipe": os.mkfifo,
    "a device": lambda place: place.symlink_to("/dev/zero"),
    "an empty directory": lambda place: place.mkdir(),
}


@pytest.mark.parametrize("make", HOSTILE_PLACES.values(), ids=HOSTILE_PLACES)
def test_a_hostile_place_is_refused(
    tmp_path: pathlib.Path, make: t.Callable[[pathlib.Path], object]
) -> None:
    make(tmp_path / "place")
    refused(tmp_path / "place")


@pytest.mark.parametrize("name", [MANIFEST, f"{'0' * 32}.narinfo", NAR])
@pytest.mark.parametrize("make", HOSTILE_PLACES.values(), ids=HOSTILE_PLACES)
def test_a_hostile_file_of_a_cache_is_refused(
    tmp_path: pathlib.Path, name: str, make: t.Callable[[pathlib.Path], object]
) -> None:
    write_cache(tmp_path / "cache")
    file = tmp_path / "cache" / name
    file.unlink()
    make(file)
    refused(tmp_path / "cache")


def test_an_archive_that_is_not_there_is_told_so(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ClosureError, match="is not there on the controller"):
        read_manifest(tmp_path / "closure.tar")
