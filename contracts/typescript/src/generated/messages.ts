// Written by `warren docs`, from the contract. Change the models in Python, not this.

/** A key that was made for a user. */
export interface AccountView {
  /** Also the key's id. */
  readonly account_id: string;
  readonly user_id: string;
  /** How far the making of its key is; when completed, it can sign. */
  readonly status: Status;
  /** The session that makes the key. */
  readonly session_id: string;
  readonly created_at: number;
  readonly curve: Curve;
  readonly threshold: number;
  readonly parties: readonly string[];
  /** Who signs where a request names nobody; None: whom the coordinator chooses. */
  readonly signers: readonly string[] | null;
  /** None until it is made. */
  readonly public_key: string | null;
  /** What proves it, and `threshold`, `curve` and `parties` with it; None until it is made. */
  readonly key: CertifiedKey | null;
}

/** What the coordinator knows of an API key: never its secret. */
export interface ApiKeyView {
  readonly api_key_id: string;
  readonly holder: string;
  readonly key_digest: string;
  readonly scopes: readonly Scope[];
  readonly created_at: number;
  readonly valid_until: number | null;
  readonly revoked_at: number | null;
}

/**
 * Let nothing come of a request any more, whether it has arrived or not: every party that holds
 * its key is asked to refuse it from now on, and to say so in a `Statement`.
 */
export interface CancelRequest {
  readonly version: 1;
  /** Idempotency key: the same id with the same bytes is the same request. */
  readonly request_id: string;
  /** None for producers of the old kind, which share one result queue. */
  readonly client_id: string | null;
  /** The client's public key, DER SubjectPublicKeyInfo. */
  readonly signer: string;
  readonly issued_at: number;
  /** Also the session's deadline, unless a party's own limit is nearer. */
  readonly expires_at: number;
  /** Routing key of the result; must be the one that `addresses.result_key` gives. */
  readonly reply_to: string;
  /**
   * Whom a client that serves many asks for. Each tenant's keys, accounts, sessions and request
   * ids are a world of their own.
   */
  readonly tenant?: string | null;
  /** The client's own words; shown with the session. */
  readonly reference?: string | null;
  /**
   * Anything new: it makes the same wish, asked twice in one millisecond, two requests, of which
   * the second is refused as a conflict.
   */
  readonly salt?: string | null;
  readonly operation: "cancel";
  /** The request id of the request to cancel. */
  readonly target: string;
  /**
   * When that was issued, if the canceller knows. Without it, a party that has lost its memory
   * once cannot tell whether it answered before.
   */
  readonly target_issued_at?: number | null;
  /**
   * `KeyFacts.session_id` of the key that it was to sign with, if the canceller knows: then the
   * statements tell of its epochs, too, without which they prove nothing of a signature.
   */
  readonly key_session?: string | null;
  /** Whose request it is, if another's: operators may cancel anybody's. None: the canceller's. */
  readonly of?: Owner | null;
}

/**
 * What became of the target here, and what its parties state of it, which alone proves that
 * nothing comes of it. Of a party that is in none of the lists, the answer was another.
 */
export interface CancelResult {
  readonly version: 1;
  readonly request_id: string;
  readonly client_id: string | null;
  /** None where the request began no session. */
  readonly session_id: string | null;
  /**
   * SHA-256 of the request's bytes as they were sent: two requests may have come under one id,
   * and this answers one of them. A client believes only what answers its own.
   */
  readonly request_digest: string;
  readonly status: Status;
  /** Set unless the status is completed. */
  readonly failure: Failure | null;
  readonly finished_at: number;
  readonly result: "cancel";
  readonly target: string | null;
  /** None where the coordinator has not seen the request: it will refuse it. */
  readonly target_status: Status | null;
  readonly statements: readonly Statement[];
  /** Parties that have committed a share or a certificate, sent or not. */
  readonly already_signed: readonly string[];
  /** Parties that did not answer in time. */
  readonly silent: readonly string[];
  /**
   * Of the key that the cancel names, if its shares were made anew: all epochs that led to the
   * newest, the first one in front. Each is named by the next one's digest of it. None where they
   * are too many for one message.
   */
  readonly epochs: readonly KeyFacts[];
}

/** A key's facts, and the signature of each of its parties over them. */
export interface CertifiedKey {
  readonly facts: KeyFacts;
  /** Party id -> signature over `KeyFacts.statement`. */
  readonly certificates: Readonly<Record<string, string>>;
}

/** Which parties sign for an account where a request names none. */
export interface ConfigureAccountRequest {
  readonly version: 1;
  /** Idempotency key: the same id with the same bytes is the same request. */
  readonly request_id: string;
  /** None for producers of the old kind, which share one result queue. */
  readonly client_id: string | null;
  /** The client's public key, DER SubjectPublicKeyInfo. */
  readonly signer: string;
  readonly issued_at: number;
  /** Also the session's deadline, unless a party's own limit is nearer. */
  readonly expires_at: number;
  /** Routing key of the result; must be the one that `addresses.result_key` gives. */
  readonly reply_to: string;
  /**
   * Whom a client that serves many asks for. Each tenant's keys, accounts, sessions and request
   * ids are a world of their own.
   */
  readonly tenant?: string | null;
  /** The client's own words; shown with the session. */
  readonly reference?: string | null;
  /**
   * Anything new: it makes the same wish, asked twice in one millisecond, two requests, of which
   * the second is refused as a conflict.
   */
  readonly salt?: string | null;
  readonly operation: "configure_account";
  readonly account_id: string;
  /** At least `threshold` of the key's parties; None lets the coordinator choose again. */
  readonly signers?: readonly string[] | null;
}

/** The account as it is configured now. */
export interface ConfigureAccountResult {
  readonly version: 1;
  readonly request_id: string;
  readonly client_id: string | null;
  /** None where the request began no session. */
  readonly session_id: string | null;
  /**
   * SHA-256 of the request's bytes as they were sent: two requests may have come under one id,
   * and this answers one of them. A client believes only what answers its own.
   */
  readonly request_digest: string;
  readonly status: Status;
  /** Set unless the status is completed. */
  readonly failure: Failure | null;
  readonly finished_at: number;
  readonly result: "configure_account";
  readonly account: AccountView | null;
}

/** The group that a key is in. */
export type Curve = "ed25519" | "secp256k1";

/** When former holders delete what they have of an epoch that is over. */
export type DeleteAfter = "backed_up" | "certified";

/** One ECDSA signature in the forms that its users know; low s always. */
export interface EcdsaForms {
  readonly r: string;
  readonly s: string;
  /** Bit 0: R has an odd y. Bit 1: R's x is not below the group's order. */
  readonly recovery_id: number;
  /** r || s, 64 bytes. */
  readonly compact: string;
  /** The form that Bitcoin's scripts have, without the byte for the hash type. */
  readonly der: string;
  /** r || s || 27 + recovery_id, 65 bytes; None for the recovery ids that Ethereum lacks. */
  readonly ethereum: string | null;
}

/**
 * A new epoch of a key with everything that proves it, see `epochs.check`. Nothing in it is
 * secret.
 */
export interface EpochBundle {
  /** The body of the owner's `ReshareRequest`, as it was signed. */
  readonly request: string;
  readonly request_signature: string;
  /** The epoch that was dealt from. */
  readonly predecessor: CertifiedKey;
  /** The new one, certified by all of its holders. */
  readonly key: CertifiedKey;
  /** Party id -> proof that it knows its new share, for these facts. */
  readonly possessions: Readonly<Record<string, string>>;
  /** Dealer -> its signature, as of `epochs.sign_dealt`. */
  readonly dealt: Readonly<Record<string, string>>;
}

/**
 * An epoch of a key beside its first, or a try for one. By the number alone two could be meant:
 * whoever asks for two reshares at once may have both made, by other parties each.
 */
export interface EpochName {
  readonly epoch: number;
  /** The reshare's session, as `Resharing.session_id`. */
  readonly session_id: string;
}

/**
 * One epoch of a key. Its facts are proven by those of the one after it; when it was made, and
 * who has told what, are as the coordinator tells them.
 */
export interface EpochView {
  readonly facts: KeyFacts;
  /** None of the first one, which was made with the key. */
  readonly made_at: number | null;
  /** When requests went over to its holders; None of the first one. */
  readonly signs_from: number | null;
  /** As its request says; None of the first one. */
  readonly delete_after: DeleteAfter | null;
  /**
   * What former holders said of the epochs below it; each one's signature tells. Of those who are
   * not here, nothing is known.
   */
  readonly retirements: readonly Retirement[];
}

/** Why a session ended without what was asked for, and who is to blame, if anybody is. */
export interface Failure {
  readonly code: FailureCode;
  /** Tells people what happened, to whom, what to do. */
  readonly message: string;
  readonly round: number | null;
  readonly culprits: readonly string[];
  readonly silent: readonly string[];
  readonly retryable: boolean;
  /** With `overloaded`: how long to wait before the same wish may be heard, in milliseconds. */
  readonly retry_after_ms: number | null;
}

/** Why a request failed. The list is closed; GLOSSARY.md tells which are worth another try. */
export type FailureCode = "invalid_request" | "conflict" | "key_exists" | "unknown_key" | "unknown_request" | "unknown_party" | "too_few_parties" | "expired" | "cancelled" | "party_fault" | "party_refused" | "stale_epoch" | "key_busy" | "spoilt" | "unknown_account" | "token_refused" | "session_over" | "overloaded" | "internal";

/** One party of a key. Its place in `CertifiedKey.holders` is its index, from 1. */
export interface Holder {
  readonly party_id: string;
  /** The party's public identity, DER SubjectPublicKeyInfo. */
  readonly identity: string;
  /** secret_share * G, compressed. */
  readonly public_share: string;
}

/** Show one of the tokens that a session was announced with, in the name of a party. */
export interface JoinSessionRequest {
  readonly version: 1;
  /** Idempotency key: the same id with the same bytes is the same request. */
  readonly request_id: string;
  /** None for producers of the old kind, which share one result queue. */
  readonly client_id: string | null;
  /** The client's public key, DER SubjectPublicKeyInfo. */
  readonly signer: string;
  readonly issued_at: number;
  /** Also the session's deadline, unless a party's own limit is nearer. */
  readonly expires_at: number;
  /** Routing key of the result; must be the one that `addresses.result_key` gives. */
  readonly reply_to: string;
  /**
   * Whom a client that serves many asks for. Each tenant's keys, accounts, sessions and request
   * ids are a world of their own.
   */
  readonly tenant?: string | null;
  /** The client's own words; shown with the session. */
  readonly reference?: string | null;
  /**
   * Anything new: it makes the same wish, asked twice in one millisecond, two requests, of which
   * the second is refused as a conflict.
   */
  readonly salt?: string | null;
  readonly operation: "join_session";
  readonly session_id: string;
  readonly join_token: string;
  /** May be left out with a token that is one party's; not with the session's. */
  readonly party_id?: string | null;
}

/** The session after a party was joined to it. */
export interface JoinSessionResult {
  readonly version: 1;
  readonly request_id: string;
  readonly client_id: string | null;
  /** None where the request began no session. */
  readonly session_id: string | null;
  /**
   * SHA-256 of the request's bytes as they were sent: two requests may have come under one id,
   * and this answers one of them. A client believes only what answers its own.
   */
  readonly request_digest: string;
  readonly status: Status;
  /** Set unless the status is completed. */
  readonly failure: Failure | null;
  readonly finished_at: number;
  readonly result: "join_session";
  /** Who has joined by it. */
  readonly party_id: string | null;
  readonly session: SessionView | null;
}

/**
 * What the parties of a key agree on and each of them signs.
 *
 * Version 1 says of its owner only which client it is, and of its use nothing but the curve. It is
 * read and verified for the keys that have it; no party certifies it any more. Version 2 is of a
 * key as it was made, version 3 of one whose shares were made anew; what it says of an earlier
 * epoch is to be believed with an `EpochBundle` only.
 */
export interface KeyFacts {
  readonly version: 1 | 2 | 3;
  readonly client_id: string | null;
  readonly key_id: string;
  /**
   * The key generation's session; no two keys share it, whatever they are called. The same in
   * every epoch.
   */
  readonly session_id: string;
  readonly epoch: number;
  readonly curve: Curve;
  readonly threshold: number;
  /** Compressed: 33 bytes for secp256k1, 32 for ed25519. */
  readonly public_key: string;
  readonly chain_code: string;
  readonly holders: readonly Holder[];
  readonly transcript_digest: string;
  /** With `client_id` whose key it is. Version 2, like all that follows. */
  readonly tenant: string | null;
  /** SHA-256 of the body of the request that made the key, or this epoch of it. */
  readonly request_digest: string | null;
  /** What the key may serve, in alphabetical order; None is all that its curve has. */
  readonly schemes: readonly Scheme[] | null;
  readonly origin: Origin | null;
  /**
   * Version 3: where this epoch comes from. Not written where it is None: those who read facts of
   * earlier versions may not know it.
   */
  readonly reshared: Resharing | null;
}

/** Make a key of which any `threshold` of `party_count` parties sign. */
export interface KeygenRequest {
  readonly version: 1;
  /** Idempotency key: the same id with the same bytes is the same request. */
  readonly request_id: string;
  /** None for producers of the old kind, which share one result queue. */
  readonly client_id: string | null;
  /** The client's public key, DER SubjectPublicKeyInfo. */
  readonly signer: string;
  readonly issued_at: number;
  /** Also the session's deadline, unless a party's own limit is nearer. */
  readonly expires_at: number;
  /** Routing key of the result; must be the one that `addresses.result_key` gives. */
  readonly reply_to: string;
  /**
   * Whom a client that serves many asks for. Each tenant's keys, accounts, sessions and request
   * ids are a world of their own.
   */
  readonly tenant?: string | null;
  /** The client's own words; shown with the session. */
  readonly reference?: string | null;
  /**
   * Anything new: it makes the same wish, asked twice in one millisecond, two requests, of which
   * the second is refused as a conflict.
   */
  readonly salt?: string | null;
  readonly operation: "keygen";
  /** New among this client's keys. */
  readonly key_id: string;
  readonly curve: Curve;
  readonly threshold: number;
  readonly party_count: number;
  /** Who shall hold the shares; None lets the coordinator choose. */
  readonly parties?: readonly string[] | null;
  /**
   * What the key may serve, in alphabetical order, and nothing else for ever. None: all that its
   * curve has.
   */
  readonly schemes?: readonly Scheme[] | null;
  /** Makes an account of the key: whose it is, in the client's words. */
  readonly user_id?: string | null;
  /** Tell of the session as soon as it exists, by a `SessionAnnounced` before the result. */
  readonly announce?: boolean;
  /**
   * Begin when every party was joined (see `JoinSessionRequest`), or else after so long. None:
   * at once.
   */
  readonly join_window_ms?: number | null;
}

/** The key that was made, with the certificates that prove it. */
export interface KeygenResult {
  readonly version: 1;
  readonly request_id: string;
  readonly client_id: string | null;
  /** None where the request began no session. */
  readonly session_id: string | null;
  /**
   * SHA-256 of the request's bytes as they were sent: two requests may have come under one id,
   * and this answers one of them. A client believes only what answers its own.
   */
  readonly request_digest: string;
  readonly status: Status;
  /** Set unless the status is completed. */
  readonly failure: Failure | null;
  readonly finished_at: number;
  readonly result: "keygen";
  /** None where the request's own was unusable. */
  readonly key_id: string | null;
  readonly curve: Curve | null;
  readonly key: CertifiedKey | null;
}

/** A party of a session with its index in the key (1..n) and its public identity. */
export interface Member {
  readonly party_id: string;
  readonly index: number;
  readonly identity: string;
}

/** Where a key's secret comes from. */
export type Origin = "generated" | "imported";

/**
 * Whose keys and requests: a client, or one of those that it serves. Each owner's key ids and
 * request ids are a world of their own.
 */
export interface Owner {
  readonly client_id: string | null;
  readonly tenant?: string | null;
}

/** Add an entry that lets somebody in, or says that nothing came after it. */
export interface PutApiKeyRequest {
  readonly version: 1;
  /** Idempotency key: the same id with the same bytes is the same request. */
  readonly request_id: string;
  /** None for producers of the old kind, which share one result queue. */
  readonly client_id: string | null;
  /** The client's public key, DER SubjectPublicKeyInfo. */
  readonly signer: string;
  readonly issued_at: number;
  /** Also the session's deadline, unless a party's own limit is nearer. */
  readonly expires_at: number;
  /** Routing key of the result; must be the one that `addresses.result_key` gives. */
  readonly reply_to: string;
  /**
   * Whom a client that serves many asks for. Each tenant's keys, accounts, sessions and request
   * ids are a world of their own.
   */
  readonly tenant?: string | null;
  /** The client's own words; shown with the session. */
  readonly reference?: string | null;
  /**
   * Anything new: it makes the same wish, asked twice in one millisecond, two requests, of which
   * the second is refused as a conflict.
   */
  readonly salt?: string | null;
  /** By the authority, whom the gateways believe; the client only hands it on. */
  readonly entry: SignedApiKeyEntry;
  readonly operation: "put_api_key";
}

/** The entry stands in the chain. */
export interface PutApiKeyResult {
  readonly version: 1;
  readonly request_id: string;
  readonly client_id: string | null;
  /** None where the request began no session. */
  readonly session_id: string | null;
  /**
   * SHA-256 of the request's bytes as they were sent: two requests may have come under one id,
   * and this answers one of them. A client believes only what answers its own.
   */
  readonly request_digest: string;
  readonly status: Status;
  /** Set unless the status is completed. */
  readonly failure: Failure | null;
  readonly finished_at: number;
  readonly result: "put_api_key";
  /** Of the entry. */
  readonly number: number | null;
}

/** This owner's accounts in the order of their ids, one or a page of them. */
export interface QueryAccountsRequest {
  readonly version: 1;
  /** Idempotency key: the same id with the same bytes is the same request. */
  readonly request_id: string;
  /** None for producers of the old kind, which share one result queue. */
  readonly client_id: string | null;
  /** The client's public key, DER SubjectPublicKeyInfo. */
  readonly signer: string;
  readonly issued_at: number;
  /** Also the session's deadline, unless a party's own limit is nearer. */
  readonly expires_at: number;
  /** Routing key of the result; must be the one that `addresses.result_key` gives. */
  readonly reply_to: string;
  /**
   * Whom a client that serves many asks for. Each tenant's keys, accounts, sessions and request
   * ids are a world of their own.
   */
  readonly tenant?: string | null;
  /** The client's own words; shown with the session. */
  readonly reference?: string | null;
  /**
   * Anything new: it makes the same wish, asked twice in one millisecond, two requests, of which
   * the second is refused as a conflict.
   */
  readonly salt?: string | null;
  readonly operation: "query_accounts";
  readonly only?: string | null;
  /** The last account id of the page before. */
  readonly after?: string | null;
  readonly limit?: number;
}

/** A page of accounts; `more` if it is not the last one. */
export interface QueryAccountsResult {
  readonly version: 1;
  readonly request_id: string;
  readonly client_id: string | null;
  /** None where the request began no session. */
  readonly session_id: string | null;
  /**
   * SHA-256 of the request's bytes as they were sent: two requests may have come under one id,
   * and this answers one of them. A client believes only what answers its own.
   */
  readonly request_digest: string;
  readonly status: Status;
  /** Set unless the status is completed. */
  readonly failure: Failure | null;
  readonly finished_at: number;
  readonly result: "query_accounts";
  readonly accounts: readonly AccountView[];
  readonly more: boolean;
}

/** A page of the entries of an authority for this client's gateways, in their order. */
export interface QueryApiKeysRequest {
  readonly version: 1;
  /** Idempotency key: the same id with the same bytes is the same request. */
  readonly request_id: string;
  /** None for producers of the old kind, which share one result queue. */
  readonly client_id: string | null;
  /** The client's public key, DER SubjectPublicKeyInfo. */
  readonly signer: string;
  readonly issued_at: number;
  /** Also the session's deadline, unless a party's own limit is nearer. */
  readonly expires_at: number;
  /** Routing key of the result; must be the one that `addresses.result_key` gives. */
  readonly reply_to: string;
  /**
   * Whom a client that serves many asks for. Each tenant's keys, accounts, sessions and request
   * ids are a world of their own.
   */
  readonly tenant?: string | null;
  /** The client's own words; shown with the session. */
  readonly reference?: string | null;
  /**
   * Anything new: it makes the same wish, asked twice in one millisecond, two requests, of which
   * the second is refused as a conflict.
   */
  readonly salt?: string | null;
  readonly operation: "query_api_keys";
  /** Whose chain: a public key, DER SubjectPublicKeyInfo. */
  readonly authority: string;
  /** The number of the last entry that is known. */
  readonly after?: number;
  readonly limit?: number;
  /** Tell also of API keys from before there was an authority, which open nothing any more. */
  readonly unsigned?: boolean;
}

/** A page of the chain; `more` if it is not the last one. */
export interface QueryApiKeysResult {
  readonly version: 1;
  readonly request_id: string;
  readonly client_id: string | null;
  /** None where the request began no session. */
  readonly session_id: string | null;
  /**
   * SHA-256 of the request's bytes as they were sent: two requests may have come under one id,
   * and this answers one of them. A client believes only what answers its own.
   */
  readonly request_digest: string;
  readonly status: Status;
  /** Set unless the status is completed. */
  readonly failure: Failure | null;
  readonly finished_at: number;
  readonly result: "query_api_keys";
  readonly entries: readonly SignedApiKeyEntry[];
  /** The request's own. */
  readonly after: number;
  /** The number of the chain's last entry, as far as the coordinator knows. */
  readonly highest: number;
  readonly more: boolean;
  /**
   * API keys from before there was an authority, if they were asked for: at most 500, those for
   * which no authority has signed an entry since.
   */
  readonly unsigned: readonly ApiKeyView[];
}

/**
 * A key's epochs, the newest first, with what former holders have said of their shares: one of
 * this client's keys, or for an operator anybody's. A page ends early when a message has room for
 * no more.
 */
export interface QueryKeyHistoryRequest {
  readonly version: 1;
  /** Idempotency key: the same id with the same bytes is the same request. */
  readonly request_id: string;
  /** None for producers of the old kind, which share one result queue. */
  readonly client_id: string | null;
  /** The client's public key, DER SubjectPublicKeyInfo. */
  readonly signer: string;
  readonly issued_at: number;
  /** Also the session's deadline, unless a party's own limit is nearer. */
  readonly expires_at: number;
  /** Routing key of the result; must be the one that `addresses.result_key` gives. */
  readonly reply_to: string;
  /**
   * Whom a client that serves many asks for. Each tenant's keys, accounts, sessions and request
   * ids are a world of their own.
   */
  readonly tenant?: string | null;
  /** The client's own words; shown with the session. */
  readonly reference?: string | null;
  /**
   * Anything new: it makes the same wish, asked twice in one millisecond, two requests, of which
   * the second is refused as a conflict.
   */
  readonly salt?: string | null;
  readonly operation: "query_key_history";
  readonly key_id?: string | null;
  /** The session that made the key, in place of its id. */
  readonly key_session?: string | null;
  /** The last epoch of the page before. */
  readonly before?: number | null;
}

/** A page of a key's epochs, the newest first; `more` if epoch 0 is not on it. */
export interface QueryKeyHistoryResult {
  readonly version: 1;
  readonly request_id: string;
  readonly client_id: string | null;
  /** None where the request began no session. */
  readonly session_id: string | null;
  /**
   * SHA-256 of the request's bytes as they were sent: two requests may have come under one id,
   * and this answers one of them. A client believes only what answers its own.
   */
  readonly request_digest: string;
  readonly status: Status;
  /** Set unless the status is completed. */
  readonly failure: Failure | null;
  readonly finished_at: number;
  readonly result: "query_key_history";
  /** The newest epoch, on whichever page: each epoch's facts name those of the one before. */
  readonly key: CertifiedKey | null;
  readonly epochs: readonly EpochView[];
  readonly more: boolean;
}

/**
 * This client's keys with their certificates in the order of their ids, one or a page of them.
 * A page ends early when a message has room for no more.
 */
export interface QueryKeysRequest {
  readonly version: 1;
  /** Idempotency key: the same id with the same bytes is the same request. */
  readonly request_id: string;
  /** None for producers of the old kind, which share one result queue. */
  readonly client_id: string | null;
  /** The client's public key, DER SubjectPublicKeyInfo. */
  readonly signer: string;
  readonly issued_at: number;
  /** Also the session's deadline, unless a party's own limit is nearer. */
  readonly expires_at: number;
  /** Routing key of the result; must be the one that `addresses.result_key` gives. */
  readonly reply_to: string;
  /**
   * Whom a client that serves many asks for. Each tenant's keys, accounts, sessions and request
   * ids are a world of their own.
   */
  readonly tenant?: string | null;
  /** The client's own words; shown with the session. */
  readonly reference?: string | null;
  /**
   * Anything new: it makes the same wish, asked twice in one millisecond, two requests, of which
   * the second is refused as a conflict.
   */
  readonly salt?: string | null;
  readonly operation: "query_keys";
  /** The id of the one key that is wanted. */
  readonly only?: string | null;
  /** The last key id of the page before. */
  readonly after?: string | null;
  readonly limit?: number;
}

/** A page of keys; `more` if it is not the last one. */
export interface QueryKeysResult {
  readonly version: 1;
  readonly request_id: string;
  readonly client_id: string | null;
  /** None where the request began no session. */
  readonly session_id: string | null;
  /**
   * SHA-256 of the request's bytes as they were sent: two requests may have come under one id,
   * and this answers one of them. A client believes only what answers its own.
   */
  readonly request_digest: string;
  readonly status: Status;
  /** Set unless the status is completed. */
  readonly failure: Failure | null;
  readonly finished_at: number;
  readonly result: "query_keys";
  readonly keys: readonly CertifiedKey[];
  readonly more: boolean;
}

/** One of this client's sessions with its events, by session id or request id. */
export interface QuerySessionRequest {
  readonly version: 1;
  /** Idempotency key: the same id with the same bytes is the same request. */
  readonly request_id: string;
  /** None for producers of the old kind, which share one result queue. */
  readonly client_id: string | null;
  /** The client's public key, DER SubjectPublicKeyInfo. */
  readonly signer: string;
  readonly issued_at: number;
  /** Also the session's deadline, unless a party's own limit is nearer. */
  readonly expires_at: number;
  /** Routing key of the result; must be the one that `addresses.result_key` gives. */
  readonly reply_to: string;
  /**
   * Whom a client that serves many asks for. Each tenant's keys, accounts, sessions and request
   * ids are a world of their own.
   */
  readonly tenant?: string | null;
  /** The client's own words; shown with the session. */
  readonly reference?: string | null;
  /**
   * Anything new: it makes the same wish, asked twice in one millisecond, two requests, of which
   * the second is refused as a conflict.
   */
  readonly salt?: string | null;
  readonly operation: "query_session";
  readonly session_id?: string | null;
  /** The request id of the request that began the session. */
  readonly target?: string | null;
}

/** The session as the coordinator sees it, with its result once there is one. */
export interface QuerySessionResult {
  readonly version: 1;
  readonly request_id: string;
  readonly client_id: string | null;
  /** None where the request began no session. */
  readonly session_id: string | null;
  /**
   * SHA-256 of the request's bytes as they were sent: two requests may have come under one id,
   * and this answers one of them. A client believes only what answers its own.
   */
  readonly request_digest: string;
  readonly status: Status;
  /** Set unless the status is completed. */
  readonly failure: Failure | null;
  readonly finished_at: number;
  readonly result: "query_session";
  readonly session: SessionView | null;
  /**
   * The session's own result, once it has one. None for an operator who asks for somebody
   * else's session.
   */
  readonly outcome: KeygenResult | ReshareResult | SignResult | null;
  /** The bytes of the request that began it. */
  readonly request: string | null;
  /** By which its client knows them for its own. */
  readonly request_signature: string | null;
  /** Of the session by the id that it was asked for: they give that id, and name the request. */
  readonly terms: SessionTerms | ReshareTerms | null;
}

/** What one party says to one request. */
export interface Readiness {
  readonly party_id: string;
  /** SHA-256 of the request's bytes as they were sent. */
  readonly request_digest: string;
  /**
   * A holder that gets a share of the new epoch, too, may be asked twice: whether it would deal,
   * and whether it would receive without dealing, as one does that has lost its share.
   */
  readonly roles: readonly RoleAnswer[];
  /** By the party's clock. */
  readonly at: number;
  readonly signature: string;
}

/**
 * Ask the parties whether they would take part in a reshare, without beginning one: nothing of
 * the key changes, and no number of an epoch is used up. What is asked for has fields as in
 * `ReshareRequest`; whoever may ask for that may ask for this. It is no such request, and nobody
 * can make one of it.
 */
export interface RehearseRequest {
  readonly version: 1;
  /** Idempotency key: the same id with the same bytes is the same request. */
  readonly request_id: string;
  /** None for producers of the old kind, which share one result queue. */
  readonly client_id: string | null;
  /** The client's public key, DER SubjectPublicKeyInfo. */
  readonly signer: string;
  readonly issued_at: number;
  /** Also the session's deadline, unless a party's own limit is nearer. */
  readonly expires_at: number;
  /** Routing key of the result; must be the one that `addresses.result_key` gives. */
  readonly reply_to: string;
  /**
   * Whom a client that serves many asks for. Each tenant's keys, accounts, sessions and request
   * ids are a world of their own.
   */
  readonly tenant?: string | null;
  /** The client's own words; shown with the session. */
  readonly reference?: string | null;
  /**
   * Anything new: it makes the same wish, asked twice in one millisecond, two requests, of which
   * the second is refused as a conflict.
   */
  readonly salt?: string | null;
  readonly operation: "rehearse";
  readonly key_id: string;
  readonly public_key: string;
  readonly from_epoch: number;
  readonly first_epoch: number;
  readonly tries?: number;
  readonly threshold: number;
  readonly parties: readonly string[];
  /** None: each holder is asked whether it would deal. */
  readonly dealers?: readonly string[] | null;
}

/**
 * What the parties have said: who would take part, and who would not, with the reason. Nothing
 * was begun. A client verifies each answer under its party's identity.
 */
export interface RehearseResult {
  readonly version: 1;
  readonly request_id: string;
  readonly client_id: string | null;
  /** None where the request began no session. */
  readonly session_id: string | null;
  /**
   * SHA-256 of the request's bytes as they were sent: two requests may have come under one id,
   * and this answers one of them. A client believes only what answers its own.
   */
  readonly request_digest: string;
  readonly status: Status;
  /** Set unless the status is completed. */
  readonly failure: Failure | null;
  readonly finished_at: number;
  readonly result: "rehearse";
  /** None where the request's own was unusable. */
  readonly key_id: string | null;
  /** By party id. */
  readonly answers: readonly Readiness[];
  /** Parties that did not answer in time, in their order. */
  readonly silent: readonly string[];
}

/** A party of a reshare. It deals, receives, or both, and has an index for each. */
export interface ReshareMember {
  readonly party_id: string;
  /** Its place among the members, from 1. It has nothing to do with the other two. */
  readonly index: number;
  readonly identity: string;
  /** Its index in the epoch that is dealt from, if it deals. */
  readonly deals_as: number | null;
  /** Its index in the epoch that is made, if it is to hold a share of that. */
  readonly receives_as: number | null;
}

/**
 * Give a key other shares: the same parties, or others, or another threshold. The public key
 * stays. At most one epoch of those that it allows ever becomes active.
 */
export interface ReshareRequest {
  readonly version: 1;
  /** Idempotency key: the same id with the same bytes is the same request. */
  readonly request_id: string;
  /** None for producers of the old kind, which share one result queue. */
  readonly client_id: string | null;
  /** The client's public key, DER SubjectPublicKeyInfo. */
  readonly signer: string;
  readonly issued_at: number;
  /** Also the session's deadline, unless a party's own limit is nearer. */
  readonly expires_at: number;
  /** Routing key of the result; must be the one that `addresses.result_key` gives. */
  readonly reply_to: string;
  /**
   * Whom a client that serves many asks for. Each tenant's keys, accounts, sessions and request
   * ids are a world of their own.
   */
  readonly tenant?: string | null;
  /** The client's own words; shown with the session. */
  readonly reference?: string | null;
  /**
   * Anything new: it makes the same wish, asked twice in one millisecond, two requests, of which
   * the second is refused as a conflict.
   */
  readonly salt?: string | null;
  readonly operation: "reshare";
  readonly key_id: string;
  /** The key's, compressed: an id alone could come to mean another key. */
  readonly public_key: string;
  /** The one that is active, whose shares are dealt. */
  readonly from_epoch: number;
  /** Of the first try; each further one has the next. Above every epoch that was begun before. */
  readonly first_epoch: number;
  readonly tries?: number;
  readonly threshold: number;
  /** Who shall hold the new shares. */
  readonly parties: readonly string[];
  /** Who shall deal, as many as the old threshold. None lets the coordinator choose. */
  readonly dealers?: readonly string[] | null;
  /** Left out for `backed_up`: so those read it who do not know the field. */
  readonly delete_after?: DeleteAfter;
  /** As in `KeygenRequest`. All tries go by the session that is announced. */
  readonly announce?: boolean;
  /** As in `KeygenRequest`, of the first try; dealers and receivers are joined. */
  readonly join_window_ms?: number | null;
}

/** The new epoch, with all that proves it. The public key is the one that it was. */
export interface ReshareResult {
  readonly version: 1;
  readonly request_id: string;
  readonly client_id: string | null;
  /** None where the request began no session. */
  readonly session_id: string | null;
  /**
   * SHA-256 of the request's bytes as they were sent: two requests may have come under one id,
   * and this answers one of them. A client believes only what answers its own.
   */
  readonly request_digest: string;
  readonly status: Status;
  /** Set unless the status is completed. */
  readonly failure: Failure | null;
  readonly finished_at: number;
  readonly result: "reshare";
  /** None where the request's own was unusable. */
  readonly key_id: string | null;
  readonly bundle: EpochBundle | null;
  /**
   * From when on the new holders are asked for signatures; before, the former ones are, so that
   * none has to wait. A little later those delete their shares.
   */
  readonly signs_from: number | null;
}

/** What makes a reshare this one. Every try has its own epoch, whatever became of the others. */
export interface ReshareTerms {
  readonly request_digest: string;
  readonly key_session: string;
  /** `KeyFacts.digest` of the epoch that is dealt from. */
  readonly predecessor: string;
  /** The one that is made. */
  readonly epoch: number;
  /** Signers that the new epoch needs. */
  readonly threshold: number;
  /** In ascending order of their places. */
  readonly members: readonly ReshareMember[];
  readonly salt: string;
}

/** How an epoch's shares came from those of an earlier one. */
export interface Resharing {
  /** The reshare's session; every try is another one. */
  readonly session_id: string;
  /** `KeyFacts.digest` of the epoch that was dealt from. */
  readonly predecessor: string;
  /** Who dealt, in the order of their places among the predecessor's holders. */
  readonly dealers: readonly string[];
}

/**
 * Of the key that this session made, this party has deleted every share of an epoch lower than
 * `below`, with all that was made with it, and refuses them from now on, wherever they come from.
 * Backups of before are not in its hands.
 */
export interface Retirement {
  readonly party_id: string;
  readonly key_session: string;
  readonly below: number;
  /** By the party's clock. */
  readonly retired_at: number;
  /**
   * When the last backup was made in which such shares are, as far as the party knows. Until it
   * is destroyed, it is as good as a share.
   */
  readonly backed_up_at: number | null;
  readonly signature: string;
}

/** Add an entry that ends an API key for good. What was revoked does not come back. */
export interface RevokeApiKeyRequest {
  readonly version: 1;
  /** Idempotency key: the same id with the same bytes is the same request. */
  readonly request_id: string;
  /** None for producers of the old kind, which share one result queue. */
  readonly client_id: string | null;
  /** The client's public key, DER SubjectPublicKeyInfo. */
  readonly signer: string;
  readonly issued_at: number;
  /** Also the session's deadline, unless a party's own limit is nearer. */
  readonly expires_at: number;
  /** Routing key of the result; must be the one that `addresses.result_key` gives. */
  readonly reply_to: string;
  /**
   * Whom a client that serves many asks for. Each tenant's keys, accounts, sessions and request
   * ids are a world of their own.
   */
  readonly tenant?: string | null;
  /** The client's own words; shown with the session. */
  readonly reference?: string | null;
  /**
   * Anything new: it makes the same wish, asked twice in one millisecond, two requests, of which
   * the second is refused as a conflict.
   */
  readonly salt?: string | null;
  /** By the authority, whom the gateways believe; the client only hands it on. */
  readonly entry: SignedApiKeyEntry;
  readonly operation: "revoke_api_key";
}

/** The entry that revokes stands in the chain. */
export interface RevokeApiKeyResult {
  readonly version: 1;
  readonly request_id: string;
  readonly client_id: string | null;
  /** None where the request began no session. */
  readonly session_id: string | null;
  /**
   * SHA-256 of the request's bytes as they were sent: two requests may have come under one id,
   * and this answers one of them. A client believes only what answers its own.
   */
  readonly request_digest: string;
  readonly status: Status;
  /** Set unless the status is completed. */
  readonly failure: Failure | null;
  readonly finished_at: number;
  readonly result: "revoke_api_key";
  /** Of the entry. */
  readonly number: number | null;
}

/** Of one way in which a party could take part. */
export interface RoleAnswer {
  readonly deals: boolean;
  readonly receives: boolean;
  /** Why it would not. None: it would. */
  readonly refused: FailureCode | null;
  /** The same for people; empty where it would. */
  readonly message: string;
}

/** How a signature is made and what verifies it. */
export type Scheme = "ed25519" | "bip340" | "secp256k1" | "ecdsa";

/** What an API key lets whoever shows it do at a gateway. */
export type Scope = "keygen" | "sign" | "reshare" | "join" | "cancel" | "configure" | "read";

/**
 * That a request with `announce` has a session. Not its result, which is still to come; comes
 * again, the same, when the request does.
 */
export interface SessionAnnounced {
  readonly result: "session_announced";
  readonly version: 1;
  readonly request_id: string;
  readonly client_id: string | null;
  readonly session_id: string;
  /** As in `ResultBase`. */
  readonly request_digest: string;
  /** They give the session's id, and name the request: no other one has this id. */
  readonly terms: SessionTerms | ReshareTerms;
  readonly deadline: number;
  readonly parties: readonly string[];
  /** Party -> what lets it be joined once, by whoever shows it. */
  readonly join_tokens: Readonly<Record<string, string>>;
  /** What lets each party be joined once. */
  readonly session_token: string;
}

/** One line of a session's append-only history. */
export interface SessionEvent {
  readonly sequence: number;
  readonly at: number;
  readonly event: string;
  readonly party_id: string | null;
  readonly details: Readonly<Record<string, unknown>>;
}

/** What makes a session this one and no other; `session_id` is a hash over it. */
export interface SessionTerms {
  readonly protocol: "keygen" | "sign";
  readonly request_digest: string;
  /** The key's own `KeyFacts.session_id`; None for key generation. */
  readonly key_session: string | null;
  readonly epoch: number;
  readonly threshold: number;
  /** In ascending order of index: all parties of a new key, or the signers. */
  readonly members: readonly Member[];
  /** The coordinator's fresh randomness: a second try is another session. */
  readonly salt: string;
}

/** What the owner of a session is told of it. */
export interface SessionView {
  readonly session_id: string;
  readonly request_id: string;
  readonly operation: string;
  readonly key_id: string;
  readonly status: Status;
  readonly deadline: number;
  readonly parties: readonly string[];
  readonly events: readonly SessionEvent[];
  /** How many sign; 0 from a coordinator that does not say, as is None in what follows. */
  readonly threshold: number;
  readonly party_count: number;
  readonly curve: Curve | null;
  /** The request's own. */
  readonly reference: string | null;
  /** Parties whose token was shown, see `JoinSessionRequest`. */
  readonly joined: readonly string[];
  readonly join_tokens: Readonly<Record<string, string>>;
  readonly session_token: string | null;
  /** Whose it is, with `tenant`. */
  readonly client_id: string | null;
  readonly tenant: string | null;
  /**
   * Whether something may have come of the request, or still come. The coordinator cannot prove
   * the contrary; who has counted the parties' statements can say so.
   */
  readonly signature_may_exist: boolean;
}

/** One of several messages that one request has signed. */
export interface SignItem {
  readonly message: string;
  readonly derivation_path?: string | null;
}

/** One signature, or as many as it has `items`: all of them, or none and one failure. */
export interface SignRequest {
  readonly version: 1;
  /** Idempotency key: the same id with the same bytes is the same request. */
  readonly request_id: string;
  /** None for producers of the old kind, which share one result queue. */
  readonly client_id: string | null;
  /** The client's public key, DER SubjectPublicKeyInfo. */
  readonly signer: string;
  readonly issued_at: number;
  /** Also the session's deadline, unless a party's own limit is nearer. */
  readonly expires_at: number;
  /** Routing key of the result; must be the one that `addresses.result_key` gives. */
  readonly reply_to: string;
  /**
   * Whom a client that serves many asks for. Each tenant's keys, accounts, sessions and request
   * ids are a world of their own.
   */
  readonly tenant?: string | null;
  /** The client's own words; shown with the session. */
  readonly reference?: string | null;
  /**
   * Anything new: it makes the same wish, asked twice in one millisecond, two requests, of which
   * the second is refused as a conflict.
   */
  readonly salt?: string | null;
  readonly operation: "sign";
  readonly key_id: string;
  readonly scheme: Scheme;
  readonly message?: string | null;
  /** Sign with the BIP-32 child of the key at this path; None signs with the key itself. */
  readonly derivation_path?: string | null;
  /** Several messages, in place of `message` and `derivation_path`; ecdsa only. */
  readonly items?: readonly SignItem[] | null;
  /**
   * bip340 only: sign for the BIP-341 output key. Empty for an output without scripts,
   * else 32 bytes; None signs for the key itself.
   */
  readonly taproot_merkle_root?: string | null;
  /**
   * Exactly `threshold` parties of the key; None lets the coordinator choose, among those that
   * the account is configured with.
   */
  readonly signers?: readonly string[] | null;
  /** As in `KeygenRequest`. */
  readonly announce?: boolean;
  /** As in `KeygenRequest`. */
  readonly join_window_ms?: number | null;
}

/** A single message's signature stands in the result itself, those of a list in `items`. */
export interface SignResult {
  readonly version: 1;
  readonly request_id: string;
  readonly client_id: string | null;
  /** None where the request began no session. */
  readonly session_id: string | null;
  /**
   * SHA-256 of the request's bytes as they were sent: two requests may have come under one id,
   * and this answers one of them. A client believes only what answers its own.
   */
  readonly request_digest: string;
  readonly status: Status;
  /** Set unless the status is completed. */
  readonly failure: Failure | null;
  readonly finished_at: number;
  readonly result: "sign";
  readonly key_id: string | null;
  readonly scheme: Scheme | null;
  readonly message: string | null;
  readonly derivation_path: string | null;
  /** As in `SignedItem`. */
  readonly public_key: string | null;
  /** As in the request: without it nobody can tell whose output key `public_key` is. */
  readonly taproot_merkle_root: string | null;
  /** As in `SignedItem`. */
  readonly signature: string | null;
  readonly ecdsa: EcdsaForms | null;
  /** One for each of the request's items, in their order. */
  readonly items: readonly SignedItem[] | null;
  readonly signers: readonly string[];
}

/** An entry as its authority wrote and signed it. Not to be believed before `verified`. */
export interface SignedApiKeyEntry {
  /** JSON of an `ApiKeyEntry`. */
  readonly body: string;
  /**
   * ECDSA-P256-SHA256, DER, over the tag ``warren/api-key-entry/v1`` and the body, each behind
   * its length in four bytes.
   */
  readonly signature: string;
}

/** One signature, and all that it takes to verify it. */
export interface SignedItem {
  readonly message: string;
  readonly derivation_path: string | null;
  /**
   * What verifies the signature: 32 bytes for ed25519 and bip340, 33 for the others. Of the
   * child key where there is a path.
   */
  readonly public_key: string;
  /** For ecdsa it is 65 bytes, r || s || recovery id. */
  readonly signature: string;
  readonly ecdsa: EcdsaForms | null;
}

/**
 * For an owner's request id, whatever the request's bytes, issued from `issued_from` up to
 * `issued_until`: this party has committed no signature share and no key certificate, in any
 * session with any key, and never will.
 *
 * One that names a key says more: which epochs of it the party has had a hand in or has proof of,
 * beside the first one and those that a named one comes from, and that until the request is too
 * old to be answered by anybody it has a hand in no other. So whoever knows all epochs that are
 * named knows all that can answer.
 *
 * Owner and request id do not stand here: whoever verifies it says whose request it is to be of.
 */
export interface Statement {
  readonly party_id: string;
  /** Of what was issued earlier, the party may have forgotten that it answered. */
  readonly issued_from: number;
  readonly issued_until: number;
  /**
   * Which key, by `KeyFacts.session_id`, if the cancel names one. Not written where it is None:
   * those who cancel as before may not know it.
   */
  readonly key_session: string | null;
  /**
   * In ascending order, of their number, then of their session. An epoch that was tried in vain
   * is there if this party's word for it may be out.
   */
  readonly epochs: readonly EpochName[] | null;
  readonly signature: string;
}

/** The state of a session; the last four are final. */
export type Status = "waiting" | "in_progress" | "completed" | "failed" | "expired" | "cancelled";

/** What producers ask for. */
export type Request = KeygenRequest | ReshareRequest | SignRequest | CancelRequest | RehearseRequest | QueryKeysRequest | QuerySessionRequest | QueryKeyHistoryRequest | JoinSessionRequest | QueryAccountsRequest | ConfigureAccountRequest | PutApiKeyRequest | RevokeApiKeyRequest | QueryApiKeysRequest;

/** What producers get back. */
export type Delivered = KeygenResult | ReshareResult | SignResult | CancelResult | RehearseResult | QueryKeysResult | QuerySessionResult | QueryKeyHistoryResult | JoinSessionResult | QueryAccountsResult | ConfigureAccountResult | PutApiKeyResult | RevokeApiKeyResult | QueryApiKeysResult | SessionAnnounced;
