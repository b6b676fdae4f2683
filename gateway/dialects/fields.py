"""The types that requests of all dialects are made of. Whatever they let through, a contract can
say; what they refuse, they refuse by name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Self

from fastapi import Depends, Path, Query
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from contracts.primitives import ID_PATTERN, MAX_MESSAGE_BYTES, MAX_PARTIES, Words

from ..problems import MAX_FIELD_CHARACTERS
from ..promises import MAX_WAIT_S
from .encodings import hex_bytes, message_bytes

SESSION_ID_PATTERN = r"^[0-9a-f]{64}$"


class Body(BaseModel):
    """What a caller sends. An unknown field is an error: it may be one that the caller counts on,
    such as a threshold under another name."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, hide_input_in_errors=True
    )

    INSTEAD: ClassVar[Mapping[str, str]] = {}
    """Names that other services have for what is asked here -> what to do."""

    @model_validator(mode="wrap")
    @classmethod
    def _hinting(cls, wish: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Where an unknown field is one of this body's in another spelling, or another service's,
        the error says what to send: here alone it is known what fields there are."""
        try:
            return handler(wish)
        except ValidationError as error:
            details = error.errors(include_url=False)
            hints = [_hint(each, cls) for each in details]
            if not any(hints):
                raise
            hinted = [_hinted(each, hint) for each, hint in zip(details, hints, strict=True)]
            raise ValidationError.from_exception_data(
                cls.__name__, hinted, hide_input=True
            ) from None


def _plain(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name[:MAX_FIELD_CHARACTERS].lower())


def _hint(error: Any, body: type[Body]) -> dict[str, str] | None:
    """What an unknown field is meant for, but for capitals, hyphens and underscores."""
    if error["type"] != "extra_forbidden" or len(error["loc"]) != 1:
        return None
    name = _plain(str(error["loc"][0]))
    if (meant := _called(name, body.model_fields)) is not None:
        return {"meant": meant}
    other = _called(name, body.INSTEAD)
    return None if other is None else {"instead": body.INSTEAD[other]}


def _called(name: str, fields: Iterable[str]) -> str | None:
    return next((each for each in fields if _plain(each) == name), None)


def _hinted(error: Any, hint: dict[str, str] | None) -> InitErrorDetails:
    """The same error, which may be of any kind."""
    context = error.get("ctx") if hint is None else hint
    return InitErrorDetails(
        type=PydanticCustomError(error["type"], error["msg"], context),
        loc=error["loc"],
        input=error["input"],
    )


PartyName = Words
"""A caller's name for a party, or ours."""


class Participant(Body):
    """What a caller says of the device behind a party changes nothing, whatever it says; so it is
    accepted and left aside."""

    model_config = ConfigDict(extra="ignore")

    party_id: PartyName
    device_type: Words | None = None
    device_id: Words | None = None


def _message(value: Any, info: ValidationInfo) -> bytes:
    """By the `message_encoding` beside it, which stands before it."""
    return message_bytes(value, info.data.get("message_encoding"))


def _sized(value: bytes) -> bytes:
    if not 1 <= len(value) <= MAX_MESSAGE_BYTES:
        raise ValueError(f"must have 1 to {MAX_MESSAGE_BYTES} bytes, and has {len(value)}")
    return value


MessageHash = Annotated[
    bytes,
    BeforeValidator(hex_bytes),
    AfterValidator(_sized),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^(0[xX])?([0-9A-Fa-f]{2})+$",
            "maxLength": len("0x") + 2 * MAX_MESSAGE_BYTES,
        }
    ),
]

Message = Annotated[
    bytes,
    BeforeValidator(_message),
    AfterValidator(_sized),
    WithJsonSchema(
        {
            "type": "string",
            "minLength": 1,
            "maxLength": len("0x") + 2 * MAX_MESSAGE_BYTES,
        }
    ),
]

# Strict, or "3" and true would be numbers.
PartyCount = Annotated[int, Field(strict=True, ge=2, le=MAX_PARTIES)]
Parties = Annotated[list[PartyName], Field(min_length=2, max_length=MAX_PARTIES)]
Participants = Annotated[list[Participant], Field(min_length=2, max_length=MAX_PARTIES)]

SessionId = Annotated[
    str,
    Path(
        alias="id",
        pattern=SESSION_ID_PATTERN,
        description="The `session_id` that the session was created with.",
    ),
]
AccountId = Annotated[
    str, Path(alias="id", pattern=ID_PATTERN, description="The `account_id` of an account.")
]
Wait = Annotated[
    float,
    Query(
        ge=0,
        le=MAX_WAIT_S,
        allow_inf_nan=False,
        description="Seconds to wait for the session's end before answering. The answer comes as "
        "soon as it is over, or else after that time with what there is by then.",
    ),
]


async def patience(
    wait: Annotated[
        float,
        Query(
            ge=0,
            le=MAX_WAIT_S,
            allow_inf_nan=False,
            description="Seconds within which you want an answer: it comes by then, if only as a "
            "504. There is nothing else to wait for here.",
        ),
    ] = 0,
) -> None:
    """A dependency: `wait` is a promise wherever it stands, and `promises` has read it already."""


Patient = Depends(patience)
"""Of routes that have no `Wait` of their own."""


def names_of(participants: list[Participant] | None) -> list[str] | None:
    """The parties' names without what else was said of them."""
    return None if participants is None else [each.party_id for each in participants]
