/** What makes a session the one that it is: its id is a hash over its terms. */

import { bigEndian, fromBase64, fromHex, toHex, utf8, type Bytes } from "./bytes.js";
import type { ReshareTerms, SessionTerms } from "./generated/messages.js";
import { digest, pack } from "./packing.js";

const TAG = "warren/session/v1";
const RESHARE_TAG = "warren/reshare-session/v1";
const VERSION = 1;

/** The id, in hex, that these terms and no others have. */
export function sessionIdOf(terms: SessionTerms | ReshareTerms): string {
  if ("predecessor" in terms) return reshareIdOf(terms);
  return toHex(
    digest(
      TAG,
      Uint8Array.of(VERSION),
      utf8(terms.protocol),
      fromHex(terms.request_digest),
      fromHex(terms.key_session ?? ""),
      bigEndian(terms.epoch, 4),
      Uint8Array.of(terms.threshold),
      roster(terms.members),
      fromHex(terms.salt),
    ),
  );
}

function reshareIdOf(terms: ReshareTerms): string {
  const roles = terms.members.map((member) =>
    Uint8Array.of(member.deals_as ?? 0, member.receives_as ?? 0),
  );
  return toHex(
    digest(
      RESHARE_TAG,
      Uint8Array.of(VERSION),
      fromHex(terms.request_digest),
      fromHex(terms.key_session),
      fromHex(terms.predecessor),
      bigEndian(terms.epoch, 4),
      Uint8Array.of(terms.threshold),
      roster(terms.members),
      pack(roles),
      fromHex(terms.salt),
    ),
  );
}

function roster(members: SessionTerms["members"]): Bytes {
  return pack(
    members.flatMap((member) => [
      utf8(member.party_id),
      Uint8Array.of(member.index),
      fromBase64(member.identity),
    ]),
  );
}
