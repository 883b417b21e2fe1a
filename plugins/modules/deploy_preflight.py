#!/usr/bin/python
# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: deploy_preflight
short_description: Say whether a host may be deployed
version_added: 0.1.0
description:
  - A task of the role P(closure.nixos.deploy#role). It goes by what the role knows of the host and
    of the others, and asks nothing of them.
  - Fails for a host that must not be changed, before anything is built for it, and says why.
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
seealso:
  - module: closure.nixos.deploy_options
"""

EXAMPLES = r"""
---
- name: See whether the host may be deployed
  closure.nixos.deploy_preflight:
"""

RETURN = r"""
---
skip:
  description: Why the host is left out, or nothing.
  returned: success
  type: str
  sample: it is not NixOS
deploys:
  description: Whether the host is brought to its system.
  returned: success
  type: bool
  sample: true
checks:
  description: Whether the host is only checked as it is, which the tags of the run ask for.
  returned: success
  type: bool
  sample: false
specialisation:
  description: The specialisation that the host is to run, or nothing.
  returned: success
  type: str
  sample: ""
there:
  description: The system to which the host would not have to be brought, or nothing.
  returned: success
  type: str
  sample: /nix/store/0hb14vasc27kzzpkb1mclnqvidr2g9zv-nixos-system-web1-26.05
msg:
  description: What is good to know of the host, or why it may not be deployed.
  returned: always
  type: str
  sample: web1 has no system profile yet, and gets its first one
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.closure.nixos.plugins.module_utils._specs import DEPLOY_PREFLIGHT


def main() -> None:
    """Say that the action plugin is missing: it does the work."""
    module = AnsibleModule(**DEPLOY_PREFLIGHT, supports_check_mode=True)
    module.fail_json(
        msg="closure.nixos.deploy_preflight runs on the controller, and its action plugin was not "
        "found there. Install the whole collection closure.nixos and call the module by this name."
    )


if __name__ == "__main__":
    main()
