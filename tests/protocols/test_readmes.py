"""The protocols' READMEs name tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import workers.protocols

TESTS = Path(__file__).parent
READMES = sorted(Path(workers.protocols.__file__).parent.glob("*/README.md"))


def existing_tests() -> set[str]:
    files = TESTS.rglob("test_*.py")
    return {name for file in files for name in re.findall(r"def (test_\w+)", file.read_text())}


@pytest.mark.parametrize("readme", READMES, ids=lambda readme: readme.parent.name)
def test_every_test_that_a_readme_mentions_exists(readme: Path) -> None:
    mentioned = set(re.findall(r"`(test_\w+)`", readme.read_text()))
    assert mentioned
    assert mentioned <= existing_tests()
