# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import pathlib
import re
import shlex
import types
import typing as t

import pytest
import yaml
from ansible_collections.closure.nixos.plugins.module_utils._activate.facts import (
    Asked,
    Begun,
    Boot,
    Facts,
    Loader,
    Login,
    Room,
    Step,
    Units,
    check_room,
    check_specialisation,
    parse_facts,
    remember,
    remembered,
    standing,
)
from ansible_collections.closure.nixos.plugins.module_utils._activate.guard_state import (
    parse_guard,
)
from ansible_collections.closure.nixos.plugins.module_utils._activate.options import (
    Action,
    ConfirmOptions,
    SwitchOptions,
    TrialOptions,
)
from ansible_collections.closure.nixos.plugins.module_utils._activate.steps import needed_steps
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._store.generations import Generation
from ansible_collections.closure.nixos.plugins.module_utils._store.toplevel import Toplevel
from ansible_collections.closure.nixos.plugins.modules import nixos_facts
from ansible_collections.closure.nixos.plugins.plugin_utils._activate.confirmation import (
    Confirmation,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._activate.trial import Trial
from ansible_collections.closure.nixos.plugins.plugin_utils._host.progress import Progress

ROOT = pathlib.Path(__file__).parents[2]
PROFILE = "/nix/profiles/system"
OLD = Toplevel("/nix/store/old", kernel="/nix/store/linux-1", dbus_broker=False)
NEW = Toplevel("/nix/store/new", kernel="/nix/store/linux-1", specialisations=("a", "b"))
LINUX = dataclasses.replace(NEW, kernel="/nix/store/linux-2")
BROKER = dataclasses.replace(NEW, dbus_broker=True)
SPECIAL = dataclasses.replace(NEW, path="/nix/store/special")


def facts(
    new: Toplevel, running: Toplevel = OLD, boots: Toplevel = OLD, special: str = ""
) -> Facts:
    """A host that runs and boots these systems and is asked for a new one."""
    return Facts(
        login=Login("root"),
        platform="x86_64-linux",
        state="running",
        running=running.path,
        booted=OLD.path,
        asked=Asked(new.path, valid=True, specialisation=special),
        loader=Loader(recorded=boots.path),
        boot=Boot(),
        room=Room(),
        switcher=None,
        activation=None,
        units=Units(),
        generations=(Generation(1, boots.path, None, current=True),),
        toplevels={
            "/run/current-system": running,
            "/run/booted-system": OLD,
            new.path: new,
            f"{new.path}/specialisation/a": SPECIAL,
        },
    )


@pytest.mark.parametrize(
    ("action", "host", "steps"),
    [
        ("switch", facts(NEW), ["switch new"]),
        ("switch", facts(NEW, running=NEW), ["boot new"]),
        ("switch", facts(NEW, boots=NEW), ["switch new"]),
        ("switch", facts(NEW, running=NEW, boots=NEW), []),
        ("boot", facts(NEW), ["boot new"]),
        ("boot", facts(NEW, boots=NEW), []),
        ("test", facts(NEW), ["test new"]),
        ("test", facts(NEW, running=NEW), []),
        ("dry-activate", facts(NEW), ["dry-activate new"]),
        ("dry-activate", facts(NEW, running=NEW), []),
        ("auto", facts(NEW), ["switch new"]),
        ("auto", facts(LINUX), ["boot new"]),
        ("auto", facts(BROKER), ["boot new"]),
        ("auto", facts(LINUX, boots=LINUX), []),
        ("auto", facts(LINUX, running=LINUX), ["boot new"]),
        ("auto", facts(NEW, running=NEW, boots=NEW), []),
        ("switch", facts(NEW, special="a"), ["boot new", "test special"]),
        ("switch", facts(NEW, boots=NEW, special="a"), ["test special"]),
        ("switch", facts(NEW, running=SPECIAL, special="a"), ["boot new"]),
        ("switch", facts(NEW, running=SPECIAL, boots=NEW, special="a"), []),
        ("switch", facts(NEW, running=SPECIAL, boots=NEW), ["switch new"]),
        ("test", facts(NEW, special="a"), ["test special"]),
        ("dry-activate", facts(NEW, special="a"), ["dry-activate special"]),
    ],
)
def test_only_what_is_left_to_do_is_done(action: str, host: Facts, steps: list[str]) -> None:
    needed = needed_steps(Action(action), host)
    named = [f"{step.action.value} {step.path.rpartition('/')[2]}" for step in needed]
    assert named == steps


LISTED = {"dbus-implementation": "broker"}


@pytest.mark.parametrize(
    ("running", "new", "unchecked"),
    [
        (OLD, NEW, ()),
        (OLD, BROKER, ("dbus-implementation: dbus -> broker",)),
        (OLD, dataclasses.replace(BROKER, switch_inhibitors=LISTED), ("dbus-implementation: ",)),
        (dataclasses.replace(OLD, switch_inhibitors={}), BROKER, ()),
        (OLD, dataclasses.replace(NEW, init_interface_version="systemd 3"), ()),
    ],
)
def test_inhibitors_that_an_old_host_does_not_know_are_found(
    running: Toplevel, new: Toplevel, unchecked: tuple[str, ...]
) -> None:
    found = facts(new, running=running).unchecked_inhibitors
    assert len(found) == len(unchecked)
    assert all(one.startswith(start) for one, start in zip(found, unchecked, strict=True))


@pytest.mark.parametrize("action", ["switch", "boot", "test", "dry-activate"])
def test_force_does_it_again(action: str) -> None:
    done = facts(NEW, running=NEW, boots=NEW)
    assert needed_steps(Action(action), done, force=True) == (Step(Action(action), NEW.path),)


def test_a_specialisation_that_exists_passes() -> None:
    check_specialisation(facts(NEW, special="a"))


@pytest.mark.parametrize(
    ("system", "said"), [(NEW, "Choose one of these: a, b."), (LINUX, "a, b"), (OLD, "none at all")]
)
def test_an_unknown_specialisation_is_answered_with_those_that_exist(
    system: Toplevel, said: str
) -> None:
    with pytest.raises(ClosureError, match=said):
        check_specialisation(facts(system, special="c"))


@pytest.mark.parametrize(("free", "needed"), [(None, None), (100, None), (100, 0), (100, 100)])
def test_a_system_that_fits_into_boot_passes(free: int | None, needed: int | None) -> None:
    check_room(dataclasses.replace(facts(NEW), room=Room(boot=free, boot_needed=needed)), PROFILE)


def test_a_system_that_does_not_fit_into_boot_is_refused() -> None:
    full = dataclasses.replace(facts(NEW), room=Room(boot=99, boot_needed=100))
    with pytest.raises(ClosureError, match=r"99 bytes left.* /nix/store/new need 100\."):
        check_room(full, PROFILE)


@pytest.mark.parametrize(
    ("free", "inodes", "said"),
    [
        (None, None, None),
        (1 << 20, None, None),
        (1 << 20, 1, None),
        ((1 << 20) - 1, None, r"^/nix/profiles has 1048575 bytes left, too little"),
        (1 << 30, 0, r"^/nix/profiles has 1073741824 bytes and 0 inodes left, too little"),
        (0, 7, r"^/nix/profiles has 0 bytes and 7 inodes left, too little"),
    ],
)
def test_a_generation_needs_some_room(
    free: int | None, inodes: int | None, said: str | None
) -> None:
    host = dataclasses.replace(facts(NEW), room=Room(free, inodes))
    if said is None:
        check_room(host, PROFILE)
        return
    with pytest.raises(ClosureError, match=said):
        check_room(host, PROFILE)


ANSWER = f"""path_asked=/nix/store/new
specialisation_asked=
user=root
platform=x86_64-linux
uptime=36000
running=/nix/store/new
booted=/nix/store/old
loader_default=/nix/store/new
runs_specialisation=
loader_boots=
loader_menu=1 2
state=running
boot_pending=
switching=
activation=%s
activation_end=success exited 0
failed_unit=broken.service
generations={PROFILE}
generations_end={PROFILE}
profile_free=4096
profile_inodes=12
"""


def test_what_an_activation_began_with_stands_in_its_command() -> None:
    old = dataclasses.replace(facts(NEW), units=Units(("it's.service", "b.service")))
    words = ["noted", "activate", "0", "0", remember(old), "boot", NEW.path, "test", SPECIAL.path]
    found = parse_facts(ANSWER % shlex.join(words), PROFILE)
    assert (found.room.profile, found.room.inodes) == (4096, 12)
    assert found.activation
    assert found.activation.steps == (Step(Action.BOOT, NEW.path), Step(Action.TEST, SPECIAL.path))
    then = remembered(found.activation, found)
    assert (found.running, then.running) == (NEW.path, OLD.path)
    assert (found.loader.recorded, then.loader.recorded) == (NEW.path, OLD.path)
    assert (found.units.failed, then.units.failed) == (("broken.service",), old.units.failed)


@pytest.mark.parametrize(
    ("begun", "end", "half"),
    [
        (True, "success killed TERM", True),
        (True, "core-dump dumped SEGV", True),
        (True, "exit-code exited 4", False),
        (True, None, False),
        (False, "success killed TERM", False),
    ],
)
def test_a_killed_activation_leaves_a_host_in_between(
    begun: bool, end: str | None, half: bool
) -> None:
    activation = Begun((Step(Action.SWITCH, NEW.path),), {}, end) if begun else None
    host = dataclasses.replace(facts(NEW), activation=activation)
    assert host.is_half_switched is half


@pytest.mark.parametrize(
    "words",
    ["noted", "noted activate", "noted activate 0 '{", "noted activate 0 0 x boot", "a b 'c"],
)
def test_the_record_of_an_activation_that_was_cut_leaves_a_host_in_between(words: str) -> None:
    found = parse_facts(ANSWER % words, PROFILE)
    assert found.activation and not found.activation.steps
    assert found.is_half_switched


# Those of Nix are recorded here. That of Lix stands in the notes on its release 2.92, that of
# Determinate Nix in a guide of its users. Beside it is what a ping of the store said.
NIXES = {
    "Nix 2.8": ("nix-store (Nix) 2.8.0", "", "2.8.0", None),
    "Nix 2.26": ("nix-store (Nix) 2.26.3", "1", "2.26.3", True),
    "Lix 2.92": (
        "nix-store (Lix, like Nix) 2.92.0-dev-pre20250117-0d14c2b\nSystem type: x86_64-linux\n"
        "Additional system types: i686-linux, x86_64-v1-linux\nFeatures: gc, signed-caches\n"
        "System configuration file: /etc/nix/nix.conf\n"
        "User configuration files: /root/.config/nix/nix.conf:/etc/xdg/nix/nix.conf\n"
        "Store directory: /nix/store\nState directory: /nix/var/nix",
        "1",
        "2.92.0-dev-pre20250117-0d14c2b",
        True,
    ),
    "Determinate Nix 3.16": ("nix-store (Determinate Nix 3.16.3) 2.33.3", "false", "2.33.3", False),
    "none": ("", "", None, None),
}


@pytest.mark.parametrize(("said", "ping", "version", "trusted"), NIXES.values(), ids=NIXES)
def test_the_version_of_each_nix_is_read(
    said: str, ping: str, version: str | None, trusted: bool | None
) -> None:
    own = f"kernel_release=6.12.1\nnix={said}\nnix_trusted={ping}\nnix_keys=a:1 b:2\nrevisions=\n"
    looked = parse_facts(f"{own}{ANSWER % ''}", PROFILE).looked
    assert looked and (looked.nix, looked.trusted) == (version, trusted)
    assert looked.trusted_keys == ("a:1", "b:2")


def test_a_host_whose_activation_somebody_has_heard_of_has_none() -> None:
    assert parse_facts(ANSWER % "", PROFILE).activation is None


GUARD = parse_guard([("guard", "armed"), ("guard_to", NEW.path), ("guard_runs", NEW.path)])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "runs /nix/store/old and boots /nix/store/old."),
        ({"loader": Loader(OLD.path, "/nix/store/other")}, "and boots /nix/store/other."),
        ({"loader": Loader()}, "and boots what it did."),
        ({"running": None}, "runs no system of NixOS and boots /nix/store/old."),
        ({"state": "maintenance"}, "is in maintenance mode, which `systemctl default` ends."),
        ({"state": "degraded"}, "runs /nix/store/old and boots /nix/store/old."),
        ({"running": NEW.path, "guard": GUARD}, f"runs {NEW.path} on trial and boots {OLD.path}."),
        ({"guard": GUARD}, "runs /nix/store/old and boots /nix/store/old."),
    ],
)
def test_where_a_host_stands_is_said(changes: dict[str, t.Any], said: str) -> None:
    assert standing(dataclasses.replace(facts(NEW), **changes)).endswith(said)


def test_a_host_without_a_system_has_none_to_confirm() -> None:
    host: t.Any = types.SimpleNamespace(name="web1")
    options = ConfirmOptions("", "system", (), "new", 600)
    confirmation = Confirmation(host, options, Progress("confirm"), check=True)
    with pytest.raises(ClosureError, match="web1 runs no system of NixOS, so there is none"):
        confirmation._path(dataclasses.replace(facts(NEW), running=None))
    assert confirmation._path(facts(NEW)) == OLD.path


@pytest.mark.parametrize("action", [Action.SWITCH, Action.TEST])
def test_a_host_without_a_system_has_none_to_roll_back_to(action: Action) -> None:
    """Its guard would have restarted it for want of an old system."""
    host: t.Any = types.SimpleNamespace(name="web1", retry_for=0)
    limits = TrialOptions(60, 60, confirm=False, on_rollback_failure="reboot")
    options = SwitchOptions(action, NEW.path, PROFILE)
    trial = Trial(host, options, limits, lambda: host, Progress("switch"), looks=True)
    with pytest.raises(ClosureError, match="web1 runs no system of NixOS to roll back to"):
        trial.left(dataclasses.replace(facts(NEW), running=None))
    assert trial.left(facts(NEW))


def test_what_people_read_has_facts_by_the_name_that_stays() -> None:
    """ansible-core 2.24 makes no variable ``nixos`` of ``ansible_facts.nixos`` any more."""
    found = yaml.safe_load(nixos_facts.RETURN)["ansible_facts"]["contains"]["nixos"]["contains"]
    injected = re.compile(rf"(?<![\w./-])nixos\.(?:{'|'.join(found)})\b")
    files = [
        file
        for place in ("README.md", "docs", "examples", "playbooks", "plugins", "roles")
        for file in (ROOT / place, *(ROOT / place).rglob("*"))
        if file.suffix in (".j2", ".md", ".py", ".yml")
    ]
    assert len(files) > 100
    assert [file.name for file in files if injected.search(file.read_text(encoding="utf-8"))] == []
