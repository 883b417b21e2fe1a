#!/usr/bin/python
# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: nix_copy_closure
short_description: Copy a closure from a build host to a host
version_added: 0.1.0
description:
  - Asks the task's host which paths of a closure it lacks, and copies these from O(build_host).
  - Only store paths are copied. The host's profile and what it runs stay as they are.
  - There are several ways to carry them, see O(transport). By C(ssh) and C(ssh-ng), Nix copies with
    an C(ssh) of its own, from the build host to the target. It gets host, port, user, key, jump
    host and further options from Ansible, in a generated C(ssh_config).
  - By C(archive), exactly the missing paths travel as files through Ansible's own connections, with
    whatever connection and become plugin the hosts have.
  - As root, it first plants a link in C(/nix/var/nix/gcroots/closure-nixos) on the task's host.
    So no garbage collection takes the closure before M(closure.nixos.nix_profile_set) records it.
author:
  - closure.nixos contributors (@closure-nixos)
extends_documentation_fragment:
  - closure.nixos._attributes
attributes:
  check_mode:
    support: full
    details:
      - Asks the host what it lacks, copies nothing and plants no link, unless there is
        O(check_copy).
      - When O(path) is not built yet, it reports a change and says that what is missing is not
        known.
  diff_mode:
    support: partial
    details:
      - In check mode, shows the packages that differ between the running system and the closure,
        and what of a system takes effect only after a reboot. Otherwise it shows nothing, because
        M(closure.nixos.nixos_switch) does.
  idempotent:
    support: full
  become:
    support: full
    details:
      - Where sudo asks for no password, Nix's side on the host is started with C(sudo -n) for a
        login that the host's Nix does not trust. All else that becomes root goes by C(archive).
      - The keywords of the task count for the task's host. For O(build_host) its own variables
        count, such as C(ansible_become).
  connection:
    support: full
    details:
      - Any connection plugin that can transfer files. All go by C(archive) but C(ssh) with a key in
        a file or an agent.
options:
  path:
    description:
      - Store path whose closure to copy, such as RV(closure.nixos.nix_build_system#module:path).
      - Required, unless there is O(src_archive).
    type: str
  build_host:
    description:
      - Inventory host that has the closure, or V(localhost) for the controller.
      - Its C(ssh) connects to the task's host, so a key file is looked for on the build host.
    type: str
    default: localhost
  root:
    description:
      - Directory on the task's host that the root of a system to install is mounted on, such as
        C(/mnt). The closure goes into the store below it, for M(closure.nixos.nixos_install).
      - Refused when nothing is mounted there. Needs root on the host. Nothing is rooted, because
        nobody collects garbage there.
      - In diff mode, nothing is shown then.
    type: str
  dest_archive:
    description:
      - File on the controller to write the closure to, with checksums, for a host that nothing here
        can reach. The task's host is not contacted.
      - With a C(/) at the end, a directory, as a binary cache with checksums. Any Nix can fetch
        from it too (C(file://DIRECTORY)), and it keeps signatures, which a file does not. What the
        directory has of other closures stays there, and O(src_archive) takes the last.
      - It holds the whole closure but for O(exclude) and what O(exclude_host) has. It is written
        anew when it is not a whole archive of just these paths.
      - A relative path is looked for beside the playbook.
    type: path
  src_archive:
    description:
      - File or directory on the controller, written with O(dest_archive), to import what the task's
        host lacks from. It goes through Ansible's connection, in parts.
      - One that was cut or altered is refused before anything is imported, by its checksums.
        They do not say who wrote it, so keep it where only you can write.
      - A file needs root or a login that the host trusts. A directory whose paths are all signed by
        a key that the host trusts (O(sign_key_file)) needs neither.
    type: path
  exclude:
    description:
      - Store paths to leave out of O(dest_archive). Of those that O(build_host) has, their whole
        closures are left out, such as that of the system which the host runs.
    type: list
    elements: str
    default: []
  exclude_host:
    description:
      - Inventory host that is asked, when O(dest_archive) is written, which paths it has. They are
        left out too. It can be the task's host or one like it.
    type: str
  transport:
    description:
      - How the closure is carried.
      - V(ssh-ng) is Nix's newer protocol. It is fast on a line with latency. Its receiver accepts
        what is signed by a key that it trusts, and takes the word of root and of a login that it
        trusts.
      - V(ssh) is the older protocol, with the same rule. It waits for the host after each path.
      - V(archive) goes through Ansible's connections, as files of at most 128 MiB or one path each,
        by way of the controller. It needs root or a trusted login, and no SSH.
      - With V(cache), the build host writes the closure to a binary cache, once for all hosts of
        the run, and the hosts fetch from there what they lack. It is the way for very many hosts.
      - V(auto) takes V(archive) where Nix's own C(ssh) cannot go or cannot become root. Else it
        tries V(ssh-ng), and V(archive) when that does not carry for whatever reason. It stops for
        people at a host key that changed, and at a signature that O(check_sigs=true) asks for.
      - In check mode, the host is asked by V(ssh) or V(ssh-ng) for a sign of life. So the transport
        in the result is the one that carries.
    type: str
    choices: [auto, ssh-ng, ssh, archive, cache]
    default: auto
  cache:
    description:
      - URL of the binary cache that the hosts fetch from with O(transport=cache), as Nix takes it,
        such as C(https://cache.example.org) or C(s3://bucket?region=eu-central-1). Some builds of
        Nix, such as Debian's, do not know C(s3).
      - A user and password in it (C(https://USER:PASSWORD@HOST)) stand in no list of processes and
        in no message. Nix gets them by a file that only the login can read.
      - The host checks the signatures, also for root, unless O(check_sigs=false). Sign with
        O(sign_key_file).
    type: str
  cache_upload:
    description:
      - URL of the same cache as O(build_host) writes to it, such as C(file:///srv/cache).
      - By default that of O(cache). An C(https) one then has to take PUT requests.
    type: str
  substitute_on_destination:
    description:
      - Whether the host first fetches what its own binary caches have of the missing paths.
      - A host without C(substituters) in its C(nix.conf) is not asked to.
    type: bool
    default: true
  compress:
    description:
      - Whether the closure is compressed on its way, for a line that is slower than a processor.
      - V(archive) and a file use gzip, a directory zstd, the others compress as C(ssh -C) does.
    type: bool
    default: false
  bwlimit:
    description:
      - KiB a second that the copy may take of the line to a host, V(0) for no limit. It counts for
        each host alone, so for many at a time see C(throttle).
      - By V(archive), and for O(dest_archive) and O(src_archive), files are limited by C(sftp -l),
        on the lines to the build host and to the task's host. It needs the connection plugin
        C(ssh), or C(local), which has no line.
      - By V(cache), what the host fetches is limited by its Nix, when O(cache) is a URL of C(http)
        or C(https) and that Nix knows C(download-speed).
      - A transport that cannot be limited is refused.
      - What the host fetches from its own caches is not limited
        (see O(substitute_on_destination)).
    type: int
    default: 0
  check_sigs:
    description:
      - Whether the closure has to be signed by a key that the host trusts.
      - By default the host's own rule decides. It takes the word of root and of its
        C(trusted-users), and asks others for signatures. What it fetches with O(transport=cache),
        it checks for everybody.
      - V(true) refuses a closure that is not signed, whoever logs in, by every transport.
      - V(false) also lets a host fetch unsigned paths with O(transport=cache), for root and its
        C(trusted-users). It still refuses them from a login that it does not trust.
    type: bool
  sign_key_file:
    description:
      - File with a secret key on O(build_host), which signs the missing paths there before they are
        copied. The key stays on that host. Its Nix has to trust the login, or be run as root.
      - Make one with C(nix-store --generate-binary-cache-key NAME SECRET-FILE PUBLIC-FILE), and put
        the content of PUBLIC-FILE into the hosts' C(nix.settings.trusted-public-keys).
    type: path
  check_copy:
    description:
      - Whether the closure is copied in check mode too. That changes the host's store alone, and
        lets M(closure.nixos.nixos_switch) tell in check mode which units would change.
    type: bool
    default: false
  gc_root:
    description:
      - Name of the link below C(/nix/var/nix/gcroots/closure-nixos) that keeps the closure from the
        host's garbage collector until a profile holds it. Each copy takes the link of its name from
        the copy before.
      - Name another one for a closure that waits beside a system. For
        M(closure.nixos.nix_profile_activate) it is C(profile-USER-NAME).
    type: str
    default: incoming
  stall_timeout:
    description:
      - Seconds that a command of Nix may go on without reading or writing anything. Then it is
        stopped, and the task's message names what may hold it on the host.
      - While a file is on its way by V(archive), the connection plugin watches the line. With
        C(ssh), a dead one is noticed after 15 seconds and made anew.
    type: int
    default: 300
  timeout:
    description:
      - Seconds that the copy may take, or by C(archive) each of its steps. Then it is stopped.
    type: int
    default: 86400
notes:
  - Where the controller has the closure, Nix's own C(ssh) shares the connection that Ansible has
    open to the host, so that the copy logs in nowhere. It logs in by itself where Ansible keeps no
    connection (C(ControlPersist) among the ssh arguments is what keeps it), with O(compress), from
    another build host, and when the shared connection does not carry. It shares no other one,
    because that can make Nix hang (L(NixOS/nix#3017, https://github.com/NixOS/nix/issues/3017)).
  - The host accepts a closure from root, from a user in its C(trusted-users), or when the closure
    is signed with a key in its C(trusted-public-keys). When it refuses, the task's message names
    these three ways.
  - C(sudo asks for a password there) means that Nix cannot become root and that O(transport) does
    not let it go another way.
  - C(made no progress) names the processes on the host that serve a Nix which may be gone. They
    can hold locks for ever (L(NixOS/nix#2699, https://github.com/NixOS/nix/issues/2699)).
  - What has arrived stays when a copy is cut. Running the task again copies what is left.
  - C(does not have PATH in its store) names O(build_host), which did not build the path.
  - A copy that nobody asks after for 30 seconds ends itself.
  - For many hosts, limit how many copy at a time with C(throttle) or C(--forks). Nix's C(max-jobs)
    has nothing to do with it, because a copy builds nothing.
seealso:
  - module: closure.nixos.nix_build_system
  - module: closure.nixos.nix_profile_set
  - module: closure.nixos.nixos_switch
"""

EXAMPLES = r"""
---
- name: Copy what the controller has built
  closure.nixos.nix_copy_closure:
    path: "{{ built.path }}"

- name: Copy from a build host, to a host without access to binary caches
  closure.nixos.nix_copy_closure:
    path: "{{ built.path }}"
    build_host: builder1
    substitute_on_destination: false
  become: true

- name: Sign on the build host for hosts that trust its key and not the login
  closure.nixos.nix_copy_closure:
    path: "{{ built.path }}"
    build_host: builder1
    sign_key_file: /etc/nix/builder1.secret

- name: Write what a host lacks to a file, knowing only which system it runs
  closure.nixos.nix_copy_closure:
    path: "{{ built.path }}"
    exclude: ["{{ running_there }}"]
    dest_archive: /media/stick/web1.tar
    compress: true

- name: Write a signed binary cache with what web1 lacks, for others of its kind
  closure.nixos.nix_copy_closure:
    path: "{{ built.path }}"
    exclude_host: web1
    dest_archive: /media/stick/web/
    sign_key_file: /etc/nix/builder1.secret

- name: Import the file, on a controller beside that host
  closure.nixos.nix_copy_closure:
    src_archive: /media/stick/web1.tar
  become: true

- name: Bring a system to the disk of a machine that runs an installer
  closure.nixos.nix_copy_closure:
    path: "{{ built.path }}"
    root: /mnt

- name: Have a thousand hosts fetch from a cache
  closure.nixos.nix_copy_closure:
    path: "{{ built.path }}"
    build_host: builder1
    transport: cache
    cache: https://cache.example.org
    cache_upload: file:///srv/cache?compression=zstd
    sign_key_file: /etc/nix/builder1.secret
  become: true

- name: Copy over a slow line, and leave half of it to others
  closure.nixos.nix_copy_closure:
    path: "{{ built.path }}"
    compress: true
    bwlimit: 512
  throttle: 1
"""

RETURN = r"""
path:
  description:
    - Store path whose closure was asked for.
  returned: success, and when a host lacks it
  type: str
  sample: /nix/store/iwljnpc645qbb9parnraagikz0gs0rgy-nixos-system-node1-26.05.standin
missing_paths:
  description:
    - Store paths that the host lacked, and that were copied unless in check mode. With
      O(dest_archive), those in the file.
    - V(null) in check mode when the path is not built yet.
  returned: success
  type: list
  elements: str
  sample:
    - /nix/store/33j7wmc3h34b7mizqrmvzyakq11bczbb-system-units
    - /nix/store/iwljnpc645qbb9parnraagikz0gs0rgy-nixos-system-node1-26.05.standin
    - /nix/store/r8rzri42iyy8h6nsxiriv1an0zb7x377-greeter-start
    - /nix/store/x86an3ll9lhig2ylaz3d6b9kpfql6kim-etc
missing_bytes:
  description:
    - Size of RV(missing_paths), unpacked. V(null) when they are not known.
  returned: success
  type: int
  sample: 31056
closure_paths:
  description:
    - How many paths the closure has. V(null) when it is not built yet.
  returned: success
  type: int
  sample: 20
closure_bytes:
  description:
    - Size of the whole closure, unpacked. V(null) when it is not built yet.
  returned: success
  type: int
  sample: 2131472
transport:
  description:
    - How the closure is carried. V(substituted) when the host's own caches had all of it,
      V(null) when nothing is missing, or when it is not known what.
  returned: success
  type: str
  sample: ssh-ng
reason:
  description:
    - Why so. When another transport did not carry, what it said. V(null) when there is none.
  returned: success
  type: str
  sample: the host trusts the login
seconds:
  description:
    - How long the task took.
  returned: success
  type: float
  sample: 1.652
msg:
  description:
    - What was missing, or why the task failed.
  returned: always
  type: str
  sample: >-
    4 of 20 paths, 30.3 KiB, by ssh-ng: the host trusts the login
rc:
  description:
    - Exit code of the command, V(null) when it was killed.
  returned: when the copy failed, or the host did not say what it lacks
  type: int
  sample: 1
stderr:
  description:
    - All that the command said.
  returned: when a command failed
  type: str
  sample: |
    copying 4 paths...
    error: cannot add path '/nix/store/jhkz875dxahp0idfgbpny3vwykq387vw-greeter-start' because it
      lacks a signature by a trusted key
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.closure.nixos.plugins.module_utils._specs import NIX_COPY_CLOSURE


def main() -> None:
    """Say that the action plugin is missing: it does the work."""
    module = AnsibleModule(**NIX_COPY_CLOSURE, supports_check_mode=True)
    module.fail_json(
        msg="closure.nixos.nix_copy_closure runs on the controller, and its action plugin was not "
        "found there. Install the whole collection closure.nixos and call the module by this name."
    )


if __name__ == "__main__":
    main()
