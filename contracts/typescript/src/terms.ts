/** What makes a session the one that it is: its id is a hash over its terms. */

import { bigEndian, fromBase64, fromHex, toHex, utf8 } from "./bytes.js";
import type { SessionTerms } from "./generated/messages.js";
import { digest, pack } from "./packing.js";

const TAG = "warren/session/v1";
const VERSION = 1;

/** The id, in hex, that these terms and no others have. */
export function sessionIdOf(terms: SessionTerms): string {
  const roster = terms.members.flatMap((member) => [
    utf8(member.party_id),
    Uint8Array.of(member.index),
    fromBase64(member.identity),
  ]);
  return toHex(
    digest(
      TAG,
      Uint8Array.of(VERSION),
      utf8(terms.protocol),
      fromHex(terms.request_digest),
      fromHex(terms.key_session ?? ""),
      bigEndian(terms.epoch, 4),
      Uint8Array.of(terms.threshold),
      pack(roster),
      fromHex(terms.salt),
    ),
  );
}
