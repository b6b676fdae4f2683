/** Requests out, each until it is answered; results in, each to the call that waits for it. */

import { sha256 } from "@noble/hashes/sha2.js";

import { LinkLost, sleep, type Delivery, type Post, type PostEvents } from "./amqp/link.js";
import { Mailbox, type Letter } from "./amqp/mailbox.js";
import { copied, toHex } from "./bytes.js";
import { checkAnnounced, same, type Result } from "./checks.js";
import {
  AbortedError,
  ClosedError,
  ContractError,
  DeadlineError,
  UnauthenticatedError,
  UnavailableError,
  WarrenError,
} from "./errors.js";
import type { Delivered, SessionAnnounced } from "./generated/messages.js";
import type { SignedRequest } from "./requests.js";
import { readDelivered } from "./schema.js";
import type { Settled } from "./settings.js";
import { parseJson } from "./strict-json.js";

/** Answered requests whose results are known for duplicates, and unread ones that are not verified twice. */
const REMEMBERED = 10_000;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5_000;
const EARLY_MS = 5;
/** Of each kind of what the coordinator did not sign, one goes to the dead letters in so long. */
const NOTICED_EVERY_MS = 1_000;

/** Where the answers to one request are put down. */
interface Waiter {
  readonly signed: SignedRequest;
  readonly rejected: string[];
  /** Whether the request may have reached anybody, by this process or an earlier one. */
  mayRun: boolean;
  announced: SessionAnnounced | null;
  settled: boolean;
  settle: (result: Result) => void;
  fail: (error: unknown) => void;
  announce: (announced: SessionAnnounced) => void;
}

/** A request that is published until it is answered, whether anybody awaits it or not. */
export interface Pursuit {
  readonly signed: SignedRequest;
  readonly announced: () => SessionAnnounced | null;
  /** There when the session is announced, or `result` has something to say. */
  readonly opened: Promise<void>;
  readonly result: Promise<Result>;
  /** Wait no longer. The session goes on: nobody is told. */
  stop(why?: unknown): void;
}

interface Cover {
  readonly requestId: string;
  readonly requestDigest: string;
  readonly fleeting: boolean;
}

export class Correspondence {
  readonly #link: Post;
  readonly #mailbox: Mailbox;
  readonly #waiting = new Map<string, Waiter>();
  readonly #answered = new Remembered<true>();
  /** By the body's digest, what was verified and put aside: these very bytes come again. */
  readonly #unread = new Remembered<Cover>();
  readonly #noticed = new Map<string, number>();
  readonly #disbelieved = new Map<string, number>();
  #closed = false;

  constructor(
    private readonly settings: Settled,
    private readonly check: (result: Result, signed: SignedRequest | null) => Promise<void>,
    post: (on: PostEvents) => Post,
  ) {
    this.#link = post({
      deliver: (delivery) => void this.#receive(delivery),
      lost: () => this.#mailbox.forget(),
    });
    this.#mailbox = new Mailbox({
      consumers: () => this.#link.consumerCount(),
      wanted: () => this.#waiting.size > 0,
      rest: (wanted) => this.#link.rest(wanted),
    });
  }

  /** Throws TopologyError or UnavailableError. */
  open(): Promise<void> {
    return this.#link.open();
  }

  get isUp(): boolean {
    return this.#link.isUp;
  }

  get blocked(): string | null {
    return this.#link.blocked;
  }

  get disbelieved(): ReadonlyMap<string, number> {
    return this.#disbelieved;
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const waiter of [...this.#waiting.values()]) {
      waiter.fail(new ClosedError(waiter.signed.request.request_id, waiter.mayRun));
    }
    this.#mailbox.close();
    await this.#link.close();
  }

  /**
   * Publish the request until it is answered. `fresh`: no process can have published it before.
   * Throws ClosedError, and TypeError where the request is waited for already.
   */
  begin(signed: SignedRequest, fresh: boolean, signal?: AbortSignal): Pursuit {
    const { request_id, client_id, expires_at } = signed.request;
    if (this.#closed) throw new ClosedError(request_id, !fresh);
    if (signal?.aborted === true) throw new AbortedError(request_id, !fresh, signal.reason);
    if (client_id !== this.settings.clientId) {
      throw new TypeError("the request is another client's: its result would go there");
    }
    if (this.#waiting.has(request_id)) {
      throw new TypeError(`request ${request_id} is being waited for already`);
    }
    let opened = (): void => undefined;
    const isOpen = new Promise<void>((resolve) => {
      opened = resolve;
    });
    const { waiter, result } = this.#waiter(signed, fresh, opened);
    this.#waiting.set(request_id, waiter);
    this.#answered.delete(nameOf(request_id, signed.digest));
    const late = (): void => {
      waiter.fail(new DeadlineError(request_id, waiter.rejected, waiter.mayRun));
    };
    const timer = setTimeout(late, expires_at - Date.now() + this.settings.marginMs);
    const abort = (): void => waiter.fail(new AbortedError(request_id, waiter.mayRun, signal?.reason));
    signal?.addEventListener("abort", abort, { once: true });
    const ended = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
      if (this.#waiting.get(request_id) === waiter) this.#waiting.delete(request_id);
      opened();
    };
    // Nobody has to await a request that was begun.
    result.then(ended, ended);
    this.#keepAsking(waiter).catch((error: unknown) => waiter.fail(error));
    return {
      signed,
      announced: () => waiter.announced,
      opened: isOpen,
      result,
      stop: (why) => waiter.fail(new AbortedError(request_id, waiter.mayRun, why)),
    };
  }

  /** Publish and await the result, a failure included. */
  submit(signed: SignedRequest, fresh: boolean, signal?: AbortSignal): Promise<Result> {
    return this.begin(signed, fresh, signal).result;
  }

  /** Checked results that no call waits for; each is acked when the next one is asked for. */
  async *unclaimed(signal?: AbortSignal): AsyncGenerator<Result, void, void> {
    const done = this.#mailbox.reading();
    try {
      await this.#link.listen();
      for (;;) {
        const letter = await this.#mailbox.next(signal);
        if (letter === null) return;
        const result = await this.#believed(letter);
        if (result === null) continue;
        let read = false;
        try {
          yield result;
          read = true;
        } finally {
          // Leave the loop, and the one in hand goes back.
          if (!read) letter.delivery.giveBack();
        }
        letter.delivery.ack();
      }
    } finally {
      done();
    }
  }

  #waiter(
    signed: SignedRequest,
    fresh: boolean,
    opened: () => void,
  ): { waiter: Waiter; result: Promise<Result> } {
    let resolve: (result: Result) => void;
    let reject: (error: unknown) => void;
    const result = new Promise<Result>((one, other) => {
      [resolve, reject] = [one, other];
    });
    const waiter: Waiter = {
      signed,
      rejected: [],
      mayRun: !fresh,
      announced: null,
      settled: false,
      settle: (made) => {
        waiter.settled = true;
        resolve(made);
      },
      fail: (error) => {
        waiter.settled = true;
        reject(error);
      },
      announce: (announced) => {
        waiter.announced ??= announced;
        opened();
      },
    };
    return { waiter, result };
  }

  /**
   * Until it is settled, or the deadline: the first confirm takes as many tries as it needs, and a
   * result that stays away may have gone to another consumer of our queue.
   */
  async #keepAsking(waiter: Waiter): Promise<void> {
    await this.#link.listen();
    let pause = this.settings.askAgainMs;
    while (!waiter.settled && leftMs(waiter) > 0) {
      await this.#publish(waiter);
      await this.#pause(waiter, pause);
      pause *= 2;
    }
  }

  async #publish(waiter: Waiter): Promise<void> {
    let pause = FIRST_PAUSE_MS;
    while (!waiter.settled) {
      try {
        await this.#link.publish(waiter.signed, () => {
          waiter.mayRun = true;
        });
        return;
      } catch (error) {
        if (!(error instanceof LinkLost)) throw error;
        if (leftMs(waiter) <= 0) {
          const requestId = waiter.signed.request.request_id;
          throw new UnavailableError(
            `request ${requestId} was not confirmed before its deadline: ${error.message}`,
            { signatureMayExist: waiter.mayRun, requestId },
          );
        }
      }
      await sleep(Math.random() * pause);
      pause = Math.min(2 * pause, LONGEST_PAUSE_MS);
    }
  }

  /** No timer outlives its request. */
  #pause(waiter: Waiter, ms: number): Promise<void> {
    return new Promise((resolve) => {
      // Timers may be early, and a request is not published for its last millisecond.
      const timer = setTimeout(resolve, Math.min(ms, Math.max(leftMs(waiter), 0) + EARLY_MS));
      const [settle, fail] = [waiter.settle, waiter.fail];
      const end = (): void => {
        clearTimeout(timer);
        resolve();
      };
      waiter.settle = (result) => {
        settle(result);
        end();
      };
      waiter.fail = (error) => {
        fail(error);
        end();
      };
    });
  }

  async #receive(delivery: Delivery): Promise<void> {
    try {
      await this.#sort(delivery);
    } catch (error) {
      this.settings.warn(`a delivery was not understood: ${(error as Error).name}`);
      delivery.giveBack();
    }
  }

  async #sort(delivery: Delivery): Promise<void> {
    const digest = toHex(sha256(delivery.body));
    const before = delivery.redelivered ? this.#unread.get(digest) : undefined;
    if (before !== undefined && !this.#caresFor(before)) {
      this.#mailbox.hold({ delivery, fleeting: before.fleeting, digest });
      return;
    }
    let content: Delivered;
    try {
      await this.settings.coordinators.checkResult(delivery.body, delivery.headers, Date.now());
      content = readDelivered(parseJson(delivery.body));
    } catch (error) {
      if (error instanceof UnauthenticatedError) this.#disbelieve(delivery, error);
      else if (error instanceof ContractError) this.#refuse(delivery, `what is no result: ${error.message}`);
      else throw error;
      return;
    }
    const { request_id, request_digest } = content;
    const waiter = this.#waiting.get(request_id);
    if (waiter !== undefined && waiter.signed.digest === request_digest && !waiter.settled) {
      if (content.result === "session_announced") this.#announce(waiter, delivery, content);
      else await this.#answer(waiter, delivery, content);
    } else if (this.#answered.get(nameOf(request_id, request_digest)) === true) {
      delivery.ack();
    } else {
      const fleeting = content.result === "session_announced";
      const [requestId, requestDigest] = [copied(request_id), copied(request_digest)];
      this.#unread.set(digest, { requestId, requestDigest, fleeting });
      this.#mailbox.hold({ delivery, fleeting, digest });
    }
  }

  /** Whether somebody waits for it, or was given it by now. */
  #caresFor(cover: Cover): boolean {
    const name = nameOf(cover.requestId, cover.requestDigest);
    return this.#waiting.has(cover.requestId) || this.#answered.get(name) === true;
  }

  #announce(waiter: Waiter, delivery: Delivery, content: SessionAnnounced): void {
    try {
      same("client_id", content.client_id, this.settings.clientId);
      checkAnnounced(waiter.signed.digest, content);
    } catch (error) {
      if (!(error instanceof ContractError)) throw error;
      this.#refuse(delivery, `an announcement: ${error.message}`);
      return;
    }
    waiter.announce(content);
    delivery.ack();
  }

  async #answer(waiter: Waiter, delivery: Delivery, result: Result): Promise<void> {
    try {
      await this.check(result, waiter.signed);
    } catch (error) {
      if (error instanceof ContractError) {
        waiter.rejected.push(error.message);
        this.#refuse(delivery, `a result of request ${result.request_id}: ${error.message}`);
      } else if (error instanceof WarrenError) {
        // The key that should verify it could not be had; the result may well be good.
        waiter.fail(error);
        delivery.giveBack();
      } else {
        throw error;
      }
      return;
    }
    this.#answered.set(nameOf(result.request_id, result.request_digest), true);
    waiter.settle(result);
    delivery.ack();
  }

  async #believed(letter: Letter): Promise<Result | null> {
    const content = readDelivered(parseJson(letter.delivery.body));
    if (content.result === "session_announced") return null;
    try {
      await this.check(content, null);
    } catch (error) {
      if (!(error instanceof ContractError)) {
        letter.delivery.giveBack();
        throw error;
      }
      this.#refuse(letter.delivery, `a result of request ${content.request_id}: ${error.message}`);
      return null;
    }
    return content;
  }

  /**
   * Anybody with a login at the broker may have sent it: it changes nothing here. Of each kind one a
   * second goes to the dead letters, so that somebody notices; more would hide those of others.
   */
  #disbelieve(delivery: Delivery, { kind, message }: UnauthenticatedError): void {
    this.#disbelieved.set(kind, (this.#disbelieved.get(kind) ?? 0) + 1);
    const now = Date.now();
    if (now - (this.#noticed.get(kind) ?? 0) < NOTICED_EVERY_MS) {
      delivery.ack();
      return;
    }
    this.#noticed.set(kind, now);
    this.#refuse(delivery, `what the coordinator did not sign: ${message}`);
  }

  #refuse(delivery: Delivery, what: string): void {
    this.settings.warn(`refused ${what}`);
    delivery.reject();
  }
}

class Remembered<T> {
  readonly #kept = new Map<string, T>();

  get(name: string): T | undefined {
    return this.#kept.get(name);
  }

  set(name: string, value: T): void {
    this.#kept.set(name, value);
    if (this.#kept.size > REMEMBERED) this.#kept.delete(this.#kept.keys().next().value ?? "");
  }

  delete(name: string): void {
    this.#kept.delete(name);
  }
}

function nameOf(requestId: string, requestDigest: string): string {
  return copied(`${requestId}/${requestDigest}`);
}

function leftMs(waiter: Waiter): number {
  return waiter.signed.request.expires_at - Date.now();
}
