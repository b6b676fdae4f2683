"""Drives the TypeScript client: `contracts/typescript/test/drive.ts` does what it is told."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

ANSWER_S = 60


class ToldError(Exception):
    """What the client threw.

    Attributes:
        told: `code`, `retryable`, `final`, `signatureMayExist`, `requestId`, `message`, and
            `shown`, as a log would show it.
    """

    def __init__(self, told: dict[str, Any]) -> None:
        super().__init__(f"{told.get('name')}: {told.get('message')}")
        self.told = told


class Driver:
    """One Node process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._reader = asyncio.create_task(self._read())

    @classmethod
    @contextlib.asynccontextmanager
    async def started(cls, script: Path) -> AsyncIterator[Driver]:
        process = await asyncio.create_subprocess_exec(
            "node",
            "--expose-gc",
            str(script),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=1 << 24,
        )
        driver = cls(process)
        try:
            yield driver
        finally:
            await driver.stop()

    @property
    def pid(self) -> int:
        return self._process.pid

    def begin(self, call: str, **words: Any) -> asyncio.Future[Any]:
        """Tell it; the future has what came of it."""
        number = next(self._numbers)
        answer = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        line = json.dumps({"id": number, "call": call, "with": words})
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        return answer

    async def __call__(self, call: str, **words: Any) -> Any:
        """Raises ToldError."""
        async with asyncio.timeout(ANSWER_S):
            return await self.begin(call, **words)

    async def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(10):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._reader

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            told = json.loads(line)
            answer = self._waiting.pop(told["id"])
            if answer.done():
                continue
            if "error" in told:
                answer.set_exception(ToldError(told["error"]))
            else:
                answer.set_result(told["value"])
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(RuntimeError("the client's process has ended"))
