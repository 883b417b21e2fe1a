# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pickle

from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError, as_result


def test_the_result_has_the_message_and_the_details() -> None:
    error = ClosureError("The copy to web1 failed. Try again.", rc=1, stderr="no route")
    assert as_result(error) == {
        "failed": True,
        "msg": "The copy to web1 failed. Try again.",
        "rc": 1,
        "stderr": "no route",
    }


def test_no_detail_hides_the_failure_or_its_message() -> None:
    error = ClosureError("It failed.", failed=False, msg="all is well")
    assert as_result(error) == {"failed": True, "msg": "It failed."}


def test_the_message_is_what_str_shows() -> None:
    assert str(ClosureError("It failed.", rc=1)) == "It failed."


def test_an_error_survives_the_way_between_processes() -> None:
    error = pickle.loads(pickle.dumps(ClosureError("It failed.", rc=1)))
    assert (error.message, error.details) == ("It failed.", {"rc": 1})
