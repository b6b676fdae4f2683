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
from contracts.keys import EpochName
from contracts.primitives import Curve, Owner, Status
from contracts.requests import (
    CancelRequest,
    QueryKeysRequest,
    Request,
    ReshareRequest,
    SignRequest,
)
from contracts.results import Result
from contracts.signing import SignedRequest, sign_request
from contracts.statements import Statement

from . import samples
from .producers import settings
from .samples import CLIENT, PARTIES, SingleKey
from .test_answers import answer

KEY = SingleKey(Curve.ED25519).certified(key_id="treasury")
ASKED = sign_request(samples.sign_request(request_id="r0", key_id="treasury"), CLIENT)
STRANGER = Identity.generate()
OURS, TENANTS = Owner(client_id="svcA"), Owner(client_id="svcA", tenant="bank")
ANOTHERS = Owner(client_id="svcB", tenant="bank")


class Coordinator:
    """In the place of `Correspondence`: answers at once, and knows one request."""

    def __init__(self, known: SignedRequest | None = None, wish: Wish | None = None) -> None:
        self.known, self.remembered = known, wish
        self.owner = OURS
        self.hides = False
        self.asked: list[Request] = []
        self.by: dict[str, Identity] = dict(PARTIES)
        self.epochs: list[int] = []

    def wish(self, owner: Owner, request_id: str) -> Wish | None:
        assert (owner, request_id) == (self.owner, "r0")
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
                asked = self.known.request
                assert isinstance(asked, SignRequest)
                told = samples.looked_at(
                    asked,
                    CLIENT if asked.signer == CLIENT.public.der else STRANGER,
                    status=Status.EXPIRED,
                    client_id=self.owner.client_id,
                    tenant=self.owner.tenant,
                )
                return told | {
                    "request": None if self.hides else self.known.body,
                    "request_signature": None if self.hides else self.known.signature,
                }
            case "query_keys":
                assert isinstance(request, QueryKeysRequest)
                known = request.only in {None, "treasury"}
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
                key_session=request.key_session,
                epochs=None
                if request.key_session is None
                else [EpochName(epoch=each, session_id=bytes(32)) for each in self.epochs],
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
    assert coordinator.operations == ["query_keys", "cancel"]
    (_, cancel) = coordinator.asked
    assert isinstance(cancel, CancelRequest)
    assert cancel.target_issued_at == ASKED.request.issued_at
    assert cancel.key_session == KEY.facts.session_id


async def test_of_a_key_with_an_epoch_that_we_were_not_shown_nothing_is_proven() -> None:
    coordinator = Coordinator(wish=Wish.of(ASKED.request))
    coordinator.epochs = [1]
    told = await client(coordinator).cancel("r0")
    assert (told.liars_tolerated, told.final) == (-2, False)


async def test_a_request_of_another_process_is_found_by_its_own_bytes() -> None:
    coordinator = Coordinator(known=ASKED)
    told = await client(coordinator).cancel("r0")
    assert told.final
    assert coordinator.operations == ["query_session", "query_keys", "cancel"]
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


@pytest.mark.parametrize(("liars", "final"), [(None, False), (1, False), (0, True)])
async def test_how_many_may_lie_is_the_clients_own_setting(liars: int | None, final: bool) -> None:
    coordinator = Coordinator(wish=Wish.of(ASKED.request))
    del coordinator.by["p2"]
    own = settings("amqp://nowhere", liars=liars)
    told = await Cancels(own, cast("Any", coordinator), None).cancel("r0")
    assert (told.liars_tolerated, told.final) == (0, final)


async def test_false_statements_leave_it_open() -> None:
    coordinator = Coordinator(wish=Wish.of(ASKED.request))
    coordinator.by = dict.fromkeys(PARTIES, STRANGER)
    told = await client(coordinator).cancel("r0")
    assert (told.liars_tolerated, told.final) == (-2, False)


async def test_an_operators_cancel_of_anothers_request_proves_nothing_to_it() -> None:
    coordinator = Coordinator()
    told = await client(coordinator).cancel("r0", of=ANOTHERS)
    assert (told.liars_tolerated, told.final) == (None, False)
    (cancel,) = coordinator.asked
    assert isinstance(cancel, CancelRequest)
    assert cancel.of == ANOTHERS


async def test_a_session_of_anothers_is_cancelled_as_its_owners() -> None:
    coordinator = Coordinator(known=ASKED)
    coordinator.owner = ANOTHERS
    told = await client(coordinator).cancel_session(bytes([8]) * 32)
    assert (told.liars_tolerated, told.final) == (None, False)
    cancel = coordinator.asked[-1]
    assert isinstance(cancel, CancelRequest)
    assert (cancel.target, cancel.of) == ("r0", ANOTHERS)


@pytest.mark.parametrize("of", [OURS, TENANTS])
async def test_a_client_cancels_for_each_of_its_own_tenants(of: Owner) -> None:
    coordinator = Coordinator(wish=Wish.of(ASKED.request))
    coordinator.owner = of
    told = await client(coordinator).cancel("r0", of=of)
    assert told.final
    assert {request.owned_by for request in coordinator.asked} == {of}
    (_, cancel) = coordinator.asked
    assert isinstance(cancel, CancelRequest)
    assert cancel.of is None


async def test_of_a_request_whose_bytes_are_withheld_nothing_is_proven() -> None:
    coordinator = Coordinator(known=ASKED)
    coordinator.hides = True
    for told in (
        await client(coordinator).cancel("r0"),
        await client(coordinator).cancel_session(bytes([8]) * 32),
    ):
        assert (told.liars_tolerated, told.final) == (None, False)


@pytest.mark.parametrize(("named", "tolerated"), [(None, 2), (["p1", "p3"], 1)])
async def test_a_key_generation_is_over_by_the_word_of_those_that_it_names(
    named: list[str] | None, tolerated: int
) -> None:
    """Where it names none, by that of all whom the client knows."""
    asked = samples.keygen_request(
        request_id="r0", threshold=2, party_count=3 if named is None else 2, parties=named
    )
    coordinator = Coordinator(wish=Wish.of(asked))
    told = await client(coordinator).cancel("r0")
    assert coordinator.operations == ["cancel"]
    assert [each.party_id for each in told.statements] == (named or sorted(PARTIES))
    assert told.liars_tolerated == tolerated


async def test_a_reshare_is_over_by_the_word_of_its_new_holders() -> None:
    """Without the certificate of each there is no epoch; who only deals need not say anything."""
    asked = ReshareRequest(**samples.fields("reshare", request_id="r0"))
    coordinator = Coordinator(wish=Wish.of(asked))
    told = await client(coordinator).cancel("r0")
    assert [each.party_id for each in told.statements] == ["p1", "p3"]
    assert (told.liars_tolerated, told.final) == (1, True)


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
