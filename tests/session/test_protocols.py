"""The table of protocols: what follows from a row, and which tables are refused at import."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from contracts import addresses, sessions
from workers.session.protocols import (
    CANCEL,
    INBOX,
    KEY_GENERATION,
    KEYGEN,
    OF_REQUESTS,
    OF_ROUNDS,
    PRESIGN,
    PRESIGNING,
    PROTOCOL_OF_REPORT,
    PROTOCOLS,
    REHEARSE,
    RESHARE,
    SIGN,
    IncompleteTableError,
    Protocol,
    Role,
    Round,
    Way,
    complete,
    lanes_of,
    table,
)

BROADCAST, DIRECT = Round(way=Way.BROADCAST), Round(way=Way.DIRECT)


def test_rounds_are_counted_from_one() -> None:
    assert [KEYGEN.round(number) for number in (0, 5, -1)] == [None] * 3
    assert KEYGEN.round(4) == KEYGEN.rounds[3]
    assert SIGN.round(1) is None


@pytest.mark.parametrize(
    ("kind", "lanes"),
    [
        ("keygen/1", {KEY_GENERATION}),
        ("presign/3", {PRESIGNING}),
        ("presign_batch", {PRESIGNING}),
        ("session_created", {INBOX, KEY_GENERATION}),
        ("nonces_wanted", {INBOX}),
        ("reshare/4", {KEY_GENERATION}),
        ("reshare_created", {KEY_GENERATION}),
        ("epoch_proven", {INBOX}),
        ("session_cancelled", {INBOX}),
        ("request_cancelled", {INBOX}),
        ("anything", {INBOX}),
    ],
)
def test_a_kind_goes_by_its_protocols_lane(kind: str, lanes: Any) -> None:
    assert lanes_of(kind) == lanes


def test_lanes_are_the_exchanges_that_the_broker_has() -> None:
    assert (INBOX.instructions, INBOX.rounds) == (addresses.SESSIONS, addresses.ROUNDS)
    assert KEY_GENERATION.instructions == KEY_GENERATION.rounds == addresses.KEYGEN
    assert PRESIGNING.instructions == PRESIGNING.rounds == addresses.PRESIGNING


def test_a_report_belongs_to_one_protocol_or_to_any() -> None:
    assert PROTOCOL_OF_REPORT == {
        "key_certified": "keygen",
        "epoch_certified": "reshare",
        "share_signed": "sign",
        "nonces_made": "sign",
        "presignatures_made": "presign",
        "cancel_answered": "cancel",
        "rehearsal_answered": "rehearse",
    }


ASKING = (CANCEL, REHEARSE)

###
### Rows and tables that are not complete
###


@pytest.mark.parametrize(
    ("rounds", "reason"),
    [
        ([Round(way=Way.BROADCAST, senders=Role.DEALERS)], "who its dealers are"),
        ([Round(way=Way.BROADCAST, receivers=Role.RECEIVERS)], "who its receivers are"),
        ([Round(way=Way.BROADCAST, clear_bytes=1)], "all clear, in half/1"),
        ([DIRECT], "nobody can open half/1"),
        ([BROADCAST, DIRECT], "nobody can open half/2"),
        ([DIRECT, Round(way=Way.BROADCAST, introduces=True)], "nobody can open half/1"),
    ],
)
def test_half_a_row_is_an_error(rounds: list[Round], reason: str) -> None:
    with pytest.raises(IncompleteTableError, match=reason):
        row(rounds)


def row(rounds: list[Round], **fields: Any) -> Protocol:
    return Protocol(
        name="half",
        begun_by=sessions.SessionCreated,
        lane=INBOX,
        reports=(),
        rounds=tuple(rounds),
        **fields,
    )


def test_who_introduced_itself_to_others_cannot_seal_for_these() -> None:
    def nobody(_: Any) -> list[Any]:
        return []

    roles = {Role.DEALERS: nobody, Role.RECEIVERS: nobody}
    among_dealers = Round(
        way=Way.BROADCAST, senders=Role.DEALERS, receivers=Role.DEALERS, introduces=True
    )
    to_receivers = Round(way=Way.DIRECT, senders=Role.DEALERS, receivers=Role.RECEIVERS)
    with pytest.raises(IncompleteTableError, match="nobody can open half/2"):
        row([among_dealers, to_receivers], roles=roles)
    row([replace(among_dealers, receivers=Role.ALL), to_receivers], roles=roles)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([KEYGEN, PRESIGN, RESHARE, *ASKING], "protocols of terms: sign must"),
        ([KEYGEN, SIGN, RESHARE, *ASKING], "instructions: PresignBatch must"),
        ([KEYGEN, SIGN, PRESIGN, RESHARE, REHEARSE], "instructions: RequestCancelled must"),
        ([KEYGEN, SIGN, PRESIGN, RESHARE, CANCEL], "instructions: RehearsalAsked must"),
        ([KEYGEN, SIGN, PRESIGN, RESHARE, *ASKING, row([])], "protocols of terms: half must"),
        ([KEYGEN, KEYGEN, SIGN, PRESIGN, RESHARE, *ASKING], "protocols of terms: keygen must"),
        (
            [KEYGEN, SIGN, replace(PRESIGN, reports=()), RESHARE, *ASKING],
            "reports: PresignaturesMade must",
        ),
        (
            [
                KEYGEN,
                replace(SIGN, reports=(*SIGN.reports, *KEYGEN.reports)),
                PRESIGN,
                RESHARE,
                *ASKING,
            ],
            "reports: KeyCertified must",
        ),
        (
            [
                KEYGEN,
                SIGN,
                PRESIGN,
                RESHARE,
                *ASKING,
                replace(PRESIGN, name="more", reports=(), lane=INBOX),
            ],
            "lane of another",
        ),
    ],
)
def test_a_table_with_a_hole_is_an_error(rows: list[Protocol], reason: str) -> None:
    assert table(*PROTOCOLS.values()) == PROTOCOLS
    with pytest.raises(IncompleteTableError, match=reason):
        table(*rows)


@pytest.mark.parametrize("names", [["keygen", "reshare"], ["keygen", "presign", "reshare", "sign"]])
def test_a_wings_table_has_the_same_protocols(names: list[str]) -> None:
    complete("a table", ["presign", "reshare", "keygen"], OF_ROUNDS)
    with pytest.raises(IncompleteTableError, match=r"a table: (presign|sign) must have one place"):
        complete("a table", names, OF_ROUNDS)


def test_whatever_terms_there_are_are_a_request_s() -> None:
    assert {"keygen", "reshare", "sign"} == OF_REQUESTS
