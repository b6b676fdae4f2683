/** The one encoding of everything that is hashed or signed: length-prefixed parts. */

import { sha256 } from "@noble/hashes/sha2.js";

import { bigEndian, concat, utf8, type Bytes } from "./bytes.js";
import { ContractError } from "./errors.js";

const LENGTH_BYTES = 4;

/** Each part behind its length as 4 big-endian bytes; so no two lists share an encoding. */
export function pack(parts: readonly Uint8Array[]): Bytes {
  return concat(parts.flatMap((part) => [bigEndian(part.length, LENGTH_BYTES), part]));
}

/** A part that may be missing: no name is nothing, a name has a byte in front. */
export function optional(name: string | null): Bytes {
  return name === null ? new Uint8Array() : concat([Uint8Array.of(1), utf8(name)]);
}

/** Exactly `count` parts and nothing behind them; throws ContractError otherwise. */
export function unpack(data: Uint8Array, count: number): Bytes[] {
  const parts: Bytes[] = [];
  let at = 0;
  for (let each = 0; each < count; each += 1) {
    const start = at + LENGTH_BYTES;
    at = start + data.slice(at, start).reduce((sum, byte) => 256 * sum + byte, 0);
    if (start > data.length || at > data.length) {
      throw new ContractError("truncated: a part is longer than the message");
    }
    parts.push(new Uint8Array(data.slice(start, at)));
  }
  if (at !== data.length) throw new ContractError(`${data.length - at} bytes behind the last part`);
  return parts;
}

/** SHA-256 over a versioned tag and length-prefixed parts. */
export function digest(tag: string, ...parts: readonly Uint8Array[]): Bytes {
  return new Uint8Array(sha256(pack([utf8(tag), ...parts])));
}

export function sha256Of(data: Uint8Array): Bytes {
  return new Uint8Array(sha256(data));
}
