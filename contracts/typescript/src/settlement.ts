/**
 * What a cancel proves: whether a signature of the cancelled request can still come up. What counts
 * are the statements of the parties that hold the key, each under an identity that is pinned.
 *
 * A key whose shares were made anew has had several committees, and each of them has to be counted.
 * That there is no other is what the statements themselves say.
 */

import { bigEndian, concat, fromBase64, fromHex, utf8, type Bytes } from "./bytes.js";
import { factsDigest } from "./epochs.js";
import { ContractError } from "./errors.js";
import type {
  CancelResult,
  EpochName,
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
/** Of a statement that names a key: one of either kind never counts as one of the other. */
const EPOCHS_TAG = "warren/never-signed/v2";

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
   * As many parties may have lied, and still no signature can be made, in the epoch where it takes
   * the fewest; negative where one can without any lie. Null where nobody knows whose statements
   * would count.
   */
  readonly liarsTolerated: number | null;
  /**
   * Nothing comes of this request id any more. The same message under another id is another request.
   * False, too, where parties know of an epoch of the key that we were not shown.
   */
  readonly final: boolean;
  readonly signatureMayExist: boolean;
}

/** Those of whom enough must answer for something to come of a request. */
export interface Committee {
  readonly members: Parties;
  /** So many of them make a signature, or a key. */
  readonly needed: number;
  readonly threshold: number;
}

/** Whose statements count. */
export interface Group {
  /** Each of them can answer: those of a key's epochs, the newest in front. */
  readonly committees: readonly Committee[];
  /** The key of which statements have to tell; null for any, where it is not made yet. */
  readonly keySession: string | null;
  /**
   * All of the key's but the first, as far as we know, as `nameOf` writes them: of two reshares from
   * one epoch both may have been made, with the same number.
   */
  readonly epochs: ReadonlySet<string>;
}

/**
 * Null where an epoch that the key's comes from is not told of: who holds that, nobody knows. The
 * coordinator could leave out some, but each is named by its digest.
 */
export function groupOfKey(
  facts: KeyFacts,
  pinned: Parties,
  told: readonly KeyFacts[] = [],
): Group | null {
  const known = new Map(told.map((each) => [factsDigest(each), each]));
  const line = [facts];
  for (let { reshared } = facts; reshared != null; ) {
    const before = known.get(reshared.predecessor);
    if (before === undefined) return null;
    line.push(before);
    ({ reshared } = before);
  }
  return {
    committees: line.map((each) => committeeOf(each, pinned)),
    keySession: facts.session_id,
    epochs: new Set(
      line.flatMap(({ epoch, reshared }) =>
        reshared == null ? [] : [nameOf({ epoch, session_id: reshared.session_id })],
      ),
    ),
  };
}

/**
 * A party certifies one key of a name. If as many others could hold one as well, the coordinator may
 * have made two and shows the one that suits it: then all count.
 */
function committeeOf(facts: KeyFacts, pinned: Parties): Committee {
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
  // What those say whom the request names and we do not know, nobody can count.
  const unknown = named === null ? 0 : new Set(named).size - members.size;
  const needed = holdersOf(request) - unknown;
  const committee = { members, needed, threshold: request.threshold };
  return { committees: [committee], keySession: null, epochs: new Set() };
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
    ...(statement.key_session == null
      ? []
      : [
          fromHex(statement.key_session),
          pack(
            (statement.epochs ?? []).map((each) =>
              concat([bigEndian(each.epoch, 4), fromHex(each.session_id)]),
            ),
          ),
        ]),
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
  const committees = group?.committees ?? [];
  const stated = new Set<string>();
  let tolerated: number | null = null;
  let final = group !== null && result.target_status !== "completed";
  for (const committee of committees) {
    const said = result.statements.filter((each) => group !== null && knows(group, each));
    const valid = await counted(said, committee, target, about);
    for (const name of valid) stated.add(name);
    // Possible if and only if those who stated nothing, and the liars, are as many as needed.
    const of = committee.needed - (committee.members.size - valid.size) - 1;
    tolerated = Math.min(tolerated ?? of, of);
    final &&= of >= (about.liars ?? committee.threshold - 1);
  }
  const members = (names: readonly string[]): readonly string[] =>
    names.filter((name) => group === null || committees.some((each) => each.members.has(name)));
  return {
    target,
    targetStatus: result.target_status,
    stated: [...stated].sort(),
    alreadySigned: members(result.already_signed),
    silent: members(result.silent),
    liarsTolerated: tolerated,
    final,
    signatureMayExist: !final,
  };
}

/** Whether its party had a hand in no epoch of the key but those we know, and says so. */
function knows(group: Group, { key_session: key, epochs }: Statement): boolean {
  if (group.keySession === null) return true;
  if (key !== group.keySession || epochs == null) return false;
  return epochs.every((each) => group.epochs.has(nameOf(each)));
}

function nameOf({ epoch, session_id: session }: EpochName): string {
  return `${String(epoch)} ${session}`;
}

/** One of each party, at most. */
async function counted(
  statements: readonly Statement[],
  committee: Committee,
  target: string,
  about: { owner: Owner; issuedAt: number },
): Promise<Set<string>> {
  const valid = new Set<string>();
  for (const statement of statements) {
    const identity = committee.members.get(statement.party_id);
    const covers =
      statement.issued_from <= about.issuedAt && about.issuedAt <= statement.issued_until;
    if (identity === undefined || !covers) continue;
    const content = statementContent(statement, about.owner, target);
    try {
      const tag = statement.key_session == null ? STATEMENT_TAG : EPOCHS_TAG;
      await identity.verify(tag, content, fromBase64(statement.signature));
    } catch (error) {
      if (error instanceof ContractError) continue;
      throw error;
    }
    valid.add(statement.party_id);
  }
  return valid;
}
