/** What callers are handed: proven keys and signatures, and what is told of sessions and accounts. */

import { fromHex, type Bytes } from "./bytes.js";
import { childOf, purposes } from "./keys.js";
import { signedItems } from "./checks.js";
import type {
  AccountView,
  CertifiedKey,
  Curve,
  EpochBundle,
  KeygenResult,
  ReshareResult,
  Scheme,
  SessionEvent,
  SessionView,
  SignedItem,
  SignResult,
  Status,
} from "./generated/messages.js";

/** A key that all its parties have certified, and whose certificates were verified here. */
export interface Key {
  readonly keyId: string;
  readonly curve: Curve;
  /** Compressed: 33 bytes on secp256k1, 32 on ed25519. */
  readonly publicKey: Bytes;
  /** How many of `parties` sign. */
  readonly threshold: number;
  readonly parties: readonly string[];
  readonly schemes: readonly Scheme[];
  /** The facts and certificates as they came, for whoever wants to keep the proof. */
  readonly certified: CertifiedKey;
  /** The public key of a BIP-32 child such as `m/44/60/0/0/7`, computed here; secp256k1 only. */
  child(path: string): Bytes;
}

/** A key's new epoch: the same key in other shares. */
export interface Epoch {
  /** As it is from now on, under the public key that it had. */
  readonly key: Key;
  /** The epoch's number; gaps are where one was begun and came to nothing. */
  readonly number: number;
  /** Of the epoch whose shares were dealt. */
  readonly from: number;
  readonly dealers: readonly string[];
  /** When its holders begin to be asked for signatures, and no longer those of before. */
  readonly signsFrom: Date;
  /** Proves the epoch to anyone: keep it. */
  readonly bundle: EpochBundle;
}

/** A signature that verifies under `publicKey`, which is the certified key's own or its child's. */
export interface Signature {
  readonly keyId: string;
  readonly scheme: Scheme;
  readonly message: Bytes;
  readonly derivationPath: string | null;
  /** 32 bytes for ed25519 and bip340, 33 for the others. */
  readonly publicKey: Bytes;
  /** 64 bytes for ed25519 and bip340, 65 for the others; for ecdsa r, s and the recovery id. */
  readonly signature: Bytes;
  readonly ecdsa: Ecdsa | null;
  readonly signers: readonly string[];
}

/** The same in the forms that its users know; s is always the lower one. */
export interface Ecdsa {
  readonly r: Bytes;
  readonly s: Bytes;
  readonly recoveryId: number;
  readonly compact: Bytes;
  readonly der: Bytes;
  /** r, s, 27 or 28; null for the recovery ids that Ethereum lacks. */
  readonly ethereum: Bytes | null;
}

/** What the coordinator tells of a session. Nothing proves it, but for keys and signatures in it. */
export interface Session {
  readonly sessionId: string;
  readonly requestId: string | null;
  readonly operation: "keygen" | "reshare" | "sign";
  readonly keyId: string | null;
  readonly status: Status;
  readonly over: boolean;
  readonly parties: readonly string[];
  readonly deadline: Date | null;
  readonly events: readonly SessionEvent[];
  readonly key: Key | null;
  readonly signatures: readonly Signature[];
  readonly signatureMayExist: boolean;
}

/** A key that was made for a user. */
export interface Account {
  readonly accountId: string;
  readonly userId: string;
  readonly status: Status;
  readonly sessionId: string;
  readonly curve: Curve;
  readonly threshold: number;
  readonly parties: readonly string[];
  /** Who signs where a request names nobody; null: whom the coordinator chooses. */
  readonly signers: readonly string[] | null;
  /** Null until it is made. */
  readonly key: Key | null;
}

/** A page; `next` is what to go on with, null on the last one. */
export interface Page<T> {
  readonly entries: readonly T[];
  readonly next: string | null;
}

const FINAL: ReadonlySet<Status> = new Set(["completed", "failed", "expired", "cancelled"]);

export function isFinal(status: Status): boolean {
  return FINAL.has(status);
}

export function keyOf(certified: CertifiedKey): Key {
  const { facts } = certified;
  return {
    keyId: facts.key_id,
    curve: facts.curve,
    publicKey: fromHex(facts.public_key),
    threshold: facts.threshold,
    parties: facts.holders.map((holder) => holder.party_id),
    schemes: purposes(facts),
    certified,
    child: (path) => childOf(facts, path).publicKey,
  };
}

export function epochOf(bundle: EpochBundle, signsFrom: Date): Epoch {
  const { epoch, reshared } = bundle.key.facts;
  return {
    key: keyOf(bundle.key),
    number: epoch,
    from: bundle.predecessor.facts.epoch,
    dealers: reshared?.dealers ?? [],
    signsFrom,
    bundle,
  };
}

export function signaturesOf(result: SignResult): Signature[] {
  const { key_id, scheme, signers } = result;
  if (key_id === null || scheme === null) return [];
  return signedItems(result).map((item) => signatureOf(key_id, scheme, signers, item));
}

export function signatureOf(
  keyId: string,
  scheme: Scheme,
  signers: readonly string[],
  item: SignedItem,
): Signature {
  const { ecdsa } = item;
  return {
    keyId,
    scheme,
    message: fromHex(item.message),
    derivationPath: item.derivation_path,
    publicKey: fromHex(item.public_key),
    signature: fromHex(item.signature),
    signers,
    ecdsa: ecdsa && {
      r: fromHex(ecdsa.r),
      s: fromHex(ecdsa.s),
      recoveryId: ecdsa.recovery_id,
      compact: fromHex(ecdsa.compact),
      der: fromHex(ecdsa.der),
      ethereum: ecdsa.ethereum === null ? null : fromHex(ecdsa.ethereum),
    },
  };
}

export function sessionOf(
  view: SessionView,
  outcome: KeygenResult | ReshareResult | SignResult | null,
): Session {
  const key = outcome === null ? null : madeBy(outcome);
  return {
    sessionId: view.session_id,
    requestId: view.request_id,
    operation: view.operation === "keygen" || view.operation === "reshare" ? view.operation : "sign",
    keyId: view.key_id,
    status: view.status,
    over: isFinal(view.status),
    parties: view.parties,
    deadline: new Date(view.deadline),
    events: view.events,
    key: key === null ? null : keyOf(key),
    signatures: outcome?.result === "sign" ? signaturesOf(outcome) : [],
    signatureMayExist: view.signature_may_exist,
  };
}

function madeBy(outcome: KeygenResult | ReshareResult | SignResult): CertifiedKey | null {
  if (outcome.result === "keygen") return outcome.key;
  return outcome.result === "reshare" ? (outcome.bundle?.key ?? null) : null;
}

export function accountOf(view: AccountView): Account {
  return {
    accountId: view.account_id,
    userId: view.user_id,
    status: view.status,
    sessionId: view.session_id,
    curve: view.curve,
    threshold: view.threshold,
    parties: view.parties,
    signers: view.signers,
    key: view.key === null ? null : keyOf(view.key),
  };
}
