/** BIP-32 without hardening: the children of a public key, as any wallet derives them. */

import { hmac } from "@noble/hashes/hmac.js";
import { sha512 } from "@noble/hashes/sha2.js";

import { bigEndian, concat, fromNumber, toNumber, type Bytes } from "./bytes.js";
import { koblitzPoint, SECP256K1_ORDER, tweaked } from "./curves.js";
import { ContractError } from "./errors.js";

const MAX_DEPTH = 16;
const HARDENED = 2 ** 31;
const MAX_TEXT = "m".length + MAX_DEPTH * "/2147483647".length;
const INDEX = /^(?:0|[1-9][0-9]{0,9})$/;
const MAX_KNOWN = 4096;
const known = new Map<string, DerivedKey>();

export interface DerivedKey {
  readonly publicKey: Bytes;
  readonly chainCode: Bytes;
  /** 32 bytes: how far the secret is from that of the key. */
  readonly tweak: Bytes;
}

/** `m/44/60/0/0/7`, with or without `m/`; `m` alone is the key itself. Throws ContractError. */
export function parsePath(text: string): number[] {
  if (text.length > MAX_TEXT) {
    throw new ContractError(`a derivation path has at most ${MAX_DEPTH} steps, in plain digits`);
  }
  if (text === "m") return [];
  const path = (text.startsWith("m/") ? text.slice(2) : text).split("/").map(parseIndex);
  if (path.length > MAX_DEPTH) {
    throw new ContractError(`a derivation path has at most ${MAX_DEPTH} steps, not ${path.length}`);
  }
  return path;
}

/** The key at `path` below a secp256k1 key. Throws ContractError. */
export function derive(publicKey: Bytes, chainCode: Bytes, path: readonly number[]): DerivedKey {
  if (chainCode.length !== 32) throw new ContractError("a chain code has 32 bytes");
  koblitzPoint(publicKey);
  const name = `${toNumber(publicKey)}/${toNumber(chainCode)}/${path.join("/")}`;
  const before = known.get(name);
  if (before !== undefined) return before;
  const start = { publicKey, chainCode, tweak: new Uint8Array(32) };
  const made = path.reduce<DerivedKey>(child, start);
  if (known.size >= MAX_KNOWN) known.clear();
  known.set(name, made);
  return made;
}

/** BIP-32's CKDpub. */
function child(parent: DerivedKey, index: number): DerivedKey {
  const data = concat([parent.publicKey, bigEndian(index, 4)]);
  const both = hmac(sha512, parent.chainCode, data);
  const left = toNumber(both.subarray(0, 32));
  const point = left < SECP256K1_ORDER ? tweaked(koblitzPoint(parent.publicKey), left) : null;
  if (point === null) throw new ContractError(`BIP-32 has no child ${index} here: use the next index`);
  return {
    publicKey: point.toBytes(true),
    chainCode: both.slice(32),
    tweak: fromNumber((toNumber(parent.tweak) + left) % SECP256K1_ORDER, 32),
  };
}

function parseIndex(step: string): number {
  if (/['hH]$/.test(step)) {
    throw new ContractError(
      `the step ${quoted(step)} is hardened, which takes the private key, and nobody has it`,
    );
  }
  if (!INDEX.test(step)) throw new ContractError(`${quoted(step)} is no index of a derivation path`);
  const index = Number(step);
  if (index >= HARDENED) {
    throw new ContractError(
      `${index} is no index of a child without hardening: those are 0 to ${HARDENED - 1}`,
    );
  }
  return index;
}

function quoted(step: string): string {
  return step.includes("'") ? `"${step}"` : `'${step}'`;
}
