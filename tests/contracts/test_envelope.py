from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from hypothesis import given
from hypothesis import strategies as st

from contracts.encoding import pack, unpack
from contracts.envelope import ENVELOPE_TAG, MAX_ENVELOPE_BYTES, Envelope, UnverifiedEnvelope
from contracts.errors import ContractError

from .samples import PARTIES

SENDER = PARTIES["p1"]
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ENVELOPES = st.builds(
    Envelope,
    session_id=st.binary(min_size=32, max_size=32),
    epoch=st.integers(0, 2**32 - 1),
    kind=st.text(st.characters(codec="ascii"), max_size=20),
    round=st.integers(0, 255),
    sender=st.text(st.characters(codec="ascii"), max_size=64),
    recipient=st.text(st.characters(codec="ascii"), max_size=64),
    payload=st.binary(max_size=100),
)
SEALED = Envelope(
    session_id=bytes(32),
    epoch=0,
    kind="keygen",
    round=1,
    sender="p1",
    recipient="*",
    payload=b"\x00\x00payload",
).seal(SENDER)


@given(ENVELOPES)
def test_a_sealed_envelope_opens_as_itself(envelope: Envelope) -> None:
    received = UnverifiedEnvelope.from_bytes(envelope.seal(SENDER))
    assert received.verify(SENDER.public) == envelope
    assert received.content == envelope.content()


@given(st.binary(max_size=300))
def test_arbitrary_bytes_raise_only_contract_errors(data: bytes) -> None:
    with pytest.raises(ContractError):
        UnverifiedEnvelope.from_bytes(data)


@given(st.lists(st.binary(max_size=40), min_size=7, max_size=7), st.binary(max_size=80))
def test_parts_of_the_wrong_shape_raise_only_contract_errors(
    parts: list[bytes], signature: bytes
) -> None:
    try:
        received = UnverifiedEnvelope.from_bytes(pack((pack(parts), signature)))
    except ContractError:
        return
    with pytest.raises(ContractError, match="wrong signature"):
        received.verify(SENDER.public)


@given(st.integers(0, len(SEALED) - 1), st.integers(1, 255))
def test_an_envelope_with_one_byte_changed_is_refused(at: int, mask: int) -> None:
    spoiled = bytearray(SEALED)
    spoiled[at] ^= mask
    with pytest.raises(ContractError):
        UnverifiedEnvelope.from_bytes(bytes(spoiled)).verify(SENDER.public)


def test_an_envelope_of_another_sender_is_refused() -> None:
    with pytest.raises(ContractError, match="wrong signature"):
        UnverifiedEnvelope.from_bytes(SEALED).verify(PARTIES["p2"].public)


def test_an_oversized_envelope_is_not_even_parsed() -> None:
    with pytest.raises(ContractError, match="at most"):
        UnverifiedEnvelope.from_bytes(bytes(MAX_ENVELOPE_BYTES + 1))
    with pytest.raises(ContractError, match="behind the last part"):
        UnverifiedEnvelope.from_bytes(bytes(MAX_ENVELOPE_BYTES))


@pytest.mark.parametrize("at", [0, 1, 3])
@pytest.mark.parametrize("more", [-1, 1])
def test_a_field_of_fixed_width_has_no_other(at: int, more: int) -> None:
    content, _ = unpack(SEALED, 2)
    parts = list(unpack(content, 7))
    parts[at] = bytes(len(parts[at]) + more)
    wrong = pack(parts)
    with pytest.raises(ContractError, match="another width"):
        UnverifiedEnvelope.from_bytes(pack((wrong, SENDER.sign(ENVELOPE_TAG, wrong))))


def test_a_second_signature_over_the_same_content_is_the_same_message() -> None:
    """ECDSA: (r, -s) verifies wherever (r, s) does."""
    content, signature = unpack(SEALED, 2)
    r, s = decode_dss_signature(signature)
    malleated = pack((content, encode_dss_signature(r, P256_ORDER - s)))
    assert malleated != SEALED
    first, second = (
        UnverifiedEnvelope.from_bytes(data).verify(SENDER.public) for data in (SEALED, malleated)
    )
    assert first.digest() == second.digest()
