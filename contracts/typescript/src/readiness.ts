/**
 * What a party answers when a reshare is rehearsed: whether it would take part, and if not, why. It
 * is true for the moment in which it is said, and binds nobody.
 */

import { bigEndian, fromBase64, fromHex, utf8, type Bytes } from "./bytes.js";
import { ContractError } from "./errors.js";
import type { Readiness } from "./generated/messages.js";
import type { PublicIdentity } from "./identity.js";
import { pack } from "./packing.js";

export const READINESS_TAG = "warren/reshare-readiness/v1";

/** The bytes that are signed. */
export function readinessContent(said: Readiness): Bytes {
  const roles = said.roles.map(({ deals, receives, refused, message }) =>
    pack([flag(deals), flag(receives), utf8(refused ?? ""), utf8(message)]),
  );
  return pack([
    utf8(said.party_id),
    fromHex(said.request_digest),
    pack(roles),
    bigEndian(said.at, 8),
  ]);
}

/** Throws ContractError unless that party's identity said it to the request with this digest. */
export async function checkReadiness(
  said: Readiness,
  identity: PublicIdentity,
  requestDigest: string,
): Promise<void> {
  if (said.request_digest !== requestDigest) {
    throw new ContractError(`${said.party_id} says it to another request`);
  }
  await identity.verify(READINESS_TAG, readinessContent(said), fromBase64(said.signature));
}

function flag(is: boolean): Bytes {
  return new Uint8Array([is ? 1 : 0]);
}
