"""A failure is told when it happens, and nothing waits in vain after it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

MODULE = """
import pytest

@pytest.fixture
def gone():
    raise LookupError("nothing here")

def test_wrong():
    assert 1 == 2

def test_never_begun(gone):
    pass

def test_right():
    pass
"""


@pytest.mark.long
@pytest.mark.parametrize("processes", ["0", "2"])
def test_before_the_summary_a_line_for_each(tmp_path: Path, processes: str) -> None:
    (tmp_path / "test_it.py").write_text(MODULE)
    run = [sys.executable, "-m", "pytest", "-p", "tests.failures", "-n", processes, str(tmp_path)]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=False)
    told = done.stdout.partition("=== ERRORS")[0].splitlines()
    assert sorted(line.rpartition("::")[2] for line in told if line.startswith("FAILED")) == [
        "test_never_begun - LookupError: nothing here",
        "test_wrong - assert 1 == 2",
    ]


IMPATIENT = """
from tests import conftest
from tests.conftest import pytest_runtest_teardown

conftest.TEARDOWN_S = 1
"""
WAITS_IN_VAIN = """
import time

import pytest

@pytest.fixture
def patient():
    yield
    time.sleep(60)

def test_wrong(patient):
    assert 1 == 2

def test_right():
    pass
"""


@pytest.mark.long
def test_what_a_failed_test_left_undone_is_not_waited_for_without_end(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(IMPATIENT)
    (tmp_path / "test_it.py").write_text(WAITS_IN_VAIN)
    run = [sys.executable, "-m", "pytest", "--timeout=30", str(tmp_path)]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=False, timeout=50)
    assert "1 failed, 1 passed, 1 error" in done.stdout
