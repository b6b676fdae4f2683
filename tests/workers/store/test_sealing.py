"""Sealing by itself: keys, kinds, places."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from workers.store.sealing import Kind, MasterKeys, Sealer, SealError

FIRST, SECOND = bytes(range(32)), bytes(range(32, 64))
PLACE = (b"row", b"party-1")


def sealer(*keys: bytes) -> Sealer:
    return Sealer(MasterKeys(dict(enumerate(keys, start=1))))


@pytest.fixture(params=[kind for kind in Kind if kind is not Kind.DATA_KEY], ids=str)
def kind(request: pytest.FixtureRequest) -> Kind:
    chosen: Kind = request.param
    return chosen


def seal(by: Sealer, kind: Kind, plain: bytes, *place: bytes) -> bytes:
    if kind is Kind.KEY_SHARE:
        return by.seal_share(plain, *place)
    return by.seal(kind, plain, *place)


def unseal(by: Sealer, kind: Kind, sealed: bytes, *place: bytes) -> bytes:
    if kind is Kind.KEY_SHARE:
        return by.open_share(sealed, *place)
    return by.open(kind, sealed, *place)


def test_what_is_sealed_opens_in_its_place(kind: Kind) -> None:
    for plain in [b"", b"the secret"]:
        sealed = seal(sealer(FIRST), kind, plain, *PLACE)
        assert unseal(sealer(FIRST), kind, sealed, *PLACE) == plain


def test_the_same_value_is_never_sealed_the_same_way(kind: Kind) -> None:
    by = sealer(FIRST)
    assert seal(by, kind, b"the secret", *PLACE) != seal(by, kind, b"the secret", *PLACE)


@pytest.mark.parametrize(
    "place", [(b"row", b"party-2"), (b"low", b"party-1"), (b"rowp", b"arty-1"), (b"row",)]
)
def test_nothing_opens_in_another_place(kind: Kind, place: tuple[bytes, ...]) -> None:
    sealed = seal(sealer(FIRST), kind, b"the secret", *PLACE)
    with pytest.raises(SealError, match="changed or moved"):
        unseal(sealer(FIRST), kind, sealed, *place)


def test_nothing_opens_as_another_kind() -> None:
    by = sealer(FIRST)
    sealed = by.seal(Kind.NONCE, b"the secret", *PLACE)
    with pytest.raises(SealError, match="round state"):
        by.open(Kind.ROUND_STATE, sealed, *PLACE)


def test_nothing_opens_under_another_key(kind: Kind) -> None:
    sealed = seal(sealer(FIRST), kind, b"the secret", *PLACE)
    with pytest.raises(SealError, match="wrong master key"):
        unseal(sealer(SECOND), kind, sealed, *PLACE)


def test_no_bit_of_a_sealed_value_may_flip(kind: Kind) -> None:
    by = sealer(FIRST)
    sealed = seal(by, kind, b"the secret", *PLACE)
    for bit in range(8 * len(sealed)):
        spoilt = bytearray(sealed)
        spoilt[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SealError) as caught:
            unseal(by, kind, bytes(spoilt), *PLACE)
        assert "secret" not in str(caught.value)


def test_no_part_of_a_sealed_value_opens(kind: Kind) -> None:
    by = sealer(FIRST)
    sealed = seal(by, kind, b"the secret", *PLACE)
    for size in range(len(sealed)):
        with pytest.raises(SealError):
            unseal(by, kind, sealed[:size], *PLACE)


def test_a_newer_key_seals_and_the_older_one_still_opens(kind: Kind) -> None:
    old = seal(sealer(FIRST), kind, b"old", *PLACE)
    both = sealer(FIRST, SECOND)
    new = seal(both, kind, b"new", *PLACE)

    assert unseal(both, kind, old, *PLACE) == b"old"
    assert unseal(both, kind, new, *PLACE) == b"new"
    with pytest.raises(SealError, match="version 2, which is not here"):
        unseal(sealer(FIRST), kind, new, *PLACE)
    only_second = Sealer(MasterKeys({2: SECOND}))
    assert unseal(only_second, kind, new, *PLACE) == b"new"


def test_a_wrapper_keeps_the_data_keys_of_shares() -> None:
    class Service:
        """Knows keys by number, as a key management service does."""

        def __init__(self) -> None:
            self.kept: list[tuple[bytes, bytes]] = []

        def wrap(self, data_key: bytes, context: bytes) -> bytes:
            self.kept.append((data_key, context))
            return str(len(self.kept)).encode()

        def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
            data_key, wanted = self.kept[int(wrapped) - 1]
            if context != wanted:
                raise SealError("another context")
            return data_key

    service = Service()
    by = Sealer(MasterKeys({1: FIRST}), wrapper=service)
    sealed = [by.seal_share(share, *PLACE) for share in (b"one", b"two")]

    assert [by.open_share(share, *PLACE) for share in sealed] == [b"one", b"two"]
    assert len({data_key for data_key, _ in service.kept}) == 2
    with pytest.raises(SealError, match="another context"):
        by.open_share(sealed[0], b"elsewhere")
    with pytest.raises(SealError):
        sealer(FIRST).open_share(sealed[0], *PLACE)


def test_a_master_key_comes_from_the_environment() -> None:
    keys = MasterKeys.from_environment({"WARREN_MASTER_KEY": FIRST.hex()})
    sealed = sealer(FIRST).seal(Kind.NONCE, b"the secret", *PLACE)
    assert Sealer(keys).open(Kind.NONCE, sealed, *PLACE) == b"the secret"


@pytest.mark.parametrize("environment", [{}, {"WARREN_MASTER_KEY": ""}])
def test_an_environment_without_a_key_says_what_is_missing(environment: dict[str, str]) -> None:
    with pytest.raises(SealError, match="WARREN_MASTER_KEY is not set"):
        MasterKeys.from_environment(environment)


@pytest.mark.parametrize("digits", ["ab" * 31, "ab" * 33, "xy" * 32, " " + "ab" * 31 + "a"])
def test_a_master_key_that_is_none_is_refused_and_not_shown(digits: str) -> None:
    with pytest.raises(SealError, match="is not 64 hex digits") as caught:
        MasterKeys.from_hex(digits)
    assert digits not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_key_file_holds_versions(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(f'# rotated in spring\n1 = "{FIRST.hex()}"\n2 = "{SECOND.hex()}"\n')
    both = Sealer(MasterKeys.from_file(path))
    for keys in [(FIRST,), (FIRST, SECOND)]:
        sealed = sealer(*keys).seal(Kind.NONCE, b"the secret", *PLACE)
        assert both.open(Kind.NONCE, sealed, *PLACE) == b"the secret"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no master key"),
        (f'key = "{FIRST.hex()}"', "not a version number"),
        (f'{FIRST.hex()} = "1"', "not a version number"),
        (f'0 = "{FIRST.hex()}"', "versions start at 1"),
        (f'9999999999 = "{FIRST.hex()}"', "versions start at 1"),
        ("1 = 5", "not 64 hex digits"),
        (f"1 = {FIRST.hex()}", "not TOML"),
        (f'1 = "{FIRST.hex()}"\n1 = "{SECOND.hex()}"', "not TOML"),
    ],
)
def test_a_key_file_that_is_none_is_refused_and_not_shown(
    tmp_path: Path, text: str, complaint: str
) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(text)
    with pytest.raises(SealError, match=complaint) as caught:
        MasterKeys.from_file(path)
    assert FIRST.hex() not in str(caught.value)


def test_a_key_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SealError, match=r"none\.toml"):
        MasterKeys.from_file(tmp_path / "none.toml")


def test_master_keys_do_not_show_themselves() -> None:
    key = os.urandom(32)
    assert repr(MasterKeys({3: key, 1: key})) == "MasterKeys(versions=[1, 3])"
    with pytest.raises(SealError) as caught:
        MasterKeys({1: key[:31]})
    assert key.hex()[:16] not in str(caught.value)
