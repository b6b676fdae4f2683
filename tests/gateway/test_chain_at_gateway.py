"""What a gateway makes of pages that somebody between it and the authority has made up."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from contracts.api_keys import SignedApiKeyEntry
from contracts.identity import Identity
from contracts.results import QueryApiKeysResult
from gateway.entry.api_keys import ApiKeys
from gateway.ledger import Ledger, LedgerError
from gateway.problems import Problem
from tests.contracts.chains import Scribe, now_ms
from tests.gateway.entrance import OTHER_SECRET, SECRET, Coordinator, api_key, opened, problem
from tests.patience import until

REVOCATIONS = "/api-keys/revocations"
Pages = list[SignedApiKeyEntry]


def honest() -> Coordinator:
    coordinator = Coordinator()
    coordinator.scribe.put("bank-1")
    return coordinator


def of_a_stranger(coordinator: Coordinator) -> Pages:
    return with_more(coordinator, Scribe(Identity.generate()))


def for_another_client(coordinator: Coordinator) -> Pages:
    return with_more(coordinator, Scribe(client_id="svcB"))


def with_more(coordinator: Coordinator, scribe: Scribe) -> Pages:
    scribe.entries.extend(coordinator.scribe.entries)
    scribe.put(**api_key("eve-1", secret=OTHER_SECRET, holder="shop"))
    return scribe.entries


def with_a_gap(coordinator: Coordinator) -> Pages:
    coordinator.scribe.put("left-out")
    known = coordinator.scribe.entries[:-1]
    coordinator.scribe.put(**api_key("eve-1", secret=OTHER_SECRET))
    return [*known, coordinator.scribe.entries[-1]]


def forked(coordinator: Coordinator) -> Pages:
    second = Scribe(entries=coordinator.scribe.entries[:1])
    second.put(**api_key("eve-1", secret=OTHER_SECRET))
    second.put("more")
    return second.entries


def of_yesterday(coordinator: Coordinator) -> Pages:
    return coordinator.scribe.entries[:1]


def empty(_: Coordinator) -> Pages:
    return []


@pytest.mark.parametrize(
    "forge", [of_a_stranger, for_another_client, with_a_gap, forked, of_yesterday, empty]
)
async def test_a_page_that_does_not_continue_the_chain_is_told_of_and_changes_nothing(
    forge: Callable[[Coordinator], Pages], caplog: pytest.LogCaptureFixture
) -> None:
    coordinator = honest()
    async with (
        opened(coordinator=coordinator, refresh_s=0.01) as entrance,
        entrance.caller() as caller,
        entrance.caller(OTHER_SECRET) as eve,
    ):
        await until(lambda: entrance.keys.fresh)
        with caplog.at_level(logging.CRITICAL):
            coordinator.entries = forge(coordinator)
            await until(lambda: entrance.keys.last_error is not None)
        fresh_at = entrance.keys._fresh_at
        asked = coordinator.asked
        await until(lambda: coordinator.asked > asked + 2)
        assert entrance.keys._fresh_at == fresh_at
        assert (await eve.get("/who")).status_code == 401
        assert (await caller.get("/who")).status_code == 200
        figures = entrance.metrics.exposition()[0].decode()
        coordinator.entries = None
        await until(lambda: entrance.keys.last_error is None)
    assert "API keys not believed" in caplog.text
    (line,) = [each for each in figures.splitlines() if each.startswith(REFUSED)]
    assert float(line.split()[1]) >= 1


REFUSED = "warren_gateway_api_key_pages_refused_total"


async def test_a_coordinator_that_proves_nothing_shuts_out_everybody_after_ten_seconds() -> None:
    moment = 1000.0
    coordinator = honest()
    keys = ApiKeys(
        coordinator.page,
        coordinator.ledger(),
        refresh_s=0.01,
        clock=lambda: moment,
        out_of_turn_s=0,
    )
    async with keys.kept_fresh():
        assert await keys.find(SECRET.encode())
        coordinator.entries = of_yesterday(coordinator)
        await until(lambda: keys.last_error is not None)
        moment += 10
        assert keys.known(SECRET.encode())
        moment += 0.1
        for secret in (SECRET, "unknown"):
            with pytest.raises(Problem) as refused:
                await keys.find(secret.encode())
            assert refused.value.status == 503


async def test_a_page_that_promises_more_and_brings_nothing_ends() -> None:
    coordinator = honest()

    async def endless(after: int) -> QueryApiKeysResult:
        page = await coordinator.page(after)
        return page.model_copy(update={"more": True})

    keys = ApiKeys(endless, coordinator.ledger())
    async with keys.kept_fresh():
        await until(lambda: keys.last_error is not None)
        assert not keys.fresh
        assert coordinator.asked == 2


async def test_a_chain_of_many_pages_is_read_to_its_end() -> None:
    coordinator = Coordinator([api_key(f"key-{i}", secret=f"secret {i}") for i in range(20)])
    keys = ApiKeys(coordinator.page, coordinator.ledger())
    async with keys.kept_fresh():
        assert await keys.find(b"secret 19")


async def test_nobody_enters_when_the_authoritys_last_word_has_ended() -> None:
    coordinator = honest()
    coordinator.scribe.nothing_after(now_ms() - 1, issued_at=now_ms() - 1000)
    async with (
        opened(coordinator=coordinator, refresh_s=0.01) as entrance,
        entrance.caller() as caller,
    ):
        assert problem(await caller.get("/who"))["code"] == "keys_unknown"
        coordinator.scribe.nothing_after(now_ms() + 60_000)
        await until(lambda: entrance.keys.fresh)
        assert (await caller.get("/who")).status_code == 200


###
### Over a restart
###


async def told(coordinator: Coordinator, path: Path) -> ApiKeys:
    """A gateway process that has come and gone."""
    keys = ApiKeys(coordinator.page, coordinator.ledger(path))
    async with keys.kept_fresh():
        await until(lambda: keys.fresh or keys.last_error is not None)
    return keys


async def test_a_restart_is_not_rolled_back(tmp_path: Path) -> None:
    coordinator = honest()
    coordinator.scribe.revoke("shop-1")
    assert (await told(coordinator, tmp_path / "keys")).last_error is None
    coordinator.entries = coordinator.scribe.entries[:2]
    again = await told(coordinator, tmp_path / "keys")
    assert "a gap: entry 3 is missing" in str(again.last_error)
    assert not again.fresh
    without_file = ApiKeys(coordinator.page, coordinator.ledger())
    async with without_file.kept_fresh():
        assert await without_file.find(SECRET.encode())  # which is why there is the file


async def test_processes_tell_each_other_by_the_file(tmp_path: Path) -> None:
    coordinator = honest()
    path = tmp_path / "keys"
    one, other = coordinator.ledger(path), coordinator.ledger(path)
    one.go_on(coordinator.scribe.entries, 0)
    other.catch_up()
    assert other.chain.head == one.chain.head
    revoked = coordinator.scribe.revoke()
    assert other.revoke(revoked) == "shop-1"
    coordinator.scribe.put("later")
    other.go_on(coordinator.scribe.entries[2:], 2)
    one.go_on(coordinator.scribe.entries[1:], 2)
    found = one.chain.key("shop-1")
    assert found is not None
    assert found.revoked_at is not None
    assert len(one.entries()) == 4
    assert len(path.read_bytes().splitlines()) == 5  # the revocation came twice
    fresh = coordinator.ledger(path)
    fresh.catch_up()
    assert (fresh.chain.number, fresh.chain.head) == (4, one.chain.head)
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_a_process_that_was_killed_left_half_is_written_over(tmp_path: Path) -> None:
    coordinator = honest()
    path = tmp_path / "keys"
    coordinator.ledger(path).go_on(coordinator.scribe.entries[:1], 0)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:50])
    coordinator.ledger(path).go_on(coordinator.scribe.entries, 1)
    again = coordinator.ledger(path)
    again.catch_up()
    assert again.chain.number == 2


@pytest.mark.parametrize("line", [b"nonsense\n", b'{"body": "e30=", "signature": ""}\n'])
def test_a_file_that_the_authority_has_not_written_is_refused(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "keys"
    coordinator = honest()
    coordinator.ledger(path).go_on(coordinator.scribe.entries, 0)
    path.write_bytes(path.read_bytes() + line)
    with pytest.raises(LedgerError, match=r"keys, line 3: not"):
        coordinator.ledger(path).catch_up()
    with pytest.raises(LedgerError, match="line 1: not signed"):
        Ledger(Scribe(Identity.generate()).chain(), path).catch_up()


def test_nothing_is_ever_taken_out_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    coordinator = honest()
    ledger = coordinator.ledger(path)
    ledger.go_on(coordinator.scribe.entries, 0)
    path.write_bytes(b"")
    with pytest.raises(LedgerError, match="shorter"):
        ledger.catch_up()
    with pytest.raises(LedgerError, match="directory"):
        coordinator.ledger(tmp_path).catch_up()


###
### Revocations that come to the gateway itself
###


async def test_a_revocation_that_is_brought_counts_at_once_and_for_good(tmp_path: Path) -> None:
    coordinator = honest()
    async with (
        opened(coordinator=coordinator, refresh_s=0.01, path=tmp_path / "keys") as entrance,
        entrance.caller() as caller,
        entrance.client() as anybody,
    ):
        assert (await caller.get("/who")).status_code == 200
        coordinator.entries = list(coordinator.scribe.entries)
        renewed = coordinator.scribe.put(**api_key())
        revoked = coordinator.scribe.revoke()
        for _ in range(2):
            answer = await anybody.post(REVOCATIONS, json=revoked.model_dump(mode="json"))
            assert (answer.status_code, answer.json()) == (200, {"api_key_id": "shop-1"})
            assert (await caller.get("/who")).status_code == 401

        # A page that lacks it does not bring the key back, nor one that renews it.
        coordinator.entries.append(renewed)
        asked = coordinator.asked
        await until(lambda: coordinator.asked > asked + 2)
        assert entrance.keys.last_error is None
        assert (await caller.get("/who")).status_code == 401
    async with (
        opened(coordinator=coordinator, path=tmp_path / "keys") as restarted,
        restarted.caller() as caller,
    ):
        assert (await caller.get("/who")).status_code == 401


async def test_what_is_no_revocation_by_the_authority_ends_nothing() -> None:
    coordinator = honest()
    wrong = {
        "a stranger's": Scribe(Identity.generate()).revoke(),
        "for other gateways": Scribe(client_id="svcB").revoke(),
        "lets in": coordinator.scribe.signed_put(**api_key("eve-1", secret=OTHER_SECRET)),
    }
    async with opened(coordinator=coordinator) as entrance, entrance.client() as anybody:
        for what, entry in wrong.items():
            answer = await anybody.post(REVOCATIONS, json=entry.model_dump(mode="json"))
            assert answer.status_code == 422, what
            assert problem(answer)["code"] == "revocation_refused"
        coordinator.entries = list(coordinator.scribe.entries)
        signed = coordinator.scribe.revoke().model_dump(mode="json")
        for body in ({}, signed | {"more": 1}, signed | {"body": "no base64!"}):
            assert (await anybody.post(REVOCATIONS, json=body)).status_code == 422
        large = await anybody.post(REVOCATIONS, json=signed | {"body": "A" * 5000})
        assert large.status_code == 413
        async with entrance.caller() as caller:
            assert (await caller.get("/who")).status_code == 200


async def test_revocations_come_from_allowed_addresses_only() -> None:
    coordinator = honest()
    entry = coordinator.scribe.revoke().model_dump(mode="json")
    async with opened(coordinator=coordinator) as entrance:
        async with entrance.client("192.0.2.1") as stranger:
            assert (await stranger.post(REVOCATIONS, json=entry)).status_code == 403
        async with entrance.client() as anybody:
            assert (await anybody.post(REVOCATIONS + "/", json=entry)).status_code == 401
