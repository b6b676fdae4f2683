"""What a producer may have to handle."""

from __future__ import annotations

from collections.abc import Sequence

from ..failures import Failure
from ..results import Result


class ClientError(Exception):
    """The root of all that the client library raises, `ValueError` for impossible arguments
    aside."""


class SettingsError(ClientError):
    """The configuration cannot be used; says which file and field, never a secret."""


class ClientClosedError(ClientError):
    """The client was closed while a call was waiting."""


class TopologyError(ClientError):
    """An exchange, queue or permission is missing. The text says which, and the remedy."""


class BrokerUnavailableError(ClientError):
    """The broker could not be reached, or confirmed nothing, for as long as it made sense.

    A request that was not confirmed may have been stored all the same: try again with
    `Client.submit` and the same signed request, never with a new one, if it must not run twice.
    Before a wallet pays in another way, it asks again for the same digest, or makes the first
    payment worthless, unless `signature_may_exist` is false or a `Settlement` is final.

    Attributes:
        signature_may_exist: False only for a request that was new and never left this process.
    """

    def __init__(self, *text: object, signature_may_exist: bool = True) -> None:
        super().__init__(*text)
        self.signature_may_exist = signature_may_exist


class ResultTimeoutError(ClientError):
    """The deadline passed without a result, which proves nothing: shares may have been made and
    held back. Before a wallet pays in another way, it asks again for the same digest, or makes the
    first payment worthless, unless `signature_may_exist` is false or a `Settlement` is final.

    Attributes:
        request_id: Of the request; its session may still have ended well, see `Client.session`.
        rejected: Why results that claimed to answer it were refused, oldest first.
        signature_may_exist: False only for a request that was new and never left this process.
    """

    def __init__(
        self, request_id: str, rejected: Sequence[str] = (), *, signature_may_exist: bool = True
    ) -> None:
        text = f"no result for request {request_id} within its deadline"
        if rejected:
            text += f"; {len(rejected)} were refused, the last because {rejected[-1]}"
        super().__init__(text)
        self.request_id = request_id
        self.rejected = tuple(rejected)
        self.signature_may_exist = signature_may_exist


class RequestFailedError(ClientError):
    """The answer is no. `failure` tells the reason and whether a new request may succeed.

    It is the coordinator's word, and proves nothing of what the parties have done. Before a wallet
    pays in another way, it asks again for the same digest, or makes the first payment worthless,
    unless a `Settlement` of `Client.cancel` is final.

    Attributes:
        signature_may_exist: Always, as only the parties' statements prove the contrary.
    """

    signature_may_exist = True

    def __init__(self, failure: Failure, result: Result) -> None:
        super().__init__(f"{failure.code}: {failure.message}")
        self.failure = failure
        self.result = result


class ClockError(RequestFailedError):
    """The coordinator calls the request expired while it still counts by this machine's clock: the
    two are further apart than is allowed for. Nothing came of it, and a new request would end the
    same way, so its failure is not retryable; set the clocks right.

    Attributes:
        behind_s: By how much this clock is behind the coordinator's, at least.
    """

    def __init__(self, failure: Failure, result: Result, *, behind_s: float) -> None:
        text = (
            f"this machine's clock is behind the coordinator's by {behind_s:.1f} s or more; set "
            f"the clocks right. {failure.message}"
        )
        told = failure.model_copy(update={"message": text[:2000], "retryable": False})
        super().__init__(told, result)
        self.behind_s = behind_s
