# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the modules of this wing are asked for. Private to the collection.

An action makes these once from its validated arguments; nothing below it reads arguments.
"""

from __future__ import annotations

import dataclasses
import enum
import typing as t
from collections.abc import Mapping

from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._store.generations import profile_path
from ansible_collections.closure.nixos.plugins.module_utils._store.store_path import (
    check_store_path,
)


class Action(enum.Enum):
    """What is done with a system, by the name that switch-to-configuration has for it."""

    SWITCH = "switch"
    BOOT = "boot"
    TEST = "test"
    DRY_ACTIVATE = "dry-activate"
    #: becomes one of the first two on the host
    AUTO = "auto"

    def on(self, needs_boot: bool) -> Action:
        """Return what it is on a host that only a reboot brings to the system, or any other."""
        if self is not Action.AUTO:
            return self
        return Action.BOOT if needs_boot else Action.SWITCH

    @property
    def changes_boot(self) -> bool:
        """Whether it makes the system the boot default."""
        return self in (Action.SWITCH, Action.BOOT)

    @property
    def activates(self) -> bool:
        """Whether it changes what runs, or says how it would."""
        return self is not Action.BOOT

    @property
    def only_looks(self) -> bool:
        """Whether it leaves the host alone."""
        return self is Action.DRY_ACTIVATE

    @property
    def live(self) -> Action:
        """The same, without the boot default."""
        return Action.TEST if self is Action.SWITCH else self

    @property
    def takes_specialisation(self) -> bool:
        """Whether it knows specialisations, which the boot loader cannot have as its default."""
        return self not in (Action.BOOT, Action.AUTO)


@dataclasses.dataclass(frozen=True)
class TrialOptions:
    """A trial, with its limits in seconds.

    :param confirm_timeout: from the activation to the confirmation
    :param check_timeout: the same, once somebody has come in over a new connection
    :param confirm: whether to confirm it at once, as nothing else has to be checked
    :param on_rollback_failure: what the guard does with what it cannot roll back, "reboot" or
        "leave"
    """

    confirm_timeout: int
    check_timeout: int
    confirm: bool
    on_rollback_failure: str


@dataclasses.dataclass(frozen=True)
class SwitchOptions:
    """An activation.

    :param path: the system's store path; "" for the one that the profile points to
    :param profile: the profile's path
    :param specialisation: its name, "" for the system itself
    :param force: whether to activate what runs already
    :param lock_timeout: seconds to wait for another switch, :param timeout: for this one
    :param failed_units: what failed units are: "fail", "warn" or "ignore"
    :param lost_units: the same of units that do not run any more
    :param ignore_units: patterns of units whose failure does not count
    :param install_bootloader: whether to install the boot loader anew
    :param skip_checks: whether the system's pre-switch checks are not asked
    """

    action: Action
    path: str
    profile: str
    specialisation: str = ""
    force: bool = False
    lock_timeout: int = 600
    failed_units: str = "fail"
    lost_units: str = "fail"
    ignore_units: tuple[str, ...] = ()
    install_bootloader: bool = False
    skip_checks: bool = False
    timeout: int = 3600

    def __post_init__(self) -> None:
        """Refuse what cannot be meant together; raises ClosureError."""
        if self.specialisation and not self.action.takes_specialisation:
            raise ClosureError(
                f"action: {self.action.value} knows no specialisation. Use switch, which boots the "
                "system and activates its specialisation, or test, which only activates it."
            )


@dataclasses.dataclass(frozen=True)
class ConfirmOptions:
    """A confirmation of a system, "" for the one on trial; else as in :class:`SwitchOptions`.

    :param connection: "new", or "any" where the host need not say that it is new
    """

    path: str
    profile: str
    ignore_units: tuple[str, ...]
    connection: str
    timeout: int


@dataclasses.dataclass(frozen=True)
class RollbackOptions:
    """A rollback, else as in :class:`SwitchOptions`.

    :param to: what to roll back to, as ``rollback_target`` reads it, or "unconfirmed"
    :param why: for the record, when it ends a trial
    """

    to: str | None
    action: Action
    why: str
    profile: str
    timeout: int


@dataclasses.dataclass(frozen=True)
class ProfileOptions:
    """What a profile is to hold: a path, what a generation holds, or what it holds.

    :param path: "" for none, :param profile: the profile's own
    :param keep: how many generations stay, None for all
    """

    path: str
    generation: int | None
    keep: int | None
    profile: str

    def __post_init__(self) -> None:
        """Refuse to delete all generations; raises ClosureError."""
        if self.keep is not None and self.keep < 1:
            raise ClosureError(f"keep: {self.keep} would delete all generations. Keep at least 1.")

    @property
    def asked(self) -> str:
        """The path to look at: the one that is named, the generation's link, or the profile."""
        if self.path or self.generation is None:
            return self.path or self.profile
        return f"{self.profile}-{self.generation}-link"


def check_confirm(trial: TrialOptions, action: Action) -> None:
    """Refuse to confirm at once what cannot be confirmed then.

    :raises ClosureError: nothing is on trial, or only after the next boot
    """
    if trial.confirm and not trial.confirm_timeout:
        raise ClosureError(
            "confirm: true needs a confirm_timeout, because only what is on trial is confirmed."
        )
    if trial.confirm and action is Action.BOOT:
        raise ClosureError(
            "confirm: true cannot confirm what only the next boot starts. Reboot the host with "
            "closure.nixos.nixos_reboot, and then confirm it with closure.nixos.nixos_confirm."
        )


# What an argument becomes, by its name; the others stay what the spec has made of them.
_TYPES: dict[str, t.Callable[[t.Any], object]] = {
    "action": Action,
    "path": lambda path: check_store_path(path) if path else "",
    "profile": profile_path,
    "specialisation": lambda name: name or "",
    "ignore_units": tuple,
}


class _Dataclass(t.Protocol):
    __dataclass_fields__: t.ClassVar[dict[str, dataclasses.Field[t.Any]]]


Options = t.TypeVar("Options", bound=_Dataclass)


def options_of(kind: type[Options], arguments: Mapping[str, t.Any]) -> Options:
    """Return the options of that kind that a module's validated arguments say.

    :raises ClosureError: they name what cannot be, or cannot be meant together
    """
    given = {field.name: arguments[field.name] for field in dataclasses.fields(kind)}
    return kind(**given | {name: _TYPES[name](given[name]) for name in _TYPES.keys() & given})
