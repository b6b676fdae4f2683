"""How many presignatures came and went meanwhile."""

from __future__ import annotations

from dataclasses import dataclass

from .stock import Stock


@dataclass(frozen=True, slots=True, kw_only=True)
class Presignatures:
    """
    Attributes:
        before: In stock when the measurement began.
        after: In stock when it ended.
        made: For the measured key meanwhile.
        made_elsewhere: For the key whose pool was filled all the while; None without one.
    """

    before: int
    after: int
    made: int
    made_elsewhere: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """At one moment; `made` since the keys are there."""

    stock: int
    made: int
    made_elsewhere: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """
    Attributes:
        key_session: Of the measured key.
        elsewhere: Of the key whose pool is filled all the while.
    """

    stock: Stock
    key_session: bytes
    elsewhere: bytes | None

    async def count(self) -> Count:
        """How many presignatures there are, and were made, up to now."""
        return Count(
            stock=(await self.stock.level(self.key_session)).stock,
            made=await self.stock.made(self.key_session),
            made_elsewhere=None
            if self.elsewhere is None
            else await self.stock.made(self.elsewhere),
        )

    async def since(self, before: Count) -> Presignatures:
        """What became of them since an earlier count."""
        after = await self.count()
        elsewhere = None
        if after.made_elsewhere is not None and before.made_elsewhere is not None:
            elsewhere = after.made_elsewhere - before.made_elsewhere
        return Presignatures(
            before=before.stock,
            after=after.stock,
            made=after.made - before.made,
            made_elsewhere=elsewhere,
        )
