/**
 * The epochs of a key, and who of those who held a share has said that it is deleted.
 *
 * The newest epoch is proven by its holders' certificates, and each one's facts name those of the one
 * that it was made from. What parties have said of their shares is signed by them. The coordinator can
 * keep that back, and cannot make it up: of whom nothing comes that holds, nothing is known.
 */

import { checkFollowed } from "./epochs.js";
import { ContractError, DisbelievedError } from "./errors.js";
import type { EpochView, KeyFacts, QueryKeyHistoryResult, Retirement } from "./generated/messages.js";
import { PublicIdentity } from "./identity.js";
import type { Parties } from "./keys.js";
import { checkRetirement } from "./retirements.js";

export interface KeyHistory {
  readonly keyId: string;
  /** Of the newest epoch. */
  readonly facts: KeyFacts;
  /** The newest first; none of a key whose shares are its first. */
  readonly successions: readonly Succession[];
}

/** A later epoch of a key, and the one that it was made from. */
export interface Succession {
  /** The epoch's number; gaps are where one was begun and came to nothing. */
  readonly number: number;
  /** Of the epoch that it was made from. */
  readonly from: number;
  readonly facts: KeyFacts;
  /** Of the epoch that it was made from. */
  readonly before: KeyFacts;
  /** These two as the coordinator tells them. */
  readonly madeAt: Date | null;
  readonly signsFrom: Date | null;
  /** What former holders have said of their shares of the epoch before; verified. */
  readonly retired: readonly Retired[];
  /** Former holders who have not said that they have, in their order. */
  readonly stillToDelete: readonly string[];
  /**
   * How many former holders have to delete their shares, honestly and with all backups, until the
   * others can sign no more with theirs.
   */
  readonly deleters: number;
}

/** It is the party's own word, of this key, and of that epoch. */
export interface Retired {
  readonly partyId: string;
  /** It has deleted every share of an epoch lower than this. */
  readonly below: number;
  /** By the party's clock. */
  readonly retiredAt: Date;
  /**
   * When the last backup was made in which such shares are, as far as the party knows. Until it is
   * destroyed, it is as good as a share.
   */
  readonly backedUpAt: Date | null;
  /** As the party has signed it. */
  readonly signed: Retirement;
}

type Page = QueryKeyHistoryResult;

/** Page after page, each of which was checked by itself. Throws DisbelievedError if they do not fit. */
export async function historyOf(
  ask: (before: number | null) => Promise<Page>,
  pinned: Parties,
): Promise<KeyHistory> {
  const views: EpochView[] = [];
  for (let more = true; more; ) {
    const last = views.at(-1)?.facts;
    const page = await ask(last?.epoch ?? null);
    if (last !== undefined) believed(page, () => checkJoined(last, page));
    views.push(...page.epochs);
    more = page.more;
  }
  const facts = views[0]?.facts;
  if (facts === undefined) throw new DisbelievedError("the history has no epoch");
  return { keyId: facts.key_id, facts, successions: await successionsOf(views, pinned) };
}

/** Throws ContractError unless the page goes on where the one before has ended. */
export function checkJoined(last: KeyFacts, page: Page): void {
  const next = page.epochs[0];
  if (next === undefined) {
    throw new ContractError(`the history ends behind epoch ${last.epoch}, which is not the first`);
  }
  checkFollowed(last, next.facts);
}

function believed(page: Page, check: () => void): void {
  try {
    check();
  } catch (error) {
    if (error instanceof ContractError) throw new DisbelievedError(error.message, page.request_id);
    throw error;
  }
}

/** Of a key's epochs, the newest first, of which each is known to come from the one behind it. */
export async function successionsOf(views: readonly EpochView[], pinned: Parties): Promise<Succession[]> {
  const made: Succession[] = [];
  for (const [at, view] of views.entries()) {
    const before = views[at + 1]?.facts;
    if (before !== undefined) made.push(await successionOf(view, before, pinned));
  }
  return made;
}

async function successionOf(view: EpochView, before: KeyFacts, pinned: Parties): Promise<Succession> {
  const { facts } = view;
  const retired = new Map<string, Retired>();
  for (const said of view.retirements) {
    if (await holds(said, facts, before, pinned)) retired.set(said.party_id, retiredOf(said));
  }
  const former = before.holders.map((holder) => holder.party_id);
  return {
    number: facts.epoch,
    from: before.epoch,
    facts,
    before,
    madeAt: dateOf(view.made_at),
    signsFrom: dateOf(view.signs_from),
    retired: [...retired.values()],
    stillToDelete: former.filter((name) => !retired.has(name)),
    deleters: former.length - before.threshold + 1,
  };
}

/**
 * By the identity that the epoch's facts give a former holder. That of one whom we know has to be the
 * one that we know; one who has left may not be known here any more.
 */
async function holds(
  said: Retirement,
  facts: KeyFacts,
  before: KeyFacts,
  pinned: Parties,
): Promise<boolean> {
  const holder = before.holders.find((each) => each.party_id === said.party_id);
  if (holder === undefined) return false;
  const known = pinned.get(holder.party_id);
  if (known !== undefined && known.base64 !== holder.identity) return false;
  const of = { partyId: holder.party_id, keySession: facts.session_id, epoch: facts.epoch };
  try {
    await checkRetirement(said, PublicIdentity.fromBase64(holder.identity), of);
  } catch (error) {
    if (error instanceof ContractError) return false;
    throw error;
  }
  return true;
}

function retiredOf(said: Retirement): Retired {
  return {
    partyId: said.party_id,
    below: said.below,
    retiredAt: new Date(said.retired_at),
    backedUpAt: dateOf(said.backed_up_at),
    signed: said,
  };
}

function dateOf(at: number | null): Date | null {
  return at === null ? null : new Date(at);
}
