/**
 * What a party says of a key's earlier epochs: that it has deleted all that it had of them. Nobody
 * can see from outside whether it did. What it says is signed, and can be held against it.
 */

import { bigEndian, fromBase64, fromHex, utf8, type Bytes } from "./bytes.js";
import { ContractError } from "./errors.js";
import type { Retirement } from "./generated/messages.js";
import type { PublicIdentity } from "./identity.js";
import { pack } from "./packing.js";

export const RETIREMENT_TAG = "warren/epochs-retired/v1";

/** The bytes that are signed. */
export function retirementContent(said: Retirement): Bytes {
  const { backed_up_at: backedUpAt } = said;
  return pack([
    utf8(said.party_id),
    fromHex(said.key_session),
    bigEndian(said.below, 4),
    bigEndian(said.retired_at, 8),
    backedUpAt === null ? new Uint8Array() : bigEndian(backedUpAt, 8),
  ]);
}

/**
 * Throws ContractError unless that party, by the identity that the caller trusts, says it of all
 * epochs of that key below `epoch`.
 */
export async function checkRetirement(
  said: Retirement,
  identity: PublicIdentity,
  of: { partyId: string; keySession: string; epoch: number },
): Promise<void> {
  const { partyId, keySession, epoch } = of;
  if (said.party_id !== partyId) throw new ContractError(`${said.party_id} says it, and not ${partyId}`);
  if (said.key_session !== keySession) throw new ContractError(`${partyId} says it of another key`);
  if (said.below < epoch) {
    throw new ContractError(`${partyId} says it of epochs below ${said.below}, not ${epoch}`);
  }
  await identity.verify(RETIREMENT_TAG, retirementContent(said), fromBase64(said.signature));
}
