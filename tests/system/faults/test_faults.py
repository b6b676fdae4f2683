"""Every fault once, on a stack of its own: nothing is lost, nothing comes twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from ops.chaos.experiment import Settings, run
from ops.chaos.faults import Kind
from ops.chaos.schedule import schedule
from ops.stack.services import Services, running_services
from tests.conftest import STACK

SEED = 4
SECONDS = 200.0
"""At most: the load ends with the last fault."""


@pytest.fixture
def own_services() -> object: ...


_ = Path, Services
