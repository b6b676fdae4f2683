"""The record of what is ours, in the forms in which brokers give it back."""

from __future__ import annotations

from typing import Any

import pytest

from topology.importable import record_value, recorded
from topology.model import Binding, Queue, Ref

REFS = frozenset({Queue(name="jobs").ref, Binding(source="work", destination="jobs").ref})
AS_LISTS = [[ref.kind, *ref.parts] for ref in REFS]


@pytest.mark.parametrize(
    "value",
    [
        record_value(REFS),
        pytest.param(list(record_value(REFS).items()), id="exported by rabbitmqctl"),
        pytest.param({"owned": AS_LISTS}, id="as it was written before"),
        pytest.param([["owned", AS_LISTS]], id="that, exported by rabbitmqctl"),
    ],
)
def test_what_is_recorded_is_read(value: Any) -> None:
    assert recorded(value) == REFS


@pytest.mark.parametrize(
    "value",
    [
        {"owned": "queuejobsbindingworkjobs"},
        {"owned": "17"},
        {"owned": [[]]},
        {"owned": [17]},
        {},
        [],
        17,
        "jobs",
    ],
)
def test_what_cannot_be_read_makes_nothing_ours(value: Any) -> None:
    """So that nothing is deleted by it."""
    assert recorded(value) == frozenset()


def test_the_record_has_no_lists_that_an_export_would_join() -> None:
    assert {type(each) for each in record_value(frozenset({Ref("queue", ("a",))})).values()} == {
        str
    }
