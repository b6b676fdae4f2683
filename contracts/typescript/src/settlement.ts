/**
 * What a cancel proves: whether a signature of the cancelled request can still come up. What counts
 * are the statements of the parties that hold the key, each under an identity that is pinned.
 */

import { bigEndian, fromBase64, utf8, type Bytes } from "./bytes.js";
import { ContractError } from "./errors.js";
import type {
  CancelResult,
  KeyFacts,
  KeygenRequest,
  ReshareRequest,
  Statement,
  Status,
} from "./generated/messages.js";
import { PublicIdentity } from "./identity.js";
import type { Parties } from "./keys.js";
import { optional, pack } from "./packing.js";
import type { Owner } from "./requests.js";

const STATEMENT_TAG = "warren/never-signed/v1";

export interface Settlement {
  /** The request id of what was cancelled. */
  readonly target: string;
  /** How the coordinator left it; null if it had not seen it. */
  readonly targetStatus: Status | null;
  /** Parties whose statements count: holders of the key, valid, of the right time. */
  readonly stated: readonly string[];
  /** Parties that say they have answered the request. */
  readonly alreadySigned: readonly string[];
  /** Parties that did not answer. */
  readonly silent: readonly string[];
  /**
   * As many parties may have lied, and still no signature can be made; negative where one can
   * without any lie. Null where nobody knows whose statements would count.
   */
  readonly liarsTolerated: number | null;
  /** Nothing comes of this request id any more. The same message under another id is another request. */
  readonly final: boolean;
  readonly signatureMayExist: boolean;
}

/** Those of whom enough must answer for something to come of a request. */
export interface Group {
  readonly members: Parties;
  /** So many of them make a signature, or a key. */
  readonly needed: number;
  readonly threshold: number;
}

/**
 * A party certifies one key of a name. If as many others could hold one as well, the coordinator may
 * have made two and shows the one that suits it: then all count.
 */
export function groupOfKey(facts: KeyFacts, pinned: Parties): Group {
  const members = new Map(
    facts.holders.map((holder) => [holder.party_id, PublicIdentity.fromBase64(holder.identity)]),
  );
  if (2 * members.size <= pinned.size) {
    for (const [name, identity] of pinned) members.set(name, identity);
  }
  return { members, needed: facts.threshold, threshold: facts.threshold };
}

/** Every party of a new key, or of a new epoch, has to certify it; where none is named, all count. */
export function groupOfNewKey(request: KeygenRequest | ReshareRequest, pinned: Parties): Group {
  const named = request.parties ?? null;
  const members = new Map([...pinned].filter(([name]) => named === null || named.includes(name)));
  return { members, needed: holdersOf(request), threshold: request.threshold };
}

/** How many shall hold a share. */
export function holdersOf(request: KeygenRequest | ReshareRequest): number {
  return request.operation === "reshare" ? request.parties.length : request.party_count;
}

/** The bytes that a party signs. */
export function statementContent(statement: Statement, owner: Owner, target: string): Bytes {
  return pack([
    optional(owner.clientId),
    optional(owner.tenant),
    utf8(target),
    utf8(statement.party_id),
    bigEndian(statement.issued_from, 8),
    bigEndian(statement.issued_until, 8),
  ]);
}

export async function settle(
  result: Pick<
    CancelResult,
    "target" | "target_status" | "statements" | "already_signed" | "silent"
  >,
  group: Group | null,
  about: { owner: Owner; issuedAt: number; liars: number | null },
): Promise<Settlement> {
  const target = result.target ?? "";
  const stated = group === null ? [] : await counted(result.statements, group, target, about);
  let tolerated: number | null = null;
  if (group !== null) {
    // Possible if and only if those who stated nothing, and the liars, are as many as needed.
    tolerated = group.needed - (group.members.size - stated.length) - 1;
  }
  const limit = about.liars ?? (group === null ? 0 : group.threshold - 1);
  const final = tolerated !== null && tolerated >= limit && result.target_status !== "completed";
  const members = (names: readonly string[]): readonly string[] =>
    names.filter((name) => group === null || group.members.has(name));
  return {
    target,
    targetStatus: result.target_status,
    stated,
    alreadySigned: members(result.already_signed),
    silent: members(result.silent),
    liarsTolerated: tolerated,
    final,
    signatureMayExist: !final,
  };
}

/** One of each party, at most. */
async function counted(
  statements: readonly Statement[],
  group: Group,
  target: string,
  about: { owner: Owner; issuedAt: number },
): Promise<string[]> {
  const valid = new Set<string>();
  for (const statement of statements) {
    const identity = group.members.get(statement.party_id);
    const covers =
      statement.issued_from <= about.issuedAt && about.issuedAt <= statement.issued_until;
    if (identity === undefined || !covers) continue;
    const content = statementContent(statement, about.owner, target);
    try {
      await identity.verify(STATEMENT_TAG, content, fromBase64(statement.signature));
    } catch (error) {
      if (error instanceof ContractError) continue;
      throw error;
    }
    valid.add(statement.party_id);
  }
  return [...valid].sort();
}
