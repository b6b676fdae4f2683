/** What both clients can do: over AMQP (`WarrenClient`) and over HTTP (`WarrenHttpClient`). */

import type { Curve, DeleteAfter, Scheme } from "./generated/messages.js";
import type { Account, Epoch, Key, Page, Session, Signature } from "./outcomes.js";
import type { Rehearsal } from "./rehearsals.js";
import type { Settlement } from "./settlement.js";

export interface CallOptions {
  /** How long the request lives; its deadline. */
  readonly timeoutMs?: number | undefined;
  /** A fresh one of the caller's own, to cancel it or to look at its session meanwhile. */
  readonly requestId?: string | undefined;
  /** Ends the wait, not the session: that is what `cancel` is for. */
  readonly signal?: AbortSignal | undefined;
}

export interface KeyWish extends CallOptions {
  /** New among the client's keys; left out, one is made up. A gateway names its keys itself. */
  readonly keyId?: string | undefined;
  readonly curve: Curve;
  /** How many of the parties sign: at least 2. */
  readonly threshold: number;
  /** How many parties hold a share. */
  readonly partyCount: number;
  readonly parties?: readonly string[] | undefined;
  /** What the key may sign, and nothing else for ever; left out: all that its curve has. */
  readonly schemes?: readonly Scheme[] | undefined;
  /** Makes an account of the key: whose it is. */
  readonly userId?: string | undefined;
}

export interface RefreshWish extends CallOptions {
  readonly keyId: string;
  /**
   * Who shall deal: as many holders as sign now. Left out, the coordinator chooses, others where some
   * fail.
   */
  readonly dealers?: readonly string[] | undefined;
  /** Where epochs of this key were begun before and came to nothing: a later one. Left out: the next. */
  readonly firstEpoch?: number | undefined;
  /** So many epochs may be begun for it; the highest that is made counts. 1 to 8; left out: 3. */
  readonly tries?: number | undefined;
  /**
   * When those who keep holding a share delete the old one, which signs no more: `certified`, at once,
   * where somebody is suspected; left out, when the new one stands in a backup of theirs, a day at most.
   */
  readonly deleteAfter?: DeleteAfter | undefined;
}

export interface ReshareWish extends RefreshWish {
  /** Who shall hold a share; left out: who does now. */
  readonly parties?: readonly string[] | undefined;
  /** How many of them sign; left out: as many as now. */
  readonly threshold?: number | undefined;
}

export interface RehearseWish extends Watching {
  readonly keyId: string;
  /** These as in a reshare. */
  readonly parties?: readonly string[] | undefined;
  readonly threshold?: number | undefined;
  readonly dealers?: readonly string[] | undefined;
  readonly firstEpoch?: number | undefined;
  readonly tries?: number | undefined;
}

export interface SignWish extends CallOptions {
  readonly keyId: string;
  /** Signed as it is; for ecdsa and bip340 a digest of 32 bytes. */
  readonly message: Uint8Array;
  readonly scheme: Scheme;
  /** Sign with the BIP-32 child of the key at this path, none of whose steps is hardened. */
  readonly derivationPath?: string | undefined;
  /** bip340 only: sign for the BIP-341 output key; empty for an output without scripts. */
  readonly taprootMerkleRoot?: Uint8Array | undefined;
  /** Exactly `threshold` of the key's parties. */
  readonly signers?: readonly string[] | undefined;
}

export interface SignItemWish {
  readonly message: Uint8Array;
  readonly derivationPath?: string | undefined;
}

export interface SignListWish extends CallOptions {
  readonly keyId: string;
  /** 1 to 256; all are signed, with ecdsa, or none. */
  readonly items: readonly SignItemWish[];
  readonly signers?: readonly string[] | undefined;
}

/** A session by either of its names. */
export type SessionName = { readonly sessionId: string } | { readonly requestId: string };

export interface Watching {
  readonly signal?: AbortSignal | undefined;
}

/** A request on its way, with or without somebody who waits for it. */
export interface Begun<T> {
  readonly requestId: string;
  /** As the coordinator tells it; null where the result was here first. */
  readonly sessionId: string | null;
  /** The same; over HTTP by the names that the gateway has for them. */
  readonly parties: readonly string[];
  /** The proven result, or the failure as an error. */
  result(signal?: AbortSignal): Promise<T>;
}

export interface CancelOptions {
  readonly signal?: AbortSignal | undefined;
  /** With which key it was to sign, where another process asked and nobody may know it. */
  readonly keyId?: string | undefined;
  /** When it was issued, the same. */
  readonly issuedAt?: number | undefined;
}

export interface Warren extends AsyncDisposable {
  createKey(wish: KeyWish): Promise<Key>;
  /** As `createKey`, but there as soon as the session is announced. */
  beginKey(wish: KeyWish): Promise<Begun<Key>>;
  /**
   * Other shares of a key, for other parties or with another threshold. Its public key stays, and
   * signatures go on meanwhile; the former holders delete their shares a minute and a half later. Who
   * was shown out signs no more once `n - t + 1` of the former `n` have deleted theirs, of whom `t`
   * signed.
   */
  reshare(wish: ReshareWish): Promise<Epoch>;
  /** As `reshare`, for the same parties and threshold: what was stolen of the old shares fits no more. */
  refresh(wish: RefreshWish): Promise<Epoch>;
  /** As `reshare`, but there as soon as the session is announced. */
  beginReshare(wish: ReshareWish): Promise<Begun<Epoch>>;
  /**
   * Ask the parties themselves whether they would take part in a reshare. Nothing is begun or used up.
   * Each answer is verified, and tells of this moment only.
   */
  rehearse(wish: RehearseWish): Promise<Rehearsal>;
  sign(wish: SignWish): Promise<Signature>;
  /** As `sign`, but there as soon as the session is announced. */
  beginSignature(wish: SignWish): Promise<Begun<Signature>>;
  key(keyId: string, options?: Watching): Promise<Key>;
  session(name: SessionName, options?: Watching): Promise<Session>;
  /** The session whenever it has changed, last when it is over. */
  events(name: SessionName, options?: Watching): AsyncIterableIterator<Session>;
  /** Let nothing come of a request any more; the settlement says whether that is proven. */
  cancel(name: SessionName, options?: CancelOptions): Promise<Settlement>;
  accounts(page?: { after?: string | undefined; limit?: number | undefined } & Watching): Promise<Page<Account>>;
  account(accountId: string, options?: Watching): Promise<Account>;
  /** Who signs where a request names nobody: these, or with null whom the coordinator chooses. */
  configureAccount(accountId: string, signers: readonly string[] | null, options?: Watching): Promise<void>;
  close(): Promise<void>;
}
