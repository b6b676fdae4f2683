"""What lets somebody in is shown to nobody by accident: neither a log nor a traceback has it."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.primitives import Contract
from contracts.requests import JoinSessionRequest
from contracts.results import SessionAnnounced
from contracts.views import SessionView
from tests.contracts.samples import announcement, session_view, sign_request

TOKEN = bytes.fromhex("5ec2e7") + bytes(29)


def holding() -> list[Contract]:
    token: dict[str, Any] = {"join_token": TOKEN}
    tokens: dict[str, Any] = {"join_tokens": {"p1": TOKEN}, "session_token": TOKEN}
    return [
        announcement(sign_request(), **tokens),
        session_view(**tokens),
        JoinSessionRequest.model_construct(**token),
    ]


@pytest.mark.parametrize("content", holding(), ids=lambda each: type(each).__name__)
def test_a_token_is_on_the_wire_and_in_no_repr(content: Contract) -> None:
    assert TOKEN.hex() in content.model_dump_json(warnings=False)
    for shown in (repr(content), str(content)):
        assert TOKEN.hex() not in shown
        assert repr(TOKEN) not in shown


def test_every_contract_that_has_tokens_is_looked_at() -> None:
    def all_of(kind: type[Contract]) -> set[type[Contract]]:
        return {kind}.union(*(all_of(each) for each in kind.__subclasses__()))

    having = {
        kind
        for kind in all_of(Contract)
        if kind.__module__.startswith("contracts.")
        and any("token" in name for name in kind.model_fields)
    }
    assert having == {SessionAnnounced, SessionView, JoinSessionRequest}
    assert {type(each) for each in holding()} == having
