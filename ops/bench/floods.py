"""One owner who asks for too much, in a process of its own: `python -m ops.bench.floods`.

The first line of standard input says what and where, as JSON; its end is the end of the flood. What
came of it goes to standard output. It yields to everybody else on this machine: elsewhere, it would
have a machine of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import uvloop

from contracts.client import Client, ClientError, ClientSettings, RequestFailedError
from contracts.failures import FailureCode
from contracts.primitives import Curve, Scheme
from contracts.requests import SignItem
from contracts.results import Result

from .accounts import ACCOUNTS, WAIT_S, failure_of, new_account, sign_path
from .caller import Answer, Caller, GatewayUnavailableError
from .work import DIGEST_BYTES, RESULT_TIMEOUT, Work, failure_code

NICENESS = 15
DONE = "done"
UNDER_WAY = "under_way"
"""It was taken, and is not over when the wait is."""
LIST = 16
"""Digests of one request for a list."""
LIFETIME_S = 10.0
PAUSE_S = 1.0
"""Before a lane that was told no asks again, whatever it was told to wait."""
STREAM_S = 2.0
LEARNING_S = 5.0
"""In which a coordinator learns what the flood's work costs. Before, it refuses nothing for its
time, and who waits by then is told late: what was asked for until then is not counted."""
REFUSALS = frozenset({"overloaded", "rate_exceeded", "too_many_in_flight"})
WORK = Work(
    operation="sign", curve=Curve.ED25519, scheme=Scheme.ED25519, threshold=2, party_count=3
)


class Way(StrEnum):
    """By which a flood comes."""

    HTTP = "http"
    AMQP = "amqp"


class Kind(StrEnum):
    """What a flood asks for."""

    KEYS = "keys"
    LISTS = "lists"
    READS = "reads"
    STREAMS = "streams"
    CANCELS = "cancels"
    BAD = "bad"


Operation = Callable[[], Awaitable[str]]
"""Asks once, and returns what came of it: `DONE`, or the code of a failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """
    Attributes:
        config: Of the client, for AMQP.
        url, api_key: Of the gateway, for HTTP.
    """

    via: Way
    kind: Kind
    lanes: int
    config: str = ""
    url: str = ""
    api_key: str = field(default="", repr=False)


@dataclass(slots=True)
class Outcome:
    """
    Attributes:
        answered: How often each code came, `DONE` among them.
        refusals_s: How long each refusal took.
    """

    answered: Counter[str] = field(default_factory=Counter)
    refusals_s: list[float] = field(default_factory=list)

    async def lane(self, operate: Operation, counted_from: float) -> None:
        """One after the other, until cancelled; what began before is not counted."""
        while True:
            began = time.perf_counter()
            code = await operate()
            if began >= counted_from:
                self.answered[code] += 1
                if code in REFUSALS:
                    self.refusals_s.append(time.perf_counter() - began)
            if code not in (DONE, UNDER_WAY):
                await asyncio.sleep(PAUSE_S)


###
### Over AMQP
###


@contextlib.asynccontextmanager
async def by_amqp(wanted: Wanted) -> AsyncIterator[Operation]:
    """The operation, by a client of its own."""
    settings = ClientSettings.load(Path(wanted.config))
    async with Client.connect(settings) as client:
        made = await client.create_key(
            f"flood-{secrets.token_hex(8)}", curve=Curve.SECP256K1, threshold=2, party_count=3
        )
        operate = AMQP[wanted.kind]
        key_id = made.facts.key_id

        async def once() -> str:
            try:
                await operate(client, key_id)
            except ClientError as error:
                return failure_code(error)
            return DONE

        yield once


async def _key(client: Client, _: str) -> None:
    begun = await client.begin_key(
        f"flood-{secrets.token_hex(8)}",
        curve=Curve.ED25519,
        threshold=2,
        party_count=3,
        timeout_s=LIFETIME_S,
    )
    await _ended(await begun.result())


async def _list(client: Client, key_id: str) -> None:
    begun = await client.begin_signature(
        key_id,
        items=[SignItem(message=secrets.token_bytes(DIGEST_BYTES)) for _ in range(LIST)],
        scheme=Scheme.ECDSA,
        timeout_s=LIFETIME_S,
    )
    await _ended(await begun.result())


async def _ended(result: Result) -> None:
    if result.failure is not None:
        raise RequestFailedError(result.failure, result)


async def _read(client: Client, _: str) -> None:
    await client.keys()


async def _look(client: Client, _: str) -> None:
    """There are no streams: whoever wants to know asks again."""
    with contextlib.suppress(RequestFailedError):
        await client.look(request_id=f"flood-{secrets.token_hex(8)}")


async def _cancel(client: Client, _: str) -> None:
    await client.cancel(f"flood-{secrets.token_hex(8)}")


async def _bad(client: Client, _: str) -> None:
    try:
        begun = await client.begin_signature(
            "no-such-key", message=b"\0", scheme=Scheme.ED25519, timeout_s=LIFETIME_S
        )
        await _ended(await begun.result())
    except RequestFailedError as error:
        if error.failure.code is not FailureCode.UNKNOWN_KEY:
            raise


AMQP: Mapping[Kind, Callable[[Client, str], Awaitable[None]]] = {
    Kind.KEYS: _key,
    Kind.LISTS: _list,
    Kind.READS: _read,
    Kind.STREAMS: _look,
    Kind.CANCELS: _cancel,
    Kind.BAD: _bad,
}


###
### Over HTTP
###


@contextlib.asynccontextmanager
async def by_http(wanted: Wanted) -> AsyncIterator[Operation]:
    """The operation, with an API key of its own."""
    async with Caller(wanted.url, wanted.api_key) as caller:
        made = await new_account(caller, WORK)
        operate = HTTP[wanted.kind]

        async def once() -> str:
            try:
                return await operate(caller, made)
            except GatewayUnavailableError:
                return "gateway_unavailable"

        yield once


def _said(answer: Answer) -> str:
    code = failure_of(answer)
    if code == RESULT_TIMEOUT and answer.status < 300:
        return UNDER_WAY
    return code or DONE


def _got(answer: Answer) -> str:
    return DONE if answer.status < 300 else str(answer.document.get("code", answer.status))


async def _account(caller: Caller, _: Mapping[str, str]) -> str:
    user_id = f"flood-{secrets.token_hex(8)}"
    wish = {"user_id": user_id, "curve": "ed25519", "threshold_n": 3, "threshold_t": 2}
    answer = await caller.post(f"{ACCOUNTS}?wait={WAIT_S}", wish)
    made = answer.document.get("status") == "completed"
    return UNDER_WAY if answer.status < 300 and not made else _got(answer)


async def _signature(caller: Caller, made: Mapping[str, str]) -> str:
    """HTTP has no lists: as many lanes, each with one message after the other."""
    path = f"{sign_path(made['account_id'])}?wait={WAIT_S}"
    return _said(await caller.post(path, {"message": "aGVsbG8=", "scheme": "ed25519"}))


async def _accounts(caller: Caller, _: Mapping[str, str]) -> str:
    return _got(await caller.get(f"{ACCOUNTS}?limit=100"))


async def _stream(caller: Caller, made: Mapping[str, str]) -> str:
    status = await caller.stream(f"/api/v1/sessions/{made['session_id']}/events", STREAM_S)
    return DONE if status == 200 else "rate_exceeded" if status == 429 else str(status)


async def _cancelled(caller: Caller, made: Mapping[str, str]) -> str:
    path = sign_path(made["account_id"])
    begun = await caller.post(path, {"message": "aGVsbG8=", "scheme": "ed25519"})
    if begun.status >= 300:
        return _got(begun)
    return _got(await caller.post(f"/api/v1/sessions/{begun.document['session_id']}/cancel", {}))


async def _unfit(caller: Caller, _: Mapping[str, str]) -> str:
    answer = await caller.post(sign_path("no-such-account"), {"message": "aGVsbG8="})
    return DONE if answer.status == 404 else _got(answer)


HTTP: Mapping[Kind, Callable[[Caller, Mapping[str, str]], Awaitable[str]]] = {
    Kind.KEYS: _account,
    Kind.LISTS: _signature,
    Kind.READS: _accounts,
    Kind.STREAMS: _stream,
    Kind.CANCELS: _cancelled,
    Kind.BAD: _unfit,
}


async def _flood(wanted: Wanted, ended: Awaitable[bytes], outcome: Outcome) -> None:
    opened = by_amqp(wanted) if wanted.via is Way.AMQP else by_http(wanted)
    async with opened as operate:
        from_s = time.perf_counter() + LEARNING_S
        lanes = [asyncio.create_task(outcome.lane(operate, from_s)) for _ in range(wanted.lanes)]
        await asyncio.sleep(LEARNING_S)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await ended
        for lane in lanes:
            lane.cancel()
        await asyncio.gather(*lanes, return_exceptions=True)


async def _main() -> Outcome:
    reader, outcome = asyncio.StreamReader(), Outcome()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    said = json.loads(await reader.readline())
    wanted = Wanted(**{**said, "via": Way(said["via"]), "kind": Kind(said["kind"])})
    await _flood(wanted, reader.read(), outcome)
    return outcome


if __name__ == "__main__":
    os.nice(NICENESS)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started us ends us
    came = uvloop.run(_main())
    told = {"answered": dict(came.answered), "refusals_s": came.refusals_s}
    sys.stdout.write(json.dumps(told))
