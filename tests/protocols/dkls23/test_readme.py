"""The table of checks in the protocol's README is complete."""

from __future__ import annotations

import re
from pathlib import Path

import workers.protocols.dkls23

from ..test_readmes import existing_tests

README = Path(workers.protocols.dkls23.__file__).parent / "README.md"


def named_by_checks() -> dict[int, set[str]]:
    """The last column of the table of checks, names made whole."""
    checks = {}
    for line in README.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and cells[0].isdigit():
            names = re.findall(r"`(\w+)`", cells[-1])
            prefix = f"test_check_{cells[0]}_"
            checks[int(cells[0])] = {
                name if name.startswith("test_") else prefix + name for name in names
            }
    return checks


def test_each_of_the_thirteen_checks_names_a_test_that_breaks_it() -> None:
    checks = named_by_checks()
    assert list(checks) == list(range(1, 14))
    assert all(checks.values())
    assert set().union(*checks.values()) <= existing_tests()


def test_no_test_of_a_check_is_missing_from_the_table() -> None:
    numbered = {name for name in existing_tests() if name.startswith("test_check_")}
    assert numbered == {
        name for names in named_by_checks().values() for name in names if name in numbered
    }
