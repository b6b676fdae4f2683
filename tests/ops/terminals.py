"""A user's terminal, with a client that answers by script instead of a broker."""

from __future__ import annotations

import inspect
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from typer.testing import CliRunner

from contracts.answers import failed_result
from contracts.client import Client, ClientSettings, RequestFailedError
from contracts.failures import Failure, FailureCode
from contracts.keys import CertifiedKey
from contracts.primitives import Curve
from contracts.results import CancelResult, SessionEvent, SessionView, SignResult, Status
from tests.contracts.samples import SingleKey, sign_request, sign_result

SESSION_ID = bytes([9]) * 32
RUNNER = CliRunner()


def refusal(code: FailureCode, **details: Any) -> RequestFailedError:
    failure = Failure.of(code, "somebody did something", **details)
    return RequestFailedError(
        failure,
        failed_result("sign", failure, request_id="r1", client_id="svcA", finished_at=1),
    )


@dataclass
class FakeClient:
    """Answers well, or raises `trouble`; remembers what it was asked."""

    trouble: BaseException | None = None
    keys_known: list[CertifiedKey] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    settings: ClientSettings | None = None

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

    async def cancel(self, request_id: str) -> CancelResult:
        if self.asked:  # it was taken for a session id first
            self.asked.append({"request_id": request_id})
        else:
            self._note(Client.cancel, request_id=request_id)
        return self._cancelled(target=request_id)

    async def cancel_session(self, session_id: bytes) -> CancelResult:
        self.asked.append({"session_id": session_id})
        if self.trouble is not None and len(self.asked) == 1:
            raise self.trouble
        return self._cancelled(session_id=session_id)

    @staticmethod
    def _cancelled(*, session_id: bytes | None = None, target: str | None = None) -> CancelResult:
        return CancelResult(
            request_id="r2",
            client_id="svcA",
            session_id=session_id,
            status=Status.COMPLETED,
            finished_at=1,
            target=target,
            target_status=Status.CANCELLED,
        )

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
