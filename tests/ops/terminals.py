"""A user's terminal, with a client that answers by script instead of a broker."""

from __future__ import annotations

import inspect
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast

from typer.testing import CliRunner

from contracts.answers import failed_result
from contracts.client import Client, ClientSettings, RequestFailedError, Settlement
from contracts.failures import Failure, FailureCode
from contracts.keys import CertifiedKey
from contracts.primitives import Curve
from contracts.results import SessionEvent, SessionView, SignResult, Status
from contracts.statements import Statement
from tests.contracts.samples import SingleKey, sign_request, sign_result

SESSION_ID = bytes([9]) * 32
RUNNER = CliRunner()


FINAL = Settlement(
    target="r1",
    target_status=Status.CANCELLED,
    statements=(Statement(party_id="party-1", issued_from=0, issued_until=1, signature=b"s"),),
    already_signed=("party-2",),
    silent=("party-3",),
    liars_tolerated=1,
    final=True,
)


def refusal(code: FailureCode, **details: Any) -> RequestFailedError:
    failure = Failure.of(code, "somebody did something", **details)
    return RequestFailedError(
        failure,
        failed_result(
            "sign",
            failure,
            request_id="r1",
            client_id="svcA",
            request_digest=bytes(32),
            finished_at=1,
        ),
    )


@dataclass
class FakeClient:
    """Answers well, or raises `trouble`; remembers what it was asked."""

    trouble: BaseException | None = None
    keys_known: list[CertifiedKey] = field(default_factory=list)
    doubted: dict[str, str] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)
    settings: ClientSettings | None = None
    settlement: Settlement = FINAL

    @asynccontextmanager
    async def connect(self, settings: ClientSettings) -> AsyncIterator[Client]:
        self.settings = settings
        yield cast("Client", self)

    def _note(self, method: Callable[..., object], **question: Any) -> None:
        inspect.signature(method).bind(self, **question)  # the real one would take it too
        self.asked.append(question)
        if self.trouble is not None:
            raise self.trouble

    async def create_key(self, key_id: str, **arguments: Any) -> CertifiedKey:
        self._note(Client.create_key, key_id=key_id, **arguments)
        return SingleKey(arguments["curve"]).certified(key_id=key_id)

    async def sign(self, key_id: str, **arguments: Any) -> SignResult:
        self._note(Client.sign, key_id=key_id, **arguments)
        names = ("scheme", "message", "taproot_merkle_root")
        request = sign_request(key_id=key_id, **{name: arguments[name] for name in names})
        return sign_result(request, SingleKey(request.scheme.curve))

    async def cancel(self, request_id: str, **arguments: Any) -> Settlement:
        if self.asked:  # it was taken for a session id first
            self.asked.append({"request_id": request_id})
        else:
            self._note(Client.cancel, request_id=request_id, **arguments)
        return replace(self.settlement, target=request_id)

    async def cancel_session(self, session_id: bytes) -> Settlement:
        self.asked.append({"session_id": session_id})
        if self.trouble is not None and len(self.asked) == 1:
            raise self.trouble
        return self.settlement

    async def keys(self, only: str | None = None) -> list[CertifiedKey]:
        self._note(Client.keys, only=only)
        return self.keys_known

    async def session(
        self, *, session_id: bytes | None = None, request_id: str | None = None
    ) -> SessionView:
        self.asked.append({"session_id": session_id, "request_id": request_id})
        if self.trouble is not None and len(self.asked) == 1:
            raise self.trouble
        return SessionView(
            session_id=SESSION_ID,
            request_id="r1",
            operation="sign",
            key_id="treasury",
            status=Status.EXPIRED,
            deadline=1_800_000_000_000,
            parties=["p1", "p3"],
            events=[
                SessionEvent(
                    sequence=1,
                    at=1_700_000_000_000,
                    event="session_created",
                    party_id=None,
                    details={"parties": ["p1", "p3"]},
                ),
                SessionEvent(
                    sequence=2,
                    at=1_700_000_001_250,
                    event="share_signed",
                    party_id="p3",
                    details={"round": 1},
                ),
            ],
        )


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Of all that was written to standard output: a second object would be an error."""
        return json.loads(self.out)


Run = Callable[..., Ended]


def key(curve: Curve, key_id: str) -> CertifiedKey:
    return SingleKey(curve).certified(key_id=key_id)
