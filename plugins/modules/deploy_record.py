#!/usr/bin/python
# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: deploy_record
short_description: Leave a record of a deployment on the host
version_added: 0.1.0
description:
  - A task of the role P(closure.nixos.deploy#role). It adds a line of JSON to the file C(history)
    in O(closure.nixos.deploy#role:main:deploy_history_directory) of the host, which only root can
    read, and goes by the results that the role has registered.
  - A host to which nothing was done gets no record, and is not asked.
author:
  - closure.nixos contributors (@closure-nixos)
extends_documentation_fragment:
  - closure.nixos._attributes
attributes:
  check_mode:
    support: full
    details:
      - Records nothing.
  diff_mode:
    support: none
  idempotent:
    support: none
    details:
      - Each deployment has its record. A record is no change of the host.
  become:
    details:
      - The directory belongs to root.
options:
  cause:
    description:
      - Why the host was not deployed, if it was not and that was not kept.
    type: str
notes:
  - A record that cannot be left is a warning, and no failure.
seealso:
  - module: closure.nixos.deploy_outcome
  - module: closure.nixos.nixos_facts
"""

EXAMPLES = r"""
---
- name: Leave a record on the host
  closure.nixos.deploy_record:
"""

RETURN = r"""
---
record:
  description: >-
    What was recorded: C(time) of the beginning, in UTC; C(seconds); C(user) and
    C(controller), who deployed from where; C(run), which names the run of Ansible; C(source),
    the file or flake of the configuration, with C(revision), its Git commit, C(subject), the
    first line of that commit's message, and C(dirty), whether there were changes beside it;
    C(nixpkgs), the commit in C(nixpkgs.json) or C(flake.lock) beside it; C(build_host);
    C(action); C(from) and C(to), the store paths of the systems; C(generations), the numbers
    before and after; C(units), those that were started, stopped, restarted and reloaded;
    C(result), V(deployed) or V(failed); C(what), the same for people; C(why) it failed, and
    where the host is now. What is not known is V(null).
  returned: when something was done to the host
  type: dict
  sample: {"time": "2026-11-27T08:00:00Z", "user": "ann", "what": "switched 41 -> 42"}
msg:
  description: Why nothing was recorded.
  returned: when nothing was done to the host
  type: str
  sample: nothing was done to the host
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.closure.nixos.plugins.module_utils._specs import DEPLOY_RECORD


def main() -> None:
    """Say that the action plugin is missing: it does the work."""
    module = AnsibleModule(**DEPLOY_RECORD, supports_check_mode=True)
    module.fail_json(
        msg="closure.nixos.deploy_record runs on the controller, and its action plugin was not "
        "found there. Install the whole collection closure.nixos and call the module by this name."
    )


if __name__ == "__main__":
    main()
