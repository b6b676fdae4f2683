/** `WarrenClient`: what a client asks for over AMQP, and the proven answers. */

import "./dispose.js";
import { Link, type Post, type PostEvents } from "./amqp/link.js";
import { firstOf, madeEpoch, madeKey, present, refusal } from "./answered.js";
import { fromBase64 } from "./bytes.js";
import type { Result } from "./checks.js";
import { Correspondence, type Pursuit } from "./correspondence.js";
import { ContractError, RequestFailedError } from "./errors.js";
import type {
  KeyFacts,
  KeygenResult,
  QueryKeysResult,
  QuerySessionResult,
  ReshareResult,
  SignResult,
} from "./generated/messages.js";
import { historyOf, type KeyHistory } from "./histories.js";
import { knownOf, KnownRequests, type Known } from "./known.js";
import {
  accountOf,
  keyOf,
  sessionOf,
  signaturesOf,
  type Account,
  type Epoch,
  type Key,
  type Page,
  type Session,
  type Signature,
} from "./outcomes.js";
import { rehearsalOf, type Rehearsal } from "./rehearsals.js";
import {
  anew,
  makeRequest,
  reopen,
  signRequest,
  type Operation,
  type Owner,
  type RequestOf,
  type SignedRequest,
  type Wish,
} from "./requests.js";
import {
  groupOfKey,
  groupOfNewKey,
  settle,
  type Group,
  type Settlement,
} from "./settlement.js";
import { settled, type ClientSettings, type Settled } from "./settings.js";
import { Trust } from "./trust.js";
import { pause, whileNot } from "./waiting.js";
import type {
  Begun,
  CallOptions,
  CancelOptions,
  KeyWish,
  RefreshWish,
  RehearseWish,
  ReshareWish,
  SessionName,
  SignListWish,
  SignWish,
  Warren,
  Watching,
} from "./warren.js";
import { keygenFields, rehearseFields, reshareFields, signFields, signListFields } from "./wishes.js";

const LOOKS_EVERY_MS = 250;

interface Shared {
  readonly settings: Settled;
  readonly correspondence: Correspondence;
  readonly trust: Trust;
  readonly known: KnownRequests;
}

type ResultOf<O extends Operation> = Extract<Result, { readonly result: O }>;

interface Answered<O extends Operation> {
  readonly request: RequestOf<O>;
  /** Of its bytes as they were signed, in hex. */
  readonly digest: string;
  readonly result: ResultOf<O>;
}

/** For use by many calls at once. Made by `connect`. */
export class WarrenClient implements Warren {
  readonly #shared: Shared;
  readonly #tenant: string | null;

  private constructor(shared: Shared, tenant: string | null) {
    this.#shared = shared;
    this.#tenant = tenant;
  }

  /** Throws SettingsError, TopologyError or UnavailableError. */
  static connect(given: ClientSettings): Promise<WarrenClient> {
    const settings = settled(given);
    return WarrenClient.over(settings, (on) => new Link(settings, on));
  }

  /** @internal For tests, which have a post of their own. */
  static async over(settings: Settled, post: (on: PostEvents) => Post): Promise<WarrenClient> {
    const { clientId, parties } = settings;
    const trust = new Trust({
      clientId,
      parties,
      owner: settings.signer.publicKey,
      fetchKey: async (tenant, keyId) => {
        await (tenant === null ? client : client.actingFor(tenant)).#query("query_keys", { only: keyId });
      },
    });
    const correspondence = new Correspondence(settings, (result, signed) => trust.check(result, signed), post);
    const client = new WarrenClient({ settings, correspondence, trust, known: new KnownRequests() }, null);
    await correspondence.open();
    return client;
  }

  /** Whether the broker can be reached at this moment; if not, calls wait until it can. */
  get connected(): boolean {
    return this.#shared.correspondence.isUp;
  }

  /** Why the broker takes no messages for now, in its words; null if it does. */
  get blocked(): string | null {
    return this.#shared.correspondence.blocked;
  }

  /** How often something came that was not shown to be the coordinator's, by what is wrong with it. */
  get disbelieved(): ReadonlyMap<string, number> {
    return this.#shared.correspondence.disbelieved;
  }

  /**
   * The same connection and queue, with keys, accounts and sessions of the tenant's own. There is
   * nothing to close. Request ids of the caller's own must differ between tenants.
   */
  actingFor(tenant: string): WarrenClient {
    return new WarrenClient(this.#shared, tenant);
  }

  close(): Promise<void> {
    return this.#shared.correspondence.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** What stands in logs: who it is, and nothing that opens anything. */
  toJSON(): { clientId: string | null; tenant: string | null } {
    return { clientId: this.#owner.clientId, tenant: this.#tenant };
  }

  async createKey(wish: KeyWish): Promise<Key> {
    return madeKey(await this.#ask("keygen", keygenFields(wish), wish));
  }

  async beginKey(wish: KeyWish): Promise<Begun<Key>> {
    const begun = await this.#begin("keygen", { ...keygenFields(wish), announce: true }, wish);
    return this.#begun(begun, (result) => madeKey(result as KeygenResult));
  }

  async reshare(wish: ReshareWish): Promise<Epoch> {
    const { certified } = await this.key(wish.keyId, wish);
    return madeEpoch(await this.#ask("reshare", reshareFields(wish, certified.facts), wish));
  }

  refresh({ keyId, dealers, firstEpoch, tries, deleteAfter, ...options }: RefreshWish): Promise<Epoch> {
    const { timeoutMs, requestId, signal } = options;
    const wish = { keyId, dealers, firstEpoch, tries, deleteAfter };
    return this.reshare({ ...wish, timeoutMs, requestId, signal });
  }

  async rehearse(wish: RehearseWish): Promise<Rehearsal> {
    const { certified } = await this.key(wish.keyId, wish);
    const fields = rehearseFields(wish, certified.facts);
    const { parties, queryTimeoutMs: timeoutMs } = this.#shared.settings;
    const options = { signal: wish.signal, timeoutMs };
    const { request, digest, result } = await this.#asked("rehearse", fields, options);
    return rehearsalOf(request, digest, certified.facts, result.answers, parties);
  }

  async beginReshare(wish: ReshareWish): Promise<Begun<Epoch>> {
    const { certified } = await this.key(wish.keyId, wish);
    const fields = { ...reshareFields(wish, certified.facts), announce: true };
    const begun = await this.#begin("reshare", fields, wish);
    return this.#begun(begun, (result) => madeEpoch(result as ReshareResult));
  }

  async sign(wish: SignWish): Promise<Signature> {
    return firstOf(await this.#ask("sign", signFields(wish), wish));
  }

  async beginSignature(wish: SignWish): Promise<Begun<Signature>> {
    const begun = await this.#begin("sign", { ...signFields(wish), announce: true }, wish);
    return this.#begun(begun, (result) => firstOf(result as SignResult));
  }

  /** Up to 256 ECDSA signatures of one session, in the order of the items: all of them or none. */
  async signAll(wish: SignListWish): Promise<readonly Signature[]> {
    return signaturesOf(await this.#ask("sign", signListFields(wish), wish));
  }

  async key(keyId: string, { signal }: Watching = {}): Promise<Key> {
    const page = await this.#query("query_keys", { only: keyId }, signal);
    return madeKey({ key: page.keys[0] ?? null });
  }

  /** All keys of this client or tenant, page after page. */
  async *keys({ signal }: Watching = {}): AsyncGenerator<Key, void, void> {
    const seen = new Set<string>();
    let after: string | null = null;
    for (;;) {
      const page: QueryKeysResult = await this.#query("query_keys", { after }, signal);
      const fresh = page.keys.filter((key) => !seen.has(key.facts.key_id));
      for (const key of fresh) {
        seen.add(key.facts.key_id);
        yield keyOf(key);
      }
      // A coordinator that says for ever that there are more is not asked for ever.
      after = page.keys.at(-1)?.facts.key_id ?? null;
      if (!page.more || fresh.length === 0) return;
    }
  }

  /**
   * A key's epochs, and which of the former holders have said that their shares are deleted. An
   * operator names anybody's key by the session that made it.
   */
  history(key: string | { readonly keySession: string }, { signal }: Watching = {}): Promise<KeyHistory> {
    const name = typeof key === "string" ? { key_id: key } : { key_session: key.keySession };
    return historyOf(
      (before) => this.#query("query_key_history", { ...name, before }, signal),
      this.#shared.settings.parties,
    );
  }

  async session(name: SessionName, { signal }: Watching = {}): Promise<Session> {
    const found = await this.#look(name, signal);
    return sessionOf(present(found.session), found.outcome);
  }

  async *events(name: SessionName, options: Watching = {}): AsyncGenerator<Session, void, void> {
    for (let seen = -1; ; ) {
      const session = await this.session(name, options);
      const last = session.events.at(-1)?.sequence ?? 0;
      if (last !== seen || session.over) yield session;
      if (session.over) return;
      seen = last;
      await pause(LOOKS_EVERY_MS, options.signal);
    }
  }

  /** Show one of the tokens that a session was announced with. Returns who has joined by it. */
  async join(
    sessionId: string,
    joinToken: string,
    options: Watching & { partyId?: string | undefined } = {},
  ): Promise<string> {
    const fields = { session_id: sessionId, join_token: joinToken, party_id: options.partyId ?? null };
    const joined = await this.#query("join_session", fields, options.signal);
    return joined.party_id ?? "";
  }

  async cancel(name: SessionName, options: CancelOptions = {}): Promise<Settlement> {
    if ("requestId" in name) {
      const known =
        this.#shared.known.of(this.#tenant, name.requestId) ??
        (await this.#foundAgain(name.requestId, options.signal)) ??
        { issuedAt: options.issuedAt ?? null, made: null, keyId: options.keyId ?? null };
      return this.#cancel(name.requestId, known, options.signal);
    }
    const found = await this.#look(name, options.signal);
    const requestId = present(found.session).request_id;
    return this.#cancel(requestId, await this.#opened(found, requestId), options.signal);
  }

  async accounts(
    page: { after?: string | undefined; limit?: number | undefined } & Watching = {},
  ): Promise<Page<Account>> {
    const fields = { after: page.after ?? null, limit: page.limit ?? 100 };
    const { accounts, more } = await this.#query(
      "query_accounts",
      fields,
      page.signal,
    );
    const next = more ? (accounts.at(-1)?.account_id ?? null) : null;
    return { entries: accounts.map(accountOf), next };
  }

  async account(accountId: string, { signal }: Watching = {}): Promise<Account> {
    const page = await this.#query("query_accounts", { only: accountId }, signal);
    return accountOf(present(page.accounts[0] ?? null));
  }

  async configureAccount(
    accountId: string,
    signers: readonly string[] | null,
    { signal }: Watching = {},
  ): Promise<void> {
    const fields = { account_id: accountId, signers };
    await this.#query("configure_account", fields, signal);
  }

  /** A request that is signed, to be kept and submitted: the same bytes never run twice. */
  async prepare<O extends Operation>(
    operation: O,
    wish: Wish<O>,
    options: CallOptions = {},
  ): Promise<SignedRequest> {
    const { signer, timeoutMs } = this.#shared.settings;
    const lifetimeMs = options.timeoutMs ?? timeoutMs;
    return signRequest(this.#made(operation, wish, lifetimeMs, options.requestId), signer);
  }

  /** Publish a request that was signed before, and await its proven result, a failure included. */
  submit(signed: SignedRequest, { signal }: Watching = {}): Promise<Result> {
    return this.#shared.correspondence.submit(signed, false, signal);
  }

  /**
   * Proven results on this client's queue that no call waits for, failures included. Each is acked
   * when the next one is asked for; a result may come twice, so go by its `request_id`. Not for a
   * client that acts for tenants: a result does not say whose it is.
   */
  results({ signal }: Watching = {}): AsyncGenerator<Result, void, void> {
    return this.#shared.correspondence.unclaimed(signal);
  }

  get #owner(): Owner {
    return { clientId: this.#shared.settings.clientId, tenant: this.#tenant };
  }

  /** Remembered from now on: who asks may cancel at once. */
  #made<O extends Operation>(
    operation: O,
    wish: Wish<O>,
    lifetimeMs: number,
    requestId: string | undefined,
  ): RequestOf<O> {
    const signer = this.#shared.settings.signer.publicKey;
    const by = { owner: this.#owner, signer, now: Date.now(), lifetimeMs, requestId };
    const request = makeRequest(operation, wish, by);
    this.#shared.known.remember(this.#tenant, request);
    return request;
  }

  async #query<O extends Operation>(
    operation: O,
    wish: Wish<O>,
    signal?: AbortSignal,
  ): Promise<ResultOf<O>> {
    return this.#ask(operation, wish, { signal, timeoutMs: this.#shared.settings.queryTimeoutMs });
  }

  async #ask<O extends Operation>(operation: O, wish: Wish<O>, options: CallOptions): Promise<ResultOf<O>> {
    return (await this.#asked(operation, wish, options)).result;
  }

  /**
   * What is refused because the coordinator has too much to do is asked again, as often as its
   * deadline allows: in new bytes, for a refusal is kept, and under the same id. With the result
   * comes what it answers.
   */
  async #asked<O extends Operation>(
    operation: O,
    wish: Wish<O>,
    { timeoutMs, requestId, signal }: CallOptions,
  ): Promise<Answered<O>> {
    const { settings, correspondence } = this.#shared;
    let request = this.#made(operation, wish, timeoutMs ?? settings.timeoutMs, requestId);
    for (let fresh = true; ; fresh = false) {
      const signed = await signRequest(request, settings.signer);
      const result = await correspondence.submit(signed, fresh, signal);
      const { failure } = result;
      if (failure === null) return { request, digest: signed.digest, result: result as ResultOf<O> };
      const left = request.expires_at - Date.now();
      // Not all at once who were told the same.
      const later = (failure.retry_after_ms ?? Infinity) * (1 + Math.random() / 4);
      if (failure.code !== "overloaded" || later >= left) throw refusal(result, signed);
      await pause(later, signal);
      request = anew(request, Date.now());
      this.#shared.known.remember(this.#tenant, request);
    }
  }

  async #begin<O extends Operation>(
    operation: O,
    wish: Wish<O>,
    { timeoutMs, requestId, signal }: CallOptions,
  ): Promise<Pursuit> {
    const { settings, correspondence } = this.#shared;
    const request = this.#made(operation, wish, timeoutMs ?? settings.timeoutMs, requestId);
    const signed = await signRequest(request, settings.signer);
    const pursuit = correspondence.begin(signed, true, signal);
    await pursuit.opened;
    if (pursuit.announced() === null) {
      const result = await pursuit.result;
      if (result.failure !== null && result.session_id === null) throw refusal(result, signed);
    }
    return pursuit;
  }

  #begun<T>(pursuit: Pursuit, made: (result: Result) => T): Begun<T> {
    const announced = pursuit.announced();
    return {
      requestId: pursuit.signed.request.request_id,
      sessionId: announced?.session_id ?? null,
      parties: announced?.parties ?? [],
      result: async (signal) => {
        const result = await whileNot(signal, pursuit.result, pursuit.signed.request.request_id);
        if (result.failure !== null) throw refusal(result, pursuit.signed);
        return made(result);
      },
    };
  }

  #look(name: SessionName, signal?: AbortSignal): Promise<QuerySessionResult> {
    const fields =
      "sessionId" in name ? { session_id: name.sessionId } : { target: name.requestId };
    return this.#query("query_session", fields, signal);
  }

  async #cancel(requestId: string, known: Known | null, signal?: AbortSignal): Promise<Settlement> {
    const issuedAt = known?.issuedAt ?? null;
    const facts = known === null ? null : await this.#facts(known, signal);
    const fields = {
      target: requestId,
      target_issued_at: issuedAt,
      key_session: facts?.session_id ?? null,
    };
    const result = await this.#query("cancel", fields, signal);
    const group = known === null ? null : this.#group(known, facts, result.epochs);
    const { liars } = this.#shared.settings;
    return settle(result, group, { owner: this.#owner, issuedAt: issuedAt ?? 0, liars });
  }

  /** Null where the coordinator does not know the request, or says so. */
  async #foundAgain(requestId: string, signal?: AbortSignal): Promise<Known | null> {
    try {
      return await this.#opened(await this.#look({ requestId }, signal), requestId);
    } catch (error) {
      if (error instanceof RequestFailedError && error.code === "unknown_request") return null;
      throw error;
    }
  }

  /** From the bytes of a request that we have signed ourselves: the coordinator could name another key. */
  async #opened(found: QuerySessionResult, requestId: string): Promise<Known | null> {
    if (found.request === null || found.request_signature === null) return null;
    const { publicKey } = this.#shared.settings.signer;
    try {
      const own = await reopen(fromBase64(found.request), fromBase64(found.request_signature), publicKey);
      const { request } = own;
      const ours =
        request.request_id === requestId &&
        request.client_id === this.#owner.clientId &&
        (request.tenant ?? null) === this.#tenant;
      return ours ? knownOf(request) : null;
    } catch (error) {
      if (error instanceof ContractError) return null;
      throw error;
    }
  }

  #group(known: Known, facts: KeyFacts | null, told: readonly KeyFacts[]): Group | null {
    const { parties } = this.#shared.settings;
    if (known.issuedAt === null) return null; // whether a statement covers it, nobody can say
    if (known.made !== null) return groupOfNewKey(known.made, parties);
    return facts === null ? null : groupOfKey(facts, parties, told);
  }

  /** Of the key that was to sign. Parties are asked of its epochs, so it comes before the cancel. */
  async #facts(known: Known, signal?: AbortSignal): Promise<KeyFacts | null> {
    if (known.keyId === null) return null;
    try {
      return (await this.key(known.keyId, { signal })).certified.facts;
    } catch (error) {
      if (error instanceof RequestFailedError && error.code === "unknown_key") return null;
      throw error;
    }
  }
}
