"""What our code says when it refuses."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import ValidationError

from ..errors import ContractError, sentence


def reason_of(check: Callable[[], object]) -> str | None:
    """None where it refuses nothing."""
    try:
        check()
    except (ContractError, ValidationError) as error:
        return reason(error)
    return None


def reason(error: ContractError | ValidationError) -> str:
    """Our own sentence; of pydantic's errors the field and the kind, which are the same with every
    version of it."""
    if isinstance(error, ContractError):
        return str(error)
    first = error.errors(include_url=False, include_input=False)[0]
    if first["type"] == "value_error":
        return sentence(first)
    return ".".join((*map(str, first["loc"][1:]), first["type"]))
