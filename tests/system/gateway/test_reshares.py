"""A key's shares are made anew over HTTP, in every dialect; the key signs all the while."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from contracts.primitives import Scope

from .callers import (
    KEYGEN,
    MESSAGE,
    PARTICIPANTS,
    PARTIES,
    code,
    ended,
    events,
    made,
    told,
    verifies,
)
from .conftest import Letting


async def test_an_accounts_key_is_refreshed_while_it_signs(
    caller: httpx.AsyncClient, at_another: httpx.AsyncClient
) -> None:
    wish = {"user_id": "refreshed", "curve": "ed25519"}
    account = await made(caller, "/api/v1/accounts?wait=60", wish)
    path = f"/api/v1/accounts/{account['account_id']}"

    async def sign(who: httpx.AsyncClient) -> dict[str, Any]:
        signed = (await made(who, f"{path}/sign?wait=60", {"message": MESSAGE}))["result"]
        assert signed["public_key"] == account["public_key"]
        assert verifies(signed)
        return dict(signed)

    await sign(at_another)  # which knows the key as it is before
    begun, _ = await asyncio.gather(
        made(caller, f"{path}/reshare?wait=60", {}, **{"Idempotency-Key": "refresh-1"}),
        sign(at_another),
    )
    result = begun["result"]
    assert (result["from_epoch"], result["epoch"]) == (0, 1)
    assert (result["parties"], result["shown_out"]) == (PARTIES, [])
    assert result["bundle"]["key"] == result["certified_key"]
    await sign(at_another)
    for who in (caller, at_another):
        assert told(await who.get(path))["epoch"] == 1
        key = told(await who.get(f"/api/v1/keys/{account['account_id']}"))
        assert (key["epoch"], key["certified_key"]) == (1, result["certified_key"])
    again = await at_another.post(
        f"{path}/reshare", json={}, headers={"Idempotency-Key": "refresh-1"}
    )
    assert told(again, 201)["session_id"] == begun["session_id"]
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json()["result"] == result


async def test_a_key_gets_another_threshold_and_who_follows_sees_it(
    caller: httpx.AsyncClient, at_another: httpx.AsyncClient, letting: Letting
) -> None:
    key = (await made(at_another, "/api/v1/mpc/keygen?wait=60", KEYGEN))["result"]
    wish = {"key_id": key["key_id"], "threshold_t": 3, "dealers": PARTIES[1:]}
    async with letting("only-signer", Scope.KEYGEN, Scope.SIGN, Scope.READ) as signer:
        lacking = await signer.post("/api/v1/mpc/reshare", json=wish)
        assert code(lacking, 403) == "scope_missing"
    async with letting("onlooker") as stranger:
        assert code(await stranger.post("/api/v1/mpc/reshare", json=wish), 404) == "unknown_key"
    begun = await made(caller, "/api/v1/mpc/reshare", wish)
    assert (begun["session_type"], begun["threshold_t"]) == ("reshare", 3)
    assert set(begun["join_tokens"]) == set(PARTIES)
    seen = [each async for each in events(at_another, begun["session_id"])]
    told_of = [data["reshare"] for _, _, data in seen]
    assert {(each["from_epoch"], each["to_epoch"]) for each in told_of} == {(0, 1)}
    kind, _, last = seen[-1]
    assert (kind, last["status"], told_of[-1]["missing"]) == ("end", "completed", [])
    assert (last["result"]["threshold_t"], last["result"]["dealers"]) == (3, PARTIES[1:])
    # Until the new holders are asked, two of the former ones sign.
    wish = {"key_id": key["key_id"], "message": MESSAGE, "parties": PARTIES[:2]}
    signed = (await made(at_another, "/api/v1/mpc/sign?wait=60", wish))["result"]
    assert signed["public_key"] == key["public_key"]
    assert verifies(signed)


async def test_the_generic_dialect_reshares_and_cancels(caller: httpx.AsyncClient) -> None:
    key = (await made(caller, "/api/v1/mpc/keygen?wait=60", KEYGEN))["result"]
    wish = {"session_type": "reshare", "key_id": key["key_id"], "participants": PARTICIPANTS}
    begun = await made(caller, "/api/v1/sessions", wish)
    path = f"/api/v1/sessions/{begun['session_id']}"
    looked = told(await caller.get(path))
    assert (looked["status"], looked["reshare"]["missing"]) == ("waiting", PARTIES)
    cancelled = told(await caller.post(f"{path}/cancel"))
    assert (cancelled["status"], cancelled["final"]) == ("cancelled", True)
    # What was cancelled has used its number up, and the next try takes the one behind it.
    used_up = await caller.post("/api/v1/sessions", json={**wish, "tries": 1})
    assert code(used_up, 422) == "invalid_request"
    assert "first_epoch must be later" in used_up.json()["detail"]
    begun = await made(caller, "/api/v1/sessions", wish)
    joins = [
        caller.post(
            f"/api/v1/sessions/{begun['session_id']}/join",
            json={"join_token": begun["join_token"], "party_id": party_id},
        )
        for party_id in PARTIES
    ]
    for joined in await asyncio.gather(*joins):
        assert told(joined)["reshare"]["to_epoch"] == 2
    over = await ended(caller, begun["session_id"])
    assert (over["status"], over["result"]["epoch"]) == ("completed", 2)
    stranger = {"key_id": key["key_id"], "participants": [*PARTICIPANTS, {"party_id": "party-9"}]}
    assert code(await caller.post("/api/v1/mpc/reshare", json=stranger), 422) == "unknown_party"
