# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in's switch-to-configuration on a real host, with systems made by hand.

What is expected here is what nixpkgs' own one does; see the script for where that is written.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import pytest

TESTBED = Path(__file__).parents[1] / "testbed"
SCRIPTS = TESTBED.parent / "nixpkgs/nixos/modules/system/activation"
SYSTEMS = PurePosixPath("/srv/systems")  # of the host
BUSYBOX = SYSTEMS / "busybox"
FLEET = ("--fleet", "stc")

# Of the testbed alone, and four minutes of two cores.
pytestmark = pytest.mark.soak

SLEEP = "[Service]\nExecStart=/bin/sleep infinity\n"
CHANGED = "Environment=CHANGED=1\n"
ACTIONS = ("check", "switch", "boot", "test", "dry-activate")
ALWAYS = ["activating the configuration...", "restarting sysinit-reactivation.target"]
RESET = f"""
systemctl stop user@1000.service 't-*' 'run-t*' 2>/dev/null
cd /etc && xargs -d '\\n' rm -f < .clean 2>/dev/null
rm -rf /etc/static /etc/.clean /etc/t /etc/systemd/system/t-* /etc/systemd/user/t-*
umount /proc/swaps 2>/dev/null
rm -rf /run/closure-testbed
rm -rf /run/current-system /run/nixos /boot/loader /boot/EFI
rm -f /nix/var/nix/profiles/system* /run/t-*
find {SYSTEMS} -mindepth 1 -maxdepth 1 ! -name busybox -exec rm -r {{}} +
systemctl daemon-reload
systemctl reset-failed
"""


@dataclass(frozen=True)
class System:
    """A toplevel; `etc` maps a path below /etc to its text."""

    name: str
    etc: dict[str, str | None] = field(default_factory=dict)  # None: a link to /dev/null
    wanted: tuple[str, ...] = ()  # by multi-user.target
    activate: str = ""
    dry_activate: str = ""
    check: str = "exit 0"
    init_interface: str = "systemd 2"
    kernel: str = "kernel 1"
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def path(self) -> PurePosixPath:
        return SYSTEMS / self.name

    def script(self, name: str) -> str:
        values = {
            "out": self.path,
            "busybox": BUSYBOX,
            "installBootloader": self.path / "install-bootloader",
            "preSwitchCheck": self.path / "pre-switch-check",
            "swap": self.path / "swap",
            "distroId": "nixos",
        }
        text = (SCRIPTS / name).read_text()
        for placeholder, value in values.items():
            text = text.replace(f"@{placeholder}@", str(value))
        return text

    def files(self) -> dict[str, str | None]:
        shell = f"#!{BUSYBOX}/bin/sh\n"
        return {
            "bin/switch-to-configuration": self.script("switch-to-configuration.sh"),
            "setup-etc": self.script("setup-etc.sh"),
            "swap": self.script("swap.sh"),
            "install-bootloader": self.script("install-bootloader.sh"),
            "pre-switch-check": f"{shell}{self.check}\n",
            "activate": (
                f"{shell}status=0\n{self.path}/setup-etc {self.path}/etc || status=$?\n"
                f"{self.activate}\nln -sfn {self.path} /run/current-system\nexit $status\n"
            ),
            "dry-activate": f"{shell}{self.dry_activate}\n",
            "init-interface-version": self.init_interface,
            "nixos-version": f"26.05-{self.name}",
            "kernel": self.kernel,
            "initrd": "initrd 1",
            "kernel-params": "quiet",
            **{f"etc/{path}": text for path, text in self.etc.items()},
            **self.extra,
        }

    def archive(self) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            etc = tarfile.TarInfo(f"{self.name}/etc")
            etc.type, etc.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(etc)
            for path, text in self.files().items():
                member = tarfile.TarInfo(f"{self.name}/{path}")
                if text is None:
                    member.type, member.linkname = tarfile.SYMTYPE, "/dev/null"
                    tar.addfile(member)
                    continue
                member.size, member.mode = len(text.encode()), 0o755
                tar.addfile(member, io.BytesIO(text.encode()))
            for unit in self.wanted:
                wants = "etc/systemd/system/multi-user.target.wants"
                member = tarfile.TarInfo(f"{self.name}/{wants}/{unit}")
                member.type, member.linkname = tarfile.SYMTYPE, f"../{unit}"
                tar.addfile(member)
        return buffer.getvalue()


@dataclass(frozen=True)
class Outcome:
    rc: int
    stdout: str
    lines: list[str]  # of stderr


class Host:
    def run(self, script: str, stdin: bytes = b"") -> Outcome:
        command = [str(TESTBED), "exec", *FLEET, "stc1", "sh", "-c", script]
        done = subprocess.run(command, input=stdin, capture_output=True, check=False)
        return Outcome(done.returncode, done.stdout.decode(), done.stderr.decode().splitlines())

    def read(self, script: str) -> str:
        outcome = self.run(script)
        assert outcome.rc == 0, outcome
        return outcome.stdout.strip()

    def add(self, *systems: System) -> None:
        for system in systems:
            outcome = self.run(f"tar -x -C {SYSTEMS}", system.archive())
            assert outcome.rc == 0, outcome

    def act(self, system: System, action: str, environment: str = "") -> Outcome:
        return self.run(f"{environment} {system.path}/bin/switch-to-configuration {action}")

    def start(self, system: System) -> None:
        """Make it the running system."""
        self.add(system)
        outcome = self.act(system, "test")
        assert outcome.rc == 0, outcome

    def pids(self, *units: str) -> list[str]:
        return self.read(f"systemctl show -p MainPID --value {' '.join(units)}").split()

    def pid(self, unit: str) -> str:
        return self.pids(unit)[0]

    def state(self, unit: str) -> str:
        return self.run(f"systemctl is-active {unit}").stdout.strip()

    def generation(self, number: int, system: System) -> None:
        """What `nix-env --set` would leave of it."""
        link = f"system-{number}-link"
        profiles = "/nix/var/nix/profiles"
        self.read(f"cd {profiles} && ln -sfn {system.path} {link} && ln -sfn {link} system")


@pytest.fixture(scope="module")
def booted() -> Iterator[Host]:
    subprocess.run([TESTBED, "up", *FLEET, "--bare", "stc1"], check=True)
    try:
        host = Host()
        # The manager of root's units, since `up` came in by ssh; it would stay for some seconds.
        host.read("systemctl stop user@0.service")
        host.read(f"mkdir -p {BUSYBOX}/bin")
        static = Path(shutil.which("busybox") or "/bin/busybox").read_bytes()
        target = f"{BUSYBOX}/bin/busybox"
        host.run(f"cat > {target} && chmod +x {target}", static)
        host.read(f"{target} --install -s {BUSYBOX}/bin")
        yield host
    finally:
        subprocess.run([TESTBED, "down", *FLEET], check=True)


@pytest.fixture
def host(booted: Host) -> Host:
    booted.run(RESET)
    return booted


Texts = Mapping[str, str | None]


def units(texts: Texts, scope: str = "system") -> dict[str, str | None]:
    return {f"systemd/{scope}/{name}": text for name, text in texts.items()}


def system_with(name: str, texts: Texts) -> System:
    """A system of units; every service and socket is wanted by multi-user.target."""
    wanted = tuple(unit for unit in texts if "/" not in unit and "@." not in unit)
    return System(name, units(texts), wanted)


MOUNT = "[Mount]\nWhat=tmpfs\nType=tmpfs\nWhere=/run/t-mount\nOptions=size=2M\n"
OLD = {
    "t-same.service": SLEEP + "[Unit]\nDescription=old\n",
    "t-plain.service": SLEEP,
    "t-Dropin.service": SLEEP,
    "t-Dropin.service.d/x.conf": "[Service]\nEnvironment=A=1\n",
    "t-restart.service": SLEEP + "X-StopIfChanged=false\n",
    "t-reload.service": SLEEP + "X-ReloadIfChanged=true\nExecReload=/bin/true\n",
    "t-trigger.service": SLEEP + "ExecReload=/bin/true\n[Unit]\nX-Reload-Triggers=1\n",
    "t-keep.service": SLEEP + "X-RestartIfChanged=false\n",
    "t-refuse.service": SLEEP + "[Unit]\nRefuseManualStop=true\n",
    "t-gone.service": SLEEP,
    "t-stays.service": SLEEP + "[Unit]\nX-StopOnRemoval=false\n",
    "t-many@.service": SLEEP,
    "t-socket.service": SLEEP,
    "t-socket.socket": "[Socket]\nListenStream=/run/t-socket\n",
    "run-t\\x2dmount.mount": MOUNT,
    "t-idle.service": SLEEP,
}
NEW = {
    **OLD,
    "t-same.service": "# new\n" + SLEEP + "[Unit]\nDescription=new\n[Install]\nWantedBy=x.target\n",
    "t-plain.service": SLEEP + CHANGED,
    "t-Dropin.service.d/x.conf": "[Service]\nEnvironment=A=2\n",
    "t-restart.service": OLD["t-restart.service"] + CHANGED,
    "t-reload.service": OLD["t-reload.service"] + CHANGED,
    "t-trigger.service": SLEEP + "ExecReload=/bin/true\n[Unit]\nX-Reload-Triggers=2\n",
    "t-keep.service": OLD["t-keep.service"] + CHANGED,
    "t-refuse.service": SLEEP + CHANGED + "[Unit]\nRefuseManualStop=true\n",
    "t-many@.service": SLEEP + CHANGED,
    "t-socket.service": SLEEP + CHANGED,
    "run-t\\x2dmount.mount": MOUNT.replace("2M", "1M"),
    "t-idle.service": SLEEP + CHANGED,
    "t-new.service": SLEEP,
}
for gone in ("t-gone.service", "t-stays.service"):
    del NEW[gone]
MOVES = {  # verb of the plan, units
    "stop": "t-Dropin.service, t-gone.service, t-many@1.service, t-plain.service, t-socket.service,"
    " t-socket.socket",
    "keep": "t-keep.service, t-refuse.service",
    "reload": r"run-t\x2dmount.mount, t-reload.service, t-trigger.service",
    "restart": "t-restart.service",
    "start": "t-Dropin.service, t-many@1.service, t-plain.service, t-socket.socket",
}


@pytest.fixture
def changed(host: Host) -> System:
    """A running system OLD, and the system NEW that is returned."""
    idle = ("t-many@.service", "t-idle.service", "t-Dropin.service.d/x.conf")
    old, new = (
        System(name, units(texts), tuple(unit for unit in texts if unit not in idle))
        for name, texts in (("old", OLD), ("new", NEW))
    )
    host.start(old)
    host.read("systemctl start t-many@1.service t-socket.service")
    host.add(new)
    return new


def test_dry_activate_shows_the_plan(host: Host, changed: System) -> None:
    outcome = host.act(changed, "dry-activate")
    assert outcome.rc == 0
    assert outcome.lines == [
        f"would stop the following units: {MOVES['stop']}",
        f"would NOT stop the following changed units: {MOVES['keep']}",
        "would activate the configuration...",
        f"would reload the following units: {MOVES['reload']}",
        f"would restart the following units: {MOVES['restart']}",
        f"would start the following units: {MOVES['start']}",
    ]


def test_switch_carries_the_plan_out(host: Host, changed: System) -> None:
    kept = ["t-same", "t-reload", "t-trigger", "t-keep", "t-refuse", "t-stays"]
    renewed = ["t-plain", "t-Dropin", "t-restart", "t-many@1"]
    before = host.pids(*kept, *renewed)
    outcome = host.act(changed, "test")
    assert outcome.rc == 0
    assert outcome.lines == [
        f"stopping the following units: {MOVES['stop']}",
        f"NOT restarting the following changed units: {MOVES['keep']}",
        *ALWAYS,
        f"reloading the following units: {MOVES['reload']}",
        f"restarting the following units: {MOVES['restart']}",
        f"starting the following units: {MOVES['start']}",
        "the following new units were started: t-new.service",
    ]
    same = [old == new for old, new in zip(before, host.pids(*kept, *renewed), strict=True)]
    assert same == [True] * len(kept) + [False] * len(renewed)
    states = host.run("systemctl is-active t-gone t-idle t-socket.socket t-new").stdout.split()
    assert states == ["inactive", "inactive", "active", "active"]
    assert host.read("readlink /run/current-system") == str(changed.path)


@dataclass(frozen=True)
class Pair:
    """Units of a running system and of the next one, and what is said of which."""

    old: Texts
    new: Texts
    said: set[tuple[str, str]]
    running: str = ""  # beside what multi-user.target wants
    idle: str = ""


SOCKET = "[Socket]\nListenStream=/run/t-{}\n"
TIMER = "[Timer]\nOnActiveSec={}\n"
DROP_IN = "[Service]\nEnvironment=A=1\n"
NO_SOCKET = SLEEP + "X-NotSocketActivated=true\n"
UNIT_NO_SOCKET = SLEEP + "[Unit]\nX-NotSocketActivated=true\n[Service]\n"
PAIRS = {
    "a drop-in of an instance goes, its template stays": Pair(
        {"t-in@.service": SLEEP, "t-in@x.service.d/overrides.conf": DROP_IN},
        {"t-in@.service": SLEEP},
        {("stop", "t-in@x.service")},
        running="t-in@x.service",
    ),
    "a drop-in of an instance is disabled": Pair(
        {"t-off@.service": SLEEP, "t-off@x.service.d/overrides.conf": DROP_IN},
        {"t-off@.service": SLEEP, "t-off@x.service.d/overrides.conf": None},
        {("stop", "t-off@x.service")},
        running="t-off@x.service",
    ),
    "an instance of its own goes, its template stays": Pair(
        {"t-own@.service": SLEEP, "t-own@x.service": SLEEP},
        {"t-own@.service": SLEEP},
        {("stop", "t-own@x.service")},
        running="t-own@x.service",
    ),
    "a unit is masked": Pair(
        {"t-masked.service": SLEEP}, {"t-masked.service": None}, {("stop", "t-masked.service")}
    ),
    "a removed unit refuses to be stopped": Pair(
        {"t-stay.service": SLEEP + "[Unit]\nRefuseManualStop=true\n"},
        {},
        {("stop", "t-stay.service")},
    ),
    "a timer changes": Pair(
        {"t-timer.service": SLEEP, "t-timer.timer": TIMER.format("1d")},
        {"t-timer.service": SLEEP, "t-timer.timer": TIMER.format("2d")},
        {("restart", "t-timer.timer")},
        idle="t-timer.service",
    ),
    "a socket appears with its changed service": Pair(
        {"t-app.service": SLEEP},
        {"t-app.service": SLEEP + CHANGED, "t-app.socket": SOCKET.format("app")},
        {("stop", "t-app.service"), ("new", "t-app.socket")},
    ),
    "a socket is not active, its service changes": Pair(
        {"t-late.service": SLEEP, "t-late.socket": SOCKET.format("late")},
        {"t-late.service": SLEEP + CHANGED, "t-late.socket": SOCKET.format("late")},
        {("stop", "t-late.service")},
        idle="t-late.socket",
    ),
    "not activated by its socket": Pair(
        {"t-not.service": NO_SOCKET, "t-not.socket": SOCKET.format("not")},
        {"t-not.service": NO_SOCKET + CHANGED, "t-not.socket": SOCKET.format("not")},
        {
            (verb, f"t-not.{suffix}")
            for verb in ("stop", "start")
            for suffix in ("service", "socket")
        },
    ),
    "not activated by its socket, said in the wrong section": Pair(
        {"t-wrong.service": UNIT_NO_SOCKET, "t-wrong.socket": SOCKET.format("wrong")},
        {"t-wrong.service": UNIT_NO_SOCKET + CHANGED, "t-wrong.socket": SOCKET.format("wrong")},
        {("stop", "t-wrong.service"), ("stop", "t-wrong.socket"), ("start", "t-wrong.socket")},
    ),
    "quotes around a value": Pair(
        {"t-quotes.service": SLEEP + 'Environment="A=b"\n'},
        {"t-quotes.service": SLEEP + "Environment=A=b\n"},
        set(),
    ),
    "values that an empty assignment clears": Pair(
        {"t-empty.service": SLEEP + "Environment=X=y\nEnvironment=\nEnvironment=A=b\n"},
        {"t-empty.service": SLEEP + "Environment=A=b\n"},
        set(),
    ),
    "a drop-in clears a value": Pair(
        {"t-clear.service": SLEEP + "Environment=A=b\n"},
        {
            "t-clear.service": SLEEP + "Environment=A=b\n",
            "t-clear.service.d/x.conf": "[Service]\nEnvironment=\n",
        },
        {("stop", "t-clear.service"), ("start", "t-clear.service")},
    ),
    "triggers of a reload go": Pair(
        {"t-trig.service": SLEEP + "[Unit]\nX-Reload-Triggers=1\n"},
        {"t-trig.service": SLEEP},
        set(),
    ),
    "a mount gets options": Pair(
        {"run-topt.mount": MOUNT.replace("t-mount", "topt").replace("Options=size=2M\n", "")},
        {"run-topt.mount": MOUNT.replace("t-mount", "topt")},
        {("restart", "run-topt.mount")},
    ),
}
VERBS = {
    "stop": "(?:would stop|stopping)",
    "keep": "(?:would NOT stop|NOT restarting)",
    "reload": "(?:would reload|reloading)",
    "restart": "(?:would restart|restarting)",
    "start": "(?:would start|starting)",
}


def said(lines: list[str]) -> set[tuple[str, str]]:
    """What the lines say of which unit: {(verb, unit)}."""
    patterns = {
        verb: f"{words} the following (?:changed )?units: (.*)" for verb, words in VERBS.items()
    } | {
        "new": "the following new units were started: (.*)",
        "failed": "warning: the following units failed: (.*)",
    }
    found = {
        verb: match[1].split(", ")
        for line in lines
        for verb, pattern in patterns.items()
        if (match := re.fullmatch(pattern, line))
    }
    return {(verb, unit) for verb, units in found.items() for unit in units}


@dataclass(frozen=True)
class PairsSaid:
    dry: set[tuple[str, str]]
    real: Outcome
    states: dict[str, str]  # afterwards


@pytest.fixture(scope="module")
def pairs_said(booted: Host) -> PairsSaid:
    """All pairs in one pair of systems."""
    booted.run(RESET)
    systems = []
    idle = {pair.idle for pair in PAIRS.values()}
    for name in ("old", "new"):
        texts = {
            unit: text for pair in PAIRS.values() for unit, text in getattr(pair, name).items()
        }
        wanted = (u for u, text in texts.items() if text and not re.search("[/@]", u))
        systems.append(System(name, units(texts), tuple(set(wanted) - idle)))
    old, new = systems
    booted.start(old)
    booted.read("systemctl start " + " ".join(pair.running for pair in PAIRS.values()))
    booted.add(new)
    dry = said(booted.act(new, "dry-activate").lines)
    real = booted.act(new, "test")
    names = sorted({unit for pair in PAIRS.values() for _verb, unit in pair.said})
    states = booted.run("systemctl is-active " + " ".join(names)).stdout.split()
    return PairsSaid(dry, real, dict(zip(names, states, strict=True)))


@pytest.mark.parametrize("name", PAIRS)
def test_a_pair(pairs_said: PairsSaid, name: str) -> None:
    pair = PAIRS[name]
    named = {u for texts in (pair.old, pair.new) for u in texts} | {pair.running}

    def of_pair(said: set[tuple[str, str]]) -> set[tuple[str, str]]:
        return {(verb, unit) for verb, unit in said if unit in named}

    assert of_pair(said(pairs_said.real.lines)) == pair.said
    assert of_pair(pairs_said.dry) == {move for move in pair.said if move[0] != "new"}


def test_pairs_leave_nothing_failed(pairs_said: PairsSaid) -> None:
    assert pairs_said.real.rc == 0, pairs_said.real
    assert pairs_said.states["t-stay.service"] == "active"  # it refused
    assert pairs_said.states["t-late.service"] == "active"  # its target started it
    assert pairs_said.states["t-in@x.service"] == "inactive"


SNAPSHOT = """
find /etc /boot /run/nixos ! -name '*.lock' ! -path /run/nixos | sort |
    xargs ls -ld --time-style=full-iso
systemctl list-units --all --plain --no-legend 't-*' '*.target' '*.mount'
readlink /run/current-system
"""


def test_dry_activate_changes_nothing(host: Host, changed: System) -> None:
    before = host.run(SNAPSHOT).stdout
    host.act(changed, "dry-activate")
    assert "t-plain.service" in before
    assert host.run(SNAPSHOT).stdout == before


def test_the_same_system_again_only_starts_targets(host: Host) -> None:
    system = system_with("same", {"t-plain.service": SLEEP})
    host.start(system)
    pid = host.pid("t-plain")
    assert host.act(system, "test").lines == ALWAYS
    assert host.pid("t-plain") == pid
    shown = host.act(system, "dry-activate", "STC_DISPLAY_ALL_UNITS=1").lines[-1]
    assert shown.startswith("would start the following units: basic.target, ")
    assert "multi-user.target" in shown


def test_a_stopped_wanted_unit_is_started_by_its_target(host: Host) -> None:
    system = system_with("same", {"t-plain.service": SLEEP})
    host.start(system)
    host.read("systemctl stop t-plain")
    lines = host.act(system, "test").lines
    assert lines == [*ALWAYS, "the following new units were started: t-plain.service"]


def test_usage(host: Host) -> None:
    system = System("plain")
    host.add(system)
    for action in ("", "reboot"):
        outcome = host.act(system, action)
        assert outcome.rc == 1
        first = "Usage: switch-to-configuration [check|switch|boot|test|dry-activate]"
        assert outcome.lines[0] == first
        assert len(outcome.lines) == 6


def test_root_is_needed_even_to_check(host: Host) -> None:
    system = System("plain")
    host.add(system)
    command = f"{system.path}/bin/switch-to-configuration check"
    outcome = host.run(f"setpriv --reuid=nobody --clear-groups {command}")
    assert outcome.rc == 1
    expected = ["Error: switch-to-configuration must be run as the root user"]
    assert outcome.lines == expected


def test_other_systems_are_refused(host: Host) -> None:
    system = System("plain")
    host.add(system)
    host.read("mv /etc/NIXOS /etc/NIXOS.away")
    try:
        outcome = host.act(system, "check")
    finally:
        host.read("mv /etc/NIXOS.away /etc/NIXOS")
    assert (outcome.rc, outcome.lines) == (2, ["This is not a NixOS installation!"])


def test_a_busy_lock_is_not_waited_for(host: Host) -> None:
    system = System("plain")
    host.add(system)
    lock = "mkdir -p /run/nixos; flock /run/nixos/switch-to-configuration.lock"
    for action in ACTIONS:
        outcome = host.run(f"{lock} {system.path}/bin/switch-to-configuration {action}")
        assert (outcome.rc, outcome.lines) == (11, ["Could not acquire lock"]), action


def test_the_lock_is_not_inherited_by_what_the_activation_starts(host: Host) -> None:
    system = System("plain", activate="/bin/sleep 30 </dev/null >/dev/null 2>&1 &")
    host.start(system)
    assert host.act(system, "check").rc == 0


def test_a_failed_pre_switch_check_ends_it(host: Host) -> None:
    check = f'[ "$1 $2" = "{SYSTEMS}/plain $NIXOS_ACTION" ] && exit 1'
    system = System("plain", check=check)
    host.add(system)
    for action in ACTIONS:
        outcome = host.act(system, action)
        assert (outcome.rc, outcome.lines) == (1, ["Pre-switch checks failed"]), action
    assert host.run("ls /run/current-system /boot/loader").rc != 0


def test_checks_can_be_left_out(host: Host) -> None:
    system = System("plain", check="exit 1")
    host.add(system)
    assert host.act(system, "test", "NIXOS_NO_CHECK=1").rc == 0
    assert host.act(system, "test", "NIXOS_NO_CHECK=0").rc == 1


def test_another_init_interface_needs_a_reboot(host: Host) -> None:
    host.start(System("old"))
    new = System("new", init_interface="systemd 3")
    host.add(new)
    host.generation(1, new)
    warning = [
        "Warning: the new NixOS configuration has an ‘init’ that is",  # noqa: RUF001
        "incompatible with the current configuration.  The new configuration",
        "won't take effect until you reboot the system.",
        "",
    ]
    for action in ("switch", "test", "dry-activate"):
        outcome = host.act(new, action)
        assert (outcome.rc, outcome.lines) == (100, warning)
    assert host.read("readlink /run/current-system") == f"{SYSTEMS}/old"
    assert "default nixos-generation-1.conf" in host.read("cat /boot/loader/loader.conf")


def test_a_failed_activation_is_2_and_the_rest_still_runs(host: Host) -> None:
    system = System("plain", activate="status=7")
    host.add(system)
    outcome = host.act(system, "test")
    assert outcome.rc == 2
    assert outcome.lines == [ALWAYS[0], "Failed to run activate script", ALWAYS[1]]
    assert host.read("readlink /run/current-system") == str(system.path)


FAILING = "[Service]\nType=oneshot\nExecStart=/bin/false\n"


def test_a_failed_unit_is_4(host: Host) -> None:
    host.start(system_with("old", {"t-bad.service": SLEEP}))
    new = system_with("new", {"t-bad.service": FAILING})
    host.add(new)
    outcome = host.act(new, "test")
    assert outcome.rc == 4
    assert outcome.lines == [
        "stopping the following units: t-bad.service",
        *ALWAYS,
        "starting the following units: t-bad.service",
        "Failed to start t-bad.service",
        "warning: the following units failed: t-bad.service",
    ]
    assert "Active: failed" in outcome.stdout
    assert host.read("readlink /run/current-system") == str(new.path)


def test_each_verb_says_what_failed(host: Host) -> None:
    reload = SLEEP + "X-ReloadIfChanged=true\nExecReload=/bin/false\n"
    old = {"t-reload.service": reload, "t-restart.service": SLEEP + "X-StopIfChanged=false\n"}
    host.start(system_with("old", old))
    new = system_with(
        "new",
        {
            "t-reload.service": reload + CHANGED,
            "t-restart.service": FAILING + "X-StopIfChanged=false\n",
            "t-needy.service": SLEEP
            + "[Unit]\nRequires=t-restart.service\nAfter=t-restart.service\n",
            # Refused, because that service runs.
            "t-late.socket": "[Socket]\nListenStream=/run/t-late\nService=t-reload.service\n",
        },
    )
    host.add(new)
    host.read(
        "cd /run/nixos && printf 't-%s\\n' needy.service none.service late.socket > start-list"
    )
    outcome = host.act(new, "test")
    assert outcome.rc == 4
    assert outcome.lines == [
        *ALWAYS,
        "reloading the following units: t-reload.service",
        "restarting the following units: t-restart.service",
        "starting the following units: t-late.socket, t-needy.service, t-none.service",
        "Failed to start t-none.service: Unit t-none.service not found.",
        "Failed to reload t-reload.service",
        "Failed to restart t-restart.service",
        "Failed to start t-needy.service",
        "Failed to start t-late.socket",
        "warning: the following units failed: t-restart.service",
    ]


def test_4_masks_2(host: Host) -> None:
    system = system_with("both", {"t-bad.service": FAILING})
    system = System("both", system.etc, system.wanted, activate="status=7")
    host.add(system)
    outcome = host.act(system, "test")
    assert outcome.rc == 4
    assert outcome.lines == [
        ALWAYS[0],
        "Failed to run activate script",
        ALWAYS[1],
        "warning: the following units failed: t-bad.service",
    ]


def test_a_unit_that_keeps_crashing_has_failed(host: Host) -> None:
    crashing = "[Service]\nExecStart=/bin/false\nRestart=always\nRestartSec=60\n"
    system = system_with("crash", {"t-crash.service": crashing})
    host.add(system)
    outcome = host.act(system, "test")
    assert outcome.rc == 4
    assert outcome.lines[-1] == "warning: the following units failed: t-crash.service"


def test_an_interrupted_switch_is_resumed(host: Host) -> None:
    texts = dict.fromkeys(("t-again.service", "t-start.service"), SLEEP)
    system = System("plain", units(texts))
    host.start(system)
    host.read(
        "systemctl start t-again; cd /run/nixos;"
        " echo t-again.service > restart-list; echo t-start.service > start-list"
    )
    assert host.act(system, "dry-activate").lines == [
        "would activate the configuration...",
        "would restart the following units: t-again.service",
        "would start the following units: t-start.service",
    ]
    pid = host.pid("t-again")
    assert host.act(system, "test").lines == [
        *ALWAYS,
        "restarting the following units: t-again.service",
        "starting the following units: t-start.service",
        "the following new units were started: t-start.service",
    ]
    assert host.pid("t-again") != pid
    assert host.read("ls /run/nixos") == "switch-to-configuration.lock"


def test_what_is_to_do_is_recorded_before_it_is_done(host: Host) -> None:
    host.start(system_with("old", {"t-plain.service": SLEEP}))
    new = system_with("new", {"t-plain.service": SLEEP + CHANGED})
    new = System("new", new.etc, new.wanted, activate="cat /run/nixos/start-list; kill -9 $PPID")
    host.add(new)
    outcome = host.act(new, "test")
    assert outcome.rc == 137
    assert "t-plain.service" in outcome.stdout
    assert host.state("t-plain") == "inactive"
    host.read("sed -i 's/kill -9 .PPID//' " + f"{new.path}/activate")
    assert "starting the following units: t-plain.service" in host.act(new, "test").lines
    assert host.state("t-plain") == "active"


WARNING_26_11 = (
    "WARN: restarting or reloading systemd units from the activation script is deprecated"
    " and will be removed in NixOS 26.11."
)


def test_activation_scripts_request_restarts(host: Host) -> None:
    request = (
        "echo t-plain.service > /run/nixos/{0}activation-restart-list;"
        "echo t-reload.service > /run/nixos/{0}activation-reload-list"
    )
    texts = {"t-plain.service": SLEEP, "t-reload.service": SLEEP + "ExecReload=/bin/true\n"}
    plain = system_with("old", texts)
    host.start(plain)
    new = System("new", plain.etc, plain.wanted, request.format(""), request.format("dry-"))
    host.add(new)
    assert host.act(new, "dry-activate").lines == [
        "would activate the configuration...",
        WARNING_26_11,
        "would reload the following units: t-reload.service",
        "would restart the following units: t-plain.service",
    ]
    pid = host.pid("t-plain")
    assert host.act(new, "test").lines == [
        ALWAYS[0],
        WARNING_26_11,
        ALWAYS[1],
        "reloading the following units: t-reload.service",
        "restarting the following units: t-plain.service",
    ]
    assert host.pid("t-plain") != pid


def test_a_request_to_reload_is_for_what_runs(host: Host) -> None:
    """A unit that is not active, or was just stopped, is left alone."""
    request = "printf 't-%s.service\\n' reload gone masked > /run/nixos/activation-reload-list"
    host.start(system_with("old", {"t-gone.service": SLEEP}))
    system = System(
        "new",
        units({"t-reload.service": SLEEP + "ExecReload=/bin/true\n", "t-masked.service": None}),
        activate=request,
    )
    host.add(system)
    outcome = host.act(system, "test")
    assert outcome.rc == 0
    assert outcome.lines == [
        "stopping the following units: t-gone.service",
        ALWAYS[0],
        WARNING_26_11,
        ALWAYS[1],
    ]


def test_a_unit_to_reload_that_lost_what_it_requires_is_started(host: Host) -> None:
    needy = SLEEP + "ExecReload=/bin/true\n[Unit]\nRequires=t-base.service\nX-Reload-Triggers="
    old = {"t-base.service": SLEEP, "t-reload.service": needy + "1\n"}
    new = {"t-base.service": SLEEP + CHANGED, "t-reload.service": needy + "2\n"}
    host.start(system_with("old", old))
    system = system_with("new", new)
    host.add(system)
    assert host.act(system, "test").lines == [
        "stopping the following units: t-base.service",
        *ALWAYS,
        "starting the following units: t-base.service, t-reload.service",
    ]


def test_only_boot_needs_no_systemd(host: Host) -> None:
    system = System("plain")
    host.add(system)
    host.generation(1, system)
    hide = "mount -t tmpfs none /run/systemd && mount -t tmpfs none /run/dbus"
    command = f"{system.path}/bin/switch-to-configuration"
    boot = host.run(f"unshare --mount sh -c '{hide} && {command} boot'")
    assert (boot.rc, boot.lines) == (0, [])
    outcome = host.run(f"unshare --mount sh -c '{hide} && {command} test'")
    assert outcome.rc == 1
    assert outcome.lines[:3] == ["Error: Failed to open dbus connection", "", "Caused by:"]
    assert host.run("ls /run/current-system").rc != 0


def test_a_changed_systemd_is_executed_again(host: Host) -> None:
    old, new = (System(name, extra={"systemd/version": name}) for name in ("old", "new"))
    host.start(old)
    host.add(new)
    assert "would restart systemd" in host.act(new, "dry-activate").lines
    outcome = host.act(new, "test")
    assert (outcome.rc, outcome.lines) == (0, [ALWAYS[0], "restarting systemd...", ALWAYS[1]])
    assert host.read("systemctl is-system-running") == "running"


def test_a_drop_in_restarts_a_unit_of_the_base(host: Host) -> None:
    drop_in = "systemd/system/systemd-logind.service.d/t.conf"
    old, new = System("old"), System("new", {drop_in: "[Service]\nEnvironment=A=1\n"})
    host.start(old)
    pid = host.pid("systemd-logind")
    host.add(new)
    moves = [
        "stopping the following units: systemd-logind.service",
        *ALWAYS,
        "starting the following units: systemd-logind.service",
    ]
    assert host.act(new, "test").lines == moves
    assert host.pid("systemd-logind") != pid
    assert host.act(old, "test").lines == moves


def test_bases_units_stay(host: Host) -> None:
    """Debian's own units are no business of a generation that does not declare them."""
    names = ("ssh", "dbus", "nix-daemon", "systemd-journald")
    pids = host.pids(*names)
    host.start(system_with("old", {"t-plain.service": SLEEP}))
    host.start(System("new"))
    assert host.pids(*names) == pids
    assert host.state("t-plain") == "inactive"


def test_units_of_users(host: Host) -> None:
    bad = FAILING.replace("oneshot", "oneshot\nRemainAfterExit=true")
    keep = SLEEP + "X-RestartIfChanged=false\n"
    old = {"t-plain.service": SLEEP, "t-keep.service": keep, "t-gone.service": SLEEP}
    old |= {"t-bad.service": SLEEP, "nixos-activation.service": FAILING.replace("false", "true")}
    new = old | {
        "t-plain.service": SLEEP + CHANGED,
        "t-keep.service": keep + CHANGED,
        "t-bad.service": bad,
    }
    del new["t-gone.service"]
    host.start(System("old", units(old, "user")))
    as_user = "setpriv --reuid=1000 --regid=1000 --clear-groups env XDG_RUNTIME_DIR=/run/user/1000"
    ctl = f"{as_user} systemctl --user"
    host.read(f"systemctl start user@1000 && {ctl} start t-plain t-keep t-gone t-bad")
    system = System("new", units(new, "user"))
    host.add(system)
    assert host.act(system, "dry-activate").lines == ["would activate the configuration..."]
    pids = f"{ctl} show -P MainPID t-plain t-keep"
    before = host.read(pids).split()
    outcome = host.act(system, "test")
    assert outcome.rc == 4
    assert outcome.lines == [
        ALWAYS[0],
        "reloading user units for deploy...",
        "stopping the following user units: t-bad.service, t-gone.service, t-plain.service",
        "NOT restarting the following user units: t-keep.service",
        "starting the following user units: t-bad.service, t-plain.service",
        "restarting the following user units: nixos-activation.service",
        "Failed to start user unit t-bad.service",
        "warning: the following user units failed: t-bad.service",
        "See `systemctl --user status t-bad.service` for details.",
        "warning: user activation for deploy failed",
        ALWAYS[1],
    ]
    plain, keep_pid = host.read(pids).split()
    assert plain != before[0] and keep_pid == before[1]
    states = host.run(f"{ctl} is-active t-plain t-keep t-gone t-bad").stdout.split()
    assert states == ["active", "active", "inactive", "failed"]
    again = host.act(system, "test")
    assert (again.rc, again.lines[1:3]) == (
        0,
        [
            "reloading user units for deploy...",
            "restarting the following user units: nixos-activation.service",
        ],
    )


OLD_FSTAB = """# a comment
tmpfs /run/t-gone tmpfs defaults 0 0
tmpfs /run/t-size tmpfs size=1M 0 0
tmpfs /run/t-type tmpfs defaults 0 0
tmpfs /run/t-same tmpfs defaults 0 0
/dev/t-free none swap defaults 0 0
/dev/t-full none swap defaults 0 0
/dev/t-kept none swap defaults 0 0
"""
NEW_FSTAB = """tmpfs /run/t-size tmpfs size=2M 0 0
ramfs /run/t-type ramfs defaults 0 0
tmpfs /run/t-same tmpfs defaults 0 0
tmpfs /run/t-new tmpfs defaults 0 0
/dev/t-kept none swap defaults 0 0
"""


def test_mounts_and_swap(host: Host) -> None:
    swaps = "/dev/t-free /dev/t-full /dev/t-kept"
    old = System("old", {"fstab": OLD_FSTAB}, activate=f"{SYSTEMS}/old/swap on {swaps}")
    new = System("new", {"fstab": NEW_FSTAB})
    host.start(old)
    assert host.read("findmnt -no FSTYPE /run/t-gone; findmnt -no FSTYPE /run/t-type").split() == [
        "tmpfs",
        "tmpfs",
    ]
    host.add(new)
    units = {name: rf"run-t\x2d{name}.mount" for name in ("gone", "size", "type", "new")}
    assert host.act(new, "dry-activate").lines == [
        "would stop swap device: /dev/t-free",
        "would stop swap device: /dev/t-full",
        f"would stop the following units: {units['gone']}",
        "would activate the configuration...",
        f"would reload the following units: {units['size']}",
        f"would restart the following units: {units['type']}",
    ]
    assert len(host.read("cat /proc/swaps").splitlines()) == 4
    host.read("echo /dev/t-full > /run/closure-testbed/swap-is-full")
    outcome = host.act(new, "test")
    assert outcome.rc == 0
    assert outcome.lines == [
        "stopping swap device: /dev/t-free",
        "stopping swap device: /dev/t-full",
        "Failed to stop swapping to /dev/t-full: Cannot allocate memory (os error 12)",
        f"stopping the following units: {units['gone']}",
        *ALWAYS,
        f"reloading the following units: {units['size']}",
        f"restarting the following units: {units['type']}",
        f"the following new units were started: {units['new']}",
    ]
    mounted = (
        "findmnt -rno TARGET,FSTYPE,OPTIONS | grep -o '^/run/t-[^ ]* [a-z]*\\|size=2048k' | sort"
    )
    assert host.read(mounted).splitlines() == [
        "/run/t-new tmpfs",
        "/run/t-same tmpfs",
        "/run/t-size tmpfs",
        "/run/t-type ramfs",
        "size=2048k",
    ]
    assert host.read("awk 'NR > 1 { print $1 }' /proc/swaps").split() == [
        "/dev/t-full",
        "/dev/t-kept",
    ]


# --- setup-etc


def test_etc_is_set_up_and_cleaned_up(host: Host) -> None:
    old = System(
        "old", {"t/link": "old", "t/gone": "gone", "t/copy": "secret", "t/copy.mode": "0640"}
    )
    host.start(old)
    assert host.read("readlink /etc/t/link") == "/etc/static/t/link"
    assert host.read("stat -c %a:%F:%U /etc/t/copy") == "640:regular file:root"
    new = System("new", {"t/link": "new", "t/copy2": "x", "t/copy2.mode": "0600"})
    host.start(new)
    assert host.read("cd /etc/t; ls; cat link; readlink /etc/static").split() == [
        "copy2",
        "link",
        f"new{new.path}/etc",
    ]


def test_a_directory_and_a_file_change_places(host: Host) -> None:
    host.start(System("old", {"t/a": "file", "t/b/c": "below"}))
    host.start(System("new", {"t/a/c": "below", "t/b": "file"}))
    assert host.read("cat /etc/t/a/c /etc/t/b") == "belowfile"
    assert host.read(f"ls {SYSTEMS}/new/etc/t/a") == "c"
    host.start(System("empty"))
    assert host.run("ls -d /etc/t").rc != 0


def test_an_alias_stays_one(host: Host) -> None:
    alias = "etc/systemd/system/t-alias.service"
    plain = system_with("plain", {"t-plain.service": SLEEP})
    host.add(plain)
    host.read(f"ln -s t-plain.service {plain.path}/{alias}")
    assert host.act(plain, "test").rc == 0
    assert host.read("systemctl show -p Names --value t-alias").split() == [
        "t-plain.service",
        "t-alias.service",
    ]
    host.start(System("empty"))
    assert host.run(f"ls -d /{alias}").rc != 0


FORBIDDEN = (
    *("passwd", "group", "shadow", "hosts", "resolv.conf"),
    *("sudoers", "sudoers.d/deploy", "ssh/sshd_config", "nix/nix.conf", "ssh/t", "nix/t"),
)


def test_files_of_the_host_are_never_replaced(host: Host) -> None:
    own = ("debian_version", "hostname", "systemd/system.conf")
    paths = " ".join(f"/etc/{path}" for path in (*FORBIDDEN, *own))
    look = f"ls -ld --time-style=full-iso {paths} /bin/sh 2>&1; cat {paths} 2>&1 | md5sum"
    before = host.run(look).stdout
    system = System("plain", dict.fromkeys((*FORBIDDEN, *own), "changed"))
    host.add(system)
    for _time in range(2):
        outcome = host.act(system, "test")
        assert outcome.rc == 0
        warnings = [f"warning: /etc/{path} belongs to the host, it is not replaced" for path in own]
        assert set(warnings) < set(outcome.lines)
    host.start(System("empty"))
    assert host.run(look).stdout == before


# --- install-bootloader


def test_the_bootloader_has_an_entry_for_each_generation(host: Host) -> None:
    nested = "specialisation/quiet"
    special = {f"{nested}/nixos-version": "26.05-quiet", f"{nested}/kernel-params": "loglevel=0"}
    one, two = System("one"), System("two", kernel="kernel 2", extra=special)
    host.add(one, two)
    host.generation(1, one)
    host.generation(2, two)
    outcome = host.act(two, "boot")
    assert (outcome.rc, outcome.lines) == (0, [])
    assert (
        host.read("cat /boot/loader/loader.conf").split("\n")[-1]
        == "default nixos-generation-2.conf"
    )
    assert host.read("cat /boot/loader/entries/nixos-generation-1.conf").split("\n") == [
        "title NixOS (Generation 1)",
        "version NixOS 26.05-one",
        "linux /EFI/nixos/-srv-systems-one-kernel.efi",
        "initrd /EFI/nixos/-srv-systems-one-initrd.efi",
        f"options init={one.path}/init quiet",
    ]
    assert host.read("cat /boot/EFI/nixos/-srv-systems-two-kernel.efi") == "kernel 2"
    entry = host.read("cat /boot/loader/entries/nixos-generation-2-specialisation-quiet.conf")
    assert f"options init={two.path}/{nested}/init loglevel=0" in entry
    assert host.run("ls /run/current-system").rc != 0


def test_the_default_is_only_ever_a_generation(host: Host) -> None:
    one, two, other = System("one"), System("two"), System("other")
    host.add(one, two, other)
    for number, system in ((1, one), (2, two), (3, one)):
        host.generation(number, system)

    def default_after(system: System) -> str:
        assert host.act(system, "switch").rc == 0
        return host.read("grep ^default /boot/loader/loader.conf")

    assert default_after(two) == "default nixos-generation-2.conf"
    assert default_after(other) == "default nixos-generation-2.conf"
    assert default_after(one) == "default nixos-generation-3.conf"


def test_entries_of_deleted_generations_go(host: Host) -> None:
    one, two = System("one"), System("two")
    host.add(one, two)
    host.generation(1, one)
    host.generation(2, two)
    assert host.act(two, "boot", "NIXOS_INSTALL_BOOTLOADER=1").rc == 0
    assert host.read("ls /boot/loader/installed")
    host.read("rm /nix/var/nix/profiles/system-1-link")
    assert host.act(two, "boot").rc == 0
    assert host.read("ls /boot/loader/entries") == "nixos-generation-2.conf"
    assert "one" not in host.read("ls /boot/EFI/nixos")


def test_a_full_boot_fails_and_keeps_what_was_there(host: Host) -> None:
    one, two = System("one"), System("two", kernel="x" * 100_000)
    host.add(one, two)
    host.generation(1, one)
    host.read("mount -t tmpfs -o size=64k tmpfs /boot")
    try:
        assert host.act(one, "boot").rc == 0
        files = "cd /boot; find . -type f | sort | xargs md5sum"
        before = host.read(files)
        host.generation(2, two)
        outcome = host.act(two, "switch")
        assert outcome.rc == 1
        assert outcome.lines[-1] == "Failed to install bootloader"
        assert "nixos-generation-1.conf" in before
        assert host.read(files) == before
    finally:
        host.read("umount /boot")
    assert host.run("ls /run/current-system").rc != 0


# --- with systems of the stand-in nixpkgs

SYSTEM = """import {nixpkgs}/nixos {{ configuration = {{
  services.dbus.implementation = "{dbus}";
  networking.hostName = "stc1";
  environment.etc."t/text".text = "{text}";
  systemd.services.t-web = {{
    wantedBy = [ "multi-user.target" ];
    environment.TEXT = "{text}";
    script = "exec sleep 1000000";
  }};
}}; }}"""


def nix(*command: str, stdin: bytes = b"") -> bytes:
    environment = {**os.environ, "NIX_CONFIG": "substituters ="}
    return subprocess.run(
        command, input=stdin, stdout=subprocess.PIPE, env=environment, check=True
    ).stdout


NIXPKGS = TESTBED.parent / "nixpkgs"
CASES = Path(__file__).parents[2] / "integration/systems/cases.nix"
ALL_CASES = """import {nixpkgs}/nixos {{
  configuration.imports = map (case: case "{version}") (builtins.attrValues (import {cases}));
}}"""


def install_from_nixpkgs(host: Host, text: str, dbus: str = "dbus") -> str:
    return install(host, SYSTEM.format(nixpkgs=NIXPKGS, text=text, dbus=dbus))


def install(host: Host, expression: str) -> str:
    """Build a system of the stand-in nixpkgs, and bring it to the host."""
    nix(str(NIXPKGS / "prepare"))
    command = ("nix-build", "--no-out-link", "--attr", "system", "--expr", expression)
    path = nix(*command).decode().strip()
    closure = nix("nix-store", "--query", "--requisites", path).decode().split()
    outcome = host.run("nix-store --import", nix("nix-store", "--export", *closure))
    assert outcome.rc == 0, outcome
    return path


def test_the_cases_show_where_systemd_does_more_than_is_said(host: Host) -> None:
    old, new = (
        install(host, ALL_CASES.format(nixpkgs=NIXPKGS, cases=CASES, version=version))
        for version in ("old", "new")
    )
    host.read("systemctl start user@1000")
    assert host.run(f"{old}/bin/switch-to-configuration test").rc == 0
    host.read("systemctl start t-byhand; echo /dev/t-swap2 > /run/closure-testbed/swap-is-full")
    ids = "systemctl show -P InvocationID t-part t-oneshot t-byhand t-refuses"
    before = host.read(ids).split()
    outcome = host.run(f"{new}/bin/switch-to-configuration test")
    assert outcome.rc == 4
    assert said(outcome.lines) == {
        ("stop", "t-refuses.service"),
        ("stop", "t-s0.service"),
        ("start", "t-s0.service"),
        *(("new", f"t-new{kind}") for kind in (".service", "-socket.socket", "-timer.timer")),
        ("new", r"run-t\x2dnew.mount"),
    }
    assert "Failed to stop swapping to /dev/t-swap2: Cannot allocate memory (os error 12)" in (
        outcome.lines
    )
    assert "warning: the following user units failed: t-user-bad.service" in outcome.lines
    assert host.run("systemctl --failed --quiet --plain --no-legend").stdout == ""
    after = dict(zip(("part", "oneshot", "refuses"), host.read(ids).split(), strict=True))
    assert after["part"] != before[0] and after["oneshot"] != before[1]
    assert after["refuses"] == before[3]
    assert host.state("t-byhand") == "inactive"  # lost


def test_systems_of_the_stand_in_nixpkgs(host: Host) -> None:
    old, new = install_from_nixpkgs(host, "old"), install_from_nixpkgs(host, "new")
    host.read(f"nix-env --profile /nix/var/nix/profiles/system --set {old}")
    outcome = host.run(f"{old}/bin/switch-to-configuration switch")
    assert outcome.rc == 0, outcome
    assert host.read("cat /etc/t/text") == "old"
    host.read(f"nix-env --profile /nix/var/nix/profiles/system --set {new}")
    outcome = host.run(f"{new}/bin/switch-to-configuration switch")
    assert outcome.rc == 0, outcome
    assert outcome.lines == [
        "Checking switch inhibitors... done",
        "stopping the following units: t-web.service",
        *ALWAYS,
        "starting the following units: t-web.service",
    ]
    assert "setting up /etc..." in outcome.stdout
    assert host.read("cat /etc/t/text; echo; readlink /run/current-system").split() == ["new", new]
    assert host.read("grep ^default /boot/loader/loader.conf") == "default nixos-generation-2.conf"
    kernel = host.read("sed -n 's/^linux //p' /boot/loader/entries/nixos-generation-2.conf")
    host.read(f"cmp /boot{kernel} {new}/kernel")


def test_an_inhibitor_stops_a_switch_but_not_boot(host: Host) -> None:
    old = install_from_nixpkgs(host, "old")
    new = install_from_nixpkgs(host, "old", "broker")
    assert host.run(f"{old}/bin/switch-to-configuration test").rc == 0
    outcome = host.run(f"{new}/bin/switch-to-configuration switch")
    assert outcome.rc == 1
    assert "dbus-implementation : dbus -> broker" in outcome.lines
    assert outcome.lines[-2:] == [
        "Pre-switch check 'switchInhibitors' failed",
        "Pre-switch checks failed",
    ]
    assert host.run(f"{new}/bin/switch-to-configuration boot").rc == 0
    assert host.read("readlink /run/current-system") == old
