/**
 * Whether a reshare would find enough parties, before one is begun.
 *
 * The parties are asked themselves, and answer under their signatures: the coordinator can keep an
 * answer back, and cannot make one up. What they say is true for the moment and binds nobody.
 */

import { ContractError } from "./errors.js";
import type { FailureCode, KeyFacts, Readiness } from "./generated/messages.js";
import type { Parties } from "./keys.js";
import { checkReadiness } from "./readiness.js";
import type { RequestOf } from "./requests.js";

/** What the parties say of a reshare that nobody has begun. Each name is one of theirs. */
export interface Rehearsal {
  readonly keyId: string;
  /** The key's epoch, whose shares would be dealt. */
  readonly from: number;
  /** Whether a reshare would find every new holder, and as many dealers as sign now. */
  readonly ready: boolean;
  /** What it would lack, in words; null if nothing. */
  readonly lacking: string | null;
  /** Who would deal; it takes `dealersNeeded` of them. */
  readonly dealers: readonly string[];
  readonly dealersNeeded: number;
  /** Which of the new holders would take their share; it takes all of them. */
  readonly receivers: readonly string[];
  /** New holders that would not, or have not said so. */
  readonly missing: readonly string[];
  /** Where enough others would deal, one of these may be no obstacle. */
  readonly refusals: readonly Refusal[];
  /** Of whom there is no answer that holds. */
  readonly silent: readonly string[];
  /** What they said, as they signed it, to the request with that digest. */
  readonly signed: readonly Readiness[];
}

/** A party that would not do all that is wanted of it. */
export interface Refusal {
  readonly partyId: string;
  readonly code: FailureCode;
  /** The same for people. */
  readonly message: string;
}

/** What follows from answers to a request. What does not verify is none. */
export async function rehearsalOf(
  request: RequestOf<"rehearse">,
  digest: string,
  before: KeyFacts,
  told: readonly Readiness[],
  pinned: Parties,
): Promise<Rehearsal> {
  const answers = await answersThatHold(told, digest, pinned);
  const couldDeal = request.dealers ?? before.holders.map((holder) => holder.party_id);
  const would = (name: string, role: "deals" | "receives"): boolean =>
    answers.get(name)?.roles.some((each) => each[role] && each.refused === null) ?? false;
  const dealers = couldDeal.filter((name) => would(name, "deals"));
  const receivers = request.parties.filter((name) => would(name, "receives"));
  const missing = request.parties.filter((name) => !receivers.includes(name));
  const lacking = [
    ...(missing.length > 0 ? [`${missing.join(", ")} would not take a share`] : []),
    ...(dealers.length < before.threshold
      ? [`${dealers.length} would deal, and it takes ${before.threshold}`]
      : []),
  ];
  return {
    keyId: request.key_id,
    from: before.epoch,
    ready: lacking.length === 0,
    lacking: lacking.length === 0 ? null : lacking.join("; "),
    dealers,
    dealersNeeded: before.threshold,
    receivers,
    missing,
    refusals: [...answers.values()].flatMap(refusalOf),
    silent: [...new Set([...couldDeal, ...request.parties])].filter((name) => !answers.has(name)),
    signed: [...answers.values()],
  };
}

/** By party id, in the order of the ids. */
async function answersThatHold(
  told: readonly Readiness[],
  digest: string,
  pinned: Parties,
): Promise<ReadonlyMap<string, Readiness>> {
  const found = new Map<string, Readiness>();
  const inOrder = [...told].sort((one, other) => compared(one.party_id, other.party_id));
  for (const said of inOrder) {
    const identity = pinned.get(said.party_id);
    if (identity === undefined) continue;
    try {
      await checkReadiness(said, identity, digest);
    } catch (error) {
      if (error instanceof ContractError) continue;
      throw error;
    }
    found.set(said.party_id, said);
  }
  return found;
}

function refusalOf({ party_id, roles }: Readiness): readonly Refusal[] {
  for (const { refused, message } of roles) {
    if (refused !== null) return [{ partyId: party_id, code: refused, message }];
  }
  return [];
}

function compared(one: string, other: string): number {
  return one === other ? 0 : one < other ? -1 : 1;
}
