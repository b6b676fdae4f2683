/** New shares of a key over HTTP: how they are asked for, and whether what is shown is of that wish. */

import { fromBase64, toHex } from "../bytes.js";
import { same } from "../checks.js";
import { factsDigest } from "../epochs.js";
import { ContractError } from "../errors.js";
import type { KeyFacts } from "../generated/messages.js";
import type { Epoch } from "../outcomes.js";
import { sha256Of } from "../packing.js";
import { checkedRequest, type RequestOf } from "../requests.js";
import { parseJson, type Json } from "../strict-json.js";
import type { RehearseWish, ReshareWish } from "../warren.js";
import { rehearseFields } from "../wishes.js";
import { textOf } from "./answers.js";
import type { Answer } from "./gateway.js";

/** What changes, in the gateway's words. */
export function resharing(wish: RehearseWish): Record<string, Json> {
  const fields: Record<string, Json> = { key_id: wish.keyId };
  if (wish.parties !== undefined) {
    fields["participants"] = wish.parties.map((party_id) => ({ party_id }));
    fields["threshold_n"] = wish.parties.length;
  }
  if (wish.threshold !== undefined) fields["threshold_t"] = wish.threshold;
  if (wish.dealers !== undefined) fields["dealers"] = wish.dealers;
  if (wish.firstEpoch !== undefined) fields["first_epoch"] = wish.firstEpoch;
  if (wish.tries !== undefined) fields["tries"] = wish.tries;
  return fields;
}

/** What the gateway asked the parties, which is what this wish says: it is to that that they answer. */
export function rehearsalAsked(
  wish: RehearseWish,
  before: KeyFacts,
  told: Answer,
): { request: RequestOf<"rehearse">; digest: string } {
  const body = fromBase64(textOf(told, "request"));
  const request = checkedRequest(parseJson(body));
  if (request.operation !== "rehearse") throw new ContractError("the answer's request is no rehearsal");
  for (const [name, wanted] of Object.entries(rehearseFields(wish, before))) {
    same(name, inAnyOrder(request[name as keyof typeof request]), inAnyOrder(wanted));
  }
  return { request, digest: toHex(sha256Of(body)) };
}

function inAnyOrder(value: unknown): unknown {
  return Array.isArray(value) ? [...(value as readonly string[])].sort() : value;
}

/** It is of this wish: the gateway could have asked for another epoch, or show one that is past. */
export function checkAsked(wish: ReshareWish, before: KeyFacts, { bundle, dealers, number }: Epoch): void {
  const sorted = (names: readonly string[]): string[] => [...names].sort();
  const holders = ({ holders: all }: KeyFacts): string[] => all.map((holder) => holder.party_id);
  const { facts } = bundle.key;
  // Asked for once more under its own id, it may have been made since.
  const made = wish.requestId !== undefined && factsDigest(facts) === factsDigest(before);
  const from = made ? bundle.predecessor.facts : before;
  if (factsDigest(bundle.predecessor.facts) !== factsDigest(from)) {
    throw new ContractError("the epoch comes from another one than we know");
  }
  same("threshold", facts.threshold, wish.threshold ?? from.threshold);
  same("parties", sorted(holders(facts)), sorted(wish.parties ?? holders(from)));
  if (wish.dealers !== undefined) same("dealers", sorted(dealers), sorted(wish.dealers));
  if (number < (wish.firstEpoch ?? 0)) throw new ContractError(`nobody asked for epoch ${number}`);
  const asked = checkedRequest(parseJson(fromBase64(bundle.request))) as RequestOf<"reshare">;
  same("delete_after", asked.delete_after, wish.deleteAfter ?? "backed_up");
}
