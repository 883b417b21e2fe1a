#!/usr/bin/python
# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: nixos_secrets
short_description: Put secrets on a host, beside the Nix store
version_added: 0.1.0
description:
  - Keeps passwords, keys and certificates in files on a host. They come from the controller, from
    vault, any lookup, a file or a command, and never enter the Nix store, which everybody can read.
  - Asks the host what is there, and sends all secrets in one more round trip. The host compares the
    contents itself, so that no digest of a secret leaves it.
  - Writes all of them beside their places first, with owner and mode before the content, and then
    renames each. When one cannot be written, none is changed.
  - See the guide C(docs/secrets.md) of the collection for which of the places to choose.
author:
  - closure.nixos contributors (@closure-nixos)
extends_documentation_fragment:
  - closure.nixos._attributes
attributes:
  check_mode:
    support: full
    details:
      - Changes nothing. The secrets travel to the host, which compares them and keeps none.
      - Reads files and runs commands on the controller. An owner who does not exist is no failure,
        because a deployment may create it.
  diff_mode:
    support: full
    details:
      - Shows paths, owners and modes, and that a content is another one. Never shows a content.
  idempotent:
    support: full
    details:
      - A secret whose content, owner and mode are right is left alone.
  become:
    details:
      - Keeping secrets needs root.
  connection:
    details:
      - The connection plugin has to hand standard input on, as most do. Others are refused, because
        a script would lie in a file on the host for a while.
options:
  secrets:
    description:
      - The secrets by name. A name has letters, digits and C(_.+@=:-).
      - 'Each is a dictionary with the content, which is exactly one of these: C(content), a text;
        C(content_base64), bytes in Base64; C(file), a file on the controller, which is looked for
        as by M(ansible.builtin.copy) and decrypted when vault has encrypted it; C(command), a list
        of words or a text, which is run on the controller without a shell and prints the content.'
      - The content is kept byte for byte. It is neither empty nor longer than 1 MiB.
      - C(path) is the file that it becomes, by default C(/run/keys/NAME). Missing directories are
        made with mode C(0751). Links are never followed.
      - C(owner) and C(group) are C(root) by default, C(mode) is C("0400"). Write it in quotes.
      - C(restart) and C(reload) are lists of units that are told when the content changes, each
        once. A unit that does not run is not started, and one that was restarted since is left
        alone.
      - C(after_activation) set to V(true) leaves the secret out with O(state=prepared).
      - C(credstore), C(persistent), C(with_key) and C(key_unit) are as below, for this secret.
      - Give a variable here, or lookups. What stands in the task itself is shown by callbacks.
    type: dict
    default: {}
  credstore:
    description:
      - Keeps the secrets as systemd credentials of their names. A service says
        C(LoadCredential=NAME) or C(LoadCredentialEncrypted=NAME), or C(ImportCredential=NAME) with
        systemd 254 or newer, and finds it in E(CREDENTIALS_DIRECTORY).
      - V(encrypted) has the host encrypt it with C(systemd-creds) into
        C(/etc/credstore.encrypted). It outlives a reboot, and no other machine can read it. Needs
        systemd 250 or newer.
      - V(volatile) keeps it in C(/run/credstore), in memory.
      - Such a secret has no owner, group, mode or path.
    type: str
    choices:
      - encrypted
      - volatile
  with_key:
    description:
      - What O(credstore=encrypted) encrypts with, as C(systemd-creds --with-key). V(auto), which is
        the default, takes the TPM2 and the host key, as far as there are. V(host) takes the host
        key in C(/var/lib/systemd/credential.secret).
      - What is encrypted already with another key is left as it is until its content changes.
    type: str
    choices:
      - auto
      - host
      - tpm2
      - host+tpm2
  persistent:
    description:
      - Whether the secrets outlive a reboot. A copy is kept in O(persistent_directory), in plain,
        and the unit C(closure-nixos-secrets.service) puts it in its place at boot, before services
        start.
    type: bool
  persistent_directory:
    description:
      - Where the copies are, which only root can enter.
    type: str
    default: /var/lib/closure-nixos/secrets
  key_unit:
    description:
      - Whether each secret has a unit C(NAME-key.service) that is active while its file is there,
        as NixOps and colmena have it. It waits for the file.
    type: bool
  prune:
    description:
      - Whether to remove what this module has put on the host and that O(secrets) does not list any
        more. A file that somebody else has put or changed is never removed.
    type: bool
    default: false
  state:
    description:
      - V(present) puts the secrets, and tells the units.
      - V(prepared) does it before an activation. A secret whose owner or group is not there yet is
        root's, with mode C(0400). Units wait, and nothing is pruned. The old files are kept in the
        host's memory. Run the task again with V(present) after the activation.
      - V(restored) puts back what V(prepared) has replaced. A trial that fails does this by itself,
        see O(closure.nixos.nixos_switch#module:confirm_timeout). Before a reboot that tries a
        system, those that are on a disk are kept there, and they come back with the old system.
      - V(memory) puts only secrets of which a reboot leaves nothing, and leaves the others as they
        are. It is for a host that has rolled back by a reboot. Nothing is pruned.
    type: str
    choices:
      - present
      - prepared
      - restored
      - memory
    default: present
notes:
  - A message about a secret has its name in it, never its content.
  - The host remembers in C(/var/lib/closure-nixos/secrets.list) the paths, sizes and times of what
    it was sent.
seealso:
  - module: closure.nixos.nixos_switch
"""

EXAMPLES = r"""
---
- name: Put secrets from vault, a password store and a file
  closure.nixos.nixos_secrets:
    secrets:
      database-password:
        content: "{{ vault_database_password }}"
        owner: app
        restart: [app.service]
      api-token:
        content: "{{ lookup('community.general.passwordstore', 'prod/api') }}"
      tls-key:
        file: secrets/tls.key
        path: /var/lib/acme/site/key.pem
        group: nginx
        mode: "0440"
        reload: [nginx.service]
  become: true

- name: Keep them encrypted on the host, for services that load credentials
  closure.nixos.nixos_secrets:
    secrets: "{{ credentials }}"
    credstore: encrypted
    prune: true
  become: true

- name: Put the host's age key before sops-nix needs it
  closure.nixos.nixos_secrets:
    secrets:
      sops-age-key:
        command: [pass, show, "hosts/{{ inventory_hostname }}/age"]
        path: /var/lib/sops-nix/key.txt
  become: true
"""

RETURN = r"""
added:
  description:
    - Names of the secrets that were not there, as for all lists here in check mode too.
  returned: when O(state) is not V(restored)
  type: list
  elements: str
  sample: [database-password]
updated:
  description:
    - Names of those with another content.
  returned: when O(state) is not V(restored)
  type: list
  elements: str
  sample: [session-key]
owned:
  description:
    - Names of those of which only the owner, the group or the mode has changed.
  returned: when O(state) is not V(restored)
  type: list
  elements: str
  sample: []
unchanged:
  description:
    - Names of those that were right.
  returned: when O(state) is not V(restored)
  type: list
  elements: str
  sample: [tls-key]
removed:
  description:
    - File names of those that were removed.
  returned: when O(state) is not V(restored)
  type: list
  elements: str
  sample: []
waiting:
  description:
    - Names of those that wait for the activation, because of C(after_activation) or because their
      owner or group is not there yet.
  returned: when O(state) is not V(restored)
  type: list
  elements: str
  sample: []
pending:
  description:
    - Whether the task has to run again with O(state=present) after the activation.
  returned: when O(state) is not V(restored)
  type: bool
  sample: false
restarted:
  description:
    - Units that were restarted.
  returned: not in check mode with O(state=restored)
  type: list
  elements: str
  sample: [app.service]
reloaded:
  description:
    - Units that were reloaded.
  returned: not in check mode with O(state=restored)
  type: list
  elements: str
  sample: [nginx.service]
restored:
  description:
    - Paths of the files that are again what they were.
  returned: when O(state=restored)
  type: list
  elements: str
  sample: [/run/keys/session-key]
msg:
  description:
    - What failed, with the host and the secret's name.
  returned: failure
  type: str
  sample: "node1: tls-key: there is no group nginx. Create it first, or use state: prepared."
rc:
  description:
    - Exit code of what failed on the host.
  returned: when something failed there
  type: int
  sample: 1
stderr:
  description:
    - What the host said.
  returned: when something failed there
  type: str
  sample: "chown: invalid group: root:nginx"
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.closure.nixos.plugins.module_utils._specs import NIXOS_SECRETS


def main() -> None:
    """Say that the action plugin is missing: it does the work."""
    module = AnsibleModule(**NIXOS_SECRETS, supports_check_mode=True)
    module.fail_json(
        msg="closure.nixos.nixos_secrets runs on the controller, and its action plugin was not "
        "found there. Install the whole collection closure.nixos and call the module by this name."
    )


if __name__ == "__main__":
    main()
