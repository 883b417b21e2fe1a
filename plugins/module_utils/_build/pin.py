# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The file that pins a nixpkgs. Private to the collection.

Decides what to ask Nix for, what its answer makes of the file, and what to say of that.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import datetime
import json
import re
import typing as t
from collections.abc import Mapping

from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError

_BASE32 = "0123456789abcdfghijklmnpqrsvwxyz"
_GITHUB = re.compile(r"([\w.-]+)/([\w.-]+)")


@dataclasses.dataclass(frozen=True)
class Pin:
    """What builtins.fetchTarball needs, and what people want to know of it.

    :param rev: the commit, where that is known
    :param date: of the commit or of the newest file, as YYYY-MM-DD
    """

    url: str
    sha256: str
    rev: str | None = None
    date: str | None = None


@dataclasses.dataclass(frozen=True)
class PinOptions:
    """What a task says of a pin, one of ``url``, ``ref`` and ``rev``."""

    path: str
    url: str | None
    ref: str | None
    rev: str | None
    github: str
    timeout: float

    def source(self) -> dict[str, str]:
        """Return what to fetch, as builtins.fetchTree takes it.

        :raises ClosureError: the options do not say
        """
        given = {name: it for name in ("url", "ref", "rev") if (it := getattr(self, name))}
        if len(given) != 1:
            raise ClosureError(f"Give one of url, ref and rev, not {len(given)} of them.")
        if self.url:
            return {"type": "tarball", "url": self.url}
        match = _GITHUB.fullmatch(self.github)
        if match is None:
            raise ClosureError(f"github has to be owner/repository, and is {self.github!r}.")
        return {"type": "github", "owner": match[1], "repo": match[2]} | given


def fetched_pin(source: Mapping[str, str], answer: Mapping[str, t.Any]) -> Pin:
    """Return the pin of what was fetched."""
    rev, stamp = answer["rev"], answer["date"]
    url = source.get("url") or (
        f"https://github.com/{source['owner']}/{source['repo']}/archive/{rev}.tar.gz"
    )
    date = datetime.datetime.fromtimestamp(stamp, datetime.UTC).date().isoformat()
    return Pin(url, answer["sha256"], rev, date if stamp else None)


def read_pin(text: str, path: str) -> Pin | None:
    """Read a pin file; ``None`` when there is none yet.

    :raises ClosureError: it holds something else, which is not to be overwritten
    """
    if not text.strip():
        return None
    try:
        found = json.loads(text)
        return Pin(found["url"], found["sha256"], found.get("rev"), found.get("date"))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ClosureError(
            f"{path} is no pin: it is not JSON with url and sha256. Name another path, or remove "
            "the file. What npins or niv wrote, they update themselves."
        ) from error


def pin_text(pin: Pin | None) -> str:
    """Write a pin as the content of its file."""
    return json.dumps(dataclasses.asdict(pin), indent=2) + "\n" if pin else ""


def same_source(old: Pin | None, new: Pin) -> bool:
    """Say whether both pins fetch the same from the same place, however their hash is written."""
    return old is not None and old.url == new.url and _bytes(old.sha256) == _bytes(new.sha256)


def describe(old: Pin | None, new: Pin, path: str) -> str:
    """Say what becomes of the file."""
    name = f"{new.rev or new.url}" + (f" of {new.date}" if new.date else "")
    if same_source(old, new):
        return f"{path} is up to date: what is upstream is still {name}."
    was = f", which was {old.rev or old.url}" if old else ""
    return f"{path} pins {name}{was}."


def _bytes(sha256: str) -> bytes:
    """Decode a hash in any form that Nix knows: hexadecimal, base 32, base 64 and SRI."""
    text = re.sub(r"^sha256[:-]", "", sha256)
    try:
        if len(text) == 64:
            return bytes.fromhex(text)
        if len(text) == 52:
            return _from_base32(text)
        return base64.b64decode(text)
    except (ValueError, binascii.Error):
        return sha256.encode()


def _from_base32(text: str) -> bytes:
    """Decode Nix's base 32, which begins with the last bits (nix, libutil/hash.cc)."""
    number = 0
    for character in text:
        number = number * 32 + _BASE32.index(character)
    return number.to_bytes(33, "little")[:32]
