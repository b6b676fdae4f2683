"""Threshold signatures by Warren, for producers.

    async with Client.connect(ClientSettings.load(Path("client.toml"))) as client:
        await client.create_key("treasury", curve=Curve.ED25519, threshold=2, party_count=3)
        done = await client.sign("treasury", message=b"...", scheme=Scheme.ED25519)

What comes back was verified, or it is a `ClientError`. `warren_client.client` tells more of the
calls, `warren_client.client.settings` what `client.toml` has. Addresses and extended keys are in
`warren_client.wallets`, which needs ``pip install 'warren-client[wallets]'``.
"""

from .api_keys import ApiKeyEntry, SignedApiKeyEntry
from .client import (
    Begun,
    BrokerUnavailableError,
    Client,
    ClientClosedError,
    ClientError,
    ClientSettings,
    KeyHistory,
    Rehearsal,
    RequestFailedError,
    ResultTimeoutError,
    SettingsError,
    Succession,
    TopologyError,
)
from .derivation import DerivedKey
from .errors import ContractError
from .failures import Failure, FailureCode
from .identity import Identity, PublicIdentity
from .keys import CertifiedKey, EpochBundle, Holder, KeyFacts
from .primitives import Curve, DeleteAfter, Scheme, Scope, Status
from .readiness import Readiness, RoleAnswer
from .requests import (
    CancelRequest,
    ConfigureAccountRequest,
    JoinSessionRequest,
    KeygenRequest,
    PutApiKeyRequest,
    QueryAccountsRequest,
    QueryApiKeysRequest,
    QueryKeyHistoryRequest,
    QueryKeysRequest,
    QuerySessionRequest,
    RehearseRequest,
    Request,
    ReshareRequest,
    RevokeApiKeyRequest,
    SignItem,
    SignRequest,
)
from .results import (
    AccountView,
    ApiKeyView,
    CancelResult,
    ConfigureAccountResult,
    EcdsaForms,
    JoinSessionResult,
    KeygenResult,
    PutApiKeyResult,
    QueryAccountsResult,
    QueryApiKeysResult,
    QueryKeyHistoryResult,
    QueryKeysResult,
    QuerySessionResult,
    RehearseResult,
    ReshareResult,
    Result,
    RevokeApiKeyResult,
    SessionAnnounced,
    SessionView,
    SignedItem,
    SignResult,
)
from .retirements import Retirement
from .signer import ServiceSigner, Signer
from .signing import SignedRequest, sign_request
from .verification import child, verifying_key
from .views import SessionEvent

__all__ = [
    "AccountView",
    "ApiKeyEntry",
    "ApiKeyView",
    "Begun",
    "BrokerUnavailableError",
    "CancelRequest",
    "CancelResult",
    "CertifiedKey",
    "Client",
    "ClientClosedError",
    "ClientError",
    "ClientSettings",
    "ConfigureAccountRequest",
    "ConfigureAccountResult",
    "ContractError",
    "Curve",
    "DeleteAfter",
    "DerivedKey",
    "EcdsaForms",
    "EpochBundle",
    "Failure",
    "FailureCode",
    "Holder",
    "Identity",
    "JoinSessionRequest",
    "JoinSessionResult",
    "KeyFacts",
    "KeyHistory",
    "KeygenRequest",
    "KeygenResult",
    "PublicIdentity",
    "PutApiKeyRequest",
    "PutApiKeyResult",
    "QueryAccountsRequest",
    "QueryAccountsResult",
    "QueryApiKeysRequest",
    "QueryApiKeysResult",
    "QueryKeyHistoryRequest",
    "QueryKeyHistoryResult",
    "QueryKeysRequest",
    "QueryKeysResult",
    "QuerySessionRequest",
    "QuerySessionResult",
    "Readiness",
    "Rehearsal",
    "RehearseRequest",
    "RehearseResult",
    "Request",
    "RequestFailedError",
    "ReshareRequest",
    "ReshareResult",
    "Result",
    "ResultTimeoutError",
    "Retirement",
    "RevokeApiKeyRequest",
    "RevokeApiKeyResult",
    "RoleAnswer",
    "Scheme",
    "Scope",
    "ServiceSigner",
    "SessionAnnounced",
    "SessionEvent",
    "SessionView",
    "SettingsError",
    "SignItem",
    "SignRequest",
    "SignResult",
    "SignedApiKeyEntry",
    "SignedItem",
    "SignedRequest",
    "Signer",
    "Status",
    "Succession",
    "TopologyError",
    "child",
    "sign_request",
    "verifying_key",
]
