"""What in a result can be proven, however far the coordinator is trusted.

`client.trust` verifies it: keys by their parties' certificates, signatures under such a key.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from .errors import ContractError
from .keys import CertifiedKey
from .primitives import Status
from .results import KeygenResult, QueryKeysResult, QuerySessionResult, ResultBase, SignResult

Proof = CertifiedKey | SignResult


def nothing(_: ResultBase) -> Sequence[Proof]:
    """Of results that are as the coordinator tells them."""
    return ()


def made_key(result: KeygenResult) -> Sequence[Proof]:
    if result.status is not Status.COMPLETED:
        return ()
    if result.key is None or result.key.facts.key_id != result.key_id:
        raise ContractError("the result is completed and has not its key")
    return (result.key,)


def made_signatures(result: SignResult) -> Sequence[Proof]:
    return (result,) if result.status is Status.COMPLETED else ()


def listed_keys(result: QueryKeysResult) -> Sequence[Proof]:
    return result.keys


def outcome(result: QuerySessionResult) -> Sequence[Proof]:
    """Those of the session's own result."""
    match result.outcome:
        case None:
            return ()
        case KeygenResult() as made:
            return made_key(made)
        case SignResult() as made:
            return made_signatures(made)
        case other:
            assert_never(other)
