"""How many presignatures the coordinator has made ahead: the table [pools] of its file."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator

from contracts.terms import MAX_PRESIGN_BATCH


class PoolLimits(BaseModel):
    """A pool is one key's for one signer set."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    low: int = Field(default=32, ge=0)
    """A pool in use that has fewer is filled up to `high`; 0 makes none before they are wanted."""
    high: int = Field(default=128, ge=0)
    idle_seconds: float = Field(default=600, ge=0)
    """A pool that was not used for so long is no longer filled."""
    per_key: int = Field(default=1024, ge=64)
    """Nothing is made ahead for a key that has so many, of all signer sets."""
    in_all: int = Field(default=32_768, ge=64)
    """Nor at all when all pools together have so many."""
    batch: int = Field(default=MAX_PRESIGN_BATCH, ge=1, le=MAX_PRESIGN_BATCH)
    """Presignatures of one batch, at most: more cost less each, and come later."""
    batches_per_pool: int = Field(default=2, ge=1)
    batches: int = Field(default=4, ge=1)
    """In the making at once."""
    batch_seconds: float = Field(default=20, gt=0)
    """A batch that is not done by then has failed."""
    quarrel_seconds: float = Field(default=3600, ge=0)
    """For so long no signer set has two parties of which one has banned the other."""

    @model_validator(mode="after")
    def _ordered(self) -> PoolLimits:
        if self.high < self.low:
            raise ValueError("high must not be below low")
        return self
