"""A desk without a queue behind it: sessions end when somebody waits for them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NoReturn, TypeVar

from contracts.answers import failed_result
from contracts.client import Rehearsal, RequestFailedError, Settlement
from contracts.failures import Failure, FailureCode
from contracts.keys import CertifiedKey, Holder, KeyFacts
from contracts.primitives import Curve, Scheme, Status
from contracts.results import (
    EcdsaForms,
    JoinSessionResult,
    KeygenResult,
    QueryAccountsResult,
    QuerySessionResult,
    SessionAnnounced,
    SessionResult,
    SignResult,
)
from contracts.views import AccountView, SessionView
from gateway.sessions import NewShares, Opened, ReferenceConflictError

from ..contracts.samples import BEGUN, SingleKey, child_of, session_terms
from .desk_sessions import (
    CREATED_AT,
    LIFETIME_MS,
    PARTIES,
    Running,
    digest,
    rehearsal,
    reshare_result,
    reshare_terms,
)

__all__ = ["PARTIES", "DeskDouble"]

N = TypeVar("N")
T = TypeVar("T")


@dataclass
class Tenant:
    keys: dict[str, CertifiedKey] = field(default_factory=dict)
    accounts: dict[str, AccountView] = field(default_factory=dict)
    sessions: dict[bytes, Running] = field(default_factory=dict)
    requests: dict[str, bytes] = field(default_factory=dict)


class DeskDouble:
    """
    Attributes:
        failing: What sessions come to, instead of completing.
        refusing: What every call is answered with, if set.
        asked: Arguments of all creations, in order.
        begun: By key, the epochs that reshares have begun.
        declining, away: Parties, in rehearsals.
    """

    def __init__(self) -> None:
        self.tenants: dict[str, Tenant] = {}
        self.failing: Failure | None = None
        self.refusing: Exception | None = None
        self.asked: list[dict[str, Any]] = []
        self.begun: dict[str, list[int]] = {}
        self.declining: set[str] = set()
        self.away: set[str] = set()

    async def begin_key(self, tenant: str, **asked: Any) -> Opened:
        parties = asked["parties"] or list(PARTIES)[: asked["party_count"]]
        return self._begin(tenant, "keygen", asked, parties, asked["curve"])

    async def begin_signature(self, tenant: str, **asked: Any) -> Opened:
        facts = (await self.key(tenant, asked["key_id"])).facts
        account = self._of(tenant).accounts.get(asked["key_id"])
        configured = None if account is None else account.signers
        holders = configured or [holder.party_id for holder in facts.holders]
        signers = asked["signers"] or holders[: facts.threshold]
        if not {*signers} <= {holder.party_id for holder in facts.holders}:
            self._fail(FailureCode.UNKNOWN_PARTY, "a signer holds no share of the key")
        return self._begin(tenant, "sign", asked, signers, facts.curve)

    async def begin_reshare(
        self, tenant: str, *, shares: Callable[[KeyFacts], NewShares], **asked: Any
    ) -> Opened:
        facts = (await self.key(tenant, asked["key_id"])).facts
        if asked["request_id"] in self._of(tenant).requests:
            return self._begin(tenant, "reshare", asked, [], facts.curve)
        wanted = shares(facts)
        asked |= {**asdict(wanted), "party_count": len(wanted.parties)}
        begun = self.begun.setdefault(asked["key_id"], [])
        epoch = max([wanted.first_epoch, *(each + 1 for each in begun)])
        if epoch >= wanted.first_epoch + wanted.tries:
            self._fail(FailureCode.INVALID_REQUEST, "first_epoch must be later")
        dealers = wanted.dealers or [each.party_id for each in facts.holders[: facts.threshold]]
        asked |= {"facts": facts, "dealers": dealers, "named": wanted.dealers, "epoch": epoch}
        members = list(dict.fromkeys([*dealers, *wanted.parties]))
        opened = self._begin(tenant, "reshare", asked, members, facts.curve)
        begun.append(epoch)
        return opened

    async def rehearse(
        self, tenant: str, *, key_id: str, shares: Callable[[KeyFacts], NewShares]
    ) -> Rehearsal:
        """Everybody is ready but for `declining`, and `away`."""
        facts = (await self.key(tenant, key_id)).facts
        wanted = shares(facts)
        self.asked.append({"rehearsed": key_id, **asdict(wanted)})
        return rehearsal(facts, wanted, declining=self.declining, away=self.away)

    async def key(self, tenant: str, key_id: str, *, anew: bool = False) -> CertifiedKey:
        return self._found(self._of(tenant).keys, key_id, FailureCode.UNKNOWN_KEY)

    async def look(self, tenant: str, session_id: bytes) -> QuerySessionResult:
        return self._session(tenant, session_id).looked()

    async def latest(self, tenant: str, session_id: bytes) -> QuerySessionResult:
        return await self.look(tenant, session_id)

    async def wait(self, tenant: str, session_id: bytes, seconds: float) -> QuerySessionResult:
        assert seconds > 0
        running = self._session(tenant, session_id)
        self._finish(tenant, running)
        return running.looked()

    async def outcome(self, tenant: str, session_id: bytes, seconds: float) -> SessionResult | None:
        return (await self.wait(tenant, session_id, seconds)).outcome

    async def follow(
        self, tenant: str, session_id: bytes, looked: QuerySessionResult | None = None
    ) -> AsyncGenerator[QuerySessionResult, None]:
        running = self._session(tenant, session_id)
        self._finish(tenant, running)
        for change in running.changes:
            yield change

    async def cancel(self, tenant: str, session_id: bytes) -> Settlement:
        running = self._session(tenant, session_id)
        if not running.view.status.final:
            failure = Failure.of(FailureCode.CANCELLED, "cancelled by its client")
            self._end(running, Status.CANCELLED, failure)
        return Settlement(
            target=running.view.request_id,
            target_status=running.view.status,
            statements=(),
            already_signed=(),
            silent=(),
            liars_tolerated=1,
            final=running.view.status is not Status.COMPLETED,
        )

    async def join(
        self, tenant: str, session_id: bytes, token: bytes, party_id: str | None
    ) -> JoinSessionResult:
        running = self._session(tenant, session_id)
        view = running.view
        if token != view.session_token:
            named = [name for name, own in view.join_tokens.items() if own == token]
            party_id = named[0] if named and party_id in {None, named[0]} else None
        if party_id is None or party_id not in view.parties:
            self._fail(FailureCode.TOKEN_REFUSED, "the token joins nobody here")
        if not view.status.final and party_id not in view.joined:
            running.add("caller_joined", party_id, joined=[*view.joined, party_id])
        return JoinSessionResult(
            request_id="join",
            client_id="gateway",
            session_id=session_id,
            request_digest=bytes(32),
            status=Status.COMPLETED,
            finished_at=CREATED_AT,
            party_id=party_id,
            session=running.view,
        )

    async def accounts(
        self, tenant: str, after: str | None = None, limit: int = 100
    ) -> QueryAccountsResult:
        own = self._of(tenant).accounts
        left = [own[name] for name in sorted(own) if after is None or name > after]
        return QueryAccountsResult(
            request_id="accounts",
            client_id="gateway",
            session_id=None,
            request_digest=bytes(32),
            status=Status.COMPLETED,
            finished_at=CREATED_AT,
            accounts=left[:limit],
            more=len(left) > limit,
        )

    async def account(self, tenant: str, account_id: str) -> AccountView:
        return self._found(self._of(tenant).accounts, account_id, FailureCode.UNKNOWN_ACCOUNT)

    async def account_after(self, tenant: str, found: AccountView) -> AccountView:
        return await self.account(tenant, found.account_id)

    async def configure_account(
        self, tenant: str, account_id: str, signers: Sequence[str] | None
    ) -> AccountView:
        account = await self.account(tenant, account_id)
        if signers is not None and not {*signers} <= {*account.parties}:
            self._fail(FailureCode.UNKNOWN_PARTY, "a signer holds no share of the account's key")
        changes = {"signers": None if signers is None else list(signers)}
        own = self._of(tenant).accounts
        own[account_id] = account.model_copy(update=changes)
        return own[account_id]

    ###
    ### Helpers
    ###

    def _of(self, tenant: str) -> Tenant:
        if self.refusing is not None:
            raise self.refusing
        return self.tenants.setdefault(tenant, Tenant())

    def _fail(self, code: FailureCode, text: str) -> NoReturn:
        failure = Failure.of(code, text)
        result = failed_result(
            "query_session",
            failure,
            request_id="r",
            client_id="gateway",
            request_digest=bytes(32),
            finished_at=CREATED_AT,
        )
        raise RequestFailedError(failure, result)

    def _found(self, things: Mapping[N, T], name: N, code: FailureCode) -> T:
        if name not in things:
            self._fail(code, "it does not exist")
        return things[name]

    def _session(self, tenant: str, session_id: bytes) -> Running:
        return self._found(self._of(tenant).sessions, session_id, FailureCode.UNKNOWN_REQUEST)

    def _begin(
        self,
        tenant: str,
        operation: str,
        asked: dict[str, Any],
        parties: list[str],
        curve: Curve,
    ) -> Opened:
        own, request_id = self._of(tenant), asked["request_id"]
        known = own.sessions.get(own.requests.get(request_id, b""))
        if known is not None:
            if known.view.reference != asked["reference"]:
                raise ReferenceConflictError(request_id)
            return Opened(
                session_id=known.view.session_id,
                view=known.view,
                announced=None,
                replayed=True,
                outcome=known.outcome,
            )
        if not {*parties} <= {*PARTIES}:
            self._fail(FailureCode.UNKNOWN_PARTY, "there is no such party")
        self.asked.append({"tenant": tenant, **asked})
        facts = own.keys[asked["key_id"]].facts if operation == "sign" else None
        session_id = digest(tenant, request_id)
        running = Running(
            SessionView(
                session_id=session_id,
                request_id=request_id,
                operation=operation,
                key_id=asked["key_id"],
                status=Status.WAITING,
                deadline=CREATED_AT + LIFETIME_MS,
                parties=parties,
                events=[],
                threshold=asked["threshold"] if facts is None else facts.threshold,
                party_count=asked["party_count"] if facts is None else facts.party_count,
                curve=curve,
                reference=asked["reference"],
                join_tokens={name: digest(session_id, name) for name in parties},
                session_token=digest(session_id),
            ),
            asked,
        )
        epochs = (
            {"from_epoch": asked["facts"].epoch, "epoch": asked["epoch"]}
            if operation == "reshare"
            else {}
        )
        running.add("session_created", details=epochs)
        own.requests[request_id] = session_id
        own.sessions[session_id] = running
        if asked.get("user_id") is not None:
            own.accounts[asked["key_id"]] = AccountView(
                account_id=asked["key_id"],
                user_id=asked["user_id"],
                status=Status.WAITING,
                session_id=session_id,
                created_at=CREATED_AT,
                curve=curve,
                threshold=asked["threshold"],
                parties=parties,
                signers=None,
                public_key=None,
            )
        view = running.view
        assert view.session_token is not None
        announced = SessionAnnounced(
            request_id=request_id,
            client_id="gateway",
            session_id=session_id,
            request_digest=bytes(32),
            terms=reshare_terms(asked) if operation == "reshare" else session_terms(BEGUN),
            deadline=view.deadline,
            parties=parties,
            join_tokens=view.join_tokens,
            session_token=view.session_token,
        )
        return Opened(
            session_id=session_id, view=None, announced=announced, replayed=False, outcome=None
        )

    def _finish(self, tenant: str, running: Running) -> None:
        if running.view.status.final:
            return
        if self.failing is not None:
            self._end(running, Status.FAILED, self.failing)
            self._end_account(self._of(tenant), running)
        elif running.view.operation == "keygen":
            self._make_key(self._of(tenant), running)
        elif running.view.operation == "reshare":
            self._make_epoch(self._of(tenant), running)
        else:
            self._sign(self._of(tenant), running)

    def _end(self, running: Running, status: Status, failure: Failure) -> None:
        outcome = failed_result(
            running.view.operation,
            failure,
            request_id=running.view.request_id,
            client_id="gateway",
            request_digest=bytes(32),
            finished_at=CREATED_AT,
            status=status,
            session_id=running.view.session_id,
            key_id=running.view.key_id,
        )
        assert isinstance(outcome, SessionResult)
        running.outcome = outcome
        running.add(status.value, status=status)

    def _end_account(self, own: Tenant, running: Running) -> None:
        account = own.accounts.get(running.view.key_id or "")
        if account is not None and account.session_id == running.view.session_id:
            ended = account.model_copy(update={"status": running.view.status})
            own.accounts[account.account_id] = ended

    def _make_key(self, own: Tenant, running: Running) -> None:
        view = running.view
        assert view.curve is not None
        key = SingleKey(view.curve)
        facts = key.facts(
            client_id="gateway",
            key_id=view.key_id,
            session_id=view.session_id,
            threshold=view.threshold,
            holders=[
                Holder(
                    party_id=name,
                    identity=PARTIES[name].public.der,
                    public_share=key.public_key,
                )
                for name in view.parties
            ],
        )
        certificates = {name: facts.certify(PARTIES[name]) for name in view.parties}
        certified = CertifiedKey(facts=facts, certificates=certificates)
        for name in view.parties:
            running.add("party_joined", name, status=Status.IN_PROGRESS)
        for name in view.parties:
            running.add("key_certified", name)
        running.outcome = KeygenResult(
            request_id=view.request_id,
            client_id="gateway",
            session_id=view.session_id,
            request_digest=bytes(32),
            status=Status.COMPLETED,
            finished_at=CREATED_AT,
            key_id=view.key_id,
            curve=view.curve,
            key=certified,
        )
        running.add("completed", status=Status.COMPLETED)
        own.keys[view.key_id] = certified
        if view.key_id in own.accounts:
            own.accounts[view.key_id] = own.accounts[view.key_id].model_copy(
                update={
                    "status": Status.COMPLETED,
                    "public_key": key.public_key,
                    "key": certified,
                }
            )

    def _make_epoch(self, own: Tenant, running: Running) -> None:
        view = running.view
        for name in view.parties:
            running.add("party_joined", name, status=Status.IN_PROGRESS)
        running.add("epoch_certified", view.parties[0])
        running.outcome = made = reshare_result(running, own.keys[view.key_id])
        running.add("completed", status=Status.COMPLETED)
        assert made.bundle is not None
        own.keys[view.key_id] = key = made.bundle.key
        if view.key_id in own.accounts:
            parties = [holder.party_id for holder in key.facts.holders]
            changes = {"key": key, "parties": parties, "threshold": key.facts.threshold}
            account = own.accounts[view.key_id]
            own.accounts[view.key_id] = account.model_copy(update=changes)

    def _sign(self, own: Tenant, running: Running) -> None:
        view, asked = running.view, running.asked
        scheme: Scheme = asked["scheme"]
        signing = child_of(SingleKey(scheme.curve), asked["derivation_path"])
        signature, public_key = signing.sign(scheme, asked["message"])
        for name in view.parties:
            running.add("share_signed", name, status=Status.IN_PROGRESS)
        running.outcome = SignResult(
            request_id=view.request_id,
            client_id="gateway",
            session_id=view.session_id,
            request_digest=bytes(32),
            status=Status.COMPLETED,
            finished_at=CREATED_AT,
            key_id=view.key_id,
            scheme=scheme,
            message=asked["message"],
            derivation_path=asked["derivation_path"],
            public_key=public_key,
            signature=signature,
            ecdsa=EcdsaForms.of(signature) if scheme is Scheme.ECDSA else None,
            signers=view.parties,
        )
        running.add("completed", status=Status.COMPLETED)
