"""How the tests of this folder are shared out among processes."""

from __future__ import annotations

import pytest


def test_one_process_runs_all_of_a_folder(request: pytest.FixtureRequest) -> None:
    """Each has a Warren of its own, and files that two would change at once."""
    if not hasattr(request.config, "workerinput"):
        pytest.skip("there is one process")
    assert request.node.nodeid.endswith("@system")
