"""What can be asked for: one row an operation, from which everything else about it follows.

Addresses, documents, the README's tables, failed results, which answers a client believes and who
serves a request at the coordinator go by these rows. A request or result without a row, or a row
that does not hold together, is an error when this module is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, TypeVar, get_args

from . import checks, proofs, requests, results
from .proofs import Proof
from .requests import RequestBase
from .results import ResultBase

RequestT = TypeVar("RequestT", bound=RequestBase)
ResultT = TypeVar("ResultT", bound=ResultBase)


class Lane(StrEnum):
    """Which of a client's request queues: a pile of one kind of work does not delay the others."""

    KEYGEN = "keygen"
    SIGNING = "signing"
    CONTROL = "control"
    """What is answered at once. A cancellation behind what it cancels would come too late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation(Generic[RequestT, ResultT]):
    """
    Attributes:
        word: Of the kind in the routing keys of requests and results; operations may share one.
        echoes: The request's fields that a failure repeats.
        check: Raises ContractError unless the completed result answers the request.
        proves: What in the result is to be verified. Where that is nothing it is said by
            `proofs.nothing`: then a client believes whatever the coordinator says.
        for_many: What the README says of it, if it is for clients that serve many.
        counts_late: A request that begins no session counts after its deadline too. Only for what
            takes something away for good: old bytes that come again do no harm then.
        right_of: Whoever may ask for that other operation may ask for this one, and nobody else.
        named: A right of its own: only a client for which the configuration names it among its
            operations may ask for it. One without such a list may ask for all others.
    """

    request: type[RequestT]
    result: type[ResultT]
    word: str
    lane: Lane
    begins_session: bool
    echoes: tuple[str, ...]
    check: Callable[[RequestT, ResultT], None]
    proves: Callable[[ResultT], Sequence[Proof]]
    for_many: str | None
    counts_late: bool = False
    right_of: str | None = None
    named: bool = False

    @property
    def name(self) -> str:
        """What stands in `operation` and `result`."""
        name: str = self.request.model_fields["operation"].default
        return name


# Without an annotation: it would make mypy take any check for any request.
TABLE = (
    Operation(
        request=requests.KeygenRequest,
        result=results.KeygenResult,
        word="keygen",
        lane=Lane.KEYGEN,
        begins_session=True,
        echoes=("key_id",),
        check=checks.made_key,
        proves=proofs.made_key,
        for_many=None,
    ),
    Operation(
        request=requests.ReshareRequest,
        result=results.ReshareResult,
        word="reshare",
        lane=Lane.KEYGEN,
        begins_session=True,
        echoes=("key_id",),
        check=checks.made_epoch,
        proves=proofs.made_epoch,
        for_many=None,
        named=True,
    ),
    Operation(
        request=requests.SignRequest,
        result=results.SignResult,
        word="signing",
        lane=Lane.SIGNING,
        begins_session=True,
        echoes=("key_id",),
        check=checks.made_signatures,
        proves=proofs.made_signatures,
        for_many=None,
    ),
    Operation(
        request=requests.CancelRequest,
        result=results.CancelResult,
        word="cancel",
        lane=Lane.CONTROL,
        begins_session=False,
        echoes=("target",),
        check=checks.ended_session,
        proves=proofs.statements,
        for_many=None,
    ),
    Operation(
        request=requests.RehearseRequest,
        result=results.RehearseResult,
        word="query",
        lane=Lane.CONTROL,
        begins_session=False,
        echoes=("key_id",),
        check=checks.rehearsed,
        proves=proofs.readiness,
        for_many=None,
        right_of="reshare",
        named=True,
    ),
    Operation(
        request=requests.QueryKeysRequest,
        result=results.QueryKeysResult,
        word="query",
        lane=Lane.CONTROL,
        begins_session=False,
        echoes=(),
        check=checks.listed_keys,
        proves=proofs.listed_keys,
        for_many=None,
    ),
    Operation(
        request=requests.QuerySessionRequest,
        result=results.QuerySessionResult,
        word="query",
        lane=Lane.CONTROL,
        begins_session=False,
        echoes=(),
        check=checks.looked_at_session,
        proves=proofs.outcome,
        for_many=None,
    ),
    Operation(
        request=requests.QueryKeyHistoryRequest,
        result=results.QueryKeyHistoryResult,
        word="query",
        lane=Lane.CONTROL,
        begins_session=False,
        echoes=(),
        check=checks.told_history,
        proves=proofs.told_history,
        for_many=None,
    ),
    Operation(
        request=requests.JoinSessionRequest,
        result=results.JoinSessionResult,
        word="join",
        lane=Lane.CONTROL,
        begins_session=False,
        echoes=(),
        check=checks.joined_party,
        proves=proofs.nothing,
        for_many="shows a token that a session was announced with; a party can be joined once. "
        "With `join_window_ms` in its request a session waits for that, no longer than so many "
        "milliseconds",
    ),
    Operation(
        request=requests.QueryAccountsRequest,
        result=results.QueryAccountsResult,
        word="query",
        lane=Lane.CONTROL,
        begins_session=False,
        echoes=(),
        check=checks.listed_accounts,
        proves=proofs.listed_accounts,
        for_many="keys that were made with `user_id`, a page at a time",
    ),
    Operation(
        request=requests.ConfigureAccountRequest,
        result=results.ConfigureAccountResult,
        word="account",
        lane=Lane.CONTROL,
        begins_session=False,
        echoes=(),
        check=checks.configured_account,
        proves=proofs.configured_account,
        for_many="which parties sign with such a key where a request names none",
    ),
    Operation(
        request=requests.PutApiKeyRequest,
        result=results.PutApiKeyResult,
        word="api_key",
        lane=Lane.CONTROL,
        begins_session=False,
        echoes=(),
        check=checks.kept_api_key,
        proves=proofs.nothing,
        for_many="adds an entry of the API-key authority: whom the client's gateways let in",
    ),
    Operation(
        request=requests.RevokeApiKeyRequest,
        result=results.RevokeApiKeyResult,
        word="api_key",
        lane=Lane.CONTROL,
        begins_session=False,
        echoes=(),
        check=checks.revoked_api_key,
        proves=proofs.nothing,
        for_many="adds an entry of the API-key authority: a key lets nobody in any more",
        counts_late=True,
    ),
    Operation(
        request=requests.QueryApiKeysRequest,
        result=results.QueryApiKeysResult,
        word="query",
        lane=Lane.CONTROL,
        begins_session=False,
        echoes=(),
        check=checks.listed_api_keys,
        proves=proofs.signed_entries,
        for_many="a page of these entries, signed as they were; a gateway verifies them",
    ),
)


def _by_name(table: Iterable[Operation[Any, Any]]) -> Mapping[str, Operation[Any, Any]]:
    """Raises TypeError, naming what is wrong and where it stands."""
    rows = tuple(table)
    for union, column in (
        (requests.Request, [row.request for row in rows]),
        (results.Result, [row.result for row in rows]),
    ):
        _same_models(get_args(get_args(union)[0]), column)
    made = {row.name: row for row in rows}
    for row in rows:
        _coherent(row)
        if row.right_of is not None and (row.right_of not in made or row.right_of == row.name):
            raise TypeError(
                f"{__name__}.TABLE: {row.name}: there is no other operation {row.right_of!r} whose "
                "right it could take"
            )
    return made


def _same_models(members: Sequence[type], column: Sequence[type]) -> None:
    for model in members:
        if column.count(model) != 1:
            raise TypeError(
                f"{model.__module__}.{model.__name__} has {column.count(model)} rows in "
                f"{__name__}.TABLE; it must have one"
            )
    for model in column:
        if model not in members:
            raise TypeError(
                f"{__name__}.TABLE has a row for {model.__name__}, which is no member of the union "
                f"at the end of {model.__module__}"
            )


def _coherent(row: Operation[Any, Any]) -> None:
    place, asked, given = f"{__name__}.TABLE: {row.name}", row.request, row.result
    if given.model_fields["result"].default != row.name:
        raise TypeError(f"{place}: {given.__name__} is the result of another operation")
    for name in row.echoes:
        if name not in asked.model_fields or name not in given.model_fields:
            raise TypeError(
                f"{place}: {name!r} is not a field of both {asked.__name__} and {given.__name__}"
            )
    own = given.model_fields.keys() - ResultBase.model_fields.keys() - {*row.echoes}
    for name in sorted(own):
        if given.model_fields[name].is_required():
            raise TypeError(
                f"{place}: a failure has no {given.__name__}.{name}; give that a default or name "
                "it among what failures echo"
            )


OPERATIONS: Mapping[str, Operation[Any, Any]] = _by_name(TABLE)
"""By name, in the order of the table."""

RIGHTS = tuple(name for name, row in OPERATIONS.items() if row.right_of is None)
"""What a client may be allowed: each operation that goes by a right of its own."""


def known_right(name: str) -> str:
    """The name, if it can stand among what a client may ask. Raises ValueError, with what to write
    instead."""
    if name in RIGHTS:
        return name
    if name in OPERATIONS:
        right = OPERATIONS[name].right_of
        raise ValueError(
            f"there is no right to {name!r}, which goes with {right!r}: name only that"
        )
    raise ValueError(f"no right to {name!r}; there are {', '.join(RIGHTS)}")
