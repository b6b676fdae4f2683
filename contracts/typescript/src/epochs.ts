/**
 * Whether a new epoch of a key is the one that its owner asked for: the same key, for the parties
 * and the threshold that were asked for, dealt by holders of the epoch before.
 */

import { fromBase64, toHex } from "./bytes.js";
import { ContractError } from "./errors.js";
import type { EpochBundle, KeyFacts, Resharing } from "./generated/messages.js";
import { PublicIdentity } from "./identity.js";
import { certificateTag, checkKey, keyStatement, type Parties } from "./keys.js";
import { digest, sha256Of } from "./packing.js";
import { checkedRequest, REQUEST_TAG, type RequestOf } from "./requests.js";
import { parseJson } from "./strict-json.js";

const DEALT_TAG = "warren/epoch-dealt/v1";

/** By which a later epoch names this one, in hex. */
export function factsDigest(facts: KeyFacts): string {
  return toHex(digest(certificateTag(facts), keyStatement(facts)));
}

/** Throws ContractError unless the shares of one epoch were made from those of the other. */
export function checkFollowed(later: KeyFacts, earlier: KeyFacts): void {
  if (later.reshared?.predecessor !== factsDigest(earlier)) {
    throw new ContractError(
      `epoch ${later.epoch} was not made from what is told of ${earlier.epoch}`,
    );
  }
}

/**
 * Throws ContractError unless the bundle shows an epoch that comes from its predecessor, which the
 * caller believes in. That its holders have their shares, they certify; the proofs of it are for
 * those who delete theirs. Without an owner, who asked for it is not looked at: of those who ask a
 * gateway, which asks by an identity of its own.
 */
export async function checkEpoch(
  bundle: EpochBundle,
  trusted: { parties: Parties; owner: string | null },
): Promise<void> {
  const known = bundle.predecessor.facts;
  for (const { party_id: name, identity } of known.holders) {
    const certificate = fromBase64(own(bundle.predecessor.certificates, name) ?? "");
    const party = PublicIdentity.fromBase64(identity);
    await party.verify(certificateTag(known), keyStatement(known), certificate);
  }
  const request = await openReshare(bundle, trusted.owner);
  const { facts } = bundle.key;
  if (facts.request_digest !== toHex(sha256Of(fromBase64(bundle.request)))) {
    throw new ContractError("the epoch was made for another request");
  }
  // Facts of version 1 do not say whose tenant's key it is: then the client's word counts.
  const tenant = known.version === 1 ? (request.tenant ?? null) : known.tenant;
  await checkKey(bundle.key, { parties: trusted.parties, clientId: known.client_id, tenant });
  checkSameKey(known, facts);
  checkAsked(request, known, facts);
  await checkDealers(bundle, resharingOf(facts), known);
  const holders = sorted(facts.holders.map((holder) => holder.party_id));
  for (const given of [bundle.possessions, bundle.key.certificates]) {
    if (sorted(Object.keys(given)).join() !== holders.join()) {
      throw new ContractError("there is not one certificate and one proof of each new holder");
    }
  }
}

async function openReshare(bundle: EpochBundle, owner: string | null): Promise<RequestOf<"reshare">> {
  const body = fromBase64(bundle.request);
  const request = checkedRequest(parseJson(body));
  if (request.operation !== "reshare") throw new ContractError("not a reshare request");
  if (owner !== null && request.signer !== owner) {
    throw new ContractError("somebody else than the key's owner asked for the epoch");
  }
  const signature = fromBase64(bundle.request_signature);
  await PublicIdentity.fromBase64(request.signer).verify(REQUEST_TAG, body, signature);
  return request;
}

function resharingOf({ reshared }: KeyFacts): Resharing {
  if (reshared == null) {
    throw new ContractError("facts of before there were reshares are no new epoch");
  }
  return reshared;
}

const LASTING = ["key_id", "session_id", "curve", "public_key", "chain_code", "schemes"] as const;

function checkSameKey(known: KeyFacts, facts: KeyFacts): void {
  for (const name of LASTING) {
    if (JSON.stringify(facts[name]) !== JSON.stringify(known[name])) {
      throw new ContractError(`the epoch is another key's: its ${name} differs`);
    }
  }
  if (known.origin !== null && known.origin !== facts.origin) {
    throw new ContractError("the epoch is another key's: its origin differs");
  }
}

function checkAsked(asked: RequestOf<"reshare">, known: KeyFacts, facts: KeyFacts): void {
  const said: Readonly<Record<string, readonly [unknown, unknown]>> = {
    client_id: [asked.client_id, facts.client_id],
    tenant: [asked.tenant ?? null, facts.tenant],
    key_id: [asked.key_id, facts.key_id],
    public_key: [asked.public_key, facts.public_key],
    from_epoch: [asked.from_epoch, known.epoch],
    threshold: [asked.threshold, facts.threshold],
    parties: [
      sorted(asked.parties).join(),
      sorted(facts.holders.map((holder) => holder.party_id)).join(),
    ],
  };
  for (const [name, [wanted, certified]] of Object.entries(said)) {
    if (wanted !== certified) {
      throw new ContractError(`the epoch's ${name} is not what its owner asked for`);
    }
  }
  const behind = facts.epoch - asked.first_epoch;
  if (behind < 0 || behind >= (asked.tries ?? 1)) {
    throw new ContractError(`its owner did not ask for epoch ${facts.epoch}`);
  }
  const { dealers } = resharingOf(facts);
  if (asked.dealers != null && sorted(asked.dealers).join() !== sorted(dealers).join()) {
    throw new ContractError("the epoch's dealers are not those that its owner asked for");
  }
}

async function checkDealers(
  bundle: EpochBundle,
  reshared: Resharing,
  known: KeyFacts,
): Promise<void> {
  if (reshared.predecessor !== factsDigest(known)) {
    throw new ContractError("the epoch's facts name another predecessor");
  }
  const dealers = known.holders.filter((holder) => reshared.dealers.includes(holder.party_id));
  if (dealers.map((dealer) => dealer.party_id).join() !== reshared.dealers.join()) {
    throw new ContractError("the dealers are not holders of the predecessor, in their order");
  }
  const signed = sorted(Object.keys(bundle.dealt)).join();
  if (dealers.length !== known.threshold || signed !== sorted(reshared.dealers).join()) {
    throw new ContractError(`${known.threshold} dealers have to deal, and each to sign`);
  }
  const statement = keyStatement(bundle.key.facts);
  for (const dealer of dealers) {
    const signature = fromBase64(own(bundle.dealt, dealer.party_id) ?? "");
    await PublicIdentity.fromBase64(dealer.identity).verify(DEALT_TAG, statement, signature);
  }
}

function own<T>(record: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(record, name) ? record[name] : undefined;
}

function sorted(names: readonly string[]): string[] {
  return [...names].sort();
}
