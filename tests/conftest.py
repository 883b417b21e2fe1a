# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible's collection finder goes in before any test imports the collection.

Put in later, it does not know what Python has imported without it, and the loader of plugins fails
with "collection metadata was not loaded".
"""

from __future__ import annotations

from ansible.plugins.loader import init_plugin_loader
from hypothesis import HealthCheck, settings

init_plugin_loader()
# How fast the machine is says nothing of the code.
settings.register_profile("any", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any")
