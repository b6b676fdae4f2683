/**
 * A post office in memory: takes requests, and answers them as a coordinator with four parties
 * would, or as the test wants it to. Keys and signatures are real, in one hand.
 */

import { ed25519 } from "@noble/curves/ed25519.js";

import { LinkLost, type Delivery, type Post, type PostEvents } from "../src/amqp/link.js";
import { fromHex, toBase64, toHex, utf8 } from "../src/bytes.js";
import { WarrenClient } from "../src/client.js";
import { factsDigest } from "../src/epochs.js";
import type {
  CertifiedKey,
  EpochBundle,
  EpochView,
  KeyFacts,
  Readiness,
  ReshareTerms,
  Retirement,
  RoleAnswer,
} from "../src/generated/messages.js";
import { P256, signedBytes } from "../src/identity.js";
import { certificateTag, keyStatement } from "../src/keys.js";
import { READINESS_TAG, readinessContent } from "../src/readiness.js";
import type { RequestOf, SignedRequest } from "../src/requests.js";
import { RETIREMENT_TAG, retirementContent } from "../src/retirements.js";
import { settled, type ClientSettings } from "../src/settings.js";
import { webCryptoSigner, type Signer } from "../src/signer.js";
import { sessionIdOf } from "../src/terms.js";

export type Answer = Record<string, unknown>;
export type Rule = (signed: SignedRequest, tries: number) => Promise<void> | void;

interface Kept {
  readonly secret: Uint8Array;
  readonly key: CertifiedKey;
  /** The newest first. */
  readonly epochs: readonly EpochView[];
}

const BOTH: RoleAnswer = { deals: true, receives: true, refused: null, message: "" };

export class Office implements Post {
  readonly isUp = true;
  readonly blocked = null;
  /** What was published, oldest first. */
  readonly published: SignedRequest[] = [];
  /** What became of deliveries: "acked", "rejected" or "returned". */
  readonly settled: string[] = [];
  consumers = 1;
  /** In place of answering. */
  rule: Rule = (signed) => this.answer(signed);
  /** Before the confirm; throwing stands for a connection that goes. */
  confirm: (tries: number) => void = () => undefined;
  #on: PostEvents | null = null;
  /** How many epochs a page of a key's history has. */
  epochsOnPage = 100;
  readonly #keys = new Map<string, Kept>();
  readonly #answers = new Map<string, Promise<Answer>>();

  private constructor(
    readonly client: Signer,
    readonly coordinator: Signer,
    readonly parties: ReadonlyMap<string, Signer>,
  ) {}

  static async opened(): Promise<Office> {
    const [client, coordinator, ...parties] = await Promise.all(Array.from({ length: 6 }, newSigner));
    if (client === undefined || coordinator === undefined) throw new TypeError();
    return new Office(client, coordinator, new Map(parties.map((each, at) => [`p${at + 1}`, each])));
  }

  async connect(more: Partial<ClientSettings> = {}): Promise<WarrenClient> {
    const given: ClientSettings = {
      amqpUrl: "amqp://svcA:secret-of-the-test@localhost/warren",
      clientId: "svcA",
      signer: this.client,
      coordinators: [{ publicKey: this.coordinator.publicKey }],
      parties: Object.fromEntries([...this.parties].map(([name, each]) => [name, each.publicKey])),
      askAgainMs: 60_000,
      marginMs: 100,
      ...more,
    };
    return WarrenClient.over(settled(given), (on) => {
      this.#on = on;
      return this;
    });
  }

  async publish(signed: SignedRequest, leaves: () => void): Promise<void> {
    leaves();
    this.published.push(signed);
    const tries = this.published.filter(({ digest }) => digest === signed.digest).length;
    void Promise.resolve(this.rule(signed, tries));
    await Promise.resolve();
    this.confirm(tries);
  }

  open = (): Promise<void> => Promise.resolve();
  close = (): Promise<void> => Promise.resolve();
  listen = (): Promise<void> => Promise.resolve();
  rest = (): Promise<boolean> => Promise.resolve(true);
  consumerCount = (): Promise<number> => Promise.resolve(this.consumers);

  /** The connection goes: nothing that was delivered can be settled any more. */
  lose(): void {
    this.#on?.lost();
  }

  static lost(): never {
    throw new LinkLost("the test says so");
  }

  async answer(signed: SignedRequest, changes: Answer = {}): Promise<void> {
    await this.deliver({ ...(await this.answerTo(signed)), ...changes });
  }

  async fail(signed: SignedRequest, code: string, more: Answer = {}, changes: Answer = {}): Promise<void> {
    const failure = { code, message: "so it is", retryable: code === "expired", ...more };
    const { request } = signed;
    const ofKey = request.operation !== "query_key_history" && "key_id" in request;
    const keyId = ofKey ? { key_id: request.key_id } : {};
    const status = code === "expired" || code === "cancelled" ? code : "failed";
    await this.deliver({ ...base(signed), ...keyId, status, failure, ...changes });
  }

  /** As the coordinator says it, or somebody else. */
  async deliver(told: Answer, by: Signer = this.coordinator, headers: Answer = {}): Promise<void> {
    const body = utf8(JSON.stringify(told));
    const signature = toBase64(await by.sign(signedBytes("warren/result/v1", body)));
    const settle = (how: string) => (): void => {
      this.settled.push(how);
    };
    const delivery: Delivery = {
      body,
      headers: { signature, ...headers },
      redelivered: false,
      ack: settle("acked"),
      reject: settle("rejected"),
      giveBack: settle("returned"),
    };
    this.#on?.deliver(delivery);
  }

  /** As it is now. */
  keyOf(keyId: string): CertifiedKey {
    return this.#kept(keyId).key;
  }

  #kept(keyId: string): Kept {
    const kept = this.#keys.get(keyId);
    if (kept === undefined) throw new TypeError(`nobody has made ${keyId}`);
    return kept;
  }

  /** What was told of its epochs, the newest first, with what parties are said to have said. */
  viewsOf(keyId: string, ...said: readonly (readonly Retirement[])[]): readonly EpochView[] {
    const { epochs } = this.#kept(keyId);
    return epochs.map((view, at) => ({ ...view, retirements: said[at] ?? [] }));
  }

  /** By the party, or in its name. */
  async retirement(
    party_id: string,
    below: number,
    changes: Partial<Retirement> = {},
    by: Signer | undefined = this.parties.get(party_id),
  ): Promise<Retirement> {
    const key_session = "05".repeat(32);
    const unsigned = { party_id, key_session, below, retired_at: 7, backed_up_at: null, signature: "" };
    const said: Retirement = { ...unsigned, ...changes };
    if (by === undefined) throw new TypeError(`there is no party ${party_id}`);
    const signature = await by.sign(signedBytes(RETIREMENT_TAG, retirementContent(said)));
    return { ...said, signature: toBase64(signature) };
  }

  /** By the party, or in its name, to this request. */
  async readiness(
    party_id: string,
    to: SignedRequest,
    roles: readonly RoleAnswer[] = [BOTH],
    by: Signer | undefined = this.parties.get(party_id),
  ): Promise<Readiness> {
    const said: Readiness = { party_id, request_digest: to.digest, roles, at: 7, signature: "" };
    if (by === undefined) throw new TypeError(`there is no party ${party_id}`);
    const signature = await by.sign(signedBytes(READINESS_TAG, readinessContent(said)));
    return { ...said, signature: toBase64(signature) };
  }

  /** Everybody who is asked would. */
  async rehearsedBy(signed: SignedRequest, key: CertifiedKey): Promise<Answer> {
    const request = signed.request as RequestOf<"rehearse">;
    const holders = key.facts.holders.map((holder) => holder.party_id);
    const names = [...new Set([...holders, ...request.parties])];
    const answers = await Promise.all(names.map((name) => this.readiness(name, signed)));
    return { ...base(signed), session_id: null, key_id: request.key_id, answers, silent: [] };
  }

  /** The session of a reshare of these members, each of whom deals and receives. */
  async announce(signed: SignedRequest, changes: Partial<ReshareTerms> = {}): Promise<string> {
    const request = signed.request as RequestOf<"reshare">;
    const { facts } = this.keyOf(request.key_id);
    const terms: ReshareTerms = {
      request_digest: signed.digest,
      key_session: facts.session_id,
      predecessor: factsDigest(facts),
      epoch: request.first_epoch,
      threshold: request.threshold,
      members: facts.holders.map(({ party_id, identity }, at) => {
        return { party_id, index: at + 1, identity, deals_as: at + 1, receives_as: at + 1 };
      }),
      salt: "0a".repeat(32),
      ...changes,
    };
    const sessionId = sessionIdOf(terms);
    await this.deliver({
      result: "session_announced",
      version: 1,
      request_id: request.request_id,
      client_id: request.client_id,
      session_id: sessionId,
      request_digest: signed.digest,
      terms,
      deadline: request.expires_at,
      parties: request.parties,
      join_tokens: {},
      session_token: "0b".repeat(32),
    });
    return sessionId;
  }

  async answerTo(signed: SignedRequest): Promise<Answer> {
    const { request } = signed;
    switch (request.operation) {
      case "keygen":
        return this.#once(signed, () => this.#made(signed, request));
      case "reshare":
        return this.#once(signed, () => this.#reshared(signed, request));
      case "rehearse":
        return this.rehearsedBy(signed, this.keyOf(request.key_id));
      case "sign":
        return this.#signed(signed, request);
      case "query_keys": {
        const key = this.#keys.get(request.only ?? "")?.key;
        return { ...base(signed), session_id: null, keys: key === undefined ? [] : [key], more: false };
      }
      case "query_key_history": {
        const bySession = [...this.#keys.values()].find(
          (each) => each.key.facts.session_id === request.key_session,
        );
        const { key, epochs } = bySession ?? this.#kept(request.key_id ?? "");
        const left = epochs.filter(({ facts }) => facts.epoch < (request.before ?? Infinity));
        const more = left.length > this.epochsOnPage;
        return { ...base(signed), session_id: null, key, epochs: left.slice(0, this.epochsOnPage), more };
      }
      case "cancel":
        return { ...base(signed), session_id: null, target: request.target, target_status: "cancelled" };
      default:
        throw new TypeError(`nobody answers ${request.operation} here`);
    }
  }

  /** A request that comes again makes no other key. */
  async #once(signed: SignedRequest, make: () => Promise<Answer>): Promise<Answer> {
    const made = this.#answers.get(signed.digest) ?? make();
    this.#answers.set(signed.digest, made);
    return made;
  }

  async #made(signed: SignedRequest, request: RequestOf<"keygen">): Promise<Answer> {
    const secret = ed25519.utils.randomSecretKey();
    const public_key = toHex(ed25519.getPublicKey(secret));
    const key = await this.certified({
      version: 2,
      client_id: request.client_id,
      key_id: request.key_id,
      session_id: "05".repeat(32),
      epoch: 0,
      curve: request.curve,
      threshold: request.threshold,
      public_key,
      chain_code: "06".repeat(32),
      holders: this.#holders(request.parties ?? [...this.parties.keys()].slice(0, 3), public_key),
      transcript_digest: "07".repeat(32),
      tenant: request.tenant ?? null,
      request_digest: signed.digest,
      schemes: request.schemes ?? null,
      origin: "generated",
      reshared: null,
    });
    this.#keys.set(request.key_id, { secret, key, epochs: [viewed(key.facts)] });
    return { ...base(signed), key_id: request.key_id, curve: request.curve, key };
  }

  async #reshared(signed: SignedRequest, request: RequestOf<"reshare">): Promise<Answer> {
    const bundle = await this.bundled(signed, this.keyOf(request.key_id));
    const signs_from = Date.now() + 30_000;
    const { secret, epochs } = this.#kept(request.key_id);
    const newest = { ...viewed(bundle.key.facts), made_at: Date.now(), signs_from };
    this.#keys.set(request.key_id, { secret, key: bundle.key, epochs: [newest, ...epochs] });
    return { ...base(signed), key_id: request.key_id, bundle, signs_from };
  }

  /** An epoch that comes from that key, with changes that all who sign it agree on. */
  async bundled(
    signed: SignedRequest,
    predecessor: CertifiedKey,
    changes: Partial<KeyFacts> = {},
  ): Promise<EpochBundle> {
    const request = signed.request as RequestOf<"reshare">;
    const known = predecessor.facts;
    const dealers =
      request.dealers ?? known.holders.slice(0, known.threshold).map(({ party_id }) => party_id);
    const key = await this.certified({
      ...known,
      version: 3,
      epoch: request.first_epoch,
      threshold: request.threshold,
      holders: this.#holders(request.parties, known.public_key),
      request_digest: signed.digest,
      reshared: { session_id: "05".repeat(32), predecessor: factsDigest(known), dealers },
      ...changes,
    });
    const statement = signedBytes("warren/epoch-dealt/v1", keyStatement(key.facts));
    return {
      request: toBase64(signed.body),
      request_signature: toBase64(signed.signature),
      predecessor,
      key,
      // What they prove is nothing to a client, see `epochs`.
      possessions: Object.fromEntries(key.facts.holders.map(({ party_id }) => [party_id, "00"])),
      dealt: await this.#by(key.facts.reshared?.dealers ?? [], statement),
    };
  }

  /** Facts with the certificate of each of their holders. */
  async certified(facts: KeyFacts): Promise<CertifiedKey> {
    const statement = signedBytes(certificateTag(facts), keyStatement(facts));
    const names = facts.holders.map(({ party_id }) => party_id);
    return { facts, certificates: await this.#by(names, statement) };
  }

  #holders(names: readonly string[], public_share: string): KeyFacts["holders"] {
    return names.map((party_id) => ({
      party_id,
      identity: this.parties.get(party_id)?.publicKey ?? "",
      public_share,
    }));
  }

  async #by(names: readonly string[], statement: Uint8Array): Promise<Record<string, string>> {
    const made: Record<string, string> = {};
    for (const name of names) {
      const party = this.parties.get(name);
      if (party === undefined) throw new TypeError(`there is no party ${name}`);
      made[name] = toBase64(await party.sign(statement));
    }
    return made;
  }

  #signed(signed: SignedRequest, request: RequestOf<"sign">): Answer {
    const known = this.#kept(request.key_id);
    const message = fromHex(request.message ?? "");
    return {
      ...base(signed),
      key_id: request.key_id,
      scheme: request.scheme,
      message: request.message,
      public_key: known.key.facts.public_key,
      signature: toHex(ed25519.sign(message, known.secret)),
      signers: ["p1", "p3"],
    };
  }
}

function viewed(facts: KeyFacts): EpochView {
  return { facts, made_at: null, signs_from: null, delete_after: null, retirements: [] };
}

function base({ request, digest }: SignedRequest): Answer {
  return {
    result: request.operation,
    version: 1,
    request_id: request.request_id,
    client_id: request.client_id,
    session_id: "05".repeat(32),
    request_digest: digest,
    status: "completed",
    failure: null,
    finished_at: Date.now(),
  };
}

async function newSigner(): Promise<Signer> {
  return webCryptoSigner(await pairOf(false));
}

export async function pairOf(exportable: boolean): Promise<CryptoKeyPair> {
  return crypto.subtle.generateKey(P256, exportable, ["sign", "verify"]);
}
