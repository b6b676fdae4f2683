/** A key as its client sees it: public data, and every party's certificate over it. */

import { bigEndian, fromBase64, fromHex, utf8, type Bytes } from "./bytes.js";
import { checkPoint } from "./curves.js";
import { derive, parsePath, type DerivedKey } from "./derivation.js";
import { ContractError } from "./errors.js";
import type { PublicIdentity } from "./identity.js";
import type { CertifiedKey, Curve, KeyFacts, Resharing, Scheme } from "./generated/messages.js";
import { optional, pack } from "./packing.js";

export type Parties = ReadonlyMap<string, PublicIdentity>;

/** The curve of the keys that sign in a scheme. */
export function curveOf(scheme: Scheme): Curve {
  return scheme === "ed25519" ? "ed25519" : "secp256k1";
}

const PURPOSES: Readonly<Record<Curve, readonly Scheme[]>> = {
  ed25519: ["ed25519"],
  secp256k1: ["bip340", "ecdsa", "secp256k1"],
};

/** The schemes that the key may serve. */
export function purposes(facts: KeyFacts): readonly Scheme[] {
  return facts.schemes ?? PURPOSES[facts.curve];
}

export function checkScheme(facts: KeyFacts, scheme: Scheme): void {
  if (curveOf(scheme) !== facts.curve) {
    throw new ContractError(
      `key ${facts.key_id} is on ${facts.curve}; ${scheme} signs on ${curveOf(scheme)}`,
    );
  }
  if (!purposes(facts).includes(scheme)) {
    throw new ContractError(
      `key ${facts.key_id} was made for ${purposes(facts).join(", ")} only, and signs ` +
        `nothing in ${scheme}; use a key that was made for it`,
    );
  }
}

/** A certificate of one version never counts as one of another. */
export function certificateTag(facts: KeyFacts): string {
  return `warren/key-certificate/v${facts.version}`;
}

/** The bytes that a certificate signs. */
export function keyStatement(facts: KeyFacts): Bytes {
  const holders = facts.holders.flatMap((holder) => [
    utf8(holder.party_id),
    fromBase64(holder.identity),
    fromHex(holder.public_share),
  ]);
  const parts = [
    optional(facts.client_id),
    utf8(facts.key_id),
    fromHex(facts.session_id),
    bigEndian(facts.epoch, 4),
    utf8(facts.curve),
    Uint8Array.of(facts.threshold),
    fromHex(facts.public_key),
    fromHex(facts.chain_code),
    pack(holders),
    fromHex(facts.transcript_digest),
  ];
  if (facts.version === 1) return pack(parts);
  return pack([
    Uint8Array.of(facts.version),
    ...parts,
    optional(facts.tenant),
    fromHex(facts.request_digest ?? ""),
    facts.schemes === null ? new Uint8Array() : pack(facts.schemes.map(utf8)),
    utf8(facts.origin ?? ""),
    ...(facts.reshared == null ? [] : [encodedResharing(facts.reshared)]),
  ]);
}

function encodedResharing({ session_id, predecessor, dealers }: Resharing): Bytes {
  return pack([fromHex(session_id), fromHex(predecessor), pack(dealers.map(utf8))]);
}

/**
 * Throws ContractError unless all its parties, whom the caller knows, certified this key for this
 * client and tenant. Facts of version 1 say nothing of tenants.
 */
export async function checkKey(
  key: CertifiedKey,
  trusted: { parties: Parties; clientId: string | null; tenant: string | null },
): Promise<void> {
  const { facts } = key;
  const name = `key ${facts.key_id}`;
  if (facts.client_id !== trusted.clientId) throw new ContractError(`${name} belongs to another client`);
  if (facts.version !== 1 && facts.tenant !== trusted.tenant) {
    throw new ContractError(`${name} belongs to another tenant`);
  }
  const count = facts.holders.length;
  // Otherwise one party could fill several places, and its certificate count for all of them.
  if (new Set(facts.holders.map((holder) => holder.party_id)).size !== count) {
    throw new ContractError(`${name} names a party twice`);
  }
  if (new Set(facts.holders.map((holder) => holder.identity)).size !== count) {
    throw new ContractError(`${name} has two parties of one identity`);
  }
  if (facts.threshold > count) throw new ContractError(`${name} needs more parties than it has`);
  checkPoint(facts.curve, fromHex(facts.public_key));
  for (const holder of facts.holders) checkPoint(facts.curve, fromHex(holder.public_share));
  const statement = keyStatement(facts);
  const tag = certificateTag(facts);
  for (const holder of facts.holders) {
    const party = trusted.parties.get(holder.party_id);
    if (party === undefined) throw new ContractError(`party ${holder.party_id} is not one that we know`);
    if (party.base64 !== holder.identity) {
      throw new ContractError(`party ${holder.party_id} has another identity than we know`);
    }
    const certificate = Object.hasOwn(key.certificates, holder.party_id)
      ? key.certificates[holder.party_id]
      : undefined;
    if (certificate === undefined) throw new ContractError(`no certificate of party ${holder.party_id}`);
    await party.verify(tag, statement, fromBase64(certificate));
  }
}

/** A key's BIP-32 child; `m` is the key itself. Throws ContractError. */
export function childOf(facts: KeyFacts, path: string): DerivedKey {
  if (facts.curve !== "secp256k1") {
    throw new ContractError(
      `key ${facts.key_id} is on ${facts.curve}, which has no standard derivation without hardening`,
    );
  }
  return derive(fromHex(facts.public_key), fromHex(facts.chain_code), parsePath(path));
}

