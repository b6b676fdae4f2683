"""What clients ask about their keys."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.results import KeygenResult, QueryKeysResult
from tests.workers.callers import answer, ask
from tests.workers.simulate import World
from workers.coordinator import questions


async def test_keys_come_in_pages(shire: World, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"key-{letter}" for letter in "abcd"]
    for name in names:
        request = shire.keygen_request(key_id=name)
        await shire.ask(request)
        await shire.run()

    async def page(**fields: Any) -> tuple[list[str], bool]:
        found = await ask(shire, QueryKeysResult, "query_keys", **fields)
        return [key.facts.key_id for key in found.keys], found.more

    assert await page() == (names, False)
    assert await page(limit=4) == (names, False)
    assert await page(limit=3) == (names[:3], True)
    assert await page(limit=3, after="key-b") == (names[2:], False)
    assert await page(after="key-d") == ([], False)
    assert await page(only="key-c") == (["key-c"], False)
    # A page is no longer than a message may be.
    key = answer(shire, request, KeygenResult).key
    assert key is not None
    monkeypatch.setattr(questions, "PAGE_BYTES", 2 * len(key.model_dump_json()) + 100)
    assert await page() == (names[:2], True)
    assert await page(after="key-b") == (names[2:], False)
