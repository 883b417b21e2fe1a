# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: the variables of the role deploy, of any host of its play."""

from __future__ import annotations

import pathlib
import typing as t

from ansible.errors import AnsibleError
from ansible.module_utils.common.yaml import yaml_load
from ansible.plugins.action import ActionBase
from ansible.template import Templar
from ansible_collections.closure.nixos.plugins.module_utils._deploy.configuration import (
    Configuration,
    configuration_of,
)
from ansible_collections.closure.nixos.plugins.module_utils._deploy.options import (
    HOOKS,
    Options,
    check_secrets,
    checked_spec,
    read_options,
)
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._store.store_path import (
    check_store_path,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._deploy.files import (
    find,
    require_tasks,
)

Variables = dict[str, t.Any]

_NAMES = ("nixos_file", "nixos_flake", "nixos_attr")


def _spec() -> dict[str, t.Any]:
    """Return the options of the role's argument spec."""
    file = pathlib.Path(__file__).parents[3] / "roles/deploy/meta/argument_specs.yml"
    written = yaml_load(file.read_text(encoding="utf-8"))
    return checked_spec(written["argument_specs"]["main"]["options"])


# Read here by the process that forks a worker for each task and host.
SPEC = _spec()


def options_of(action: ActionBase, variables: Variables) -> Options:
    """Return a host's options, with the paths of the files that they name.

    :param variables: the host's, as a task of the role sees them there
    :raises ClosureError: they are wrong, or a file is missing
    """
    templar = Templar(loader=action._loader, variables=variables)
    options = _read(templar, variables)
    if options["path"]:
        check_store_path(options["path"])
    if options["archive"]:
        options["archive"] = find(options["archive"], "deploy_path", variables)
    for name in ("checks", *HOOKS):
        options[name] = _task_files(action, f"deploy_{name}", options[name], variables)
    secrets = _secrets(variables)
    for variable, value in secrets.items():
        _require_files(action, templar, variable, value)
    return options | {"secrets": bool(secrets.pop("deploy_secrets", None) or secrets)}


def _read(templar: Templar, variables: Variables) -> Options:
    given = {name: variables[name] for name in SPEC if name in variables}
    return read_options(SPEC, templar.template(given))


def configuration(templar: Templar, variables: Variables) -> Configuration:
    """Return where a host's configuration is, by the host's variables.

    The build asks this for hosts that have not begun, so it may use nothing but variables. Ansible
    would compile templates anew for each host, which takes longer than all else.
    """
    names = ("inventory_hostname", "inventory_dir", "playbook_dir", *_NAMES)
    given = {name: variables[name] for name in names if name in variables}
    return configuration_of(templar.template(given), lambda path: pathlib.Path(path).exists())


def require_secrets(templar: Templar, variables: Variables) -> None:
    """Refuse a host's secrets that cannot be told, before a host is touched.

    :raises ClosureError: they are no dictionary
    """
    check_secrets(templar.template(variables.get("deploy_secrets")))


def _task_files(
    action: ActionBase, option: str, names: list[str], variables: Variables
) -> list[str]:
    paths = [find(name, option, variables) for name in names]
    for path in paths:
        require_tasks(action, path, option)
    return paths


def _secrets(variables: Variables) -> Variables:
    """Return the variables that hold secrets, as they are written."""
    return {
        name: value
        for name, value in variables.items()
        if name == "deploy_secrets" or name.startswith("deploy_secrets__")
    }


def _require_files(action: ActionBase, templar: Templar, variable: str, secrets: t.Any) -> None:
    """Refuse secrets with a file that is not there. Contents are not asked for.

    :raises ClosureError: that file and its secret
    """
    written = secrets if isinstance(secrets, dict) else {}
    files = {it: of["file"] for it, of in written.items() if isinstance(of, dict) and "file" in of}
    for name, file in files.items():
        try:
            path = templar.template(file)
        except AnsibleError:
            continue  # it names what there is only later
        try:
            action._find_needle("files", path)
        except AnsibleError as error:
            raise ClosureError(
                f"{variable}: {name} has the file {path}, which is not on the controller. "
                "No host was changed."
            ) from error
