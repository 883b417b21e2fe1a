# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: what the documentation of all modules says alike."""

from __future__ import annotations


class ModuleDocFragment:
    """How the modules run; how far check mode and the like go, each module says itself."""

    DOCUMENTATION = r"""
attributes:
  check_mode:
    description: Can run in C(check_mode) and predict the change without making it.
  diff_mode:
    description: Shows what has changed, or would change, in diff mode.
  idempotent:
    description: A second run with the same options finds nothing to do and reports no change.
  platform:
    description: The systems that the module can act on.
    support: full
    platforms: linux
  action:
    description: Has an action plugin of the same name that runs on the controller.
    support: full
    details:
      - All of the module runs there. Hosts get nothing but POSIX shell over their connection.
  async:
    description: Can be used with the C(async) keyword.
    support: none
    details:
      - What takes long runs detached on the host in any case, and outlives a connection.
  become:
    description: Can be used with the become keywords.
    support: full
  connection:
    description: Uses the connection that the inventory gives the host.
    support: full
  delegation:
    description: Can be used with C(delegate_to) and related keywords.
    support: full
    details:
      - The module then acts on the host that the task is delegated to.
  action_group:
    description: Use C(group/closure.nixos.nixos) in C(module_defaults) to set its defaults.
    support: full
    details:
      - A module refuses options that it does not have, and there is none that all of this group
        have. So set the options of one module by its own name, and C(profile) for all that have it
        with C(group/closure.nixos.profile).
    membership:
      - closure.nixos.nixos
      - nixos
requirements:
  - Nix 2.8 or newer on every host that takes part.
  - A POSIX shell and util-linux, for C(flock) and C(setsid), on every host that takes part.
notes:
  - No host needs Python, neither the target nor the build host. Set C(gather_facts) to V(false) in
    the play, because gathering facts needs it.
  - A task that takes long shows a line of progress now and then. Set E(CLOSURE_NIXOS_PROGRESS) to
    V(0) in the environment of C(ansible-playbook) to switch that off.
  - A lost connection is made again for two minutes, and the work goes on where it is. A host that
    does not answer in the first place is unreachable.
  - The result of a task that fails has no key that is null or empty, as people see all of it.
  - C(this run was replaced on this host by a newer one) means that another C(ansible-playbook) has
    begun to change the host. The older one changes nothing there any more.
"""
