/** Which results one client believes: those that its pinned parties answer for. */

import { fromHex } from "./bytes.js";
import { checkAnswer, same, signedItems, type Result } from "./checks.js";
import { checkSignature, ecdsaForms, verifyingKey } from "./curves.js";
import { checkEpoch } from "./epochs.js";
import { ContractError } from "./errors.js";
import type {
  AccountView,
  CertifiedKey,
  EpochBundle,
  KeygenResult,
  QueryKeyHistoryResult,
  ReshareResult,
  Scheme,
  SignedItem,
  SignResult,
} from "./generated/messages.js";
import { checkKey, checkScheme, childOf, type Parties } from "./keys.js";
import type { SignedRequest } from "./requests.js";

/** Keys that are remembered; the one that was used longest ago is forgotten first. */
const KEPT = 10_000;

export class Trust {
  readonly #keys = new Map<string, CertifiedKey>();
  readonly #lookups = new Map<string, Promise<void>>();

  constructor(
    private readonly settings: {
      readonly clientId: string | null;
      readonly parties: Parties;
      /** Our own public key, by which new epochs of our keys are asked for; null if by a gateway's. */
      readonly owner: string | null;
      /** Asks for a tenant's key and has the answer go through `check` or `accept` here. */
      readonly fetchKey: (tenant: string | null, keyId: string) => Promise<void>;
    },
  ) {}

  /** Throws ContractError where the result is not to be believed. Null: its request is not known. */
  async check(result: Result, signed: SignedRequest | null): Promise<void> {
    if (result.client_id !== this.settings.clientId) {
      throw new ContractError("the result is another client's");
    }
    if (signed !== null) await checkAnswer(signed, result);
    const tenant = signed?.request.tenant ?? null;
    for (const proof of proofsOf(result)) {
      if ("facts" in proof) await this.accept(tenant, proof);
      else if ("predecessor" in proof) await this.moveOn(tenant, proof);
      else if (proof.result === "query_key_history") await this.#checkHistory(tenant, proof, signed);
      else await this.#checkSigned(tenant, proof, signed);
    }
  }

  /** Remember a key, once it is proven. */
  async accept(tenant: string | null, key: CertifiedKey): Promise<void> {
    const { facts } = key;
    const name = nameOf(tenant, facts.key_id);
    const known = this.#keys.get(name);
    if (known !== undefined && JSON.stringify(known) === JSON.stringify(key)) return;
    const { clientId, parties } = this.settings;
    await checkKey(key, { parties, clientId, tenant });
    const before = this.#keys.get(name) ?? key;
    if (before.facts.public_key !== facts.public_key) {
      throw new ContractError(`key ${facts.key_id} had another public key before`);
    }
    if (before.facts.chain_code !== facts.chain_code) {
      throw new ContractError(`key ${facts.key_id} had another chain code before`);
    }
    if (before.facts.version !== 1 && facts.version === 1) {
      throw new ContractError(`key ${facts.key_id} was certified with its tenant before`);
    }
    if (before.facts.epoch <= facts.epoch) this.#keys.set(name, key);
    if (this.#keys.size > KEPT) this.#keys.delete(this.#keys.keys().next().value ?? "");
  }

  /** A key that was proven, asked for if need be. */
  async key(tenant: string | null, keyId: string | null): Promise<CertifiedKey> {
    if (keyId === null) throw new ContractError("the result is completed and names no key");
    const name = nameOf(tenant, keyId);
    if (!this.#keys.has(name)) {
      // One at a time, so that many first signatures ask once.
      const lookup =
        this.#lookups.get(name) ??
        this.settings.fetchKey(tenant, keyId).finally(() => this.#lookups.delete(name));
      this.#lookups.set(name, lookup);
      await lookup;
    }
    const key = this.#keys.get(name);
    if (key === undefined) throw new ContractError(`there is no key ${keyId}`);
    this.#keys.delete(name);
    this.#keys.set(name, key);
    return key;
  }

  /** To an epoch that was asked for in our name. */
  async moveOn(tenant: string | null, bundle: EpochBundle): Promise<void> {
    await this.accept(tenant, bundle.predecessor);
    await checkEpoch(bundle, this.settings);
    await this.accept(tenant, bundle.key);
  }

  /**
   * An operator asks for a key by its session, whosever it is, and may know none of its owner's keys.
   * What is told of earlier epochs follows from the newest, see `checks`. Nothing is refused for what
   * parties are said to have told: whose word counts, `histories` finds out.
   */
  async #checkHistory(
    tenant: string | null,
    { key }: QueryKeyHistoryResult,
    signed: SignedRequest | null,
  ): Promise<void> {
    if (key === null) throw new ContractError("the result is completed and has not its key");
    const { clientId, parties } = this.settings;
    const { client_id: owner, tenant: holder } = key.facts;
    const asked = signed?.request;
    const bySession = asked?.operation === "query_key_history" && asked.key_id == null;
    if (bySession && (owner !== clientId || holder !== tenant)) {
      await checkKey(key, { parties, clientId: owner, tenant: holder });
    } else {
      await this.accept(tenant, key);
    }
  }

  async #checkSigned(
    tenant: string | null,
    result: SignResult,
    signed: SignedRequest | null,
  ): Promise<void> {
    const asked = signed?.request;
    // The request's own decides; what a result says counts where its request is not known.
    const root = asked?.operation === "sign" ? asked.taproot_merkle_root : result.taproot_merkle_root;
    const key = await this.key(tenant, result.key_id);
    if (result.key_id !== null && !isByHolders(result.signers, key)) {
      // Its shares may have been made anew since we asked for the key.
      await this.settings.fetchKey(tenant, result.key_id);
    }
    checkSigned(result, await this.key(tenant, result.key_id), root ?? null);
  }
}

/** Throws ContractError unless `key`, itself checked before, made this result's signatures. */
export function checkSigned(result: SignResult, key: CertifiedKey, root: string | null): void {
  const { facts } = key;
  same("key_id", result.key_id, facts.key_id);
  const items = signedItems(result);
  if (result.scheme === null || items.length === 0) {
    throw new ContractError("the result is completed and lacks scheme, message or signature");
  }
  checkScheme(facts, result.scheme);
  checkSigners(result.signers, key);
  for (const item of items) checkItem(result.scheme, item, key, root);
}

function isByHolders(names: readonly string[], key: CertifiedKey): boolean {
  try {
    checkSigners(names, key);
  } catch (error) {
    if (error instanceof ContractError) return false;
    throw error;
  }
  return true;
}

/**
 * As many of the holders as it takes. Of a key whose shares were made anew, holders of before may
 * have signed, whom nobody here has to know: then who it was is the coordinator's word.
 */
export function checkSigners(names: readonly string[], { facts }: CertifiedKey): void {
  const signers = new Set(names);
  const holders = new Set(facts.holders.map((holder) => holder.party_id));
  const anew = facts.reshared != null;
  if (signers.size !== names.length || !(anew || [...signers].every((name) => holders.has(name)))) {
    throw new ContractError("the signers are not parties of the key");
  }
  if (anew) return;
  if (signers.size !== facts.threshold) {
    throw new ContractError(`${signers.size} signers, the key's threshold is ${facts.threshold}`);
  }
}

export function checkItem(
  scheme: Scheme,
  item: SignedItem,
  { facts }: CertifiedKey,
  root: string | null,
): void {
  const path = item.derivation_path;
  const own = path === null ? fromHex(facts.public_key) : childOf(facts, path).publicKey;
  const publicKey = verifyingKey(own, scheme, root === null ? null : fromHex(root));
  const signature = fromHex(item.signature);
  same("public_key", [...fromHex(item.public_key)], [...publicKey]);
  checkSignature(scheme, publicKey, fromHex(item.message), signature);
  if ((item.ecdsa !== null) !== (scheme === "ecdsa")) {
    throw new ContractError("the result's ecdsa forms go with ecdsa, and always do");
  }
  if (item.ecdsa !== null) same("ecdsa", item.ecdsa, ecdsaForms(signature));
}

/** What in a result is to be verified. Of what is not here a client believes the coordinator. */
function proofsOf(result: Result): readonly (CertifiedKey | EpochBundle | QueryKeyHistoryResult | SignResult)[] {
  switch (result.result) {
    case "keygen":
      return madeKey(result);
    case "reshare":
      return madeEpoch(result);
    case "sign":
      return result.status === "completed" ? [result] : [];
    case "query_keys":
      return result.keys;
    case "query_key_history":
      return result.status === "completed" ? [result] : [];
    case "query_session": {
      const { outcome } = result;
      if (outcome === null) return [];
      return outcome.result === "keygen" ? madeKey(outcome) : proofsOf(outcome);
    }
    case "query_accounts":
      return result.accounts.flatMap(accountKey);
    case "configure_account":
      return result.account === null ? [] : accountKey(result.account);
    default:
      return [];
  }
}

function madeKey(result: KeygenResult): readonly CertifiedKey[] {
  if (result.status !== "completed") return [];
  const { key } = result;
  if (key === null || key.facts.key_id !== result.key_id) {
    throw new ContractError("the result is completed and has not its key");
  }
  if (key.facts.version !== 1) {
    // Of the very bytes that asked for it, not of another request with its fields.
    same("key's request_digest", key.facts.request_digest, result.request_digest);
  }
  return [key];
}

function madeEpoch(result: ReshareResult): readonly EpochBundle[] {
  if (result.status !== "completed") return [];
  const { bundle } = result;
  if (bundle === null || bundle.key.facts.key_id !== result.key_id) {
    throw new ContractError("the result is completed and has not its key's epoch");
  }
  return [bundle];
}

/** The key, which is the account's own and says all that the account says of it. */
function accountKey(account: AccountView): readonly CertifiedKey[] {
  const { key } = account;
  if (key === null) {
    if (account.public_key !== null || account.status === "completed") {
      throw new ContractError(`account ${account.account_id} comes without what proves its key`);
    }
    return [];
  }
  const { facts } = key;
  const parties = facts.holders.map((holder) => holder.party_id);
  const told: Readonly<Record<string, readonly [unknown, unknown]>> = {
    account_id: [account.account_id, facts.key_id],
    session_id: [account.session_id, facts.session_id],
    public_key: [account.public_key, facts.public_key],
    curve: [account.curve, facts.curve],
    threshold: [account.threshold, facts.threshold],
    parties: [[...account.parties].sort().join(), parties.sort().join()],
  };
  for (const [name, [said, certified]] of Object.entries(told)) {
    if (said !== certified) {
      throw new ContractError(`account ${account.account_id}: its ${name} is not its key's`);
    }
  }
  return [key];
}

function nameOf(tenant: string | null, keyId: string): string {
  return `${tenant ?? ""}/${keyId}`;
}
