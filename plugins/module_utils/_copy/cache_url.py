# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""URLs of binary caches, without the passwords in them. Private to the collection."""

from __future__ import annotations

import dataclasses
import re
import urllib.parse

from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._text import without_password


@dataclasses.dataclass(frozen=True)
class CacheUrl:
    """A binary cache as Nix takes it.

    :param url: without user and password, so that these stand in no list of processes
    :param netrc: the text of a netrc(5) with them, or ``""``
    """

    url: str
    netrc: str


def cache_url(url: str) -> CacheUrl:
    """Take user and password out of the URL of a binary cache.

    :raises ClosureError: a netrc cannot say them
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or "@" not in parts.netloc:
        return CacheUrl(url, "")
    login, _at, place = parts.netloc.rpartition("@")
    user, _colon, password = login.partition(":")
    words = [urllib.parse.unquote(word) for word in (user, password)]
    if not all(re.fullmatch(r"[!-~]+", word) for word in words):
        raise ClosureError(
            f"The user or the password in {without_password(url)} is empty, or has a blank or a "
            "character beyond ASCII, which a netrc file cannot say. Give the cache another one."
        )
    bare = urllib.parse.urlunsplit(parts._replace(netloc=place))
    return CacheUrl(bare, f"machine {parts.hostname} login {words[0]} password {words[1]}\n")
