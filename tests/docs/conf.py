# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Sphinx makes the site with, see tests/docs/build."""

from __future__ import annotations

import typing as t

from docutils import nodes

project = html_title = "closure.nixos"
author = "closure.nixos contributors"
project_copyright = f"2026, {author}"

extensions = ["myst_parser", "sphinx_antsibull_ext"]
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}
myst_heading_anchors = 3
highlight_language = "yaml+jinja"
# Before the first release there is no changelog.
suppress_warnings = ["toc.no_title"]

html_theme = "furo"
html_show_sphinx = False
html_copy_source = False
html_use_index = False
html_domain_indices = False
html_static_path = ["static"]
html_css_files = ["site.css"]

# The labels of Ansible's own documentation that antsibull-docs refers to. The list of all of them
# is on the network, and the site is built without one.
_ANSIBLE = "https://docs.ansible.com/ansible/latest"
_LABELS = {
    "action_plugins": "plugins/action.html",
    "ansible_configuration_settings": "reference_appendices/config.html",
    "callback_plugins": "plugins/callback.html",
    "common_return_values": "reference_appendices/common_return_values.html",
}


def in_ansible(_app: t.Any, _env: t.Any, node: t.Any, content: t.Any) -> nodes.reference | None:
    """Resolve a reference to Ansible's own documentation."""
    label = node["reftarget"]
    if label.startswith("ansible_collections."):
        page = label.removeprefix("ansible_").replace(".", "/") + ".html"
    elif label in _LABELS:
        page = _LABELS[label]
    else:
        return None
    return nodes.reference("", "", content, refuri=f"{_ANSIBLE}/{page}", internal=False)


def setup(app: t.Any) -> None:
    """Called by Sphinx."""
    app.connect("missing-reference", in_ansible)
