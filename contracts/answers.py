"""Results as answers: which result answers a request, and the one that tells of a failure."""

from __future__ import annotations

from .checks import same
from .failures import Failure
from .operations import OPERATIONS
from .requests import Request
from .results import Result, Status


def check_answer(request: Request, result: Result) -> None:
    """Raises ContractError unless the result answers this request, as far as ids and echoed
    fields tell; the key and the signature in it are still to be checked."""
    same("request_id", result.request_id, request.request_id)
    same("client_id", result.client_id, request.client_id)
    same("result", result.result, request.operation)
    if result.status is Status.COMPLETED:
        OPERATIONS[request.operation].check(request, result)


def failed_result(
    operation: str,
    failure: Failure,
    *,
    request_id: str,
    client_id: str | None,
    request_digest: bytes,
    finished_at: int,
    status: Status = Status.FAILED,
    session_id: bytes | None = None,
    **known: str | None,
) -> Result:
    """The result that tells of a failure, in the shape that the operation's results have.

    Arguments:
        known: Fields of the request. What the operation's failures echo is taken, the rest left.
    """
    row = OPERATIONS[operation]
    result: Result = row.result(
        request_id=request_id,
        client_id=client_id,
        session_id=session_id,
        request_digest=request_digest,
        status=status,
        failure=failure,
        finished_at=finished_at,
        **{name: known.get(name) for name in row.echoes},
    )
    return result
