"""JSON in which no object names a field twice.

RFC 8259 leaves open what such an object means. Parsers take the first value, or the last: whoever
reads the one approves something else than what is done by the other. pydantic takes the last.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn, TypeVar

from pydantic import TypeAdapter, ValidationError

from .errors import ContractError

T = TypeVar("T")

SHOWN_CHARACTERS = 64
"""Of a field's name in errors: it is the sender's own, and may be of any length."""


def parse(body: bytes) -> Any:
    """What the JSON says.

    Raises:
        ContractError: No JSON: not UTF-8, cut short, nested too deeply, NaN or Infinity, half of a
            surrogate pair. Or JSON that names a field twice.
    """
    try:
        value = _ANYTHING.validate_json(body)
    except ValidationError as error:
        (told,) = error.errors(include_url=False, include_input=False, include_context=False)
        raise ContractError(f"not JSON: {told['msg'].removeprefix('Invalid JSON: ')}") from None
    refuse_repeated_fields(body)
    return value


def validated(adapter: TypeAdapter[T], body: bytes) -> T:
    """What the JSON says, as a model. Raises ContractError, or pydantic's ValidationError."""
    value = adapter.validate_json(body)
    refuse_repeated_fields(body)
    return value


def checked(body: bytes) -> bytes:
    """The same bytes, for a parser of models. Raises ContractError as `parse`."""
    parse(body)
    return body


def refuse_repeated_fields(body: bytes) -> None:
    """Raises ContractError, with the field's name, if some object has it twice at any depth.

    Arguments:
        body: What another parser has read. This one follows the nesting with Python's stack, and
            must not be given brackets without end.
    """
    try:
        _DECODER.decode(body.decode())
    except _RepeatedFieldError as error:
        raise ContractError(f"field {error.name!r} stands twice in one object") from None
    except _NoNumberError as error:
        raise ContractError(f"not JSON: {error.name} is no number of JSON's") from None
    except ValueError:  # an integer of more digits than Python reads
        raise ContractError("not JSON that can be read: a number is too long") from None


class _RepeatedFieldError(Exception):
    def __init__(self, name: str) -> None:
        self.name = name


class _NoNumberError(Exception):
    def __init__(self, name: str) -> None:
        self.name = name


def _once(fields: list[tuple[str, Any]]) -> None:
    # The objects themselves are of no use: only their names are looked at.
    if len(dict(fields)) != len(fields):
        _raise_repeated(fields)


def _raise_repeated(fields: list[tuple[str, Any]]) -> NoReturn:
    names = [name for name, _ in fields]
    repeated = next(name for name in names if names.count(name) > 1)
    raise _RepeatedFieldError(repeated[:SHOWN_CHARACTERS])


def _refuse_number(name: str) -> NoReturn:
    raise _NoNumberError(name)


_ANYTHING: TypeAdapter[Any] = TypeAdapter(Any)
_DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_refuse_number)
