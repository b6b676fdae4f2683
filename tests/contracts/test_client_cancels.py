"""How a client finds out what it cancels, and that it goes by nobody's word but its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from contracts.answers import failed_result
from contracts.client.cancelling import Cancels
from contracts.client.errors import RequestFailedError
from contracts.client.wishes import Wish
from contracts.failures import Failure, FailureCode
from contracts.identity import Identity
from contracts.primitives import Curve, Owner, Status
from contracts.requests import CancelRequest, Request
from contracts.results import Result
from contracts.signing import SignedRequest, sign_request
from contracts.statements import Statement

from . import samples
from .producers import settings
from .samples import CLIENT, PARTIES, SingleKey, session_view
from .test_answers import answer

KEY = SingleKey(Curve.ED25519).certified(key_id="treasury")
ASKED = sign_request(samples.sign_request(request_id="r0", key_id="treasury"), CLIENT)
STRANGER = Identity.generate()


class Coordinator:
    """In the place of `Correspondence`: answers at once, and knows one request."""

    def __init__(self, known: SignedRequest | None = None, wish: Wish | None = None) -> None:
        self.known, self.remembered = known, wish
        self.asked: list[Request] = []
        self.by: dict[str, Identity] = dict(PARTIES)

    def wish(self, owner: Owner, request_id: str) -> Wish | None:
        assert (owner, request_id) == (Owner(client_id="svcA"), "r0")
        return self.remembered

    async def submit(self, signed: SignedRequest, *, fresh: bool) -> Result:
        assert fresh
        self.asked.append(signed.request)
        more = self._answer(signed.request)
        if isinstance(more, FailureCode):
            return failed_result(
                signed.request.operation,
                Failure.of(more, "there is none"),
                request_id=signed.request.request_id,
                client_id="svcA",
                request_digest=signed.digest,
                finished_at=1,
            )
        return answer(signed.request.operation, request_id=signed.request.request_id, **more)

    def _answer(self, request: Request) -> dict[str, Any] | FailureCode:
        match request.operation:
            case "query_session" if self.known is None:
                return FailureCode.UNKNOWN_REQUEST
            case "query_session":
                assert self.known is not None
                view = session_view(status=Status.EXPIRED)
                return {
                    "session": view,
                    "request": self.known.body,
                    "request_signature": self.known.signature,
                }
            case "query_keys":
                known = getattr(request, "only") == "treasury"  # noqa: B009
                return {"keys": [KEY]} if known else FailureCode.UNKNOWN_KEY
        assert isinstance(request, CancelRequest)
        statements = [
            Statement.signed(
                identity,
                party_id,
                request.target_owner,
                request.target,
                issued_from=0,
                issued_until=request.issued_at,
            )
            for party_id, identity in self.by.items()
        ]
        return {
            "target": request.target,
            "target_status": Status.EXPIRED,
            "statements": statements,
        }

    @property
    def operations(self) -> list[str]:
        return [request.operation for request in self.asked]


def client(coordinator: Coordinator) -> Cancels:
    return Cancels(settings("amqp://nowhere"), cast("Any", coordinator), None)


async def test_a_request_of_this_process_is_cancelled_without_looking() -> None:
    coordinator = Coordinator(wish=Wish.of(ASKED.request))
    told = await client(coordinator).cancel("r0")
    assert (told.liars_tolerated, told.final, told.signature_may_exist) == (1, True, False)
    assert coordinator.operations == ["cancel", "query_keys"]
    (cancel, _) = coordinator.asked
    assert isinstance(cancel, CancelRequest)
    assert cancel.target_issued_at == ASKED.request.issued_at


async def test_a_request_of_another_process_is_found_by_its_own_bytes() -> None:
    coordinator = Coordinator(known=ASKED)
    told = await client(coordinator).cancel("r0")
    assert told.final
    assert coordinator.operations == ["query_session", "cancel", "query_keys"]
    assert (await client(coordinator).cancel_session(bytes([8]) * 32)).final


FOREIGN: dict[str, Callable[[], SignedRequest]] = {
    "signed by another": lambda: sign_request(
        samples.sign_request(request_id="r0", signer=STRANGER.public.der), STRANGER
    ),
    "of another id": lambda: sign_request(samples.sign_request(request_id="r7"), CLIENT),
    "of another tenant": lambda: sign_request(
        samples.sign_request(request_id="r0", tenant="mallory"), CLIENT
    ),
    "with a signature that is none": lambda: SignedRequest(
        request=ASKED.request, body=ASKED.body, signature=b"no"
    ),
}


@pytest.mark.parametrize("foreign", FOREIGN.values(), ids=FOREIGN.keys())
async def test_what_is_not_our_own_request_says_nothing_of_a_key(
    foreign: Callable[[], SignedRequest],
) -> None:
    """Or the coordinator would choose the parties whose statements count."""
    coordinator = Coordinator(known=foreign())
    told = await client(coordinator).cancel("r0")
    assert (told.liars_tolerated, told.final) == (None, False)


async def test_a_request_that_nobody_knows_is_named_with_its_key_and_time() -> None:
    at = ASKED.request.issued_at
    assert (await client(Coordinator()).cancel("r0", key_id="treasury", issued_at=at)).final
    lacking: list[dict[str, Any]] = [{"key_id": "treasury"}, {"issued_at": at}, {}]
    for given in lacking:
        assert not (await client(Coordinator()).cancel("r0", **given)).final
    other = await client(Coordinator()).cancel("r0", key_id="other", issued_at=at)
    assert other.liars_tolerated is None


async def test_false_statements_leave_it_open() -> None:
    coordinator = Coordinator(wish=Wish.of(ASKED.request))
    coordinator.by = dict.fromkeys(PARTIES, STRANGER)
    told = await client(coordinator).cancel("r0")
    assert (told.liars_tolerated, told.final) == (-2, False)


async def test_an_operators_cancel_of_anothers_request_proves_nothing_to_it() -> None:
    coordinator = Coordinator()
    told = await client(coordinator).cancel("r0", of=Owner(client_id="svcB", tenant="bank"))
    assert (told.liars_tolerated, told.final) == (None, False)
    (cancel,) = coordinator.asked
    assert isinstance(cancel, CancelRequest)
    assert cancel.of == Owner(client_id="svcB", tenant="bank")


def test_no_failure_says_that_nothing_was_signed() -> None:
    failure = Failure.of(FailureCode.CANCELLED, "cancelled by its client")
    result = failed_result(
        "sign",
        failure,
        request_id="r",
        client_id="svcA",
        request_digest=bytes(32),
        finished_at=1,
    )
    assert RequestFailedError(failure, result).signature_may_exist
