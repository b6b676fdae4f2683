"""What the dialects find before they begin."""

from __future__ import annotations

import pytest

from gateway.dialects import service

from .callers import calls, gateway
from .desks import DeskDouble


async def test_without_a_broker_callers_are_told_so_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "WITHOUT_BROKER_S", 0.05)
    async with calls(gateway(DeskDouble(), connected=False)) as http:
        for refused in (
            await http.get("/api/v1/accounts"),
            await http.post("/api/v1/accounts", json={"user_id": "u"}),
        ):
            assert refused.status_code == 503
            assert refused.json()["code"] == "broker_unavailable"


async def test_a_short_break_of_the_connection_nobody_notices() -> None:
    app = gateway(DeskDouble())
    breaks = iter([False, False])
    app.state.connected = lambda: next(breaks, True)
    async with calls(app) as http:
        assert (await http.get("/api/v1/accounts")).status_code == 200
    assert not list(breaks)
