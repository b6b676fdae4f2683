/**
 * P-256 identities of clients, parties and coordinator. Public keys are DER SubjectPublicKeyInfo,
 * signatures DER ECDSA-P256-SHA256 over `pack(tag, data)`.
 */

import { concat, equal, fromBase64, fromHex, toBase64, utf8, type Bytes } from "./bytes.js";
import { ContractError, UnauthenticatedError } from "./errors.js";
import { pack } from "./packing.js";

/** Of a SubjectPublicKeyInfo of a P-256 point that is not compressed: all that comes before it. */
const PREFIX = fromHex("3059301306072a8648ce3d020106082a8648ce3d030107034200");
const PUBLIC_KEY_BYTES = 91;
const MIN_SIGNATURE_BYTES = 8;
const MAX_SIGNATURE_BYTES = 72;
const COORDINATE_BYTES = 32;
export const P256 = { name: "ECDSA", namedCurve: "P-256" } as const;
export const P256_SHA256 = { name: "ECDSA", hash: "SHA-256" } as const;

/** Whether it has the form of one. That costs nothing; verifying does. */
export function isSignature(data: Uint8Array): boolean {
  return (
    data.length >= MIN_SIGNATURE_BYTES &&
    data.length <= MAX_SIGNATURE_BYTES &&
    data[0] === 0x30 &&
    data[1] === data.length - 2
  );
}

/** The bytes that a signature of this kind covers. */
export function signedBytes(tag: string, data: Uint8Array): Bytes {
  return pack([utf8(tag), data]);
}

/** Somebody's public key; its DER (91 bytes) is its only encoding. */
export class PublicIdentity {
  #key: Promise<CryptoKey> | undefined;

  private constructor(
    readonly der: Bytes,
    readonly base64: string,
  ) {}

  /** Throws ContractError unless it has the form of a P-256 key in DER. */
  static fromBase64(text: string): PublicIdentity {
    return PublicIdentity.fromDer(fromBase64(text));
  }

  static fromDer(der: Bytes): PublicIdentity {
    if (der.length !== PUBLIC_KEY_BYTES || !equal(der.subarray(0, PREFIX.length), PREFIX)) {
      throw new ContractError("not a P-256 key in DER SubjectPublicKeyInfo, its only encoding");
    }
    return new PublicIdentity(der, toBase64(der));
  }

  /** Throws UnauthenticatedError if the signature is not this identity's over the data. */
  async verify(tag: string, data: Uint8Array, signature: Uint8Array): Promise<void> {
    const numbers = isSignature(signature) ? numbersOf(signature) : null;
    const valid =
      numbers !== null &&
      (await crypto.subtle.verify(P256_SHA256, await this.#load(), numbers, signedBytes(tag, data)));
    if (!valid) throw new UnauthenticatedError("wrong signature", "wrong_signature");
  }

  #load(): Promise<CryptoKey> {
    this.#key ??= crypto.subtle.importKey("spki", this.der, P256, false, ["verify"]).catch(() => {
      throw new ContractError("not a point of P-256");
    });
    return this.#key;
  }
}

/** r and s of a DER signature in 32 bytes each, or null where it is not DER's one encoding. */
function numbersOf(signature: Uint8Array): Bytes | null {
  const r = numberAt(signature, 2);
  const s = r === null ? null : numberAt(signature, r.end);
  if (r === null || s === null || s.end !== signature.length) return null;
  return concat([r.number, s.number]);
}

function numberAt(data: Uint8Array, at: number): { number: Bytes; end: number } | null {
  const size = data[at + 1];
  if (data[at] !== 0x02 || size === undefined || size === 0 || size > COORDINATE_BYTES + 1) return null;
  const end = at + 2 + size;
  const bytes = data.slice(at + 2, end);
  const first = bytes[0];
  if (bytes.length !== size || first === undefined || first >= 0x80) return null;
  const padded = first === 0 && size > 1;
  if (padded && (bytes[1] ?? 0) < 0x80) return null;
  const digits = padded ? bytes.subarray(1) : bytes;
  if (digits.length > COORDINATE_BYTES) return null;
  const number = concat([new Uint8Array(COORDINATE_BYTES - digits.length), digits]);
  return { number, end };
}

/** r and s, 32 bytes each, in DER. */
export function toDer(numbers: Uint8Array): Bytes {
  const both = concat([derNumber(numbers.subarray(0, 32)), derNumber(numbers.subarray(32, 64))]);
  return concat([Uint8Array.of(0x30, both.length), both]);
}

export function derNumber(digits: Uint8Array): Bytes {
  let at = 0;
  while (at < digits.length - 1 && digits[at] === 0) at += 1;
  const plain = digits.subarray(at);
  const padding = (plain[0] ?? 0) >= 0x80 ? [0] : [];
  return concat([Uint8Array.of(0x02, plain.length + padding.length, ...padding), plain]);
}
