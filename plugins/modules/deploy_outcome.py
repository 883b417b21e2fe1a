#!/usr/bin/python
# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: deploy_outcome
short_description: Say what became of a host that the role deploy has deployed
version_added: 0.1.0
description:
  - The last task of the role P(closure.nixos.deploy#role). It shows one line for the host, and
    fails for a host that was not deployed. It asks nothing of the host, and goes by the results
    that the role has registered.
  - The same as data is in the custom stats of the run, as M(ansible.builtin.set_stats) makes them,
    under C(closure_nixos) by host.
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
options:
  hosts:
    description:
      - Fail when one of these hosts was not deployed, and show nothing.
      - Without it, the task is about its own host.
    type: list
    elements: str
  why:
    description:
      - Keep that the host was not deployed, for this reason, and show nothing yet.
    type: str
  cause:
    description:
      - Why the host was not deployed, if it was not and that was not kept.
    type: str
  show:
    description:
      - Whether to show a line for the host, and to fail for one that was not deployed. V(false)
        only returns what became of it.
    type: bool
    default: true
seealso:
  - module: closure.nixos.deploy_options
"""

EXAMPLES = r"""
---
- name: Say what happened
  closure.nixos.deploy_outcome:
"""

RETURN = r"""
---
ansible_stats:
  description:
    - What became of the host, in C(data.closure_nixos) by its name.
  returned: without O(hosts), and not by a task that fails
  type: dict
  contains:
    data:
      description: >-
        In C(closure_nixos), by host: C(status), which is V(unchanged), V(built), V(copied),
        V(checked), V(deployed), V(held), V(skipped), V(failed) or V(unreachable), and in check mode
        V(planned) where something would be done; C(failed),
        whether the host did not get its system; C(what), the same for people, with the
        generations; C(why) it failed, and where the host is now; C(units), how many were started,
        stopped, restarted and reloaded; C(seconds).
      returned: always
      type: dict
      sample: {"closure_nixos": {"web1": {"status": "deployed", "what": "switched 41 -> 42"}}}
    per_host:
      description: That the stats are of the run.
      returned: always
      type: bool
      sample: false
    aggregate:
      description: That the hosts of a run come together.
      returned: always
      type: bool
      sample: true
outcome:
  description: What became of the host, as in RV(ansible_stats).
  returned: without O(show)
  type: dict
  sample: {"status": "deployed", "failed": false, "what": "switched 41 -> 42"}
ends_run:
  description: >-
    Whether the play changes no host any more after this batch, and has changed one or was about
    to.
  returned: without O(show)
  type: bool
  sample: false
why:
  description: Why the host was not deployed, with what was kept of that before.
  returned: with O(why)
  type: str
  sample: "Check the health: HTTP 502"
started:
  description: When this deployment of the host began, in seconds since 1970.
  returned: with O(why)
  type: float
  sample: 1764216000.5
not_deployed:
  description: Those of O(hosts) that were not deployed.
  returned: with O(hosts)
  type: list
  elements: str
  sample: [web3]
msg:
  description: What happened, or why the host was not deployed.
  returned: without O(why)
  type: str
  sample: "web1: switched 41 -> 42"
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.closure.nixos.plugins.module_utils._specs import DEPLOY_OUTCOME


def main() -> None:
    """Say that the action plugin is missing: it does the work."""
    module = AnsibleModule(**DEPLOY_OUTCOME, supports_check_mode=True)
    module.fail_json(
        msg="closure.nixos.deploy_outcome runs on the controller, and its action plugin was not "
        "found there. Install the whole collection closure.nixos and call the module by this name."
    )


if __name__ == "__main__":
    main()
