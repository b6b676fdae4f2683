"""Following a list: stored before it counts, and never back."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from contracts.client_list import Action, ClientEntry, ClientKey, ClientList
from contracts.identity import Identity
from contracts.numbered_lists import ListOperator, SignedEntry
from workers.delivery.lists import NUMBER, REFUSED_ENTRIES, ListFollower, UnusableListError
from workers.store.floors import Floor, Reached
from workers.store.interface import StoreUnavailableError
from workers.store.records import ListEntryRecord

OPERATOR, STRANGER = Identity.generate(), Identity.generate()


class Store:
    """In memory; `away` makes it unavailable for so many calls."""

    def __init__(self) -> None:
        self.kept: list[ListEntryRecord] = []
        self.away = 0

    async def add_list_entry(self, entry: ListEntryRecord, previous: bytes) -> bool:
        if self.away:
            self.away -= 1
            raise StoreUnavailableError("away")
        kept = self.of(entry.list_name)
        if entry.number <= len(kept):
            return kept[entry.number - 1] == entry
        assert entry.number == len(kept) + 1
        self.kept.append(entry)
        return True

    def of(self, list_name: str) -> list[ListEntryRecord]:
        """One list's."""
        return [each for each in self.kept if each.list_name == list_name]

    async def list_entries(
        self, list_name: str, *, after: int, limit: int
    ) -> list[ListEntryRecord]:
        return self.of(list_name)[after : after + limit]


def listed(*operators: ListOperator) -> ClientList:
    return ClientList(operators or [ListOperator(OPERATOR.public)])


def follower(store: Store, floor: Floor | None = None) -> ListFollower:
    return ListFollower(store, listed(), floor)


def entries(count: int) -> list[SignedEntry]:
    chain, made = listed(), []
    for number in range(1, count + 1):
        key = ClientKey(public_key=Identity.generate().public.der)
        made.append(
            chain.signed(
                OPERATOR,
                issued_at=1,
                action=Action.PUT,
                client_id=f"svc{number}",
                keys=(key,),
            )
        )
        chain.take(made[-1])
    return made


def by_a_stranger() -> SignedEntry:
    entry = ClientEntry(
        number=1,
        previous=bytes(32),
        signer=STRANGER.public.der,
        issued_at=1,
        action=Action.REMOVE,
        client_id="svcA",
    )
    return SignedEntry.of(entry, STRANGER)


async def hear(follower: ListFollower, *heard: SignedEntry) -> None:
    for each in heard:
        await follower.hear("clients", each.to_bytes())


def refused(kind: str) -> float:
    return float(REFUSED_ENTRIES.labels("clients", kind)._value.get())


async def test_what_is_heard_is_stored_and_counts_and_somebody_is_told() -> None:
    store, told = Store(), list[int]()
    following = follower(store)

    async def tell() -> None:
        told.append(following.number)

    following.changed = tell
    made = entries(2)
    await hear(following, *made, *made)
    assert told == [1, 2]
    assert [each.digest for each in store.kept] == [each.digest for each in made]
    assert NUMBER.labels("clients")._value.get() == 2


async def test_what_cannot_be_stored_does_not_count_until_it_is() -> None:
    store = Store()
    following = follower(store)
    (made,) = entries(1)
    store.away = 1
    with pytest.raises(StoreUnavailableError):
        await hear(following, made)
    assert following.number == 0
    await hear(following, made)
    assert (following.number, len(store.kept)) == (1, 1)


async def test_it_is_patient_with_a_store_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.delivery.lists.RETRY_S", 0)
    store = Store()
    following = follower(store)
    store.away = 3
    await following.hear_patiently("clients", entries(1)[0].to_bytes())
    assert following.number == 1


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        ("stranger", lambda: by_a_stranger().to_bytes()),
        ("gap", lambda: entries(2)[1].to_bytes()),
        ("oversized", lambda: b"x" * 100_000),
        ("malformed", lambda: b"{}"),
        (
            "wrong_signature",
            lambda: (
                entries(1)[0].model_copy(update={"signature": by_a_stranger().signature}).to_bytes()
            ),
        ),
    ],
)
async def test_what_is_refused_is_counted_and_changes_nothing(kind: str, wrong: Any) -> None:
    store, before = Store(), refused(kind)
    following = follower(store)
    await following.hear("clients", wrong())
    assert (following.number, store.kept) == (0, [])
    assert refused(kind) == before + 1


async def test_a_fork_raises_an_alarm(caplog: pytest.LogCaptureFixture) -> None:
    following, before = follower(Store()), refused("fork")
    await hear(following, entries(1)[0])
    with caplog.at_level(logging.ERROR):
        await hear(following, entries(1)[0])
    assert (following.number, refused("fork")) == (1, before + 1)
    assert "ALARM" in caplog.text


async def test_a_fork_that_another_process_has_stored_raises_it_too() -> None:
    store, before = Store(), refused("fork")
    await hear(follower(store), entries(1)[0])
    behind = follower(store)
    await hear(behind, entries(1)[0])
    assert (behind.number, refused("fork")) == (0, before + 1)


async def test_messages_of_other_lists_are_none_of_its_business() -> None:
    following, before = follower(Store()), refused("malformed")
    await following.hear("parties", b"whatever")
    assert refused("malformed") == before


async def test_a_restart_goes_on_from_the_store_and_takes_what_others_stored() -> None:
    store, made = Store(), entries(3)
    first = follower(store)
    await hear(first, *made[:2])
    second = follower(store)
    await second.load()
    assert second.number == 2
    await hear(first, made[2])
    await second.load()
    assert second.number == 3


async def test_what_is_stored_is_verified() -> None:
    store = Store()
    await hear(follower(store), *entries(1))
    stored = store.kept[0]
    store.kept = [
        ListEntryRecord(
            list_name="clients",
            number=1,
            digest=stored.digest,
            body=stored.body.replace(b"svc1", b"svc2"),
            signature=stored.signature,
        )
    ]
    with pytest.raises(UnusableListError, match="wrong signature"):
        await follower(store).load()
    with pytest.raises(UnusableListError, match=r"no operator's here.*signed_entries_up_to"):
        await ListFollower(store, listed(ListOperator(STRANGER.public))).load()


async def test_a_database_that_has_gone_back_is_noticed(tmp_path: Path) -> None:
    floor, made = Floor(tmp_path / "floor"), entries(3)
    await hear(follower(Store(), floor), *made)
    assert floor.read() == Reached(3, made[2].digest)

    restored = follower(Store(), floor)
    await hear(restored, *made[:2])
    with pytest.raises(UnusableListError, match=r"ends with entry 2 .* entry 3 counted"):
        restored.require_reached()
    await hear(restored, made[2])
    restored.require_reached()


async def test_another_history_than_the_one_that_counted_is_noticed(tmp_path: Path) -> None:
    floor = Floor(tmp_path / "floor")
    await hear(follower(Store(), floor), *entries(2))
    store, before = Store(), refused("fork")
    other = follower(store, floor)
    await hear(other, *entries(3))
    assert (other.number, len(store.kept), refused("fork")) == (1, 1, before + 1)
    with pytest.raises(UnusableListError, match="entry 2 counted here before"):
        other.require_reached()


async def test_another_history_in_the_store_is_noticed(tmp_path: Path) -> None:
    store = Store()
    await hear(follower(store), *entries(2))
    floor = Floor(tmp_path / "floor")
    await hear(follower(Store(), floor), *entries(2))
    with pytest.raises(UnusableListError, match="another one than counted here before"):
        await follower(store, floor).load()


async def test_it_is_known_outside_before_it_counts(tmp_path: Path) -> None:
    floor = Floor(tmp_path / "missing" / "floor")
    following = follower(Store(), floor)
    with pytest.raises(Exception, match="how far a list had come"):
        await hear(following, *entries(1))
    assert following.number == 0
