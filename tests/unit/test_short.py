# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The callback `short`, found and set up by Ansible's own loader, with results as recorded."""

from __future__ import annotations

import types
import typing as t

import pytest
from ansible.plugins.loader import callback_loader
from ansible_collections.closure.nixos.plugins.module_utils._deploy.failed_result import (
    what_matters,
)

# A switch on the testbed (systemd 257), with the output of two programs cut to what counts.
UNIT = {
    "actions": ["switch"],
    "changed": True,
    "exit_code": 4,
    "failed": True,
    "failed_units": ["t-broken.service"],
    "logs": "/run/closure-nixos/jobs/activation",
    "msg": "The configuration was activated, but these units failed: t-broken.service.",
    "report": {"activation_began": True, "failed_units": ["t-broken.service"]},
    "stderr": "warning: the following units failed: t-broken.service\n",
    "stdout": "x t-broken.service\n     Loaded: loaded (/etc/systemd/system/t-broken.service)\n",
    "unit_logs": {"t-broken.service": ["no port"]},
}
SHOWN = {"logs": UNIT["logs"], "msg": UNIT["msg"], "unit_logs": UNIT["unit_logs"]}
TEN = "".join(f"{number}\n" for number in range(10))
RESULTS: dict[str, tuple[dict[str, t.Any], dict[str, t.Any]]] = {
    "units say more than programs do of them": (UNIT, SHOWN),
    "an error comes last": (
        {"msg": "no", "rc": 1, "stderr": TEN, "stdout": "a\nb\n"},
        {"msg": "no", "stderr": "5\n6\n7\n8\n9", "stdout": "a\nb"},
    ),
    "nothing was said": ({"msg": "no", "rc": 1, "stderr": ""}, {"msg": "no"}),
}


@pytest.mark.parametrize("case", RESULTS)
def test_what_matters_of_a_failed_result(case: str) -> None:
    result, shown = RESULTS[case]
    assert what_matters(result) == shown


class Screen:
    """A display that keeps what it is to show."""

    def __init__(self, verbosity: int) -> None:
        self.verbosity = verbosity
        self.lines: list[str] = []

    def __getattr__(self, _name: str) -> t.Callable[..., None]:
        return lambda text="", *_args, **_keywords: self.lines.append(str(text))


@pytest.mark.parametrize("method", ["v2_runner_on_failed", "v2_runner_item_on_failed"])
@pytest.mark.parametrize(
    ("module", "verbosity", "is_whole"),
    [
        ("closure.nixos.nixos_switch", 0, False),
        ("closure.nixos.nixos_switch", 1, True),
        ("ansible.builtin.command", 0, True),
    ],
)
def test_a_failed_task_of_ours_is_short_until_somebody_wants_more(
    module: str, verbosity: int, is_whole: bool, method: str
) -> None:
    callback = callback_loader.get("closure.nixos.short")
    callback.set_options()
    callback._display = screen = Screen(verbosity)
    # Of Ansible's own objects, what its default callback looks at.
    host = types.SimpleNamespace(name="web1", get_name=lambda: "web1")
    task = types.SimpleNamespace(
        _uuid="1", resolved_action=module, action=module, loop=None, delegate_to=None
    )
    result = types.SimpleNamespace(host=host, task=task, result=dict(UNIT), exception=None)
    callback._last_task_banner = task._uuid
    getattr(callback, method)(result)
    text = "\n".join(screen.lines)
    assert "web1" in text and "no port" in text and "/run/closure-nixos/jobs" in text
    assert ("the following units failed" in text) is is_whole
    assert ("activation_began" in text) is is_whole
