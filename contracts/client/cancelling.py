"""Cancelling, and knowing that it is over: what the id stands for, and who could answer it."""

from __future__ import annotations

from ..errors import ContractError
from ..failures import FailureCode
from ..keys import CertifiedKey
from ..primitives import Owner
from ..requests import CancelRequest, QueryKeysRequest, QuerySessionRequest
from ..results import CancelResult, QueryKeysResult, QuerySessionResult
from ..signing import reopen
from .errors import RequestFailedError
from .registers import Registers
from .settlement import Group, Settlement, settle
from .wishes import Wish


class Cancels(Registers):
    """Ends requests, and counts what the parties state of them."""

    async def cancel(
        self,
        request_id: str,
        *,
        key_id: str | None = None,
        issued_at: int | None = None,
        of: Owner | None = None,
    ) -> Settlement:
        """Let nothing come of a request any more, whether it has arrived or not; the `Settlement`
        says whether that is proven. May be asked of any request, at any time.

        Arguments:
            key_id, issued_at: With which key it was to sign, and when it was issued, if another
                process made it and the coordinator may not know it. Without them nothing is proven
                of such a request. What is found in a request of our own counts more.
            of: Whose request it is, where an operator cancels somebody else's. Then nothing is
                proven: whose statements count, only its owner knows.
        """
        if of is not None and of.client_id == self._settings.client_id:
            return await self._of(of.tenant).cancel(request_id, key_id=key_id, issued_at=issued_at)
        if of is not None:
            return await self._cancel(request_id, None, of)
        wish = self._correspondence.wish(self._owner, request_id)
        if wish is None:
            wish = await self._found_again(target=request_id) or Wish(issued_at, key_id=key_id)
        return await self._cancel(request_id, wish, None)

    async def cancel_session(self, session_id: bytes) -> Settlement:
        """The same, named by a session of it: of this client's, or for an operator of anybody's.

        Which request a session is of, its terms prove, for their hash is its id.
        """
        found = await self._query(QuerySessionRequest, QuerySessionResult, session_id=session_id)
        view = found.session
        assert view is not None  # `check_answer` has made sure
        owner = Owner(client_id=view.client_id, tenant=view.tenant)
        if owner != self._owner:
            return await self.cancel(view.request_id, of=owner)
        return await self._cancel(view.request_id, self._opened(found, view.request_id), None)

    @property
    def _owner(self) -> Owner:
        return Owner(client_id=self._settings.client_id, tenant=self._tenant)

    async def _cancel(self, request_id: str, wish: Wish | None, of: Owner | None) -> Settlement:
        """Of another owner's request there is no wish, and nothing is proven."""
        issued_at = None if wish is None else wish.issued_at
        key = None if wish is None else await self._key(wish)
        result = await self._query(
            CancelRequest,
            CancelResult,
            target=request_id,
            target_issued_at=issued_at,
            key_session=None if key is None else key.facts.session_id,
            of=of,
        )
        return settle(
            result,
            None if wish is None else self._group(wish, key, result),
            self._owner,
            issued_at=issued_at or 0,
            liars=self._settings.liars,
        )

    async def _found_again(self, target: str) -> Wish | None:
        """None where the coordinator does not know the request, or says so."""
        try:
            found = await self._query(QuerySessionRequest, QuerySessionResult, target=target)
        except RequestFailedError as error:
            if error.failure.code is FailureCode.UNKNOWN_REQUEST:
                return None
            raise
        return self._opened(found, target)

    def _opened(self, found: QuerySessionResult, request_id: str) -> Wish | None:
        """From the bytes of a request that we have signed ourselves: the coordinator could name
        another key, whose parties know nothing of it and state so."""
        if found.request is None or found.request_signature is None:
            return None
        try:
            own = self._settings.identity.public
            request = reopen(found.request, found.request_signature, own).request
        except ContractError:
            return None
        ours = request.owned_by == self._owner and request.request_id == request_id
        return Wish.of(request) if ours else None

    def _group(self, wish: Wish, key: CertifiedKey | None, result: CancelResult) -> Group | None:
        if wish.issued_at is None:
            return None  # whether a statement covers it, nobody can say
        if wish.made is not None:
            return Group.of_new_key(wish.made, self._settings.speakers)
        if key is None:
            return None
        return Group.of_key(key.facts, self._settings.speakers, result.epochs)

    async def _key(self, wish: Wish) -> CertifiedKey | None:
        """That was to sign. Parties are asked of its epochs, so it comes before the cancel."""
        if wish.key_id is None:
            return None
        try:
            page = await self._query(QueryKeysRequest, QueryKeysResult, only=wish.key_id)
        except RequestFailedError as error:
            if error.failure.code is FailureCode.UNKNOWN_KEY:
                return None
            raise
        return page.keys[0]
