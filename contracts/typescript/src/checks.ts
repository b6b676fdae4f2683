/**
 * Does this completed result answer that request? Each check throws ContractError unless the fields
 * that say what was done are those that were asked for. Whether keys and signatures are true comes
 * after it, in `trust`.
 */

import { fromBase64, toHex } from "./bytes.js";
import { checkFollowed } from "./epochs.js";
import { ContractError } from "./errors.js";
import type {
  CancelResult,
  ConfigureAccountResult,
  Delivered,
  KeygenResult,
  QueryAccountsResult,
  QueryApiKeysResult,
  QueryKeyHistoryResult,
  QueryKeysResult,
  QuerySessionResult,
  RehearseResult,
  Request,
  ReshareResult,
  ReshareTerms,
  SessionAnnounced,
  SessionTerms,
  SessionView,
  SignedItem,
  SignResult,
} from "./generated/messages.js";
import { PublicIdentity } from "./identity.js";
import { sha256Of } from "./packing.js";
import type { RequestOf, SignedRequest } from "./requests.js";
import { readRequest } from "./schema.js";
import { parseJson } from "./strict-json.js";
import { sessionIdOf } from "./terms.js";

export type Result = Exclude<Delivered, SessionAnnounced>;

/** As far as ids and echoed fields tell. */
export async function checkAnswer(signed: SignedRequest, result: Result): Promise<void> {
  const { request } = signed;
  same("request_digest", result.request_digest, signed.digest);
  same("request_id", result.request_id, request.request_id);
  same("client_id", result.client_id, request.client_id);
  same("result", result.result, request.operation);
  if (result.status !== "completed") return;
  switch (request.operation) {
    case "keygen":
      { madeKey(request, result as KeygenResult); return; }
    case "reshare":
      { madeEpoch(request, result as ReshareResult); return; }
    case "sign":
      { madeSignatures(request, result as SignResult); return; }
    case "rehearse":
      { same("key_id", (result as RehearseResult).key_id, request.key_id); return; }
    case "cancel":
      { same("target", (result as CancelResult).target, request.target); return; }
    case "query_keys": {
      const { keys, more } = result as QueryKeysResult;
      const keyIds = keys.map((key) => key.facts.key_id);
      only(request.only ?? null, keyIds);
      page(keyIds, more); return;
    }
    case "query_key_history":
      { toldHistory(request, result as QueryKeyHistoryResult); return; }
    case "query_session":
      { lookedAt(request, result as QuerySessionResult); return; }
    case "join_session": {
      if (result.result !== "join_session") return;
      same("session_id", present("session", result.session).session_id, request.session_id);
      const partyId = present("party_id", result.party_id);
      if (request.party_id != null) same("party_id", partyId, request.party_id);
      return;
    }
    case "query_accounts": {
      const { accounts, more } = result as QueryAccountsResult;
      const accountIds = accounts.map((account) => account.account_id);
      page(accountIds, more);
      only(request.only ?? null, accountIds); return;
    }
    case "configure_account": {
      const account = present("account", (result as ConfigureAccountResult).account);
      same("account_id", account.account_id, request.account_id);
      same("signers", sorted(account.signers ?? []), sorted(request.signers ?? [])); return;
    }
    case "put_api_key":
    case "revoke_api_key": {
      const entry = parseJson(fromBase64(request.entry.body)) as { number?: number };
      same("number", (result as { number: number | null }).number, entry.number); return;
    }
    case "query_api_keys":
      return listedEntries(request, result as QueryApiKeysResult);
  }
}

/** Throws ContractError unless the session is one of the request with this digest. */
export function checkAnnounced(digest: string, announced: SessionAnnounced): void {
  names(announced.terms, announced.session_id, digest);
}

export function madeSignatures(request: RequestOf<"sign">, result: SignResult): void {
  same("key_id", result.key_id, request.key_id);
  same("scheme", result.scheme, request.scheme);
  same("form", result.items === null, (request.items ?? null) === null);
  const wanted = (request.items ?? [request]).map((item) => [item.message, item.derivation_path ?? null]);
  same("messages", signedItems(result).map((item) => [item.message, item.derivation_path]), wanted);
  if (request.signers != null) same("signers", sorted(result.signers), sorted(request.signers));
}

/** All signatures, in whichever form they were asked for; none unless completed. */
export function signedItems(result: SignResult): readonly SignedItem[] {
  if (result.items !== null) return result.items;
  const { message, derivation_path, public_key, signature, ecdsa } = result;
  if (message === null || public_key === null || signature === null) return [];
  return [{ message, derivation_path, public_key, signature, ecdsa }];
}

export function same(name: string, found: unknown, expected: unknown): void {
  if (JSON.stringify(found ?? null) !== JSON.stringify(expected ?? null)) {
    throw new ContractError(`the result's ${name} is not what was asked for`);
  }
}

function madeKey(request: RequestOf<"keygen">, result: KeygenResult): void {
  const { facts } = present("key", result.key);
  if (facts.version === 1) {
    throw new ContractError(
      "the result's key says neither tenant nor request, as all new ones do",
    );
  }
  same("epoch", facts.epoch, 0);
  same("tenant", facts.tenant, request.tenant);
  same("schemes", facts.schemes, request.schemes);
  same("origin", facts.origin, "generated");
  same("key_id", facts.key_id, request.key_id);
  same("key_id", result.key_id, request.key_id);
  same("client_id", facts.client_id, request.client_id);
  same("session_id", facts.session_id, result.session_id);
  same("curve", facts.curve, request.curve);
  same("threshold", facts.threshold, request.threshold);
  same("party_count", facts.holders.length, request.party_count);
  if (request.parties != null) {
    const parties = facts.holders.map((holder) => holder.party_id);
    same("parties", sorted(parties), sorted(request.parties));
  }
}

/** The rest its bundle says itself, see `epochs`: here, that it is this request's. */
function madeEpoch(request: RequestOf<"reshare">, result: ReshareResult): void {
  const bundle = present("bundle", result.bundle);
  same("key_id", result.key_id, request.key_id);
  same("request", toHex(sha256Of(fromBase64(bundle.request))), result.request_digest);
  const reshared = present("epoch", bundle.key.facts.reshared ?? null);
  // Of an announced one it may be a later try that made the epoch.
  if (!(request.announce ?? false)) same("session_id", reshared.session_id, result.session_id);
  present("signs_from", result.signs_from);
}

/**
 * One epoch's facts are those that the next one's name, and none is left out between. On the first
 * page the newest is the key's own; `histories` joins the pages.
 */
function toldHistory(request: RequestOf<"query_key_history">, result: QueryKeyHistoryResult): void {
  const newest = present("key", result.key).facts;
  if (request.key_id != null) same("key_id", newest.key_id, request.key_id);
  else same("key_session", newest.session_id, request.key_session);
  page(result.epochs, result.more);
  const told = result.epochs.map(({ facts }) => facts);
  const [first] = told;
  if (request.before == null) {
    same("newest epoch", told.slice(0, 1), [newest]);
  } else if (first !== undefined && first.epoch >= request.before) {
    throw new ContractError("the page begins at an epoch that was on the one before");
  }
  for (const [at, earlier] of told.entries()) {
    const later = told[at - 1];
    if (later !== undefined) checkFollowed(later, earlier);
  }
  const last = told.at(-1);
  if (last !== undefined && (last.reshared != null) !== result.more) {
    throw new ContractError("the history ends before the first epoch, or goes on behind it");
  }
}

function lookedAt(request: RequestOf<"query_session">, result: QuerySessionResult): void {
  const session = present("session", result.session);
  const owner = [session.client_id, session.tenant];
  const asker = [request.client_id, request.tenant ?? null];
  if (request.session_id != null) {
    same("session_id", session.session_id, request.session_id);
    if (request.tenant != null) same("owner", owner, asker);
  } else {
    same("target", session.request_id, request.target);
    same("owner", owner, asker);
  }
  const began = namedSession(session, result);
  const { outcome } = result;
  if (outcome === null) return;
  // Its session may be another one: a request goes on with other signers when some fail.
  same("outcome's request_id", outcome.request_id, session.request_id);
  same("outcome's client_id", outcome.client_id, request.client_id);
  same("outcome", outcome.result, session.operation);
  same("outcome's key_id", outcome.key_id, session.key_id);
  same("outcome's request_digest", outcome.request_digest, began.digest);
  if (outcome.status !== "completed") return;
  if (began.request.operation === "sign" && outcome.result === "sign") {
    madeSignatures(began.request, outcome);
  }
  if (began.request.operation === "reshare" && outcome.result === "reshare") {
    madeEpoch(began.request, outcome);
  }
}

/**
 * The session is one of the request whose bytes come with it: the coordinator could name another
 * one, which nobody ever answered, to somebody who cancels the session.
 */
function namedSession(
  session: SessionView,
  result: QuerySessionResult,
): { request: Request; digest: string } {
  const terms = present("terms", result.terms);
  const body = fromBase64(present("request", result.request));
  const digest = toHex(sha256Of(body));
  names(terms, session.session_id, digest);
  let request: Request;
  try {
    request = readRequest(parseJson(body));
  } catch {
    throw new ContractError("the session's request is none");
  }
  same("session's request_id", session.request_id, request.request_id);
  const owner = [request.client_id, request.tenant ?? null];
  same("session's owner", [session.client_id, session.tenant], owner);
  return { request, digest };
}

function names(terms: SessionTerms | ReshareTerms, sessionId: string, digest: string): void {
  same("session_id", sessionId, sessionIdOf(terms));
  same("terms' request", terms.request_digest, digest);
}

async function listedEntries(
  request: RequestOf<"query_api_keys">,
  result: QueryApiKeysResult,
): Promise<void> {
  same("after", result.after, request.after ?? 0);
  if (result.entries.length > (request.limit ?? 200)) {
    throw new ContractError("the result is a longer page than was asked for");
  }
  page(result.entries, result.more);
  const authority = PublicIdentity.fromBase64(request.authority);
  for (const [at, signed] of result.entries.entries()) {
    const body = fromBase64(signed.body);
    await authority.verify("warren/api-key-entry/v1", body, fromBase64(signed.signature));
    const entry = parseJson(body) as { number?: number; client_id?: string };
    same("entry's number", entry.number, result.after + at + 1);
    same("entry's client_id", entry.client_id, request.client_id);
  }
}

function present<T>(name: string, value: T | null): T {
  if (value === null) throw new ContractError(`the result is completed and has no ${name}`);
  return value;
}

function only(asked: string | null, found: readonly string[]): void {
  if (asked !== null && (found.length !== 1 || found[0] !== asked)) {
    throw new ContractError(
      "the result lists something else than the one that was asked for",
    );
  }
}

function page(found: readonly unknown[], more: boolean): void {
  if (more && found.length === 0) {
    throw new ContractError("the result is an empty page and says that there are more");
  }
}

function sorted(names: readonly string[]): string[] {
  return [...names].sort();
}

