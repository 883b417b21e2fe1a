# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.closure.nixos.plugins.module_utils._copy.cache_url import cache_url
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._text import without_password


@pytest.mark.parametrize(
    ("url", "bare", "netrc"),
    [
        ("https://a.example.org/x?y=1", "https://a.example.org/x?y=1", ""),
        ("https://me:pw@a.example.org/x", "https://a.example.org/x", "a.example.org login me pass"),
        ("http://me:p%40w@[::1]:8080", "http://[::1]:8080", "machine ::1 login me password p@w"),
        ("http://me:a@b:c@a.org:80/", "http://a.org:80/", "machine a.org login me password a@b:c"),
        ("file:///srv/a@b", "file:///srv/a@b", ""),
        ("s3://bucket?endpoint=a@b", "s3://bucket?endpoint=a@b", ""),
    ],
)
def test_user_and_password_leave_the_url_for_a_netrc(url: str, bare: str, netrc: str) -> None:
    taken = cache_url(url)
    assert taken.url == bare
    assert netrc in taken.netrc and bool(netrc) == bool(taken.netrc)


@pytest.mark.parametrize("url", ["https://me@a.org", "https://me:p%20w@a.org", "https://:x@a.org"])
def test_a_login_that_a_netrc_cannot_say_is_refused(url: str) -> None:
    with pytest.raises(ClosureError, match="netrc file cannot say") as caught:
        cache_url(url)
    assert "p%20w" not in caught.value.message


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at https://me:pw@a.org/x: no", "at https://me:***@a.org/x: no"),
        ("http://me:p@w@a.org and http://b.org", "http://me:***@a.org and http://b.org"),
        ("https://a.org:80/x mail@b", "https://a.org:80/x mail@b"),
        ("nothing", "nothing"),
    ],
)
def test_a_password_is_not_shown(text: str, shown: str) -> None:
    assert without_password(text) == shown
