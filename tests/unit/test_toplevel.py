# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._store.toplevel import (
    Toplevel,
    check_toplevel,
    live_switch_blockers,
    parse_toplevels,
    reboot_reasons,
    show_boot_changes,
)

SH = Path(__file__).parents[2] / "plugins" / "plugin_utils"
PROBE = "".join((SH / file).read_text() for file in ("_host/host.sh", "_store/toplevel.sh"))
SHELLS = {"sh": ["sh"], "dash": ["dash"], "ash": ["busybox", "ash"], "bash": ["bash"]}

SYSTEM = Toplevel(
    path="/nix/store/1-nixos-system-web1-25.11",
    system="x86_64-linux",
    nixos_version="25.11",
    kernel="/nix/store/2-linux-6.12.1/bzImage",
    initrd="/nix/store/3-initrd/initrd",
    kernel_modules="/nix/store/4-kernel-modules",
    firmware="/nix/store/5-firmware/lib/firmware",
    kernel_params="loglevel=4 quiet",
    init_interface_version="systemd 2",
    dbus_broker=False,
    has_switch=True,
)
CONTAINER = dataclasses.replace(
    SYSTEM, kernel=None, initrd=None, kernel_modules=None, kernel_params=None, firmware=None
)
NEWER = dataclasses.replace(
    SYSTEM,
    switch_inhibitors={"dbus-implementation": "broker"},
    reboot_triggers={"dbus-implementation": "broker", "kernel": "a", "vendor-driver": "1"},
    dbus_broker=True,
)


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> list[str]:
    command = SHELLS[request.param]
    if shutil.which(command[0]) is None:
        pytest.skip(f"no {command[0]} here")
    return command


def facts(shell: list[str], *directories: Path | str) -> str:
    script = PROBE + "set -eu\n" + 'for d in "$@"; do toplevel_facts "$d"; done\n'
    return subprocess.run(
        [*shell, "-c", script, "probe", *map(str, directories)],
        check=True,
        capture_output=True,
        text=True,
        encoding="utf-8",
    ).stdout


def write(top: Path, **texts: str) -> None:
    for name, text in texts.items():
        file = top / name.replace("_", "-")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def with_field(system: Toplevel, field: str, value: Any) -> Toplevel:
    return dataclasses.replace(system, **{field: value})


def link(top: Path, name: str, target: Path) -> str:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.touch()
    (top / name).symlink_to(target)
    return str(target)


def the_system(text: str) -> Toplevel:
    (found,) = parse_toplevels(text).values()
    assert found
    return found


def test_a_full_system_is_read_from_its_files(tmp_path: Path, shell: list[str]) -> None:
    top = tmp_path / "1-nixos-system-web1-25.11"
    units = top / "etc/systemd/system"
    write(
        top,
        system="x86_64-linux",
        nixos_version="25.11",
        kernel_params="loglevel=4 a=b=c  'q' %s \\n $HOME `id`",
        init_interface_version="systemd 2",
        switch_inhibitors='{\n  "dbus-implementation": "broker"\n}\n',
        reboot_triggers='{"kernel":"/nix/store/2-linux","text":"a\u2028b  c"}',
    )
    write(top / "bin", switch_to_configuration="#!/bin/sh\n")
    units.mkdir(parents=True)
    (units / "dbus.service").touch()
    (units / "dbus-broker.service").touch()
    for name in ("gaming", "a b"):
        (top / "specialisation" / name).mkdir(parents=True)
    expected = Toplevel(
        path=str(top),
        system="x86_64-linux",
        nixos_version="25.11",
        kernel=link(top, "kernel", tmp_path / "2-linux-6.12.1/bzImage"),
        initrd=link(top, "initrd", tmp_path / "3-initrd/initrd"),
        kernel_modules=link(top, "kernel-modules", tmp_path / "4-kernel-modules"),
        firmware=link(top, "firmware", tmp_path / "5-firmware"),
        kernel_params="loglevel=4 a=b=c  'q' %s \\n $HOME `id`",
        init_interface_version="systemd 2",
        switch_inhibitors={"dbus-implementation": "broker"},
        reboot_triggers={"kernel": "/nix/store/2-linux", "text": "a\u2028b  c"},
        dbus_broker=True,
        has_switch=True,
        specialisations=("a b", "gaming"),
    )
    assert the_system(facts(shell, top)) == expected


def test_a_file_that_is_absent_is_none(tmp_path: Path, shell: list[str]) -> None:
    text = facts(shell, tmp_path)
    assert the_system(text) == Toplevel(path=str(tmp_path))
    assert text == f"toplevel={tmp_path}\npath={tmp_path}\ntoplevel_end={tmp_path}\n"


def test_an_empty_file_is_not_an_absent_one(tmp_path: Path, shell: list[str]) -> None:
    write(tmp_path, kernel_params="")
    assert the_system(facts(shell, tmp_path)).kernel_params == ""


def test_the_old_dbus_is_told_from_none(tmp_path: Path, shell: list[str]) -> None:
    units = tmp_path / "etc/systemd/system"
    units.mkdir(parents=True)
    (units / "dbus.service").touch()
    assert the_system(facts(shell, tmp_path)).dbus_broker is False


def test_several_systems_in_one_answer(tmp_path: Path, shell: list[str]) -> None:
    top = tmp_path / "top"
    write(top, nixos_version="25.11")
    running = tmp_path / "current-system"
    running.symlink_to(top)
    booted = tmp_path / "booted-system"
    noise = "Welcome to web1!\npath=/etc\n"
    found = parse_toplevels(noise + facts(shell, running, booted, top) + noise)
    system = Toplevel(path=str(top), nixos_version="25.11")
    assert found == {str(running): system, str(booted): None, str(top): system}


def test_a_cut_answer_is_no_answer() -> None:
    with pytest.raises(ClosureError, match="was cut before the line 'toplevel_end=/a'"):
        parse_toplevels("toplevel=/a\npath=/nix/store/1-a\n")


@pytest.mark.parametrize("line", ["colour=blue", "kernel", ""])
def test_a_line_that_is_no_fact_is_shown(line: str) -> None:
    with pytest.raises(ClosureError, match=f"The host printed '{line}' where a fact"):
        parse_toplevels(f"toplevel=/a\n{line}\ntoplevel_end=/a\n")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"a": "1", "b": 2}', {"a": "1", "b": "2"}),
        ("{}", {}),
        ("/nix/store/1-linux /nix/store/2-systemd", None),
        ("[]", None),
        ("", None),
    ],
)
def test_the_forms_of_switch_inhibitors(content: str, expected: dict[str, str] | None) -> None:
    text = f"toplevel=/a\npath=/a\nswitch_inhibitors={content}\ntoplevel_end=/a\n"
    assert the_system(text).switch_inhibitors == expected


def test_a_system_for_the_host_passes() -> None:
    check_toplevel(SYSTEM, "x86_64-linux")
    check_toplevel(CONTAINER, "x86_64-linux")


@pytest.mark.parametrize(
    ("system", "sentence"),
    [
        pytest.param(
            Toplevel("/nix/store/1-hello"),
            "/nix/store/1-hello is not a NixOS system: it has no file nixos-version.",
            id="not NixOS",
        ),
        pytest.param(
            dataclasses.replace(SYSTEM, has_switch=False),
            f"{SYSTEM.path} cannot be activated: it has no bin/switch-to-configuration",
            id="system.switch.enable = false",
        ),
        pytest.param(
            dataclasses.replace(SYSTEM, system="aarch64-linux"),
            f"{SYSTEM.path} is built for aarch64-linux, but the host is x86_64-linux.",
            id="another platform",
        ),
        pytest.param(
            dataclasses.replace(SYSTEM, system=None),
            f"{SYSTEM.path} is built for no known platform, but the host is x86_64-linux.",
            id="no platform",
        ),
    ],
)
def test_a_system_not_for_the_host_is_refused(system: Toplevel, sentence: str) -> None:
    with pytest.raises(ClosureError) as caught:
        check_toplevel(system, "x86_64-linux")
    assert caught.value.message.startswith(sentence)
    assert caught.value.details == {"path": system.path}


@pytest.mark.parametrize("system", [SYSTEM, CONTAINER, NEWER])
def test_a_system_needs_no_reboot_into_itself(system: Toplevel) -> None:
    assert reboot_reasons(system, system) == ()
    assert live_switch_blockers(system, system) == ()


@pytest.mark.parametrize(
    "field",
    ["kernel", "initrd", "kernel_modules", "kernel_params", "firmware", "init_interface_version"],
)
def test_a_file_that_differs_needs_a_reboot(field: str) -> None:
    new = with_field(SYSTEM, field, "another")
    assert reboot_reasons(SYSTEM, new) == (field.replace("_", "-"),)


@pytest.mark.parametrize(
    "field", ["initrd", "kernel_modules", "kernel_params", "firmware", "init_interface_version"]
)
def test_a_file_that_one_side_lacks_needs_a_reboot(field: str) -> None:
    new = with_field(SYSTEM, field, None)
    assert reboot_reasons(SYSTEM, new) == (field.replace("_", "-"),)
    assert reboot_reasons(new, SYSTEM) == (field.replace("_", "-"),)


def test_all_reasons_come_in_one_order() -> None:
    new = Toplevel("/x", kernel="/other", init_interface_version="systemd 3")
    assert reboot_reasons(SYSTEM, new) == (
        "kernel",
        "initrd",
        "kernel-modules",
        "kernel-params",
        "firmware",
        "init-interface-version",
    )


@pytest.mark.parametrize("field", ["path", "nixos_version", "has_switch", "specialisations"])
def test_what_a_switch_brings_live_needs_no_reboot(field: str) -> None:
    assert reboot_reasons(SYSTEM, with_field(SYSTEM, field, "other")) == ()


@pytest.mark.parametrize(("booted", "new"), [(CONTAINER, SYSTEM), (SYSTEM, CONTAINER)])
def test_a_container_has_no_kernel_to_reboot_into(booted: Toplevel, new: Toplevel) -> None:
    assert reboot_reasons(booted, new) == ()
    older = dataclasses.replace(booted, init_interface_version="systemd 1")
    assert reboot_reasons(older, new) == ("init-interface-version",)


def test_a_containers_triggers_count_but_for_the_kernels() -> None:
    old = dataclasses.replace(CONTAINER, reboot_triggers={"kernel": "1", "vendor-driver": "1"})
    new = dataclasses.replace(CONTAINER, reboot_triggers={"kernel": "2", "vendor-driver": "2"})
    assert reboot_reasons(old, new) == ("reboot-trigger: vendor-driver",)


def test_triggers_that_changed_are_named_and_new_ones_are_not() -> None:
    old = dataclasses.replace(NEWER, reboot_triggers={"vendor-driver": "0", "gone": "1"})
    assert reboot_reasons(old, NEWER) == ("reboot-trigger: vendor-driver",)


def test_a_trigger_that_repeats_a_file_is_said_once() -> None:
    old = dataclasses.replace(NEWER, kernel="/old", reboot_triggers={"kernel": "0"})
    assert reboot_reasons(old, NEWER) == ("kernel",)


@pytest.mark.parametrize(
    ("running", "new", "blockers"),
    [
        pytest.param(SYSTEM, NEWER, ("dbus-implementation: dbus -> broker",), id="25.11 to 26.05"),
        pytest.param(NEWER, SYSTEM, ("dbus-implementation: broker -> dbus",), id="26.05 to 25.11"),
        pytest.param(
            dataclasses.replace(NEWER, switch_inhibitors={"dbus-implementation": "dbus"}),
            NEWER,
            ("dbus-implementation: dbus -> broker",),
            id="26.05, by its own file",
        ),
        pytest.param(
            SYSTEM,
            dataclasses.replace(SYSTEM, dbus_broker=True),
            ("dbus-implementation: dbus -> broker",),
            id="25.11, the option was set",
        ),
        pytest.param(
            SYSTEM,
            dataclasses.replace(NEWER, switch_inhibitors={}),
            (),
            id="26.05 without the inhibitor, as its owner wished",
        ),
        pytest.param(
            dataclasses.replace(SYSTEM, dbus_broker=None), NEWER, (), id="D-Bus not known"
        ),
        pytest.param(
            dataclasses.replace(NEWER, switch_inhibitors={"a": "1"}), NEWER, (), id="a new key"
        ),
        pytest.param(
            dataclasses.replace(NEWER, init_interface_version=None),
            dataclasses.replace(NEWER, switch_inhibitors={"dbus-implementation": "x"}),
            ("init-interface-version: none -> systemd 2", "dbus-implementation: broker -> x"),
            id="the init interface first",
        ),
    ],
)
def test_what_forbids_a_live_switch(
    running: Toplevel, new: Toplevel, blockers: tuple[str, ...]
) -> None:
    assert live_switch_blockers(running, new) == blockers
    assert live_switch_blockers(new, new) == ()


def test_a_blocked_switch_needs_a_reboot() -> None:
    assert reboot_reasons(SYSTEM, NEWER) == ("reboot-trigger: dbus-implementation",)


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({}, ""),
        ({"nixos_version": "26.05"}, ""),
        (
            {
                "kernel": "/nix/store/6-linux-6.12.3/bzImage",
                "initrd": "/nix/store/7-initrd/initrd",
                "kernel_modules": "/nix/store/8-kernel-modules",
                "kernel_version": "6.12.3",
            },
            "kernel: 6.6.52 → 6.12.3\n",
        ),
        ({"kernel": "/nix/store/6-linux-6.6.52/bzImage"}, "kernel: changed\n"),
        ({"initrd": "/nix/store/7-initrd/initrd"}, "initrd: changed\n"),
        ({"kernel_params": "foo loglevel=4"}, "kernel-params: +foo -quiet\n"),
        ({"kernel_params": "quiet loglevel=4"}, "kernel-params: in another order\n"),
        ({"kernel_params": None}, "kernel-params: -loglevel=4 -quiet\n"),
        ({"firmware": None}, "firmware: changed\n"),
        (
            {"init_interface_version": "systemd 3"},
            "init-interface-version: systemd 2 → systemd 3\n",
        ),
        ({"dbus_broker": True}, "dbus-implementation: dbus → broker\n"),
    ],
)
def test_what_a_reboot_is_for_is_shown(changes: dict[str, Any], shown: str) -> None:
    running = dataclasses.replace(SYSTEM, kernel_version="6.6.52")
    assert show_boot_changes(running, dataclasses.replace(running, **changes)) == shown


def test_a_container_shows_only_what_is_its_own() -> None:
    newer = dataclasses.replace(CONTAINER, init_interface_version="systemd 3")
    shown = "init-interface-version: systemd 2 → systemd 3\n"
    assert show_boot_changes(SYSTEM, newer) == show_boot_changes(CONTAINER, newer) == shown


def test_a_trigger_shows_its_values() -> None:
    newer = dataclasses.replace(NEWER, reboot_triggers={"vendor-driver": "2"})
    assert show_boot_changes(NEWER, newer) == "vendor-driver: 1 → 2\n"


def test_facts_are_plain_data_for_a_result() -> None:
    assert json.loads(json.dumps(dataclasses.asdict(NEWER)))["switch_inhibitors"] == {
        "dbus-implementation": "broker"
    }
