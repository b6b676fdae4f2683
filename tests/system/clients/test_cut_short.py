"""Whoever is cut short, wherever that is, runs the same command again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contracts import list_log
from contracts.client import Client, ClientSettings
from contracts.client_list import ClientList
from contracts.identity import Identity
from contracts.primitives import Curve, Scheme
from ops.registrar.desk import Desk, Wish
from ops.registrar.errors import RefusedError
from ops.registrar.settings import RegistrarSettings
from topology import members_file

from .test_clients_come_and_go import queues_of


class CutError(Exception):
    """As by a kill."""


class Cutter:
    """Lets one more step pass at each attempt."""

    def __init__(self, settings: RegistrarSettings) -> None:
        self._settings = settings
        self.said: list[str] = []

    def desk(self) -> Desk:
        return Desk(self._settings, say=self._say, settle_s=0.1)

    def _say(self, text: str) -> None:
        if text not in self.said:
            self.said.append(text)
            raise CutError(text)

    async def ends(self, work: Callable[[Desk], Awaitable[Any]]) -> Any:
        for _ in range(60):
            try:
                return await work(self.desk())
            except CutError:
                continue
        pytest.fail("it never ends")


async def list_of(settings: RegistrarSettings) -> ClientList:
    return (await Desk(settings).look())[0]


async def test_after_each_of_its_steps(stack: Any, settings: RegistrarSettings, out: Path) -> None:
    wish = Wish(client_id="cut", out=out)
    cutter = Cutter(settings)
    before = (await list_of(settings)).number
    given = await cutter.ends(lambda desk: desk.add(wish))
    assert len(cutter.said) > 10
    assert given.number == before + 1
    async with Client.connect(ClientSettings.load(given.config)) as client:
        await client.create_key("mine", curve=Curve.ED25519, threshold=2, party_count=3)

    cutter = Cutter(settings)
    rotated = await cutter.ends(lambda desk: desk.rotate(wish))
    assert rotated.number == before + 2
    for config in (given.config, rotated.config):
        async with Client.connect(ClientSettings.load(config)) as client:
            await client.sign("mine", message=b"x", scheme=Scheme.ED25519, timeout_s=30)
    cutter = Cutter(settings)
    assert await cutter.ends(lambda desk: desk.finish("cut")) == before + 3
    async with Client.connect(ClientSettings.load(rotated.config)) as client:
        await client.sign("mine", message=b"x", scheme=Scheme.ED25519, timeout_s=30)

    cutter = Cutter(settings)
    assert await cutter.ends(lambda desk: desk.remove("cut", discard_results=99)) == before + 4
    assert len(cutter.said) > 4
    assert await queues_of(stack, "cut") == []
    assert "cut" not in members_file.load(settings.members_file).clients
    assert not list(settings.list_file.parent.glob("*.pending"))


@pytest.mark.parametrize("published", [False, True])
async def test_before_and_after_the_entry_is_published(
    settings: RegistrarSettings, out: Path, monkeypatch: pytest.MonkeyPatch, published: bool
) -> None:
    publish = list_log.publish

    async def cut(connection: Any, name: str, entries: Any) -> None:
        made = list(entries)
        if published or not made:
            await publish(connection, name, made)
        if made:
            raise CutError

    before = (await list_of(settings)).number
    wish = Wish(client_id=f"published-{published}", out=out)
    with monkeypatch.context() as patched:
        patched.setattr(list_log, "publish", cut)
        with pytest.raises(CutError):
            await Desk(settings).add(wish)
    given = await Desk(settings).add(wish)
    assert given.number == before + 1
    async with Client.connect(ClientSettings.load(given.config)) as client:
        assert await client.keys() == []


async def test_something_else_is_not_begun_meanwhile(
    settings: RegistrarSettings, out: Path
) -> None:
    wish = Wish(client_id="half", out=out)
    with pytest.raises(CutError):
        await Cutter(settings).desk().add(wish)
    desk = Desk(settings, settle_s=0.1)
    with pytest.raises(RefusedError, match="no client half is known"):
        await desk.rotate(wish)
    with pytest.raises(RefusedError, match="warren client add half` was begun"):
        await desk.add(replace(wish, public_key=Identity.generate().public))
    # Who is half in can be shown out.
    await desk.remove("half")
    with pytest.raises(RefusedError, match="was removed"):
        await desk.add(wish)
