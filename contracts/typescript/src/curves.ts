/** Points and signatures on ed25519 and secp256k1. Public data only: nothing here needs be constant-time. */

import { mulAddUnsafe } from "@noble/curves/abstract/curve.js";
import { ed25519 } from "@noble/curves/ed25519.js";
import { secp256k1 } from "@noble/curves/secp256k1.js";
import { sha256, sha512 } from "@noble/hashes/sha2.js";

import { bigEndian, concat, equal, fromNumber, toNumber, utf8, type Bytes } from "./bytes.js";
import { ContractError } from "./errors.js";
import { derNumber } from "./identity.js";
import type { Curve, EcdsaForms, Scheme } from "./generated/messages.js";
import { toHex } from "./bytes.js";

const Edwards = ed25519.Point;
const Koblitz = secp256k1.Point;
type EdwardsPoint = InstanceType<typeof Edwards>;
type KoblitzPoint = InstanceType<typeof Koblitz>;

export const SECP256K1_ORDER = Koblitz.Fn.ORDER;
const ED25519_ORDER = Edwards.Fn.ORDER;
const NOT_BY_THIS_KEY = "well formed, and over another message or by another key";
const MAX_KNOWN = 4096;
const known = new Map<string, EdwardsPoint>();

/** Throws ContractError unless it is the compressed encoding of a point that can be a key. */
export function checkPoint(curve: Curve, encoded: Uint8Array): void {
  if (curve === "ed25519") edwardsPoint(encoded);
  else koblitzPoint(encoded);
}

/** Canonical, on the curve, of prime order, not the identity. The same keys come again and again. */
function edwardsPoint(encoded: Uint8Array): EdwardsPoint {
  const name = toHex(encoded);
  const before = known.get(name);
  if (before !== undefined) return before;
  let point: EdwardsPoint | null = null;
  try {
    point = Edwards.fromBytes(encoded, false);
  } catch {
    // Not canonical, or not on the curve.
  }
  if (point === null || point.is0() || !point.isTorsionFree()) {
    throw new ContractError("not a point of ed25519's prime-order group");
  }
  if (known.size >= MAX_KNOWN) known.clear();
  known.set(name, point);
  return point;
}

export function koblitzPoint(encoded: Uint8Array): KoblitzPoint {
  if (encoded.length !== 33) throw new ContractError("a compressed secp256k1 point has 33 bytes");
  try {
    return Koblitz.fromBytes(encoded);
  } catch {
    throw new ContractError("not a point of secp256k1");
  }
}

/** point + scalar * G, or null where that is the point at infinity. */
export function tweaked(point: KoblitzPoint, scalar: bigint): KoblitzPoint | null {
  const sum = scalar === 0n ? point : point.add(Koblitz.BASE.multiplyUnsafe(scalar));
  return sum.is0() ? null : sum;
}

/** The key whose signatures a scheme's verifier takes: x-only for bip340, of the output key with a root. */
export function verifyingKey(publicKey: Bytes, scheme: Scheme, root: Uint8Array | null): Bytes {
  if (scheme !== "bip340") {
    if (root !== null) throw new ContractError("taproot_merkle_root goes with bip340 only");
    return publicKey;
  }
  const internal = publicKey.slice(1);
  if (root === null) return internal;
  const even = koblitzPoint(concat([Uint8Array.of(2), internal]));
  const tweak = toNumber(taggedHash("TapTweak", concat([internal, root])));
  const output = tweaked(even, tweak);
  if (output === null) throw new ContractError("not a point of secp256k1");
  return output.toBytes(true).slice(1);
}

/** Throws ContractError, which says what is wrong, unless it verifies under `verifyingKey`'s. */
export function checkSignature(
  scheme: Scheme,
  publicKey: Uint8Array,
  message: Uint8Array,
  signature: Uint8Array,
): void {
  try {
    CHECKS[scheme](publicKey, message, signature);
  } catch (error) {
    if (!(error instanceof ContractError)) throw error;
    throw new ContractError(`the ${scheme} signature does not verify: ${error.message}`);
  }
}

type Check = (publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array) => void;

const CHECKS: Readonly<Record<Scheme, Check>> = {
  ed25519: checkEd25519,
  bip340: checkBip340,
  secp256k1: checkFrost,
  ecdsa: checkEcdsa,
};

/** RFC 8032, and stricter: key and R are canonical points of the prime-order group. */
function checkEd25519(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): void {
  checkSize(signature, 64);
  const commitment = signature.slice(0, 32);
  const s = toNumber(signature.slice(32).reverse());
  const key = named("public key", () => edwardsPoint(publicKey));
  const hash = sha512(concat([commitment, publicKey, message]));
  const challenge = Edwards.Fn.create(toNumber(hash.reverse()));
  if (s < ED25519_ORDER && !isIdentity(commitment)) {
    // Cofactorless: what equals R's own bytes is canonical, and of prime order as the key is.
    const made = mulAddUnsafe(Edwards, [Edwards.BASE, key], [s, Edwards.Fn.neg(challenge)]);
    if (equal(made.toBytes(), commitment)) return;
  }
  named("R", () => edwardsPoint(commitment));
  checkScalar(s, ED25519_ORDER);
  throw new ContractError(NOT_BY_THIS_KEY);
}

function isIdentity(encoded: Uint8Array): boolean {
  return encoded[0] === 1 && encoded.subarray(1).every((byte) => byte === 0);
}

function checkBip340(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): void {
  checkSize(signature, 64);
  if (publicKey.length !== 32) {
    throw new ContractError(`public key: an x-only key has 32 bytes, not ${publicKey.length}`);
  }
  const r = signature.subarray(0, 32);
  const s = toNumber(signature.subarray(32));
  const key = named("public key", () => koblitzPoint(concat([Uint8Array.of(2), publicKey])));
  const commitment = named("R", () => koblitzPoint(concat([Uint8Array.of(2), r])));
  checkScalar(s, SECP256K1_ORDER);
  const e = toNumber(taggedHash("BIP0340/challenge", concat([r, publicKey, message])));
  // s G - e P, which must be the point with this x and an even y.
  if (!sum(s, key, -e).equals(commitment)) throw new ContractError(NOT_BY_THIS_KEY);
}

/** RFC 9591 section 6.5, a signature being R (33 bytes) || z (32): z G = R + c PK. */
function checkFrost(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): void {
  checkSize(signature, 65);
  const commitment = signature.subarray(0, 33);
  const z = toNumber(signature.subarray(33));
  const key = named("public key", () => koblitzPoint(publicKey));
  const R = named("R", () => koblitzPoint(commitment));
  checkScalar(z, SECP256K1_ORDER);
  const wide = expandMessageXmd(concat([commitment, publicKey, message]), 48);
  if (!sum(z, key, -toNumber(wide)).equals(R)) throw new ContractError(NOT_BY_THIS_KEY);
}

/** a G + b P. */
function sum(a: bigint, point: KoblitzPoint, b: bigint): KoblitzPoint {
  return Koblitz.BASE.mulAddUnsafe(Koblitz.Fn.create(a), point, Koblitz.Fn.create(b));
}

interface Ecdsa {
  readonly r: bigint;
  readonly s: bigint;
  readonly recoveryId: number;
}

function ecdsaOf(signature: Uint8Array): Ecdsa {
  if (signature.length !== 65) {
    throw new ContractError(`an ECDSA signature has 65 bytes, not ${signature.length}`);
  }
  const r = toNumber(signature.subarray(0, 32));
  const s = toNumber(signature.subarray(32, 64));
  const recoveryId = signature[64] ?? 0;
  if (r === 0n || r >= SECP256K1_ORDER || s === 0n || s >= SECP256K1_ORDER) {
    throw new ContractError("r and s are above 0 and below the group's order");
  }
  if (s > SECP256K1_ORDER >> 1n) {
    throw new ContractError("s is high; of s and -s only the lower is a signature here");
  }
  if (recoveryId > 3) throw new ContractError(`a recovery id is 0 to 3, not ${recoveryId}`);
  return { r, s, recoveryId };
}

/** It verifies under this key, and its recovery id says so too. */
function checkEcdsa(publicKey: Uint8Array, digest: Uint8Array, signature: Uint8Array): void {
  const { r, s, recoveryId } = ecdsaOf(signature);
  if (digest.length !== 32) {
    throw new ContractError(`ECDSA signs a digest of 32 bytes, not ${digest.length}`);
  }
  if (!leadsToAPoint(r, recoveryId)) {
    throw new ContractError("the ECDSA signature leads to no public key");
  }
  const inverse = Koblitz.Fn.inv(s);
  const R = sum(toNumber(digest) * inverse, koblitzPoint(publicKey), r * inverse);
  if (R.is0()) throw new ContractError("r and s are no signature by this key");
  const { x, y } = R.toAffine();
  if (x % SECP256K1_ORDER !== r) throw new ContractError("r and s are no signature by this key");
  if (recoveryId !== Number(y & 1n) + (x >= SECP256K1_ORDER ? 2 : 0)) {
    throw new ContractError("the recovery id leads to another key");
  }
}

function leadsToAPoint(r: bigint, recoveryId: number): boolean {
  const x = recoveryId > 1 ? r + SECP256K1_ORDER : r;
  if (x >= Koblitz.Fp.ORDER) return false;
  try {
    Koblitz.fromBytes(concat([Uint8Array.of(2 + (recoveryId & 1)), fromNumber(x, 32)]));
  } catch {
    return false;
  }
  return true;
}

/** An ECDSA signature in the forms that its users know. Throws ContractError. */
export function ecdsaForms(signature: Bytes): EcdsaForms {
  const { recoveryId } = ecdsaOf(signature);
  const compact = signature.slice(0, 64);
  const r = compact.slice(0, 32);
  const s = compact.slice(32);
  const both = concat([derNumber(r), derNumber(s)]);
  return {
    r: toHex(r),
    s: toHex(s),
    recovery_id: recoveryId,
    compact: toHex(compact),
    der: toHex(concat([Uint8Array.of(0x30, both.length), both])),
    ethereum: recoveryId < 2 ? toHex(concat([compact, Uint8Array.of(27 + recoveryId)])) : null,
  };
}

function checkSize(signature: Uint8Array, size: number): void {
  if (signature.length !== size) {
    throw new ContractError(
      `a signature of this scheme has ${size} bytes, not ${signature.length}`,
    );
  }
}

function named<T>(name: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof ContractError)) throw error;
    throw new ContractError(`${name}: ${error.message}`);
  }
}

function checkScalar(value: bigint, order: bigint): void {
  if (value >= order) throw new ContractError("its scalar is not below the group's order");
}

/** RFC 9380 section 5.3.1 with SHA-256, for FROST(secp256k1)'s challenge. */
function expandMessageXmd(message: Uint8Array, length: number): Bytes {
  const domain = utf8("FROST-secp256k1-SHA256-v1chal");
  const suffix = concat([domain, Uint8Array.of(domain.length)]);
  const head = concat([new Uint8Array(64), message, bigEndian(length, 2), Uint8Array.of(0), suffix]);
  const first = sha256(head);
  const one = sha256(concat([first, Uint8Array.of(1), suffix]));
  const mixed = one.map((byte, at) => byte ^ (first[at] ?? 0));
  const two = sha256(concat([mixed, Uint8Array.of(2), suffix]));
  return concat([one, two]).slice(0, length);
}

/** BIP-340. */
function taggedHash(tag: string, data: Uint8Array): Uint8Array {
  const prefix = sha256(utf8(tag));
  return sha256(concat([prefix, prefix, data]));
}
