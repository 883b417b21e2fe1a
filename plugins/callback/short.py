# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The callback P(closure.nixos.short#callback): of a failed task, the lines that matter."""

from __future__ import annotations

DOCUMENTATION = r"""
---
name: short
type: stdout
short_description: Ansible's own screen, with the lines that matter of a failed task
version_added: 0.1.0
description:
  - Shows what P(ansible.builtin.default#callback) shows. Of a failed task of this collection, it
    shows why it failed, what the failed units or programs said last, and where the whole output is.
  - All that the task returned is shown with C(-v). Playbooks, callbacks and AWX get all of it.
author:
  - closure.nixos contributors (@closure-nixos)
extends_documentation_fragment:
  - default_callback
  - result_format_callback
requirements:
  - Set C(stdout_callback = closure.nixos.short) in C(ansible.cfg).
"""

import contextlib
import typing as t

from ansible.plugins.callback.default import CallbackModule as Default
from ansible_collections.closure.nixos.plugins.module_utils._deploy.failed_result import (
    what_matters,
)


class CallbackModule(Default):
    """The default callback, which has less to show."""

    CALLBACK_NAME = "closure.nixos.short"

    def __init__(self) -> None:
        """Show all of a result until one of ours fails."""
        super().__init__()
        self._is_short = False

    def v2_runner_on_failed(self, result: t.Any, ignore_errors: bool = False) -> None:
        """Show a failed task."""
        with self._shortened(result):
            super().v2_runner_on_failed(result, ignore_errors)

    def v2_runner_item_on_failed(self, result: t.Any) -> None:
        """Show a failed item of a task with a loop."""
        with self._shortened(result):
            super().v2_runner_item_on_failed(result)

    @contextlib.contextmanager
    def _shortened(self, result: t.Any) -> t.Iterator[None]:
        action = str(result.task.resolved_action or result.task.action)
        self._is_short = action.startswith("closure.nixos.") and not self._display.verbosity
        try:
            yield
        finally:
            self._is_short = False

    def _dump_results(self, result: t.Mapping[str, t.Any], *args: t.Any, **keywords: t.Any) -> str:
        shown = what_matters(result) if self._is_short else result
        return str(super()._dump_results(shown, *args, **keywords))
