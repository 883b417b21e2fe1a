# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The root of a system that is not booted yet. Private to the collection.

Decides which directory may be one, and what its store is called.
"""

from __future__ import annotations

import re

from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError

# It stands in the URL of a store, where other characters would have to be quoted twice.
_ROOT = re.compile(r"(?:/[A-Za-z0-9_+-][A-Za-z0-9._+-]*)+")


def check_root(text: str) -> str:
    """Return the path of a mounted root, without a slash at its end.

    :raises ClosureError: it cannot be one
    """
    root = text.rstrip("/")
    if _ROOT.fullmatch(root):
        return root
    raise ClosureError(
        f"root is {text!r}: name the directory that the new system's root is mounted on, such as "
        "/mnt. It is an absolute path of letters, digits and ._+- and not / itself."
    )


def store_of(root: str) -> str:
    """Return the URL by which Nix knows the store below a root (nix3-help-stores)."""
    return f"local?root={root}"
