/**
 * `WarrenHttpClient`: the same over HTTP, through a gateway. Keys and signatures are verified here as
 * over AMQP. The gateway is the client whose requests the parties check, so what it says of sessions
 * that failed, of signers and of cancels is its word.
 */

import "../dispose.js";
import { fromHex, randomHex, toHex } from "../bytes.js";
import { same } from "../checks.js";
import { ecdsaForms } from "../curves.js";
import {
  AbortedError,
  ClosedError,
  ContractError,
  DeadlineError,
  DisbelievedError,
} from "../errors.js";
import type { CertifiedKey, Curve, EpochBundle, Readiness, Scheme, SignedItem, Status } from "../generated/messages.js";
import { checkScheme, type Parties } from "../keys.js";
import {
  epochOf,
  isFinal,
  keyOf,
  signatureOf,
  type Account,
  type Epoch,
  type Key,
  type Page,
  type Session,
  type Signature,
} from "../outcomes.js";
import { rehearsalOf, type Rehearsal } from "../rehearsals.js";
import { readAs } from "../schema.js";
import type { Settlement } from "../settlement.js";
import { pinnedParties } from "../settings.js";
import type { Json } from "../strict-json.js";
import { checkItem, Trust } from "../trust.js";
import type {
  Begun,
  CallOptions,
  CancelOptions,
  KeyWish,
  RefreshWish,
  RehearseWish,
  ReshareWish,
  SessionName,
  SignWish,
  Warren,
  Watching,
} from "../warren.js";
import { arrayOf, failureOf, isObject, lacks, participantsOf, partiesOf, textOf } from "./answers.js";
import { checkAsked, rehearsalAsked, resharing } from "./reshares.js";
import { Gateway, GatewayError, type Answer, type Question } from "./gateway.js";

export { GatewayError };

export interface HttpSettings {
  /** Of the gateway, such as `https://gateway.example`. */
  readonly url: string;
  /** Shown nowhere. */
  readonly apiKey: string;
  /** Whom keys are certified for: the gateway's client id, and the tenant that holds the API key. */
  readonly owner: { readonly clientId: string; readonly tenant: string };
  /** Party id -> public key in base64: whose certificates are believed. */
  readonly parties: Readonly<Record<string, string>>;
  readonly timeoutMs?: number | undefined;
  readonly queryTimeoutMs?: number | undefined;
  /** In place of the platform's. */
  readonly fetch?: typeof fetch | undefined;
}

const KNOWN_SESSIONS = 10_000;
const RESHARE_PATH = "/api/v1/mpc/reshare";

export class WarrenHttpClient implements Warren {
  readonly #gateway: Gateway;
  readonly #trust: Trust;
  readonly #parties: Parties;
  readonly #owner: HttpSettings["owner"];
  readonly #timeoutMs: number;
  readonly #queryTimeoutMs: number;
  /** Request id -> session id. */
  readonly #sessions = new Map<string, string>();
  readonly #closing = new AbortController();

  /** Throws SettingsError. Asks nothing yet. */
  constructor(settings: HttpSettings) {
    const parties = pinnedParties(settings.parties);
    this.#parties = parties;
    // A method of the window's has to be called as one.
    const fetching = settings.fetch ?? ((input, init) => fetch(input, init));
    this.#gateway = new Gateway(settings.url, settings.apiKey, fetching);
    this.#owner = settings.owner;
    this.#timeoutMs = settings.timeoutMs ?? 60_000;
    this.#queryTimeoutMs = settings.queryTimeoutMs ?? 15_000;
    this.#trust = new Trust({
      clientId: settings.owner.clientId,
      parties,
      owner: null, // the gateway asks by an identity of its own
      fetchKey: async (_, keyId) => {
        await this.key(keyId);
      },
    });
  }

  toJSON(): { owner: HttpSettings["owner"] } {
    return { owner: this.#owner };
  }

  async createKey(wish: KeyWish): Promise<Key> {
    return (await this.beginKey(wish)).result(wish.signal);
  }

  async beginKey(wish: KeyWish): Promise<Begun<Key>> {
    if (wish.keyId !== undefined) throw new TypeError("a gateway names its keys itself: leave keyId out");
    const fields: Record<string, Json> = {
      curve: wish.curve,
      threshold_n: wish.partyCount,
      threshold_t: wish.threshold,
    };
    if (wish.parties !== undefined) {
      fields["participants"] = wish.parties.map((party_id) => ({ party_id }));
    }
    if (wish.schemes !== undefined) fields["schemes"] = wish.schemes;
    if (wish.userId !== undefined) fields["user_id"] = wish.userId;
    const path = wish.userId === undefined ? "/api/v1/mpc/keygen" : "/api/v1/accounts";
    return this.#begin(path, fields, wish, async (session) => {
      const { result } = session;
      if (!isObject(result)) throw new ContractError("the result is completed and has no key");
      const key = await this.#proven(result["certified_key"]);
      const { facts } = key;
      same("version", facts.version, 2);
      same("origin", facts.origin, "generated");
      same("curve", facts.curve, wish.curve);
      same("threshold", facts.threshold, wish.threshold);
      same("party_count", facts.holders.length, wish.partyCount);
      same("schemes", facts.schemes, wish.schemes === undefined ? null : [...wish.schemes].sort());
      return keyOf(key);
    });
  }

  async reshare(wish: ReshareWish): Promise<Epoch> {
    return (await this.beginReshare(wish)).result(wish.signal);
  }

  refresh({ keyId, dealers, firstEpoch, tries, deleteAfter, ...options }: RefreshWish): Promise<Epoch> {
    const { timeoutMs, requestId, signal } = options;
    const wish = { keyId, dealers, firstEpoch, tries, deleteAfter };
    return this.reshare({ ...wish, timeoutMs, requestId, signal });
  }

  async beginReshare(wish: ReshareWish): Promise<Begun<Epoch>> {
    const { facts: before } = (await this.key(wish.keyId, wish)).certified;
    const fields = resharing(wish);
    if (wish.deleteAfter !== undefined) fields["delete_after"] = wish.deleteAfter;
    return this.#begin(RESHARE_PATH, fields, wish, async ({ result }) => {
      if (!isObject(result)) throw new ContractError("the result is completed and has no epoch");
      const epoch = await this.#epoch(result);
      checkAsked(wish, before, epoch);
      return epoch;
    });
  }

  async rehearse(wish: RehearseWish): Promise<Rehearsal> {
    const { facts: before } = (await this.key(wish.keyId, wish)).certified;
    const body = { ...resharing(wish), dry_run: true };
    const told = await this.#query({ method: "POST", path: RESHARE_PATH, body, signal: wish.signal });
    return this.#believed(async () => {
      const { request, digest } = rehearsalAsked(wish, before, told);
      const answers = arrayOf(told["answers"]).map((each) => readAs("Readiness", each) as unknown as Readiness);
      return rehearsalOf(request, digest, before, answers, this.#parties);
    });
  }

  async sign(wish: SignWish): Promise<Signature> {
    return (await this.beginSignature(wish)).result(wish.signal);
  }

  async beginSignature(wish: SignWish): Promise<Begun<Signature>> {
    if (wish.taprootMerkleRoot !== undefined) {
      throw new TypeError("a gateway signs for no output key: ask over AMQP");
    }
    const fields: Record<string, Json> = {
      key_id: wish.keyId,
      scheme: wish.scheme,
      message_hash: toHex(wish.message),
    };
    if (wish.derivationPath !== undefined) fields["derivation_path"] = wish.derivationPath;
    if (wish.signers !== undefined) fields["parties"] = wish.signers;
    return this.#begin("/api/v1/mpc/sign", fields, wish, async (session) => {
      const { result } = session;
      if (!isObject(result)) throw new ContractError("the result is completed and has no signature");
      same("key_id", result["key_id"], wish.keyId);
      same("scheme", result["scheme"], wish.scheme);
      same("message", result["message_hash"], toHex(wish.message));
      same("derivation_path", result["derivation_path"], wish.derivationPath);
      return this.#signature(result);
    });
  }

  async key(keyId: string, { signal }: Watching = {}): Promise<Key> {
    const path = `/api/v1/keys/${encodeURIComponent(keyId)}`;
    const told = await this.#query({ method: "GET", path, signal });
    return this.#believed(async () => {
      const key = await this.#proven(told["certified_key"]);
      same("key_id", key.facts.key_id, keyId);
      return keyOf(key);
    });
  }

  async session(name: SessionName, { signal }: Watching = {}): Promise<Session> {
    const path = `/api/v1/sessions/${this.#named(name)}`;
    const told = await this.#query({ method: "GET", path, signal });
    return this.#believed(() => this.#told(told));
  }

  async *events(name: SessionName, { signal }: Watching = {}): AsyncGenerator<Session, void, void> {
    const signals = [this.#closing.signal, ...(signal === undefined ? [] : [signal])];
    for await (const { data } of this.#gateway.events(this.#named(name), AbortSignal.any(signals))) {
      yield await this.#believed(() => this.#told(data));
    }
  }

  /** By the gateway's count of what the parties stated. */
  async cancel(name: SessionName, { signal }: CancelOptions = {}): Promise<Settlement> {
    const sessionId = this.#named(name);
    const path = `/api/v1/sessions/${sessionId}/cancel`;
    const told = await this.#query({ method: "POST", path, signal });
    const final = told["final"] === true;
    return {
      target: "requestId" in name ? name.requestId : sessionId,
      targetStatus: (told["status"] as Status | undefined) ?? null,
      stated: [],
      alreadySigned: [],
      silent: [],
      liarsTolerated: typeof told["liars_tolerated"] === "number" ? told["liars_tolerated"] : null,
      final,
      signatureMayExist: !final,
    };
  }

  async accounts(
    page: { after?: string | undefined; limit?: number | undefined } & Watching = {},
  ): Promise<Page<Account>> {
    const limit = page.limit === undefined ? undefined : String(page.limit);
    const told = await this.#query({
      method: "GET",
      path: "/api/v1/accounts",
      query: { after: page.after, limit },
      signal: page.signal,
    });
    const entries: Account[] = [];
    for (const account of arrayOf(told["accounts"])) {
      if (isObject(account)) entries.push(await this.#account(account));
    }
    return { entries, next: typeof told["next"] === "string" ? told["next"] : null };
  }

  async account(accountId: string, { signal }: Watching = {}): Promise<Account> {
    const path = `/api/v1/accounts/${encodeURIComponent(accountId)}`;
    return this.#account(await this.#query({ method: "GET", path, signal }));
  }

  async configureAccount(
    accountId: string,
    signers: readonly string[] | null,
    { signal }: Watching = {},
  ): Promise<void> {
    const path = `/api/v1/accounts/${encodeURIComponent(accountId)}/signing-config`;
    await this.#query(
      signers === null
        ? { method: "DELETE", path, signal }
        : { method: "PUT", path, body: { parties: signers }, signal },
    );
  }

  /** Ends whatever waits. */
  close(): Promise<void> {
    this.#closing.abort(new ClosedError());
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #query(question: Omit<Question, "deadline">): Promise<Answer> {
    return this.#ask({ ...question, deadline: Date.now() + this.#queryTimeoutMs });
  }

  async #ask(question: Question): Promise<Answer> {
    const { signal } = this.#closing;
    if (signal.aborted) throw new ClosedError(question.idempotencyKey, question.begins ?? false);
    const signals = question.signal === undefined ? [signal] : [signal, question.signal];
    try {
      return await this.#gateway.ask({ ...question, signal: AbortSignal.any(signals) });
    } catch (error) {
      if (error instanceof AbortedError && this.#closing.signal.aborted) {
        throw new ClosedError(question.idempotencyKey, error.signatureMayExist);
      }
      if (error instanceof ContractError) throw new DisbelievedError(error.message, question.idempotencyKey);
      throw error;
    }
  }

  async #begin<T>(
    path: string,
    body: Json,
    { timeoutMs, requestId = randomHex(16), signal }: CallOptions,
    made: (session: Answer) => Promise<T>,
  ): Promise<Begun<T>> {
    const deadline = Date.now() + (timeoutMs ?? this.#timeoutMs);
    const begins = { idempotencyKey: requestId, deadline, begins: true };
    const begun = await this.#ask({ method: "POST", path, body, ...begins, signal });
    const sessionId = textOf(begun, "session_id");
    this.#sessions.set(requestId, sessionId);
    if (this.#sessions.size > KNOWN_SESSIONS) {
      this.#sessions.delete(this.#sessions.keys().next().value ?? "");
    }
    const ended = async (waiting: AbortSignal | undefined): Promise<T> => {
      let told = begun;
      // What began it has no more than the session's name; an account's has another status.
      while (told["session_type"] === undefined || !isFinal(told["status"] as Status) || lacks(told)) {
        if (Date.now() >= deadline) throw new DeadlineError(requestId, [], true);
        const wait = Gateway.waitFor(deadline);
        const session = { method: "GET", path: `/api/v1/sessions/${sessionId}` } as const;
        told = await this.#ask({ ...session, query: { wait }, ...begins, signal: waiting });
      }
      if (told["status"] !== "completed") throw failureOf(told, requestId, sessionId);
      return this.#believed(() => made(told), requestId);
    };
    return { requestId, sessionId, parties: partiesOf(begun), result: (own) => ended(own ?? signal) };
  }

  async #proven(told: Json | undefined): Promise<CertifiedKey> {
    if (told === undefined) throw new ContractError("the key comes without what proves it");
    const key = readAs("CertifiedKey", told) as unknown as CertifiedKey;
    await this.#trust.accept(this.#owner.tenant, key);
    return key;
  }

  async #epoch(told: Answer): Promise<Epoch> {
    if (told["bundle"] === undefined) throw new ContractError("the epoch comes without what proves it");
    const bundle = readAs("EpochBundle", told["bundle"]) as unknown as EpochBundle;
    await this.#trust.moveOn(this.#owner.tenant, bundle);
    const signsFrom = new Date(textOf(told, "signs_from"));
    if (Number.isNaN(signsFrom.getTime())) throw new ContractError("the answer's signs_from is no time");
    return epochOf(bundle, signsFrom);
  }

  async #signature(told: Answer): Promise<Signature> {
    const text = (name: string): string => textOf(told, name);
    const scheme = text("scheme") as Scheme;
    const signature = text("signature");
    const ecdsa = scheme === "ecdsa" ? ecdsaForms(fromHex(signature)) : null;
    for (const name of ["r", "s", "der", "ethereum", "recovery_id"] as const) {
      if (told[name] !== undefined) same(name, told[name], ecdsa?.[name]);
    }
    const item: SignedItem = {
      message: text("message_hash"),
      derivation_path: told["derivation_path"] === undefined ? null : text("derivation_path"),
      public_key: text("public_key"),
      signature,
      ecdsa,
    };
    const key = await this.#trust.key(this.#owner.tenant, text("key_id"));
    checkScheme(key.facts, scheme);
    checkItem(scheme, item, key, null);
    const signers = arrayOf(told["signers"]).filter((name) => typeof name === "string");
    return signatureOf(key.facts.key_id, scheme, signers, item);
  }

  async #told(session: Answer): Promise<Session> {
    const { result } = session;
    const type = session["session_type"];
    const isKey = type === "keygen" || type === "reshare";
    const status = session["status"] as Status;
    const deadline = session["deadline"];
    return {
      sessionId: textOf(session, "session_id"),
      requestId: null,
      operation: isKey ? type : "sign",
      keyId: typeof session["key_id"] === "string" ? session["key_id"] : null,
      status,
      over: isFinal(status),
      parties: participantsOf(session),
      deadline: typeof deadline === "string" ? new Date(deadline) : null,
      events: [],
      key: isObject(result) && isKey ? keyOf(await this.#proven(result["certified_key"])) : null,
      signatures: isObject(result) && !isKey ? [await this.#signature(result)] : [],
      signatureMayExist: session["signature_may_exist"] !== false,
    };
  }

  async #account(told: Answer): Promise<Account> {
    const accountId = textOf(told, "account_id");
    const made = told["status"] === "completed";
    return {
      accountId,
      userId: textOf(told, "user_id"),
      status: told["status"] as Status,
      sessionId: textOf(told, "session_id"),
      curve: told["curve"] as Curve,
      threshold: Number(told["threshold_t"]),
      parties: arrayOf(told["parties"]).map(String),
      signers: null,
      // What is shown of an account proves nothing: people pay to what they see here.
      key: made ? keyOf(await this.#believed(() => this.#trust.key(this.#owner.tenant, accountId))) : null,
    };
  }

  async #believed<T>(made: () => Promise<T>, requestId?: string): Promise<T> {
    try {
      return await made();
    } catch (error) {
      if (error instanceof ContractError) throw new DisbelievedError(error.message, requestId);
      throw error;
    }
  }

  #named(name: SessionName): string {
    const sessionId = "sessionId" in name ? name.sessionId : this.#sessions.get(name.requestId);
    if (sessionId === undefined || !/^[0-9a-f]{64}$/.test(sessionId)) {
      throw new TypeError("a gateway knows sessions by their session id");
    }
    return sessionId;
  }
}
