"""JSON in which an object names a field twice is refused, wherever it comes from outside."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from contracts.admission import open_request
from contracts.errors import ContractError, InvalidRequestError
from contracts.primitives import Scheme
from contracts.requests import ADAPTER, SignItem
from contracts.signing import REQUEST_TAG
from contracts.strict_json import (
    SHOWN_CHARACTERS,
    checked,
    parse,
    refuse_repeated_fields,
    validated,
)

from .samples import CLIENT, fields, policies

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
)


@given(JSON)
def test_what_names_each_field_once_is_read_as_ever(value: Any) -> None:
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1)):
        body = text.encode()
        assert parse(body) == value
        assert checked(body) is body


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": 1, "a": 2}',
        b'{"a": 1, "a": 1}',
        b'{"a":1,"b":2,"a" :3}',
        b'{"a": 1, "\\u0061": 2}',
        b'{"b": {"a": 1, "c": 0, "a": 2}}',
        b'[0, [{"b": [{"a": 1, "a": 2}]}]]',
        b'{"b": {"a": 1}, "c": {"a": 1}, "a": [], "a": []}',
    ],
)
def test_a_field_that_stands_twice_is_named(body: bytes) -> None:
    with pytest.raises(ContractError, match="field 'a' stands twice"):
        parse(body)
    with pytest.raises(ContractError, match="field 'a' stands twice"):
        checked(body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": {"a": {"a": 1}}}',
        b'[{"a": 1}, {"a": 1}]',
        b'{"a": 1, "A": 2, " a": 3, "a ": 4}',
        b'{"a": "\\"a\\": 1, \\"a\\": 2"}',
    ],
)
def test_the_same_name_in_different_objects_is_no_repetition(body: bytes) -> None:
    assert parse(body) == json.loads(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"a": 1,}',
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'"\\ud800"',
        b'{"\\udfff": 1}',
        b'{"a": "\xff"}',
        b"\xef\xbb\xbf{}",
        '{"a": 1}'.encode("utf-16"),
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"a": 1} {"a": 1}',
    ],
)
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(ContractError, match="not JSON"):
        parse(body)


def test_a_number_without_end_is_refused_and_not_an_accident() -> None:
    with pytest.raises(ContractError, match="not JSON"):
        parse(b'{"a": ' + b"9" * 5_000 + b"}")
    with pytest.raises(ContractError, match="a number is too long"):
        refuse_repeated_fields(b'{"a": ' + b"9" * 5_000 + b"}")


def test_of_a_long_name_only_the_beginning_is_shown() -> None:
    name = b"x" * 10_000
    with pytest.raises(ContractError) as caught:
        parse(b'{"%b": 1, "%b": 2}' % (name, name))
    assert len(str(caught.value)) < SHOWN_CHARACTERS + 100


###
### Requests
###


def twice(operation: str, name: str, value: str) -> bytes:
    """A right request, and behind it one of its fields again."""
    right = ADAPTER.validate_python(fields(operation)).model_dump_json()
    return (right[:-1] + f',"{name}":{value}}}').encode()


@pytest.mark.parametrize(
    ("operation", "name", "value"),
    [
        ("sign", "message", '"2222"'),
        ("sign", "key_id", '"another"'),
        ("sign", "request_id", '"r1"'),
        ("sign", "version", "1"),
        ("sign", "operation", '"sign"'),
        ("keygen", "threshold", "3"),
        ("keygen", "curve", '"ed25519"'),
    ],
)
def test_a_request_that_names_a_field_twice_is_invalid_and_answered(
    operation: str, name: str, value: str
) -> None:
    body = twice(operation, name, value)
    with pytest.raises(InvalidRequestError, match=f"field '{name}' stands twice") as caught:
        open_request(body, CLIENT.sign(REQUEST_TAG, body), policies())
    assert caught.value.operation == operation
    assert caught.value.request_id == "r1"


def test_a_field_twice_in_one_of_the_items_is_invalid() -> None:
    item = SignItem(message=b"\x11" * 32)
    wish = fields("sign", scheme=Scheme.ECDSA, message=None, items=[item, item])
    right = ADAPTER.validate_python(wish).model_dump_json().encode()
    assert open_request(right, CLIENT.sign(REQUEST_TAG, right), policies())
    body = right.replace(b'"items":[{', b'"items":[{"message":"%b",' % (b"22" * 32))
    with pytest.raises(InvalidRequestError, match="field 'message' stands twice"):
        open_request(body, CLIENT.sign(REQUEST_TAG, body), policies())


def test_nobody_is_answered_before_the_signature_is_right() -> None:
    body = twice("sign", "message", '"2222"')
    with pytest.raises(ContractError, match="signature") as caught:
        open_request(body, CLIENT.sign(REQUEST_TAG, body + b" "), policies())
    assert not isinstance(caught.value, InvalidRequestError)


def test_a_model_is_read_from_json_that_names_a_field_once() -> None:
    numbers = TypeAdapter(dict[str, int])
    assert validated(numbers, b'{"a": 1}') == {"a": 1}
    with pytest.raises(ContractError, match="field 'a' stands twice"):
        validated(numbers, b'{"a": 1, "a": 2}')
    with pytest.raises(ValidationError):
        validated(numbers, b'{"a": "one"}')
