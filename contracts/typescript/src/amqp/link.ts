/**
 * One connection to the broker, kept up: publishes what it is given, delivers what comes. Declares
 * nothing. Any channel that the broker closes takes the connection with it: there is one way to come
 * back, and no state in between. Publishing again is the caller's business.
 */

import {
  connect,
  credentials,
  type Channel,
  type ChannelModel,
  type ConfirmChannel,
  type ConsumeMessage,
  type Options,
} from "amqplib";

import { SettingsError, TopologyError, UnavailableError, WarrenError } from "../errors.js";
import { REQUESTS } from "../generated/addresses.js";
import { headersOf, requestKey, resultsQueue, type SignedRequest } from "../requests.js";
import type { Settled } from "../settings.js";
import { parseAddress, type Address } from "./address.js";

/** Deliveries in hand at most, those that nobody waits for included: what is new comes after them. */
const PREFETCH = 60_000;
/** For so long a queue that was seen to have other consumers is taken to have them still. */
const SHARED_FOR_MS = 1_000;
const REMEDY = "apply the topology: `warren topology apply`";
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 10_000;
const CLOSING_MS = 2_000;

/** The message may have been stored or not; publish the same bytes again. */
export class LinkLost extends Error {}

/** A message that was delivered, and what may become of it. A connection that is gone has it again. */
export interface Delivery {
  readonly body: Uint8Array;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly redelivered: boolean;
  ack(): void;
  /** To the dead letters. */
  reject(): void;
  /** Let the broker offer it to another consumer of the queue. */
  giveBack(): void;
}

interface Connected {
  readonly model: ChannelModel;
  readonly publishing: ConfirmChannel;
  readonly consuming: Channel;
  /** Message ids that the broker gave back for want of a queue; each comes before its confirm. */
  readonly returned: Set<string>;
  readonly unconfirmed: Set<() => void>;
  consumer: string | null;
}

/** What a correspondence needs of it. */
export type Post = Pick<
  Link,
  "open" | "close" | "publish" | "consumerCount" | "listen" | "rest" | "isUp" | "blocked"
>;

/** What it is to tell. */
export interface PostEvents {
  deliver(delivery: Delivery): void;
  /** The connection went, with everything that was not settled on it. */
  lost(): void;
}

export class Link {
  readonly #address: Address;
  readonly #queue: string;
  #now: Connected | null = null;
  #waiting: (() => void)[] = [];
  #closed = false;
  #reconnecting: Promise<void> | null = null;
  #host: number;
  #consumers = 0;
  #sharedUntil = 0;
  #counting: Promise<number> | null = null;
  #switching: Promise<unknown> = Promise.resolve();
  #blocked: string | null = null;
  readonly #gone = new WeakSet<ChannelModel>();

  constructor(
    private readonly settings: Settled,
    private readonly on: PostEvents,
  ) {
    this.#address = parseAddress(settings.amqpUrl);
    this.#queue = resultsQueue(settings.clientId);
    this.#host = Math.floor(Math.random() * this.#address.hosts.length);
  }

  /** Throws TopologyError or UnavailableError. */
  async open(): Promise<void> {
    this.#now = await this.#establish();
  }

  get isUp(): boolean {
    return this.#now !== null;
  }

  /** Why the broker takes no messages for now, in its words; null if it does. */
  get blocked(): string | null {
    return this.#blocked;
  }

  /** Everything that is not settled goes back to the queue. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#wake();
    const now = this.#now;
    this.#drop();
    // A peer that is gone does not answer, and nothing is lost with it.
    if (now !== null) await Promise.race([ended(now.model), sleep(CLOSING_MS)]);
    await this.#reconnecting;
  }

  /**
   * One try; returns when the broker has confirmed it. Throws LinkLost where it was not confirmed,
   * TopologyError where the broker will not take it, now or later.
   *
   * `leaves` is called when from now on it may reach the broker.
   */
  async publish(signed: SignedRequest, leaves: () => void): Promise<void> {
    const deadline = Date.now() + this.settings.confirmTimeoutMs;
    const { request } = signed;
    while (this.#now === null) {
      if (this.#closed || Date.now() >= deadline) throw new LinkLost("no connection");
      await this.#up(deadline - Date.now());
    }
    const now = this.#now;
    const key = requestKey(request.operation, request.client_id);
    leaves();
    const confirmed = await this.#confirmed(now, key, signed, deadline - Date.now());
    const returned = now.returned.delete(request.request_id);
    if (!confirmed) throw new LinkLost("the broker refused the message for now");
    if (returned) {
      throw new TopologyError(
        `exchange "${REQUESTS}" took request ${request.request_id} but no queue did: has the ` +
          `topology been applied? (${REMEDY})`,
        request.request_id,
      );
    }
  }

  /** How many consume our results queue, this link included; 0 while there is no telling. */
  async consumerCount(): Promise<number> {
    const now = this.#now;
    if (now === null) return 0;
    if (this.#sharedUntil > Date.now()) return this.#consumers;
    this.#counting ??= now.consuming
      .checkQueue(this.#queue)
      .then(({ consumerCount }) => {
        this.#consumers = consumerCount;
        if (consumerCount > 1) this.#sharedUntil = Date.now() + SHARED_FOR_MS;
        return consumerCount;
      })
      .catch(() => 0)
      .finally(() => {
        this.#counting = null;
      });
    return this.#counting;
  }

  /** Consume the queue again, if we rest. */
  async listen(): Promise<void> {
    await this.#switch(async (now) => {
      if (now.consumer === null) await this.#consume(now);
    });
  }

  /** Stop consuming, but not what is in hand; false if somebody wants something after all. */
  async rest(wanted: () => boolean): Promise<boolean> {
    let resting = false;
    await this.#switch(async (now) => {
      if (now.consumer === null || wanted()) return;
      await now.consuming.cancel(now.consumer);
      now.consumer = null;
      resting = true;
    });
    return resting;
  }

  #switch(change: (now: Connected) => Promise<void>): Promise<unknown> {
    this.#switching = this.#switching
      .then(async () => {
        if (this.#now !== null) await change(this.#now);
      })
      .catch(() => undefined);
    return this.#switching;
  }

  #confirmed(
    now: Connected,
    key: string,
    signed: SignedRequest,
    withinMs: number,
  ): Promise<boolean> {
    return new Promise((resolve, reject) => {
      const lose = (): void => {
        settle();
        reject(new LinkLost("connection lost before the broker answered"));
      };
      const timer = setTimeout(lose, Math.max(withinMs, 0));
      const settle = (): void => {
        clearTimeout(timer);
        now.unconfirmed.delete(lose);
      };
      now.unconfirmed.add(lose);
      const { body } = signed;
      const content = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
      try {
        now.publishing.publish(REQUESTS, key, content, this.#properties(signed), (error: unknown) => {
          settle();
          resolve(error === null || error === undefined);
        });
      } catch {
        lose(); // the channel is closed
      }
    });
  }

  #properties(signed: SignedRequest): Options.Publish {
    const { request } = signed;
    return {
      mandatory: true,
      persistent: true,
      contentType: "application/json",
      messageId: request.request_id,
      type: request.operation,
      headers: headersOf(signed),
      expiration: String(Math.max(request.expires_at - Date.now(), 1)),
      // The broker refuses a login that is not the connection's.
      ...(this.#address.user === null ? {} : { userId: this.#address.user }),
    };
  }

  /** At the first host that lets us. Throws what the last one tried made of it. */
  async #establish(): Promise<Connected> {
    const { hosts } = this.#address;
    for (let left = hosts.length; ; left -= 1) {
      try {
        return await this.#establishHere();
      } catch (error) {
        this.#host = (this.#host + 1) % hosts.length;
        if (left <= 1 || !(error instanceof UnavailableError)) throw error;
      }
    }
  }

  async #establishHere(): Promise<Connected> {
    const model = await this.#connect();
    const lose = (): void => this.#lose(model);
    // Without a listener an 'error' would end the process.
    model.on("error", lose);
    model.on("close", lose);
    model.on("blocked", (reason) => {
      this.#blocked = reason === "" ? "no reason given" : reason;
    });
    model.on("unblocked", () => {
      this.#blocked = null;
    });
    this.#blocked = null;
    let asked = `exchange "${REQUESTS}"`;
    let verb = "write to";
    try {
      const publishing = await model.createConfirmChannel();
      watch(publishing, lose);
      await publishing.checkExchange(REQUESTS);
      const consuming = await model.createChannel();
      watch(consuming, lose);
      await consuming.prefetch(PREFETCH);
      [asked, verb] = [`queue "${this.#queue}"`, "read"];
      await consuming.checkQueue(this.#queue);
      const now: Connected = {
        model,
        publishing,
        consuming,
        returned: new Set(),
        unconfirmed: new Set(),
        consumer: null,
      };
      publishing.on("return", (message) => {
        now.returned.add(String(message.properties.messageId));
      });
      await this.#consume(now);
      if (this.#gone.has(model)) throw new UnavailableError("the broker went away");
      return now;
    } catch (error) {
      await ended(model);
      throw this.#explained(error, asked, verb);
    }
  }

  async #consume(now: Connected): Promise<void> {
    const { consumerTag } = await now.consuming.consume(this.#queue, (message) => {
      // The broker ends a consumer, and nothing else, when its queue is deleted.
      if (message === null) this.#lose(now.model);
      else this.on.deliver(new Received(now.consuming, message));
    });
    now.consumer = consumerTag;
  }

  async #connect(): Promise<ChannelModel> {
    const host = this.#address.hosts[this.#host];
    if (host === undefined) throw new SettingsError("amqpUrl names no host");
    const { ca, certificate, key } = this.settings.tls;
    const encoded = (pem: string | Uint8Array): string | Buffer =>
      typeof pem === "string" ? pem : Buffer.from(pem);
    const { user, password, vhost } = this.#address;
    const options = {
      protocol: host.encrypted ? "amqps" : "amqp",
      hostname: host.hostname,
      port: host.port,
      vhost,
      heartbeat: this.settings.heartbeatS,
    };
    const socket = {
      timeout: this.settings.confirmTimeoutMs,
      noDelay: true,
      credentials:
        user === null ? credentials.external() : credentials.plain(user, password),
      ...(host.encrypted ? { servername: host.hostname } : {}),
      ...(ca === undefined ? {} : { ca: [encoded(ca)] }),
      ...(certificate === undefined ? {} : { cert: encoded(certificate) }),
      ...(key === undefined ? {} : { key: encoded(key) }),
    };
    try {
      return await connect(options, socket);
    } catch (error) {
      throw new UnavailableError(
        `no connection to the broker at ${host.hostname}:${host.port}: ${whyOf(error)}`,
        { signatureMayExist: false },
      );
    }
  }

  #explained(error: unknown, asked: string, verb: string): WarrenError {
    if (error instanceof WarrenError) return error;
    const code = (error as { code?: unknown } | null)?.code;
    const user = this.#address.user ?? "of the certificate";
    if (isMissing(error)) return new TopologyError(`${asked} is missing: ${REMEDY}`);
    if (code === 403) {
      return new TopologyError(`user ${user} may not ${verb} ${asked}: the broker's administrator grants it`);
    }
    return new UnavailableError(`the broker went away: ${whyOf(error)}`, { signatureMayExist: false });
  }

  #lose(model: ChannelModel): void {
    this.#gone.add(model);
    if (this.#now?.model !== model) return;
    this.#drop();
    void ended(model);
    if (this.#closed) return;
    this.settings.warn("connection to the broker lost; connecting again");
    this.#reconnecting = this.#reconnect();
  }

  #drop(): void {
    const now = this.#now;
    this.#now = null;
    if (now === null) return;
    for (const lose of [...now.unconfirmed]) lose();
    this.on.lost();
  }

  async #reconnect(): Promise<void> {
    this.#host = (this.#host + 1) % this.#address.hosts.length;
    let pause = FIRST_PAUSE_MS;
    while (!this.#closed) {
      try {
        const now = await this.#establish();
        if (this.#isClosed()) {
          await ended(now.model);
          return;
        }
        this.#now = now;
        this.#wake();
        this.settings.warn("connected to the broker again");
        return;
      } catch (error) {
        this.settings.warn(`still no broker: ${error instanceof WarrenError ? error.message : "?"}`);
      }
      await sleep(Math.random() * pause);
      pause = Math.min(2 * pause, LONGEST_PAUSE_MS);
    }
  }

  /** A question, since it may have changed while something was awaited. */
  #isClosed(): boolean {
    return this.#closed;
  }

  #up(withinMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, withinMs);
      this.#waiting.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

class Received implements Delivery {
  readonly #channel: Channel;
  readonly #message: ConsumeMessage;

  constructor(channel: Channel, message: ConsumeMessage) {
    this.#channel = channel;
    this.#message = message;
  }

  get body(): Uint8Array {
    return this.#message.content;
  }

  get headers(): Readonly<Record<string, unknown>> {
    return this.#message.properties.headers ?? {};
  }

  get redelivered(): boolean {
    return this.#message.fields.redelivered;
  }

  ack(): void {
    this.#settle(() => this.#channel.ack(this.#message));
  }

  reject(): void {
    this.#settle(() => this.#channel.reject(this.#message, false));
  }

  giveBack(): void {
    this.#settle(() => this.#channel.nack(this.#message, false, true));
  }

  #settle(tell: () => void): void {
    try {
      tell();
    } catch {
      // The channel is gone: it is in the queue again, and will come again.
    }
  }
}

function watch(channel: Channel, lose: () => void): void {
  channel.on("error", lose);
  channel.on("close", lose);
}

async function ended(model: ChannelModel): Promise<void> {
  try {
    await model.close();
  } catch {
    // It is closed.
  }
}

/** What the platform calls it. Texts of libraries are not shown: they may have an address. */
function whyOf(error: unknown): string {
  const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown };
  if (typeof code === "string" || typeof code === "number") return String(code);
  const told = typeof message === "string" ? /\b[0-9]{3} \([A-Z_-]+\)/.exec(message) : null;
  return told?.[0] ?? "no answer";
}

/** Otherwise a 404 of the broker's is about a queue that is there and cannot be reached for now. */
export function isMissing(error: unknown): boolean {
  const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown };
  return code === 404 && String(message).includes("NOT_FOUND - no ");
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
