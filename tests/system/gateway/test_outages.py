"""Gateways that are killed or started anew, and a broker that goes away."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import httpx

from ops.chaos.wires import Wires
from ops.stack.deployment import Deployment

from .callers import KEYGEN, MESSAGE, PATIENCE_S, code, ended, eventually, made, told, verifies
from .conftest import PROXIED

ACCOUNTS = "/api/v1/accounts"
BOUND_S = 20
"""What takes no longer has not waited for what does not come."""


def kill(stack: Deployment, name: str, number: signal.Signals = signal.SIGKILL) -> None:
    os.kill(stack.supervisor.pids[name], number)


async def again(stack: Deployment, name: str) -> None:
    stack.supervisor.start(stack.programs[name])
    await asyncio.to_thread(stack.supervisor.wait_ready)


async def test_a_gateway_killed_in_mid_request_is_replaced_by_any_other(
    stack: Deployment, caller: httpx.AsyncClient, at_another: httpx.AsyncClient
) -> None:
    account = await made(caller, f"{ACCOUNTS}?wait=60", {"user_id": "dave", "curve": "ed25519"})
    path = f"{ACCOUNTS}/{account['account_id']}/sign?wait=60"
    wish = {"message": MESSAGE}
    answered = set()
    for after_s, held in ((0.005, False), (0.05, True)):
        key = {"Idempotency-Key": f"killed after {after_s} s"}
        if held:  # so that no answer is quicker than the kill
            kill(stack, "coordinator.1", signal.SIGSTOP)
        try:
            asking = asyncio.create_task(caller.post(path, json=wish, headers=key))
            await asyncio.sleep(after_s)
            kill(stack, "gateway.1")
            first = (await asyncio.gather(asking, return_exceptions=True))[0]
        finally:
            if held:
                kill(stack, "coordinator.1", signal.SIGCONT)
        answered.add(type(first))
        retried = await made(at_another, path, wish, **key)
        assert verifies(retried["result"])
        if isinstance(first, httpx.Response):  # it was quicker than the kill
            assert first.json()["session_id"] == retried["session_id"]

        await again(stack, "gateway.1")
        repeated = await caller.post(path, json=wish, headers=key)
        assert repeated.headers["idempotent-replayed"] == "true"
        assert told(repeated, 201) == {**retried, "status": "completed"}
        other = await caller.post(path, json={"message": "b3RoZXI="}, headers=key)
        assert code(other, 409) == "idempotency_conflict"
    assert answered != {httpx.Response}


async def test_the_result_of_a_killed_gateway_waits_at_the_coordinator(
    stack: Deployment, caller: httpx.AsyncClient, at_another: httpx.AsyncClient
) -> None:
    begun = await made(caller, "/api/v1/sessions", {"session_type": "keygen", **KEYGEN})
    kill(stack, "gateway.1")
    over = await ended(at_another, begun["session_id"])
    assert over["status"] == "completed"
    await again(stack, "gateway.1")
    assert (await ended(caller, begun["session_id"]))["result"] == over["result"]


async def test_who_waits_long_at_a_gateway_that_is_stopped_is_told_in_time(
    stack: Deployment, caller: httpx.AsyncClient, at_another: httpx.AsyncClient
) -> None:
    kill(stack, "party-1.keygen.1", signal.SIGSTOP)
    try:
        begun = await made(caller, "/api/v1/mpc/keygen", KEYGEN)
        path = f"/api/v1/sessions/{begun['session_id']}"
        waiting = asyncio.create_task(caller.get(path, params={"wait": PATIENCE_S}))
        await asyncio.sleep(0.5)
        assert not waiting.done()
        kill(stack, "gateway.1", signal.SIGTERM)
        looked = told(await asyncio.wait_for(waiting, BOUND_S))
        assert looked["status"] in {"waiting", "in_progress"}
    finally:
        kill(stack, "party-1.keygen.1", signal.SIGCONT)
    await again(stack, "gateway.1")
    assert (await ended(caller, begun["session_id"]))["status"] == "completed"


async def test_without_a_broker_callers_are_told_so_and_afterwards_served_again(
    behind_proxy: httpx.AsyncClient, wires: Wires, at_another: httpx.AsyncClient
) -> None:
    wish = {"user_id": "frank", "curve": "ed25519"}
    account = await made(behind_proxy, f"{ACCOUNTS}?wait=60", wish)
    path = f"{ACCOUNTS}/{account['account_id']}"
    before, meanwhile = {"Idempotency-Key": "begun before"}, {"Idempotency-Key": "through it"}
    begun = await made(behind_proxy, "/api/v1/mpc/keygen", KEYGEN, **before)
    wires.cut(PROXIED)
    try:
        ready = told(await eventually(lambda: behind_proxy.get("/health/ready"), 503), 503)
        assert ready["dependencies"]["broker"] == "unavailable"
        assert told(await behind_proxy.get("/health"))["status"] == "healthy"
        asked = time.monotonic()
        refusals = await asyncio.gather(
            behind_proxy.get(path),
            behind_proxy.post(f"{path}/sign", json={"message": MESSAGE}, headers=meanwhile),
            behind_proxy.post("/api/v1/mpc/keygen", json=KEYGEN),
        )
        assert time.monotonic() - asked < BOUND_S
        for refused in refusals:
            assert code(refused, 503) == "broker_unavailable"
            assert refused.headers["retry-after"]
        told(await at_another.get(path))
    finally:
        wires.mend(PROXIED)
    await eventually(lambda: behind_proxy.get("/health/ready"), 200)
    signed = await made(behind_proxy, f"{path}/sign?wait=60", {"message": MESSAGE}, **meanwhile)
    assert verifies(signed["result"])
    found = await made(behind_proxy, "/api/v1/mpc/keygen?wait=60", KEYGEN, **before)
    assert found["session_id"] == begun["session_id"]
    assert found["result"]
