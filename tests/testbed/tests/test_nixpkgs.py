# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in nixpkgs: what host modules written for the real one may expect of it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

TESTBED = Path(__file__).resolve().parent.parent
NIXPKGS = TESTBED / "nixpkgs"
PLATFORM = f"{os.uname().machine}-linux"
FLAKES = ("--extra-experimental-features", "nix-command flakes")
# A substituter would be asked first, and offline that is a wait of seconds.
ENV = os.environ | {"NIX_CONFIG": "substituters ="}


def run(*argv: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(argv, env=ENV, text=True, capture_output=True, timeout=120, check=False)
    assert not check or result.returncode == 0, result.stderr
    return result


@pytest.fixture(scope="module", autouse=True)
def busybox() -> None:
    run(NIXPKGS / "prepare")


def evaluate(expression: str) -> Any:
    """The value of a Nix expression that may use `lib`, `pkgs` and `nixos CONFIGURATION`."""
    return json.loads(run(*instantiate(expression)).stdout)


def failure(expression: str) -> str:
    result = run(*instantiate(expression), check=False)
    assert result.returncode != 0, f"no error, but the value {result.stdout}"
    # Nix indents the lines of a message by the width of "error: ".
    return "\n".join(line.removeprefix("       ") for line in result.stderr.splitlines())


def instantiate(expression: str) -> tuple[str, ...]:
    return ("nix-instantiate", "--eval", "--strict", "--json", "--expr", scope(expression))


def scope(expression: str) -> str:
    return f"""
      let
        lib = import {NIXPKGS}/lib;
        pkgs = import {NIXPKGS} {{ system = "{PLATFORM}"; }};
        nixos = configuration: import {NIXPKGS}/nixos {{ inherit configuration; }};
        modules = modules: (lib.evalModules {{ inherit modules; }}).config;
        option = type: default: lib.mkOption {{ inherit type default; }};
        inherit (lib) mkOption mkIf mkMerge mkDefault mkForce mkBefore mkAfter mkOverride types;
      in {expression}"""


def build(expression: str) -> Path:
    result = run("nix-build", "--no-out-link", "--expr", scope(expression))
    return Path(result.stdout.strip())


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="unshare and mount need root")


# --- the module system ---

VALUES = {
    "default": ("modules [ { options.a = option types.int 1; } ]", {"a": 1}),
    "definition over default": (
        "modules [ { options.a = option types.int 1; config.a = 2; } ]",
        {"a": 2},
    ),
    "mkForce over mkDefault": (
        """modules [ { options.a = option types.int 1; }
          { a = mkForce 3; } { a = mkDefault 4; } { a = 5; } ]""",
        {"a": 3},
    ),
    "mkOverride by number": (
        "modules [ { options.a = option types.int 1; } { a = mkOverride 99 2; } { a = 3; } ]",
        {"a": 2},
    ),
    "a condition on another option, around nested attributes": (
        """modules [
          ({ config, ... }: {
            options = { on = option types.bool false; x.y = option types.int 0; };
            config = mkIf config.on { x.y = 1; };
          })
          { on = true; }
        ]""",
        {"on": True, "x": {"y": 1}},
    ),
    "mkMerge inside mkIf": (
        """modules [ { options.l = option types.lines ""; }
          { l = mkIf true (mkMerge [ "a" (mkIf false "b") "c" ]); } ]""",
        {"l": "a\nc"},
    ),
    "lists: order, imports first": (
        """modules [
          {
            imports = [ { l = [ "import" ]; } ];
            options.l = option (types.listOf types.str) [ ];
            config.l = [ "self" ];
          }
          { l = mkAfter [ "last" ]; }
          { l = mkBefore [ "first" ]; }
        ]""",
        {"l": ["first", "import", "self", "last"]},
    ),
    "attrsOf drops what is only defined under a false condition": (
        """modules [ { options.s = option (types.attrsOf types.int) { }; }
          { s = { a = 1; b = mkIf false 2; }; } ]""",
        {"s": {"a": 1}},
    ),
    "lazyAttrsOf has an empty value for a name under a false condition": (
        """modules [ { options.s = option (with types; lazyAttrsOf (listOf int)) { }; }
          { s = { a = mkIf false [ 1 ]; b = [ 2 ]; }; } ]""",
        {"s": {"a": [], "b": [2]}},
    ),
    "submodule: name, own config, definitions from two modules": (
        """modules [
          {
            options.s = option (types.attrsOf (types.submodule ({ name, config, ... }: {
              options.name = option types.str name;
              options.n = option types.int 1;
              options.m = option types.int 0;
              config.m = config.n + 1;
            }))) { };
          }
          { s.a.n = 5; s.b = { }; }
          { s.b.name = "c"; }
        ]""",
        {"s": {"a": {"name": "a", "n": 5, "m": 6}, "b": {"name": "c", "n": 1, "m": 2}}},
    ),
    "submodule: a second module adds options": (
        """let of = options: types.attrsOf (types.submodule { inherit options; }); in modules [
          { options.s = option (of { a = option types.int 1; }) { }; }
          { options.s = mkOption { type = of { b = option types.int 2; }; }; }
          { s.x = { }; }
        ]""",
        {"s": {"x": {"a": 1, "b": 2}}},
    ),
    "freeform": (
        """modules [
          {
            options.s = option (types.submodule {
              freeformType = types.attrsOf types.int;
              options.known = option types.str "k";
            }) { };
          }
          { s.free = 3; }
        ]""",
        {"s": {"known": "k", "free": 3}},
    ),
    "module arguments: special and lazy": (
        """(lib.evalModules {
          specialArgs.n = 1;
          modules = [
            { _module.args.m = 2; }
            ({ n, m, ... }: {
              imports = lib.optional (n == 1) { b = m; };
              options.a = option types.int n;
              options.b = option types.int 0;
            })
          ];
        }).config""",
        {"a": 1, "b": 2},
    ),
    "a key counts once": (
        """let m = { key = "m"; l = [ 1 ]; }; in
          modules [ { options.l = option (types.listOf types.int) [ ]; imports = [ m m ]; } m ]""",
        {"l": [1]},
    ),
    "disabledModules": (
        """let m = { key = "m"; l = [ 1 ]; }; in modules [
          m
          { options.l = option (types.listOf types.int) [ ]; disabledModules = [ { key = "m"; } ]; }
        ]""",
        {"l": []},
    ),
    "apply": (
        "modules [ { options.a = option types.int 0 // { apply = toString; }; config.a = 3; } ]",
        {"a": "3"},
    ),
    "types": (
        """modules [
          {
            options = with types; {
              e = option (enum [ "x" "y" ]) "y";
              n = option (nullOr int) null;
              o = option (oneOf [ int str (listOf str) ]) [ "z" ];
              c = option (coercedTo int toString str) 7;
              p = option port 22;
              l = option commas "a";
              s = option singleLineStr "one\\n";
              any = option anything { };
            };
          }
          { l = "b"; any = { deep.a = 1; list = [ 1 ]; }; }
          { l = "c"; any = { deep.b = 2; list = [ 2 ]; }; }
        ]""",
        {
            "e": "y",
            "n": None,
            "o": ["z"],
            "c": "7",
            "p": 22,
            "l": "c,b",
            "s": "one",
            "any": {"deep": {"a": 1, "b": 2}, "list": [2, 1]},
        },
    ),
    "renamed option": (
        """modules [
          { options.new = option types.int 0; options.warnings = option types.raw [ ]; }
          (lib.mkRenamedOptionModule [ "old" ] [ "new" ])
          { _file = "host.nix"; old = 3; }
        ]""",
        {
            "new": 3,
            "old": 3,
            "warnings": ["The option `old' defined in `host.nix' has been renamed to `new'."],
        },
    ),
    "options tell what they are": (
        """let
          host = nixos { _file = "host.nix"; networking.hostName = "web1"; };
          o = host.options.networking.hostName;
        in {
          inherit (o) value files isDefined default loc definitions;
          inherit (o.type) name;
          declared = map baseNameOf o.declarations;
          about = o.description;
        }""",
        {
            "value": "web1",
            "files": ["host.nix"],
            "isDefined": True,
            "default": "nixos",
            "loc": ["networking", "hostName"],
            "definitions": ["web1"],
            "name": "strMatching",
            "declared": ["host.nix"],
            "about": "The name of the host.",
        },
    ),
}


@pytest.mark.parametrize(("expression", "value"), VALUES.values(), ids=VALUES.keys())
def test_modules_evaluate(expression: str, value: object) -> None:
    assert evaluate(expression) == value


ERRORS = {
    "unknown option": (
        '(nixos { _file = "host.nix"; networking.hostNam = "x"; }).config.time.timeZone',
        "The option `networking.hostNam' does not exist. "
        'Definition values:\n- In `host.nix\': "x"',
    ),
    "unknown option in a submodule": (
        '(nixos { _file = "host.nix"; systemd.services.x.descripton = "y"; }).system.drvPath',
        "The option `systemd.services.x.descripton' does not exist. "
        "Definition values:\n- In `host.nix'",
    ),
    "wrong type": (
        '(nixos { _file = "host.nix"; networking.firewall.enable = "yes"; }).system.drvPath',
        "A definition for option `networking.firewall.enable' is not of type `boolean'. "
        'Definition values:\n- In `host.nix\': "yes"',
    ),
    "conflict": (
        """modules [
          { options.a = option types.int 0; }
          { _file = "x.nix"; a = 1; }
          { _file = "y.nix"; a = 2; }
        ]""",
        "The option `a' has conflicting definition values:\n- In `y.nix': 2\n- In `x.nix': 1",
    ),
    "no value": (
        "modules [ { options.a.b = mkOption { type = types.int; }; } ]",
        "The option `a.b' is used but not defined.",
    ),
    "no value, although the type has an empty one": (
        "modules [ { options.a = mkOption { type = types.attrsOf types.int; }; } ]",
        "The option `a' is used but not defined.",
    ),
    "a definition too large to show": (
        "(nixos ({ pkgs, ... }: { networking.hostName = { inherit pkgs; }; })).system.drvPath",
        "A definition for option `networking.hostName' is not of type",
    ),
    "declared twice": (
        """modules [ { _file = "x.nix"; options.a = option types.int 0; }
          { _file = "y.nix"; options.a = option types.int 0; } ]""",
        "The option `a' in `x.nix' is already declared in `y.nix'.",
    ),
    "options and configuration mixed": (
        "modules [ { options.a = option types.int 0; a = 1; } ]",
        "has an unsupported attribute `a'",
    ),
    "a string where a set belongs": (
        '(nixos { networking = "x"; }).system.drvPath',
        "rather than an attribute set for the option\n`networking'!",
    ),
    "assertions": (
        """(nixos {
          assertions = [
            { assertion = false; message = "one"; }
            { assertion = true; message = "two"; }
            { assertion = false; message = "three"; }
          ];
        }).system.drvPath""",
        "Failed assertions:\n- one\n- three",
    ),
    "read only": (
        "(nixos { system.build.toplevel = pkgs.hello; }).system.drvPath",
        "The option `system.build.toplevel' is read-only, but it's set multiple times.",
    ),
    "removed option": (
        """(nixos {
          imports = [ (lib.mkRemovedOptionModule [ "old" ] "Use new.") ];
          old = 1;
        }).system.drvPath""",
        "no longer has any effect; please remove it.\nUse new.",
    ),
    "unknown activation snippet": (
        '(nixos { system.activationScripts.a = lib.stringAfter [ "gone" ] ""; }).system.drvPath',
        "There is no activation snippet `gone'",
    ),
    "activation snippets in a circle": (
        """(nixos {
          system.activationScripts.a = lib.stringAfter [ "b" ] "";
          system.activationScripts.b = lib.stringAfter [ "a" ] "";
        }).system.drvPath""",
        "The activation snippets depend on each other: a -> b -> a.",
    ),
}


@pytest.mark.parametrize(("expression", "message"), ERRORS.values(), ids=ERRORS.keys())
def test_modules_fail_with_a_reason(expression: str, message: str) -> None:
    assert message in failure(expression)


def test_warnings_are_shown_and_do_not_fail() -> None:
    result = run(*instantiate('(nixos { warnings = [ "mind the gap" ]; }).system.name'))
    assert "warning: mind the gap" in result.stderr


def test_module_files_are_named_and_imported_once(tmp_path: Path) -> None:
    (tmp_path / "base.nix").write_text(
        '{ environment.etc."base".text = "x"; networking.hostNam = "y"; }'
    )
    (tmp_path / "a.nix").write_text("{ imports = [ ./base.nix ]; }")
    (tmp_path / "b.nix").write_text("{ imports = [ ./base.nix ./a.nix ]; }")
    message = failure(
        f"(nixos {{ imports = [ {tmp_path}/a.nix {tmp_path}/b.nix ]; }}).system.drvPath"
    )
    assert message.count(f"- In `{tmp_path}/base.nix'") == 1


LIB = {
    'lib.concatMapStringsSep "," toString (lib.range 1 3)': "1,2,3",
    "lib.unique (lib.flatten [ 1 [ 2 [ 1 ] ] ])": [1, 2],
    'lib.splitString "." "a.b..c"': ["a", "b", "", "c"],
    'lib.escapeShellArgs [ "a b" "it\'s" "plain-1" ]': "'a b' 'it'\\''s' plain-1",
    'map (lib.hasSuffix "nix") [ "a.nix" "nix" "x" ]': [True, True, False],
    '[ (lib.removePrefix "a" "ab") (lib.removeSuffix "b" "ab") ]': ["b", "a"],
    'lib.hasInfix "b.c" "abxc"': False,
    'map lib.toInt [ "010" "-3" ]': [10, -3],
    '[ (lib.versionOlder "1.9" "1.10") (lib.versionAtLeast "1.9" "1.10") ]': [True, False],
    "lib.recursiveUpdate { a.b = 1; a.c = 2; } { a.b = 3; }": {"a": {"b": 3, "c": 2}},
    'lib.attrByPath [ "a" "b" ] 0 { a.c = 1; }': 0,
    "lib.filterAttrs (n: v: v > 1) { a = 1; b = 2; }": {"b": 2},
    'lib.mapAttrs\' (n: v: lib.nameValuePair (n + "x") v) { a = 1; }': {"ax": 1},
    "lib.foldlAttrs (acc: n: v: acc + v) 0 { a = 1; b = 2; }": 3,
    "lib.mapAttrsRecursive (path: v: path) { a.b = 1; }": {"a": {"b": ["a", "b"]}},
    "lib.pipe 3 [ (x: x + 1) toString ]": "4",
    "lib.findFirst (x: x > 1) null [ 1 2 3 ]": 2,
    "lib.subtractLists [ 2 ] [ 1 2 3 ]": [1, 3],
    "lib.zipListsWith (a: b: a + b) [ 1 2 ] [ 10 20 30 ]": [11, 22],
    "(lib.toposort (a: b: a < b) [ 3 1 2 ]).result": [1, 2, 3],
    "lib.generators.toINI { } { s = { a = 1; b = true; }; }": "[s]\na=1\nb=true\n",
    'lib.generators.toPretty { multiline = false; } { a = [ 1 "x" ]; }': '{ a = [ 1 "x" ]; }',
    "lib.imap1 (i: v: i * v) [ 5 6 ]": [5, 12],
    'lib.concatLines [ "a" "b" ]': "a\nb\n",
    'lib.trim " a b \\n"': "a b",
    "lib.getVersion pkgs.hello": "2.12.1",
    'lib.hasSuffix "/bin/hello" (lib.getExe pkgs.hello)': True,
    '(pkgs.hello.overrideAttrs { version = "3"; }).name': "hello-3",
    "(pkgs.extend (final: prev: { a = final.b; b = 1; })).a": 1,
}


@pytest.mark.parametrize(("expression", "value"), LIB.items())
def test_lib(expression: str, value: object) -> None:
    assert evaluate(expression) == value


def test_override() -> None:
    package = "(pkgs.callPackage ({ hello, n ? 1 }: { inherit n; h = hello.pname; }) { })"
    assert evaluate(f"let p = {package}.override {{ n = 2; }}; in [ p.n p.h ]") == [2, "hello"]


# --- the system ---

HOST = """{ pkgs, lib, ... }: {
  networking.hostName = "web1";
  boot.kernelVersion = "6.12.7";
  boot.kernelParams = [ "quiet" ];
  environment.systemPackages = [ pkgs.hello ];
  system.configurationRevision = "abc";
  specialisation.big.configuration.boot.kernelParams = [ "big" ];
  specialisation.bare = {
    inheritParentConfig = false;
    configuration.networking.hostName = "bare";
  };
}"""


@pytest.fixture(scope="module")
def toplevel(busybox: None) -> Path:
    return build(f"(nixos ({HOST})).system")


def test_toplevel_has_the_files_of_a_nixos_system(toplevel: Path) -> None:
    version = (toplevel / "nixos-version").read_text()
    assert toplevel.name.endswith(f"-nixos-system-web1-{version}")
    assert (toplevel / "system").read_text() == PLATFORM
    assert (toplevel / "init-interface-version").read_text() == "systemd 2"
    assert (toplevel / "kernel-params").read_text() == "quiet loglevel=4"
    assert (toplevel / "extra-dependencies").read_text() == ""
    assert (toplevel / "kernel").is_file() and (toplevel / "initrd").is_file()
    assert (toplevel / "kernel-modules/lib/modules/6.12.7").is_dir()
    assert (toplevel / "etc").resolve().name == "etc" and (toplevel / "systemd").is_symlink()
    for script in ("activate", "dry-activate", "init", "bin/switch-to-configuration"):
        assert os.access(toplevel / script, os.X_OK), script
        assert str(toplevel) in (toplevel / script).read_text() or script == "dry-activate"
        assert not re.search(r"@[a-zA-Z]+@", (toplevel / script).read_text()), script


def test_bootspec(toplevel: Path) -> None:
    spec = json.loads((toplevel / "boot.json").read_text())
    boot = spec["org.nixos.bootspec.v1"]
    assert boot["toplevel"] == str(toplevel) and boot["init"] == f"{toplevel}/init"
    assert boot["kernelParams"] == ["quiet", "loglevel=4"] and boot["system"] == PLATFORM
    assert boot["kernel"] == str((toplevel / "kernel").readlink())
    big = spec["org.nixos.specialisation.v1"]["big"]["org.nixos.bootspec.v1"]
    assert big["toplevel"] == str((toplevel / "specialisation/big").resolve())


def test_specialisations(toplevel: Path) -> None:
    big, bare = toplevel / "specialisation/big", toplevel / "specialisation/bare"
    assert "-web1-" in big.resolve().name and "-bare-" in bare.resolve().name
    assert (big / "kernel-params").read_text() == "big quiet loglevel=4"
    assert not list((big / "specialisation").iterdir())
    assert (bare / "kernel-params").read_text() == "loglevel=4"


def test_reboot_triggers_and_inhibitors(toplevel: Path) -> None:
    assert json.loads((toplevel / "switch-inhibitors").read_text()) == {
        "dbus-implementation": "dbus"
    }
    triggers = json.loads((toplevel / "reboot-triggers").read_text())
    assert triggers["kernel-params"] == "quiet,loglevel=4" and triggers["kernel"].endswith(
        "-linux-6.12.7"
    )


def test_programs_of_the_system_run(toplevel: Path) -> None:
    assert run(toplevel / "sw/bin/hello").stdout == "Hello, world! (2.12.1)\n"
    assert run(toplevel / "sw/bin/bash", "-c", "echo $0 | sed s,x,y,", "x").stdout == "y\n"
    version = toplevel / "sw/bin/nixos-version"
    assert json.loads(run(version, "--json").stdout) == {
        "configurationRevision": "abc",
        "nixosVersion": (toplevel / "nixos-version").read_text(),
    }
    assert run(version, "--configuration-revision").stdout == "abc\n"
    assert "nixpkgs revision is unknown" in run(version, "--revision", check=False).stderr


def test_container_has_no_kernel() -> None:
    container = build('(nixos { boot.isContainer = true; networking.hostName = "box"; }).system')
    for file in ("kernel", "initrd", "kernel-modules", "kernel-params", "boot.json"):
        assert not (container / file).exists(), file
    assert (container / "init").exists()


def test_switch_can_be_left_out() -> None:
    image = build("(nixos { system.switch.enable = false; }).system")
    assert not (image / "bin/switch-to-configuration").exists() and (image / "activate").exists()


def test_system_for_another_platform() -> None:
    other = "aarch64-linux" if PLATFORM != "aarch64-linux" else "x86_64-linux"
    platforms = f'hostPlatform = "{other}"; buildPlatform = "{PLATFORM}";'
    system = build(f"(nixos {{ nixpkgs = {{ {platforms} }}; }}).system")
    assert (system / "system").read_text() == other


def test_same_input_same_path_and_one_option_changes_one_part(toplevel: Path) -> None:
    assert build(f"(nixos ({HOST})).system") == toplevel
    other = build(
        f'(nixos {{ imports = [ ({HOST}) {{ environment.etc.x.text = "x"; }} ]; }}).system'
    )
    assert (other / "etc").readlink() != (toplevel / "etc").readlink()
    for part in ("sw", "kernel", "initrd", "kernel-modules", "systemd", "etc/systemd/system"):
        assert (other / part).resolve() == (toplevel / part).resolve(), part


@needs_root
def test_everything_builds_again_the_same_in_the_sandbox() -> None:
    drv = run("nix-instantiate", "--expr", scope(f"(nixos ({HOST})).system")).stdout.strip()
    closure = run("nix-store", "--query", "--requisites", drv).stdout.split()
    drvs = [path for path in closure if path.endswith(".drv")]
    run("nix-store", "--realise", drv)
    checked = run("nix-store", "--realise", "--check", "--option", "sandbox", "true", *drvs)
    assert len(set(checked.stdout.split())) == len(drvs) > 10


# --- a configuration as a user of NixOS writes it ---

APP = """{ config, lib, pkgs, modulesPath, ... }:
with lib;
let cfg = config.services.app; json = pkgs.formats.json { }; in {
  imports = [ (modulesPath + "/profiles/qemu-guest.nix") ./hardware-configuration.nix ];
  options.services.app = {
    enable = mkEnableOption "the app";
    package = mkPackageOption pkgs "hello" { };
    instances = mkOption {
      default = { };
      type = types.attrsOf (types.submodule ({ name, config, ... }: {
        options.port = mkOption { type = types.port; default = 8080; };
        options.settings = mkOption { type = json.type; default = { }; };
        config.settings.listen = mkDefault "${name}:${toString config.port}";
      }));
    };
  };
  config = mkIf cfg.enable (mkMerge [
    { users.users.app = { isSystemUser = true; group = "app"; }; users.groups.app = { }; }
    {
      networking.firewall.allowedTCPPorts = mapAttrsToList (_: i: i.port) cfg.instances;
      environment.etc = mapAttrs' (n: i: nameValuePair "app/${n}.json" {
        source = json.generate "app.json" i.settings;
        mode = "0640";
        group = "app";
      }) cfg.instances;
      systemd.services = mapAttrs' (n: i: nameValuePair "app-${n}" {
        description = "App ${n}";
        wantedBy = [ "multi-user.target" ];
        after = [ "network.target" ];
        path = [ cfg.package ];
        environment.PORT = toString i.port;
        restartTriggers = [ (builtins.toJSON i.settings) ];
        reloadIfChanged = n == "b";
        stopIfChanged = n != "c";
        preStart = "mkdir -p /run/app";
        serviceConfig = {
          ExecStart = "${getExe cfg.package} --name ${escapeShellArg n}";
          Restart = "always";
          PrivateTmp = true;
          CapabilityBoundingSet = [ "" "CAP_NET_BIND_SERVICE" ];
        };
      }) cfg.instances;
    }
  ]);
}"""
HARDWARE = """{ config, lib, modulesPath, ... }: {
  imports = [ (modulesPath + "/installer/scan/not-detected.nix") ];
  boot.initrd.availableKernelModules = [ "ahci" "sd_mod" ];
  boot.kernelModules = [ "kvm-intel" ];
  fileSystems."/" = {
    device = "/dev/disk/by-label/nixos";
    fsType = "ext4";
    options = [ "noatime" ];
  };
  fileSystems."/srv/app" = { device = "/run/app"; fsType = "none"; options = [ "bind" ]; };
  swapDevices = [ { device = "/dev/sda2"; } ];
  networking.useDHCP = lib.mkDefault true;
  hardware.cpu.intel.updateMicrocode = lib.mkDefault config.hardware.enableRedistributableFirmware;
}"""
WEB = """{ pkgs, lib, ... }: {
  networking = { hostName = "web1"; domain = "example.org"; };
  nixpkgs.overlays = [ (final: prev: { tool = final.writeShellScriptBin "tool" "echo tool"; }) ];
  environment.systemPackages = with pkgs; [ tool vim ];
  services.app.enable = true;
  services.app.instances = { a.port = 81; b = { }; c.settings.listen = "all"; };
  services.openssh = {
    enable = true;
    settings.PermitRootLogin = "no";
    settings.X11Forwarding = false;
  };
  users.motd = "Hi";
  users.users.deploy = {
    isNormalUser = true;
    extraGroups = [ "wheel" ];
    openssh.authorizedKeys.keys = [ "ssh-ed25519 AAAA deploy" ];
  };
  nix.settings.trusted-users = [ "root" "deploy" ];
  boot.loader.systemd-boot.enable = true;
  boot.kernel.sysctl."net.ipv4.ip_forward" = true;
  systemd.tmpfiles.rules = [ "d /var/lib/app 0750 app app -" ];
  systemd.services.backup = { startAt = "daily"; script = "echo backup"; };
  systemd.services.by-itself = { notSocketActivated = true; script = "exec sleep 9"; };
  systemd.user.services.agent = { startAt = "weekly"; wantedBy = [ "default.target" ]; };
  systemd.services.nix-daemon.environment.TMPDIR = "/var/tmp";
  time.timeZone = "Europe/Berlin";
  system.stateVersion = "25.11";
}"""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fleet")
    for name, text in (("app", APP), ("hardware-configuration", HARDWARE), ("web", WEB)):
        (folder / f"{name}.nix").write_text(text)
    return folder


@pytest.fixture(scope="module")
def etc(fleet: Path) -> Path:
    return build(f"(nixos {{ imports = [ {fleet}/app.nix {fleet}/web.nix ]; }}).system") / "etc"


def unit(etc: Path, name: str) -> list[str]:
    return (etc / "systemd/system" / name).read_text().splitlines()


def test_services_of_a_user_module(etc: Path) -> None:
    text = unit(etc, "app-a.service")
    assert text[0] == "[Unit]" and {"After=network.target", "Description=App a"} <= set(text)
    triggers = next(line for line in text if line.startswith("X-Restart-Triggers="))
    assert Path(triggers.partition("=")[2]).read_text() == '{"listen":"a:81"}'
    assert 'Environment="PORT=81"' in text and "PrivateTmp=true" in text
    capabilities = [line for line in text if line.startswith("CapabilityBoundingSet")]
    assert capabilities == ["CapabilityBoundingSet=", "CapabilityBoundingSet=CAP_NET_BIND_SERVICE"]
    assert any(
        line.startswith("ExecStart=/nix/store/") and line.endswith("hello --name a")
        for line in text
    )
    assert any(line.endswith("/bin/app-a-pre-start") for line in text)
    assert "X-ReloadIfChanged=true" in unit(etc, "app-b.service")
    assert "X-StopIfChanged=false" in unit(etc, "app-c.service")
    wants = etc / "systemd/system/multi-user.target.wants/app-a.service"
    assert wants.resolve() == (etc / "systemd/system/app-a.service").resolve()


def test_timers_and_drop_ins(etc: Path) -> None:
    assert "OnCalendar=daily" in unit(etc, "backup.timer")
    assert (etc / "systemd/system/timers.target.wants/backup.timer").exists()
    # A whole unit file would hide the host's own nix-daemon.
    assert 'Environment="TMPDIR=/var/tmp"' in unit(etc, "nix-daemon.service.d/overrides.conf")
    assert not (etc / "systemd/system/nix-daemon.service").exists()


def test_units_of_users(etc: Path) -> None:
    users = etc / "systemd/user"
    assert "ConditionUser=!@system" in (users / "nixos-activation.service").read_text()
    assert "OnCalendar=weekly" in (users / "agent.timer").read_text()
    assert (users / "default.target.wants/agent.service").exists()


def test_sockets_and_services(etc: Path) -> None:
    text = unit(etc, "by-itself.service")
    assert text.index("X-NotSocketActivated=true") > text.index("[Service]")


def test_the_configuration_of_systemd_stays_one_file_while_etc_changes() -> None:
    def conf(level: str, other: str) -> Path:
        return (
            build(f"""(nixos {{ environment.etc = {{
          "systemd/system.conf".text = "[Manager]\nLogLevel={level}\n"; other.text = "{other}";
        }}; }}).system""")
            .joinpath("etc/systemd/system.conf")
            .resolve()
        )

    assert conf("info", "a") == conf("info", "b") != conf("debug", "a")


def test_etc_files_of_a_user_module(etc: Path) -> None:
    assert json.loads((etc / "app/c.json").read_text()) == {"listen": "all"}
    sidecars = {kind: (etc / f"app/a.json.{kind}").read_text() for kind in ("mode", "uid", "gid")}
    assert sidecars == {"mode": "0640\n", "uid": "+0\n", "gid": "app\n"}
    assert (etc / "motd").read_text() == "Hi"
    assert (etc / "tmpfiles.d/00-nixos.conf").read_text() == "d /var/lib/app 0750 app app -\n"


def test_options_that_a_borrowed_host_must_not_feel_are_data(etc: Path) -> None:
    data = etc / "closure-testbed"
    assert (data / "firewall").read_text() == "tcp 22 81 8080\nudp \n"
    assert "PermitRootLogin no\n" in (data / "sshd_config").read_text()
    assert (data / "sysctl.conf").read_text() == "net.ipv4.ip_forward=1\n"
    assert "trusted-users = root deploy\n" in (data / "nix.conf").read_text()
    assert json.loads((data / "users.json").read_text())["users"]["deploy"]["extraGroups"] == [
        "wheel"
    ]
    assert json.loads((data / "options.json").read_text())["time"] == {"timeZone": "Europe/Berlin"}
    fstab = (etc / "closure-testbed-fstab").read_text().splitlines()
    assert fstab == [
        "/dev/disk/by-label/nixos / ext4 noatime 0 0",
        "/run/app /srv/app none bind 0 0",
        "/dev/sda2 none swap defaults 0 0",
    ]
    # What a container can do of it.
    assert (etc / "fstab").read_text().splitlines() == fstab[1:]
    for own in ("passwd", "group", "shadow", "sudoers", "ssh", "nix", "hosts", "hostname"):
        assert not (etc / own).exists(), own


# --- activation ---

# The host's own /run, /etc and /nix/var stay out of reach of the scripts under test.
SHIELD = "for d in /run /etc /nix/var; do mount -t tmpfs tmpfs $d; done; "


def shielded(script: str) -> subprocess.CompletedProcess[str]:
    return run("unshare", "--mount", "sh", "-c", SHIELD + script, check=False)


@needs_root
def test_activation_goes_on_after_a_failure_and_says_so() -> None:
    system = build("""(nixos { system.activationScripts = {
      bad = lib.stringAfter [ "first" ] "(exit 3)\\necho after the failure";
      first = "echo first";
      etc = mkForce "echo no etc"; }; }).system""")
    result = shielded(f"{system}/activate {system}; echo status $?; readlink /run/current-system")
    lines = result.stdout.splitlines()
    assert lines.index("first") < lines.index("after the failure")
    assert "Activation script snippet 'bad' failed (3)" in lines
    assert lines[-2:] == ["status 1", str(system)]


@needs_root
def test_dry_activation_runs_only_what_supports_it() -> None:
    system = build("""(nixos { system.activationScripts = {
        wet = "echo wet";
        dry = {
          text = "echo dry $NIXOS_ACTION";
          deps = [ "wet" ];
          supportsDryActivation = true;
        };
      }; }).system""")
    result = shielded(
        f"NIXOS_ACTION=dry-activate {system}/dry-activate {system}; readlink /run/current-system"
    )
    assert result.stdout == "dry dry-activate\n"


@needs_root
def test_pre_switch_checks() -> None:
    config = 'nixos { system.preSwitchChecks.picky = "echo picky $1 $2; [ $2 != test ]"; }'
    system, check = (
        build(f"({config}).system"),
        build(f"({config}).config.system.build.preSwitchCheck"),
    )
    assert str(check) in (system / "bin/switch-to-configuration").read_text()
    passed = shielded(f"{check} {system} switch")
    assert passed.returncode == 0 and passed.stdout == ""
    assert f"picky {system} switch\nChecking switch inhibitors... done\n" == passed.stderr
    failed = shielded(f"{check} {system} test")
    assert failed.returncode == 1 and "Pre-switch check 'picky' failed\n" in failed.stderr


INHIBITED = """Checking switch inhibitors...

There are changes to critical components of the system:

dbus-implementation : dbus -> broker
"""


@needs_root
def test_switch_inhibitors() -> None:
    old = build("(nixos { }).system")
    config = (
        'nixos { services.dbus.implementation = "broker"; system.switchInhibitors.only-new = "x"; }'
    )
    new, check = (
        build(f"({config}).system"),
        build(f"({config}).config.system.build.preSwitchCheck"),
    )
    assert (new / "etc/systemd/system/dbus-broker.service").exists()
    link = f"ln -s {old} /run/current-system; "
    inhibited = shielded(f"{link}{check} {new} switch")
    assert inhibited.returncode == 1 and inhibited.stderr.startswith(INHIBITED)
    assert inhibited.stderr.endswith("Pre-switch check 'switchInhibitors' failed\n")
    for action in ("boot", "dry-activate"):
        skipped = shielded(f"{link}{check} {new} {action}")
        assert skipped.returncode == 0
        assert skipped.stderr == f"Not checking switch inhibitors (action = {action})\n"
    assert shielded(f"{check} {new} switch").returncode == 0, (
        "a system without the file inhibits nothing"
    )


# --- as a tarball, in pure evaluation, as a flake ---


@pytest.fixture(scope="module")
def pin(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("tarball")
    result: dict[str, str] = json.loads(run(TESTBED / "make-nixpkgs-tarball", folder).stdout)
    return result


def test_tarball_is_reproducible_and_a_new_release_is_another(
    pin: dict[str, str], tmp_path: Path
) -> None:
    again = json.loads(run(TESTBED / "make-nixpkgs-tarball", tmp_path).stdout)
    first = Path(pin["url"].removeprefix("file://"))
    assert (tmp_path / "nixpkgs.tar.gz").read_bytes() == first.read_bytes()
    assert again["sha256"] == pin["sha256"]
    newer = json.loads(run(TESTBED / "make-nixpkgs-tarball", tmp_path, ".20260601.1234567").stdout)
    assert newer["sha256"] != pin["sha256"]
    fetched = f'builtins.fetchTarball {{ url = "{newer["url"]}"; sha256 = "{newer["sha256"]}"; }}'
    assert evaluate(f'(import (({fetched}) + "/lib")).version') == "26.05.20260601.1234567"


def test_pinned_tarball_in_pure_evaluation_gives_the_same_system(pin: dict[str, str]) -> None:
    expression = f"""let
      nixpkgs = builtins.fetchTarball {{ url = "{pin["url"]}"; sha256 = "{pin["sha256"]}"; }};
    in (import "${{nixpkgs}}/nixos" {{
      system = "{PLATFORM}";
      configuration = {HOST};
    }}).system.drvPath"""
    pure = run("nix", *FLAKES, "eval", "--raw", "--expr", expression).stdout
    assert pure == evaluate(f"(nixos ({HOST})).system.drvPath")


def test_flake(pin: dict[str, str], tmp_path: Path, toplevel: Path) -> None:
    (tmp_path / "flake.nix").write_text(f"""{{
      inputs.nixpkgs.url = "{pin["url"]}";
      outputs = {{ nixpkgs, ... }}: {{ nixosConfigurations.web1 = nixpkgs.lib.nixosSystem {{
        system = "{PLATFORM}";
        specialArgs.role = "web";
        modules = [ ({HOST}) ({{ role, ... }}: {{ warnings = [ role ]; }}) ];
      }}; }};
    }}""")
    attribute = "nixosConfigurations.web1.config.system.build.toplevel"
    result = run("nix", *FLAKES, "build", "--no-link", "--json", f"path:{tmp_path}#{attribute}")
    assert json.loads(result.stdout)[0]["outputs"]["out"] == str(toplevel)
    assert "warning: web" in result.stderr


def test_missing_busybox_is_explained(tmp_path: Path) -> None:
    run("cp", "-r", NIXPKGS, tmp_path / "nixpkgs")
    run("rm", "-r", tmp_path / "nixpkgs/busybox")
    message = failure(
        f"(import {tmp_path}/nixpkgs/nixos {{ configuration = {{ }}; }}).system.drvPath"
    )
    assert "has no busybox" in message and "Run its script `prepare' once" in message
