/** What callers wish for, in the words of the contract. */

import { randomHex, toHex } from "./bytes.js";
import type { KeyFacts } from "./generated/messages.js";
import type { Wish } from "./requests.js";
import type { KeyWish, RehearseWish, ReshareWish, SignListWish, SignWish } from "./warren.js";

const RESHARE_TRIES = 3;

export function keygenFields(wish: KeyWish): Wish<"keygen"> {
  return {
    key_id: wish.keyId ?? `key-${randomHex(8)}`,
    curve: wish.curve,
    threshold: wish.threshold,
    party_count: wish.partyCount,
    parties: wish.parties ?? null,
    schemes: wish.schemes === undefined ? null : [...wish.schemes].sort(),
    user_id: wish.userId ?? null,
  };
}

export function reshareFields(wish: ReshareWish, facts: KeyFacts): Wish<"reshare"> {
  const { deleteAfter } = wish;
  return { ...rehearseFields(wish, facts), ...(deleteAfter === undefined ? {} : { delete_after: deleteAfter }) };
}

export function rehearseFields(wish: RehearseWish, facts: KeyFacts): Wish<"rehearse"> {
  return {
    key_id: wish.keyId,
    public_key: facts.public_key,
    from_epoch: facts.epoch,
    first_epoch: wish.firstEpoch ?? facts.epoch + 1,
    tries: wish.tries ?? RESHARE_TRIES,
    threshold: wish.threshold ?? facts.threshold,
    parties: wish.parties ?? facts.holders.map((holder) => holder.party_id),
    dealers: wish.dealers ?? null,
  };
}

export function signFields(wish: SignWish): Wish<"sign"> {
  const root = wish.taprootMerkleRoot;
  return {
    key_id: wish.keyId,
    scheme: wish.scheme,
    message: toHex(wish.message),
    derivation_path: wish.derivationPath ?? null,
    taproot_merkle_root: root === undefined ? null : toHex(root),
    signers: wish.signers ?? null,
  };
}

export function signListFields(wish: SignListWish): Wish<"sign"> {
  const items = wish.items.map(({ message, derivationPath }) => ({
    message: toHex(message),
    derivation_path: derivationPath ?? null,
  }));
  return { key_id: wish.keyId, scheme: "ecdsa", items, signers: wish.signers ?? null };
}
