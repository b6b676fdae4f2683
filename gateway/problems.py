"""Every no in one form: RFC 9457, ``application/problem+json``, with a word for programs and
a sentence that says what to do.

`KINDS` is the closed list. Its codes are those of `FailureCode` where the coordinator said no, and
words of the gateway's own where it did so itself.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.types import Receive, Scope, Send

from contracts.errors import sentence
from contracts.failures import Failure

MEDIA_TYPE = "application/problem+json"
MARK = "warren.problem"
"""In a request's scope: the code of the problem that answered it."""


@dataclass(frozen=True, slots=True)
class Kind:
    """
    Attributes:
        retryable: Whether the same wish may well succeed later.
        remedy: What the caller is to do.
    """

    status: int
    title: str
    remedy: str
    retryable: bool = False


_CORRECT = "Correct the request; under an Idempotency-Key, use a new one."
_LATER = "Try again, with the same Idempotency-Key if you have sent one; not before Retry-After."
_ANEW = "Ask again; under an Idempotency-Key, use a new one."
_WHEN_OVER = "Ask again when it is over; under an Idempotency-Key, use a new one."
_LOOK_AROUND = "Check the id. What belongs to other tenants is unknown to you."

KINDS: Mapping[str, Kind] = {
    # Who may enter.
    "unauthenticated": Kind(
        401, "No valid API key", "Send a valid key in the header X-API-Key; its operator makes one."
    ),
    "scope_missing": Kind(
        403, "The API key may not do this", "Use a key with the scope that `detail` names."
    ),
    "address_refused": Kind(
        403,
        "Your address is not allowed",
        "Ask the operator to add the address that `detail` names to the gateway's allowed_ips.",
    ),
    "origin_refused": Kind(
        403,
        "The page's origin is not allowed",
        "Ask the operator to add the origin to the gateway's cors_origins.",
    ),
    "rate_exceeded": Kind(
        429, "Too many requests", "Wait for Retry-After, then send fewer at a time.", retryable=True
    ),
    "too_many_in_flight": Kind(
        503, "Too many requests at once", "Wait for some of your answers first.", retryable=True
    ),
    "keys_unknown": Kind(503, "The gateway cannot tell who you are", _LATER, retryable=True),
    "revocation_refused": Kind(
        422,
        "Not a revocation by the API-key authority",
        "Send a revocation as the authority of this gateway's API keys has signed it.",
    ),
    # What is asked.
    "not_found": Kind(404, "There is nothing here", "Compare the path with /openapi.json."),
    "method_not_allowed": Kind(405, "Not this method", "Use one that the header Allow names."),
    "not_http": Kind(400, "Not an HTTP request", "Send HTTP/1.1."),
    "headers_too_large": Kind(431, "The headers are too large", "Send fewer or shorter headers."),
    "transfer_coding": Kind(
        501, "Not this transfer coding", "Send the body chunked or with Content-Length."
    ),
    "body_too_large": Kind(413, "The body is too large", "Send a smaller body, see `detail`."),
    "too_slow": Kind(
        408, "The request did not arrive in time", "Send it in one go.", retryable=True
    ),
    "idempotency_conflict": Kind(
        409,
        "The Idempotency-Key was used for something else",
        "Use a new Idempotency-Key for a new request, and the same body for a repeated one.",
    ),
    # What the coordinator answers.
    "invalid_request": Kind(422, "The request does not fit", _CORRECT),
    "unknown_party": Kind(422, "No such party", _CORRECT),
    "too_few_parties": Kind(422, "There are not so many parties", _CORRECT),
    "conflict": Kind(409, "It conflicts with an earlier request", "Look at what exists first."),
    "key_exists": Kind(409, "The key exists", "Use another id."),
    "session_over": Kind(409, "The session is over", "Begin a new session."),
    "cancelled": Kind(409, "It was cancelled", "Begin a new session if that was not wanted."),
    "unknown_key": Kind(404, "No such key", _LOOK_AROUND),
    "unknown_request": Kind(404, "No such session", _LOOK_AROUND),
    "unknown_account": Kind(404, "No such account", _LOOK_AROUND),
    "token_refused": Kind(
        403,
        "The join token is refused",
        "Use the token of this session and party, and each only once.",
    ),
    "overloaded": Kind(503, "The coordinator has too much to do", _LATER, retryable=True),
    "party_fault": Kind(503, "A party broke the protocol", _ANEW, retryable=True),
    "party_refused": Kind(503, "A party refused", _ANEW, retryable=True),
    "key_busy": Kind(503, "Another reshare of the key is under way", _WHEN_OVER, retryable=True),
    "stale_epoch": Kind(503, "The key's shares were made anew", _ANEW, retryable=True),
    "spoilt": Kind(503, "The parties did not see the same", _ANEW, retryable=True),
    "internal": Kind(503, "The coordinator stumbled", _ANEW, retryable=True),
    "expired": Kind(504, "It took too long", _ANEW, retryable=True),
    # What the gateway cannot help.
    "broker_unavailable": Kind(503, "The queue cannot be reached", _LATER, retryable=True),
    "stopping": Kind(503, "This gateway is stopping", _LATER, retryable=True),
    "no_answer": Kind(
        504,
        "No answer in time",
        "Try again with the same Idempotency-Key: what was begun is found again, not begun twice.",
        retryable=True,
    ),
    "gateway_error": Kind(
        500, "The gateway stumbled", "Tell the operator when it was; the log has the rest."
    ),
}

RETRY_AFTER_S = 1


class Problem(Exception):  # noqa: N818 - its name in RFC 9457
    """Raise it anywhere below `gateway.app`, or let a middleware `answer` with it.

    Arguments:
        code: One of `KINDS`.
        detail: A sentence about this very case. Never a secret, nor what the caller has sent.
        headers: Beyond those that its status wants.
        more: Further members of the document.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        retryable: bool | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.kind = KINDS[code]
        self.detail = detail
        self.retryable = self.kind.retryable if retryable is None else retryable
        self.headers = dict(headers or {})
        self.more = dict(more or {})

    @classmethod
    def of_failure(cls, failure: Failure, *, more: Mapping[str, Any] | None = None) -> Problem:
        """What the coordinator said, and about whom."""
        named = {"culprits": failure.culprits, "silent": failure.silent}
        headers = {}
        if failure.retry_after_ms is not None:
            headers["Retry-After"] = str(math.ceil(failure.retry_after_ms / 1000))
        return cls(
            failure.code.value,
            failure.message,
            headers=headers,
            # Whoever takes the queue for their own may wait for another party to be added; a caller
            # who is told to ask again asks again at once.
            retryable=failure.retryable and KINDS[failure.code.value].retryable,
            more={name: parties for name, parties in named.items() if parties} | dict(more or {}),
        )

    @property
    def status(self) -> int:
        """The HTTP status of its kind."""
        return self.kind.status

    def document(self, instance: str | None) -> dict[str, Any]:
        """The RFC 9457 document; `instance` is the path that was asked for."""
        return {
            "type": f"/problems/{self.code.replace('_', '-')}",
            "title": self.kind.title,
            "status": self.status,
            "detail": self.detail,
            **({} if instance is None else {"instance": instance}),
            "code": self.code,
            "retryable": self.retryable,
            "remedy": self.kind.remedy,
            **self.more,
        }

    def body(self, instance: str | None = None) -> bytes:
        """The document as JSON in UTF-8."""
        return json.dumps(self.document(instance), ensure_ascii=False).encode()

    def raw_headers(self, length: int) -> list[tuple[bytes, bytes]]:
        """All headers of the answer, as ASGI wants them."""
        wanted = {"content-type": MEDIA_TYPE, "content-length": str(length)}
        if self.status == 401:
            wanted["www-authenticate"] = 'ApiKey realm="warren", header="X-API-Key"'
        if self.status in {429, 503}:
            wanted["retry-after"] = str(RETRY_AFTER_S)
        if self.status in {400, 408, 413, 431, 501}:
            wanted["connection"] = "close"  # more of the same request may be under way
        wanted |= {name.lower(): value for name, value in self.headers.items()}
        return [(name.encode(), value.encode()) for name, value in wanted.items()]

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As an ASGI application, also to who asks for a socket."""
        scope[MARK] = self.code
        body = self.body(instance_of(scope))
        answer = "websocket.http.response" if scope["type"] == "websocket" else "http.response"
        await send(
            {
                "type": f"{answer}.start",
                "status": self.status,
                "headers": self.raw_headers(len(body)),
            }
        )
        await send({"type": f"{answer}.body", "body": body})


def instance_of(scope: Scope) -> str:
    """The path as it was sent, so that nothing in it is unescaped on the way back."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    return raw.decode("ascii", "backslashreplace")


class ProblemDetails(BaseModel):
    """What every answer from 400 on looks like (RFC 9457)."""

    model_config = ConfigDict(
        extra="allow",
        use_attribute_docstrings=True,
        json_schema_serialization_defaults_required=True,
    )

    type: str
    """The kind of problem: a relative reference that does not change."""
    title: str
    status: int
    detail: str
    """What happened in this case."""
    instance: str | None = None
    """The path that was asked for."""
    code: str = Field(json_schema_extra={"enum": list(KINDS)})
    """The same as `type`, as a word for programs."""
    retryable: bool
    """Whether the same wish may well succeed later."""
    remedy: str
    """What the caller is to do."""
    errors: list[FieldError] | None = None
    """Which fields do not fit; with 422 only."""
    culprits: list[str] | None = None
    """Parties that broke the protocol."""
    silent: list[str] | None = None
    """Parties that were waited for."""
    signature_may_exist: bool | None = None
    """Of what begins a session: false only where it never left the gateway. Until a cancel is
    `final`, ask again for the same message before you pay in another way."""


class FieldError(BaseModel):
    """One field that does not fit, and why; never what was in it."""

    field: str
    message: str


ProblemDetails.model_rebuild()

SCHEMA = "ProblemDetails"
"""Its name among the components of the OpenAPI document, where `gateway.app` puts it."""

UNREAD = (400, 405, 431, 501)
"""What is answered wherever a request goes, before anything of it is looked at."""
ALWAYS = (401, 403, 408, 413, 422, 429, 500, 503, 504)
"""What any operation may answer with."""

_RARE = frozenset({"revocation_refused", "token_refused", "origin_refused"})
"""Codes that one operation answers with, or none that is documented."""
_RETRY_AFTER = {
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 0}}
}
_HEADERS: Mapping[int, Mapping[str, Any]] = {
    401: {
        "WWW-Authenticate": {
            "description": "Which header the key belongs in.",
            "schema": {"type": "string"},
        }
    },
    405: {
        "Allow": {
            "description": "The methods that the path has, such as `GET, HEAD, OPTIONS`.",
            "schema": {"type": "string"},
        }
    },
    429: _RETRY_AFTER,
    503: _RETRY_AFTER,
}


def problem_responses(
    *statuses: int, always: Sequence[int] = ALWAYS, also: str = ""
) -> dict[int | str, Any]:
    """For a route's `responses`: these statuses and those that any operation may answer with.

    Arguments:
        also: A code that only few operations answer with.
    """
    return {status: _response(status, also) for status in sorted({*statuses, *always, *UNREAD})}


def _response(status: int, also: str) -> dict[str, Any]:
    titles = [
        kind.title
        for code, kind in KINDS.items()
        if kind.status == status and (code not in _RARE or code == also)
    ]
    return {
        "description": "; ".join(titles) + ".",
        "content": {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{SCHEMA}"}}},
        **({"headers": _HEADERS[status]} if status in _HEADERS else {}),
    }


LOOK_RESPONSES: dict[int | str, Any] = problem_responses(404)
"""Of the dialects' operations that look at something."""
PROBLEM_RESPONSES: dict[int | str, Any] = problem_responses(404, 409)
"""Of those that change something."""


MAX_FIELD_ERRORS = 20
MAX_FIELD_CHARACTERS = 200
_UUID = re.compile(r"(?i)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def field_errors(errors: Iterable[Any]) -> list[dict[str, str]]:
    """Of pydantic's errors the places and sentences, never the input. Not all and not at any
    length: the names of unknown fields are the caller's own, and as many as a body has room for."""
    return [
        {
            "field": (".".join(map(str, error["loc"])) or "body")[:MAX_FIELD_CHARACTERS],
            "message": _sentence(error),
        }
        for error in islice(errors, MAX_FIELD_ERRORS)
    ]


def _sentence(error: Any) -> str:
    if error["type"] == "json_invalid":
        return f"is not JSON: {error['ctx']['error']}"
    if tuple(error["loc"]) == ("body",) and error["type"] == "model_attributes_type":
        return "must be a JSON object; send it with Content-Type: application/json"
    if error["type"] == "extra_forbidden":
        hint = error.get("ctx", {})
        if "instead" in hint:
            return f"is no field here: {hint['instead']}"
        right = hint.get("meant")
        return "is no field here" if right is None else f"is no field here; do you mean {right}?"
    if error["type"] == "string_pattern_mismatch" and _UUID.fullmatch(str(error["input"])):
        return "is a UUID, and must be the id that this service gave: 64 lower-case hex digits"
    return sentence(error)
