from __future__ import annotations

import pytest

from gateway.dialects.names import PartyNames
from gateway.problems import Problem

NAMES = PartyNames({"server-party-1": "party-1", "first": "party-1", "Büro 2": "party-2"})


def test_a_name_without_a_mapping_is_ours() -> None:
    assert NAMES.party_ids(["server-party-1", "Büro 2", "party-3"], "parties") == [
        "party-1",
        "party-2",
        "party-3",
    ]


def test_answers_use_the_first_name_that_a_party_has() -> None:
    assert NAMES.names(["party-1", "party-2", "party-3"]) == ["server-party-1", "Büro 2", "party-3"]


def test_answers_use_the_name_that_was_just_used() -> None:
    spoken = NAMES.spoken(["first", "party-2"])
    assert spoken.names(["party-1", "party-2", "party-3"]) == ["first", "party-2", "party-3"]
    assert spoken.party_id("server-party-1", "parties") == "party-1"


def test_one_party_by_two_names_is_still_one() -> None:
    with pytest.raises(Problem, match="names the party server-party-1 twice"):
        NAMES.party_ids(["first", "party-1"], "parties")


def test_a_name_that_no_party_can_have_is_refused_without_being_repeated() -> None:
    with pytest.raises(Problem, match="no party's name") as refused:
        NAMES.party_ids(["<script>"], "parties")
    assert "<script>" not in refused.value.detail


def test_two_parties_may_swap_their_names() -> None:
    swapped = PartyNames({"party-1": "party-2", "party-2": "party-1"})
    assert swapped.party_ids(["party-1", "party-2"], "parties") == ["party-2", "party-1"]
    assert swapped.names(["party-2", "party-1"]) == ["party-1", "party-2"]
