"""How much unfinished work is taken on, and what is said to those who want more."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.failures import FailureCode
from contracts.results import Status
from workers.coordinator.admission import Admission

from ..simulate import CLIENT, World, world


def limited(shire: World, *, per_owner: int = 2, in_all: int = 100) -> Admission:
    admission = Admission(shire.coordinator_store, per_owner=per_owner, in_all=in_all)
    shire.requests._admission = admission
    return admission


@pytest.mark.parametrize("limits", [{"per_owner": 2}, {"in_all": 2}])
async def test_what_is_too_much_is_told_so_and_begins_nothing(
    tmp_path: Path, limits: dict[str, int]
) -> None:
    async with world(tmp_path) as shire:
        limited(shire, **limits)
        asked = [shire.keygen_request() for _ in range(3)]
        for request in asked:
            await shire.ask(request)
        (refused,) = shire.results()
        assert refused.request_id == asked[2].request_id
        assert refused.status is Status.FAILED
        assert refused.failure is not None
        assert refused.failure.code is FailureCode.OVERLOADED
        assert refused.failure.retryable
        known = await shire.coordinator_store.request(CLIENT, asked[2].request_id)
        assert known is not None
        assert known.refused
        assert await shire.coordinator_store.unfinished() == {CLIENT: 2}


async def test_a_request_that_came_before_is_not_too_much(tmp_path: Path) -> None:
    async with world(tmp_path) as shire:
        limited(shire, per_owner=1)
        signed = await shire.ask(shire.keygen_request())
        begun = list(shire.network.sent)
        await shire.submit(signed)
        assert shire.network.sent == begun * 2


async def test_signing_is_refused_like_making_keys(tmp_path: Path) -> None:
    async with world(tmp_path) as shire:
        await shire.ask(shire.keygen_request(key_id="k"))
        await shire.run()
        admission = limited(shire, per_owner=1)
        await shire.ask(shire.sign_request(key_id="k"))
        await shire.ask(shire.sign_request(key_id="k"))
        *_, refused = shire.results()
        assert refused.failure is not None
        assert refused.failure.code is FailureCode.OVERLOADED
        await shire.run()
        await admission.refresh()
        await shire.ask(shire.sign_request(key_id="k"))
        await shire.run()
        assert shire.results()[-1].status is Status.COMPLETED


async def test_one_clients_work_is_not_counted_against_another(tmp_path: Path) -> None:
    async with world(tmp_path) as shire:
        admission = limited(shire, per_owner=1)
        admission.began("svcB")
        assert admission.refusal("svcB") is not None
        assert admission.refusal(CLIENT) is None


async def test_tenants_of_one_client_leave_room_for_another_client(tmp_path: Path) -> None:
    async with world(tmp_path) as shire:
        admission = limited(shire, per_owner=2, in_all=6)
        for tenant in range(4):
            assert admission.refusal(f"gate/{tenant}") is None
            admission.began(f"gate/{tenant}")
        refused = admission.refusal("gate/another")
        assert refused is not None
        assert "this client's tenants" in refused.message
        for _ in range(2):
            assert admission.refusal(CLIENT) is None
            admission.began(CLIENT)
        everybody = admission.refusal("svcC")
        assert everybody is not None
        assert "all clients" in everybody.message


async def test_what_tenants_have_under_way_is_counted_from_the_store(tmp_path: Path) -> None:
    async with world(tmp_path) as shire:
        admission = limited(shire, per_owner=1, in_all=2)
        await shire.ask(shire.keygen_request(tenant="shop"))
        await admission.refresh()
        assert admission.refusal(f"{CLIENT}/bank") is not None
        await shire.run()
        await admission.refresh()
        assert admission.refusal(f"{CLIENT}/bank") is None
