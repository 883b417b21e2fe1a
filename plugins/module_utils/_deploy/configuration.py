# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: where a host's configuration is, and its system in it."""

from __future__ import annotations

import collections.abc as c
import dataclasses
import re
import typing as t

_TOPLEVEL = re.compile("[.](config[.]system[.]build[.]toplevel|system)$")


@dataclasses.dataclass(frozen=True)
class Configuration:
    """What nix_build_system is asked for a host.

    :param file: a Nix file, or None where there is a flake
    :param flake: the reference of a flake, or None
    :param attr: the attributes of which the first one that there is is the system
    :param configurations: those for what stands beside the system
    :param is_there: whether somebody has named it, or a file was found
    """

    file: str | None
    flake: str | None
    attr: list[str]
    configurations: list[str]
    is_there: bool

    @property
    def place(self) -> str:
        """The file or the flake."""
        return self.flake or self.file or ""


def configuration_of(
    variables: c.Mapping[str, t.Any], exists: c.Callable[[str], bool]
) -> Configuration:
    """Return where a host's configuration is.

    ``nixos_file``, ``nixos_flake`` and ``nixos_attr`` say it, or else it is ``nixos.nix`` or else
    ``flake.nix``, beside the inventory or else beside the playbook. A host made by ``add_host`` has
    no ``inventory_dir``.
    """
    file, flake, attr = (
        str(variables.get(f"nixos_{name}") or "") for name in ("file", "flake", "attr")
    )
    is_there = True
    if not file and not flake:
        file, is_there = _found(variables, exists)
        flake = file.removesuffix("/flake.nix") if file.endswith("/flake.nix") else ""
    host = f'"{variables["inventory_hostname"]}"'
    return Configuration(
        None if flake else file,
        flake or None,
        [attr] if attr else [] if flake else [host, "system"],
        [_TOPLEVEL.sub("", attr)] if attr else _configurations(flake, host),
        is_there,
    )


def _found(variables: c.Mapping[str, t.Any], exists: c.Callable[[str], bool]) -> tuple[str, bool]:
    """Return the file that is there, or the one that nobody has written yet, and which of them."""
    said = (variables.get(name) for name in ("inventory_dir", "playbook_dir"))
    directories = dict.fromkeys(str(it) for it in said if it)
    places = [f"{it}/{name}" for name in ("nixos.nix", "flake.nix") for it in directories]
    there = next(filter(exists, places), None)
    return there or places[0], there is not None


def _configurations(flake: str, host: str) -> list[str]:
    name = flake.partition("#")[2] or host
    return [f"nixosConfigurations.{name}", name] if flake else [name]
