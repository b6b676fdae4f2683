"""The operation that is measured through a gateway: signing with an account."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping
from typing import Any

from contracts.client import ClientError
from ops.stack.errors import StackError

from .caller import Answer, Caller, GatewayUnavailableError
from .load import Operation
from .work import DIGEST_BYTES, RESULT_TIMEOUT, Subject, Work

ACCOUNTS = "/api/v1/accounts"
WAIT_S = 10
ACCOUNT_WAIT_S = 60

UNTHROTTLED: Mapping[str, float] = {
    "requests": 1_000_000,
    "in_flight_per_key": 1024,
    "in_flight_per_holder": 1024,
}
"""Limits of a gateway of which one API key asks for all that there is."""


class AccountError(StackError, ClientError):
    """The account could not be made."""


async def account(caller: Caller, work: Work) -> Subject:
    """Make one. Raises AccountError, GatewayUnavailableError."""
    made = await new_account(caller, work)
    return Subject(_signing(caller, made["account_id"], work), bytes.fromhex(made["session_id"]))


async def new_account(caller: Caller, work: Work) -> dict[str, Any]:
    """Make an account through the gateway, and wait until it can sign. Raises AccountError."""
    wish = {
        "user_id": f"bench-{secrets.token_hex(4)}",
        "curve": work.curve,
        "threshold_n": work.party_count,
        "threshold_t": work.threshold,
    }
    answer = await caller.post(f"{ACCOUNTS}?wait={ACCOUNT_WAIT_S}", wish)
    if answer.document.get("status") != "completed":
        raise AccountError(f"the gateway made no account: {answer.status} {failure_of(answer)}")
    return answer.document


def sign_path(account_id: str) -> str:
    """Where an account's signatures are asked for."""
    return f"{ACCOUNTS}/{account_id}/sign"


def _signing(caller: Caller, account_id: str, work: Work) -> Operation:
    path = f"{sign_path(account_id)}?wait={WAIT_S}"

    async def sign() -> str | None:
        """The gateway has verified what it answers, as the client library does."""
        message = base64.b64encode(secrets.token_bytes(DIGEST_BYTES)).decode()
        try:
            return failure_of(await caller.post(path, {"message": message, "scheme": work.scheme}))
        except GatewayUnavailableError:
            return "gateway_unavailable"

    return sign


def failure_of(answer: Answer) -> str | None:
    """Its code; None where a result came."""
    document: Mapping[str, Any] = answer.document
    if document.get("result") is not None:
        return None
    failed = document.get("failure") or document
    return str(failed.get("code", RESULT_TIMEOUT))
