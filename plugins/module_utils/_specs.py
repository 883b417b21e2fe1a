# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules' argument specs. Private to the collection.

A module and its action plugin read them from here, so that they cannot differ.
"""

from __future__ import annotations

import json
import typing as t
from collections.abc import Mapping

from ansible.module_utils.common.arg_spec import ValidationResult
from ansible.module_utils.errors import UnsupportedError

Spec = dict[str, t.Any]


def misfits(result: ValidationResult) -> str:
    """Say what of some arguments does not fit their spec, in the words of Ansible's own modules."""
    return ". ".join(
        f"{'Unsupported parameters: ' if isinstance(error, UnsupportedError) else ''}{error.msg}"
        for error in result.errors.errors
    )


def with_lists(spec: Spec, given: Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return arguments in which a text of a list, in JSON, is that list.

    ``-e NAME='[...]'`` makes such a text, which Ansible's own types would split at its commas.
    """
    lists = {name for name, option in spec.items() if option.get("type") == "list"}
    return {name: _listed(it) if name in lists else it for name, it in given.items()}


def _listed(value: t.Any) -> t.Any:
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value
    return found if isinstance(found, list) else value


_PROFILE: Spec = {"type": "str", "default": "system"}

# What a system is made of, the same for all that evaluate one.
INPUTS: Spec = {
    "file": {"type": "str"},
    "expression": {"type": "str"},
    "configuration": {"type": "list", "elements": "raw"},
    "flake": {"type": "str"},
    "override_inputs": {"type": "dict", "default": {}},
    "attr": {"type": "list", "elements": "str", "default": []},
    "nixpkgs": {"type": "raw"},
    "args": {"type": "dict", "default": {}},
}

NIX_BUILD_SYSTEM: Spec = {
    "argument_spec": {
        **INPUTS,
        "systems": {"type": "dict"},
        "hosts": {"type": "list", "elements": "str"},
        "build_host": {"type": "str"},
        "source": {"type": "path"},
        "bring_source": {"type": "bool", "default": True},
        "args_may_be_public": {"type": "bool", "default": False},
        "variant": {"type": "str", "choices": ["container", "vm"]},
        "build_lease": {"type": "int", "default": 30},
        "roots": {"type": "str"},
        "timeout": {"type": "int", "default": 86400},
        "check_build": {"type": "bool", "default": False},
        "eval_memory_mb": {"type": "int", "default": 0},
        "eval_workers": {"type": "str", "default": "auto"},
        "evaluator": {"type": "str", "choices": ["nix", "nix-eval-jobs"], "default": "nix"},
        "max_jobs": {"type": "str"},
        "cores": {"type": "int"},
        "builders": {"type": "str"},
        "substituters": {"type": "list", "elements": "str"},
        "keep_going": {"type": "bool", "default": True},
        "require": {"type": "str", "choices": ["any", "all"], "default": "any"},
        "nix_options": {"type": "dict", "default": {}},
    },
    "mutually_exclusive": [("file", "expression", "configuration", "flake")],
}

# The inputs that make no package are for Inputs to find, and no option of the module.
NIX_BUILD: Spec = {
    "argument_spec": {
        "file": {"type": "str"},
        "expression": {"type": "str"},
        "flake": {"type": "str"},
        "override_inputs": {"type": "dict", "default": {}},
        "attr": {"type": "list", "elements": "str", "default": []},
        "args": {"type": "dict", "default": {}},
        "args_may_be_public": {"type": "bool", "default": False},
        "name": {"type": "str", "default": "package"},
        "hosts": {"type": "list", "elements": "str"},
        "build_host": {"type": "str"},
        "source": {"type": "path"},
        "bring_source": {"type": "bool", "default": True},
        "roots": {"type": "str"},
        "timeout": {"type": "int", "default": 86400},
        "check_build": {"type": "bool", "default": False},
        "nix_options": {"type": "dict", "default": {}},
    },
    "mutually_exclusive": [("file", "expression", "flake")],
    "required_one_of": [("file", "expression", "flake")],
}

NIXOS_OPTION_INFO: Spec = {
    "argument_spec": {
        **INPUTS,
        "systems": {"type": "dict"},
        "hosts": {"type": "list", "elements": "str"},
        "build_host": {"type": "str"},
        "source": {"type": "path"},
        "bring_source": {"type": "bool", "default": True},
        "args_may_be_public": {"type": "bool", "default": False},
        "options": {"type": "list", "elements": "str", "required": True},
        "details": {"type": "bool", "default": False},
        "timeout": {"type": "int", "default": 3600},
    },
    "mutually_exclusive": [("file", "expression", "configuration", "flake")],
}

NIXPKGS_PIN: Spec = {
    "argument_spec": {
        "path": {"type": "str", "required": True},
        "ref": {"type": "str"},
        "rev": {"type": "str"},
        "github": {"type": "str", "default": "NixOS/nixpkgs"},
        "url": {"type": "str"},
        "timeout": {"type": "int", "default": 3600},
    }
}

NIX_COPY_CLOSURE: Spec = {
    "argument_spec": {
        "path": {"type": "str"},
        "build_host": {"type": "str", "default": "localhost"},
        "root": {"type": "str"},
        "src_archive": {"type": "path"},
        "dest_archive": {"type": "path"},
        "exclude": {"type": "list", "elements": "str", "default": []},
        "exclude_host": {"type": "str"},
        "transport": {
            "type": "str",
            "choices": ["auto", "ssh-ng", "ssh", "archive", "cache"],
            "default": "auto",
        },
        "substitute_on_destination": {"type": "bool", "default": True},
        "cache": {"type": "str"},
        "cache_upload": {"type": "str"},
        "compress": {"type": "bool", "default": False},
        "bwlimit": {"type": "int", "default": 0},
        "check_sigs": {"type": "bool"},
        "sign_key_file": {"type": "path", "no_log": False},
        "check_copy": {"type": "bool", "default": False},
        "gc_root": {"type": "str", "default": "incoming"},
        "stall_timeout": {"type": "int", "default": 300},
        "timeout": {"type": "int", "default": 86400},
    },
    "required_one_of": [("path", "src_archive")],
    "required_if": [("transport", "cache", ("cache",))],
    "mutually_exclusive": [("path", "src_archive")],
    "required_by": {"dest_archive": ("path",), "exclude_host": ("dest_archive",)},
}

NIX_PROFILE_SET: Spec = {
    "argument_spec": {
        "path": {"type": "str"},
        "generation": {"type": "int"},
        "keep": {"type": "int"},
        "profile": _PROFILE,
    },
    "mutually_exclusive": [("path", "generation")],
    "required_one_of": [("path", "generation", "keep")],
}

NIX_GC_ROOT: Spec = {
    "argument_spec": {
        "name": {"type": "str", "required": True},
        "path": {"type": "str"},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    },
    "required_if": [("state", "present", ("path",))],
}

NIX_PROFILE_ACTIVATE: Spec = {
    "argument_spec": {
        "path": {"type": "str"},
        "generation": {"type": "int"},
        "user": {"type": "str", "default": "root"},
        "kind": {
            "type": "str",
            "choices": ["home-manager", "system-manager", "custom"],
            "default": "custom",
        },
        "name": {"type": "str"},
        "profile_path": {"type": "str"},
        "command": {"type": "list", "elements": "str", "default": []},
        "timeout": {"type": "int", "default": 600},
    },
    "mutually_exclusive": [("path", "generation")],
    "required_one_of": [("path", "generation")],
}

NIX_COLLECT_GARBAGE: Spec = {
    "argument_spec": {
        "keep": {"type": "int"},
        "keep_since": {"type": "str"},
        "delete_generations": {"type": "list", "elements": "int", "default": []},
        "profiles": {"type": "list", "elements": "str", "default": ["system"]},
        "collect": {"type": "bool", "default": True},
        "optimise": {"type": "bool", "default": False},
        "max_freed": {"type": "bytes"},
        "timeout": {"type": "int", "default": 3600},
    },
}

# Where a host keeps the records of its deployments.
_HISTORY: Spec = {"type": "str", "default": "/var/lib/closure-nixos"}

NIXOS_FACTS: Spec = {
    "argument_spec": {
        "profile": _PROFILE,
        "history": {"type": "int", "default": 0},
        "history_directory": _HISTORY,
        "ssh_host_keys": {"type": "bool", "default": False},
        "hardware_config": {"type": "bool", "default": False},
    }
}

NIXOS_SWITCH: Spec = {
    "argument_spec": {
        "path": {"type": "str"},
        "action": {
            "type": "str",
            "choices": ["switch", "boot", "test", "dry-activate", "auto"],
            "default": "switch",
        },
        "build_host": {"type": "str"},
        "profile": _PROFILE,
        "specialisation": {"type": "str"},
        "force": {"type": "bool", "default": False},
        "lock_timeout": {"type": "int", "default": 600},
        "failed_units": {"type": "str", "choices": ["fail", "warn", "ignore"], "default": "fail"},
        "lost_units": {"type": "str", "choices": ["fail", "warn", "ignore"], "default": "fail"},
        "ignore_units": {"type": "list", "elements": "str", "default": []},
        "install_bootloader": {"type": "bool", "default": False},
        "skip_checks": {"type": "bool", "default": False},
        "confirm_timeout": {"type": "int", "default": 0},
        "check_timeout": {"type": "int", "default": 900},
        "confirm": {"type": "bool", "default": False},
        "on_rollback_failure": {
            "type": "str",
            "choices": ["reboot", "leave"],
            "default": "reboot",
        },
        "timeout": {"type": "int", "default": 3600},
    }
}

NIXOS_CONFIRM: Spec = {
    "argument_spec": {
        "path": {"type": "str"},
        "host": {"type": "str"},
        "port": {"type": "int"},
        "connect_timeout": {"type": "int", "default": 30},
        "connection": {"type": "str", "choices": ["new", "any"], "default": "new"},
        "ignore_units": {"type": "list", "elements": "str", "default": []},
        "profile": _PROFILE,
        "timeout": {"type": "int", "default": 600},
    }
}

NIXOS_REBOOT: Spec = {"argument_spec": {"timeout": {"type": "int", "default": 600}}}

NIXOS_INSTALL: Spec = {
    "argument_spec": {
        "path": {"type": "str", "required": True},
        "root": {"type": "str", "default": "/mnt"},
        "install_bootloader": {"type": "bool", "default": True},
        "authorized_keys": {"type": "list", "elements": "str", "default": [], "no_log": False},
        "ssh_host_key": {"type": "str", "no_log": True},
        "root_password_hash": {"type": "str", "no_log": True},
        "timeout": {"type": "int", "default": 3600},
    }
}

NIXOS_ROLLBACK: Spec = {
    "argument_spec": {
        "to": {"type": "str"},
        "action": {"type": "str", "choices": ["switch", "boot"], "default": "switch"},
        "why": {"type": "str", "default": "somebody asked for it"},
        "connect_timeout": {"type": "int", "default": 0},
        "profile": _PROFILE,
        "timeout": {"type": "int", "default": 3600},
    }
}

# Where secrets are kept; for all of a task, or for one of them.
_PLACE: Spec = {
    "credstore": {"type": "str", "choices": ["encrypted", "volatile"]},
    "persistent": {"type": "bool"},
    "with_key": {
        "type": "str",
        "choices": ["auto", "host", "tpm2", "host+tpm2"],
    },
    "key_unit": {"type": "bool"},
}

NIXOS_SECRETS: Spec = {
    "argument_spec": {
        "secrets": {"type": "dict", "default": {}, "no_log": True},
        "prune": {"type": "bool", "default": False},
        "state": {
            "type": "str",
            "choices": ["present", "prepared", "restored", "memory"],
            "default": "present",
        },
        "persistent_directory": {"type": "str", "default": "/var/lib/closure-nixos/secrets"},
        **_PLACE,
    }
}

# One of the secrets. What its content is made of may be of any type until its error can be said
# without it.
SECRET: Spec = {
    "argument_spec": {
        "content": {"type": "raw", "no_log": True},
        "content_base64": {"type": "raw", "no_log": True},
        "file": {"type": "raw"},
        "command": {"type": "raw"},
        "owner": {"type": "str", "default": "root"},
        "group": {"type": "str", "default": "root"},
        "mode": {"type": "raw", "default": "0400"},
        "path": {"type": "str"},
        "restart": {"type": "list", "elements": "str", "default": []},
        "reload": {"type": "list", "elements": "str", "default": []},
        "after_activation": {"type": "bool", "default": False},
        **_PLACE,
    },
    "mutually_exclusive": [("content", "content_base64", "file", "command")],
    "required_one_of": [("content", "content_base64", "file", "command")],
}

# The role's own argument spec says what else it takes.
DEPLOY_OPTIONS: Spec = {"argument_spec": {}}

DEPLOY_PREFLIGHT: Spec = {"argument_spec": {}}

DEPLOY_RECORD: Spec = {"argument_spec": {"cause": {"type": "str"}}}

DEPLOY_OUTCOME: Spec = {
    "argument_spec": {
        "hosts": {"type": "list", "elements": "str"},
        "why": {"type": "str"},
        "cause": {"type": "str"},
        "show": {"type": "bool", "default": True},
    },
    "mutually_exclusive": [("hosts", "why", "cause")],
}
