#!/usr/bin/python
# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: deploy_options
short_description: Take the variables of the role deploy
version_added: 0.1.0
description:
  - The first task of the role P(closure.nixos.deploy#role). It converts the role's variables once,
    because C(-e), INI inventories and surveys give texts, and refuses what is wrong before a host
    is touched.
  - It reads the files of O(closure.nixos.deploy#role:main:deploy_checks) and of the hooks as
    Ansible will read them, so that a mistake in one is found before a system is on trial.
  - Outside of the role there is no use for it.
author:
  - closure.nixos contributors (@closure-nixos)
extends_documentation_fragment:
  - closure.nixos._attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
  connection:
    support: none
    details:
      - Asks nothing of the host.
options: {}
seealso:
  - module: closure.nixos.deploy_outcome
"""

EXAMPLES = r"""
---
- name: Take the options
  closure.nixos.deploy_options:
  register: __deploy_taken
"""

RETURN = r"""
---
options:
  description:
    - The role's variables with their types, by their names without C(deploy_).
    - In C(checks) and the hooks are whole paths. Hooks that do not run are left out.
    - C(stop_after) and C(only_checks) follow from the tags of the run as well. With tags that name
      nothing of the role, only this, RV(left) and RV(end_left) are returned.
  returned: success
  type: dict
  sample: {"confirm": true, "confirm_timeout": 60}
steps:
  description:
    - The files of tasks for a host that gets another system, in their order.
    - Each is a list with those before it, because Ansible includes the same file once for all hosts
      of a loop, where the first of them has it. Hosts with different files have their own order so.
  returned: success
  type: list
  elements: list
  sample: [[copy.yml], [copy.yml, trial.yml], [copy.yml, trial.yml, confirm.yml]]
steps_there:
  description: Those for a host that has its system already.
  returned: success
  type: list
  elements: list
  sample: [[put_secrets.yml]]
with_reboot:
  description: Those of a host that is rebooted.
  returned: success
  type: list
  elements: list
  sample: [[reboot.yml], [reboot.yml, confirm.yml]]
without_reboot:
  description: Those of a host that is not.
  returned: success
  type: list
  elements: list
  sample: [[trial.yml], [trial.yml, confirm.yml]]
tried:
  description: Those of RV(steps) for a system that runs on trial.
  returned: success
  type: list
  elements: list
  sample: [[/home/me/infra/health.yml], [/home/me/infra/health.yml, confirm.yml]]
end:
  description: Those for the end of the host's deployment, however it went.
  returned: success
  type: list
  elements: list
  sample: [[leave_record.yml]]
is_held:
  description: Whether O(closure.nixos.deploy#role:main:deploy_hold) leaves the host as it is.
  returned: success
  type: bool
  sample: false
is_built:
  description: Whether O(closure.nixos.deploy#role:main:deploy_path) names what is deployed.
  returned: success
  type: bool
  sample: false
confirms:
  description: Whether the task that activates the system confirms it too.
  returned: success
  type: bool
  sample: true
ends_here:
  description: Whether the play tells what became of the host, and no later one.
  returned: success
  type: bool
  sample: true
end_left:
  description: Those for a host that was left as it is.
  returned: success
  type: list
  elements: list
  sample: []
finish:
  description: Those of them that wait until nothing rolls back any more.
  returned: success
  type: list
  elements: list
  sample: [[leave_record.yml]]
asked:
  description: The hosts whose systems are built, which are those that are not held.
  returned: success
  type: list
  elements: str
  sample: [web1, web2]
left:
  description: >-
    Whether the host is left as it is, because it is held, because the tags of the run name nothing
    of the role, or because all hosts of the run roll back together and one of an earlier batch has
    failed.
  returned: success
  type: bool
  sample: false
play:
  description: Which play deploys the host. All batches are of one.
  returned: success
  type: str
  sample: 0242ac11-0002-a1b2-c3d4-000000000002
batch:
  description: The hosts that are deployed together, as C(serial) says.
  returned: success
  type: list
  elements: str
  sample: [web1, web2]
origin:
  description: >-
    Where the configuration is from: C(source), its file or flake; C(revision), C(subject) and
    C(dirty), as Git on the controller says; C(nixpkgs), the commit in C(nixpkgs.json) or
    C(flake.lock) beside it. V(null) is what is not known.
  returned: success
  type: dict
  sample: {"source": "/infra/nixos.nix", "revision": "8a2b1c0d", "dirty": false}
started:
  description: When the deployment of the host began, in seconds since 1970.
  returned: success
  type: float
  sample: 1764216000.5
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.closure.nixos.plugins.module_utils._specs import DEPLOY_OPTIONS


def main() -> None:
    """Say that the action plugin is missing: it does the work."""
    module = AnsibleModule(**DEPLOY_OPTIONS, supports_check_mode=True)
    module.fail_json(
        msg="closure.nixos.deploy_options runs on the controller, and its action plugin was not "
        "found there. Install the whole collection closure.nixos and call the module by this name."
    )


if __name__ == "__main__":
    main()
