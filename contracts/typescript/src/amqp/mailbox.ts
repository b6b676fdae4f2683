/**
 * What comes to our queue and no call here waits for: kept for a reader, or given back.
 *
 * A queue may have several consumers: processes of one client id, or all producers without one. The
 * broker hands each letter to any of them. So a result that this process did not ask for is
 *
 * - given back if others consume the same queue: the first times at once, then after delays that grow;
 * - read by `results`, if somebody here iterates over it, once it was offered around, or at once if
 *   nobody else consumes the queue;
 * - held if it was given back often, or nobody else consumes the queue: nobody wants it now;
 * - given back after `HELD_FOR_MS` all the same. If no call waits for anything by then, this process
 *   stops consuming first, and leaves the queue alone until the next call;
 * - never acked unread.
 */

import type { Delivery } from "./link.js";

/** Times that each consumer has, as it were, before those who give back begin to hesitate. */
const QUICK_OFFERS = 5;
/** With these a letter misses its owner once in 3000 times, if the broker chooses at random. */
const OFFERS = 8;
const LATE_RETURNS = 4;
const FIRST_HOLD_MS = 20;
const LONGEST_HOLD_MS = 2_000;
const HELD_FOR_MS = 5_000;
const TICK_MS = 250;
/** Given back in one tick at most: they come again at once, before what is new. */
const PAGE = 100;

export interface Letter {
  readonly delivery: Delivery;
  /** Whether it can be had again by whoever wants it: an announcement, kept for nobody. */
  readonly fleeting: boolean;
  /** Parsed again when somebody reads it: it may be large. */
  readonly digest: string;
}

interface Held {
  readonly since: number;
  timer: ReturnType<typeof setTimeout> | undefined;
}

export class Mailbox {
  readonly #held = new Map<Letter, Held>();
  #readers = 0;
  #changed: (() => void)[] = [];
  #ticking: ReturnType<typeof setInterval> | undefined;
  #closed = false;

  constructor(
    private readonly on: {
      /** How many consume our queue, this process included; 0 while there is no telling. */
      consumers(): Promise<number>;
      /** Whether some call here waits for something. */
      wanted(): boolean;
      /** Stops consuming, unless somebody waits after all; whether it did. */
      rest(wanted: () => boolean): Promise<boolean>;
    },
  ) {}

  /** Keep a letter that nobody here waits for, until somebody does or it is passed on. */
  hold(letter: Letter): void {
    if (this.#closed) return;
    this.#held.set(letter, { since: Date.now(), timer: undefined });
    void this.#passOn(letter);
    this.#ticking ??= unheld(setInterval(() => void this.#tick(), TICK_MS));
    this.#wake();
  }

  /** While somebody reads, letters that were offered around stay here for `next`. */
  reading(): () => void {
    this.#readers += 1;
    return () => {
      this.#readers -= 1;
    };
  }

  /** The oldest letter to be read here; it is the caller's now. Null when the mailbox is closed. */
  async next(signal?: AbortSignal): Promise<Letter | null> {
    while (!this.#closed && signal?.aborted !== true) {
      const changed = new Promise<void>((resolve) => this.#changed.push(resolve));
      const consumers = this.#held.size > 0 ? await this.on.consumers() : 0;
      for (const letter of this.#held.keys()) {
        if (!letter.fleeting && offeredAround(letter, consumers)) {
          this.#take(letter);
          return letter;
        }
      }
      const aborted = (): void => this.#wake();
      signal?.addEventListener("abort", aborted, { once: true });
      await changed;
      signal?.removeEventListener("abort", aborted);
    }
    return null;
  }

  /** The connection is gone: what was held is in the queue again. */
  forget(): void {
    for (const { timer } of this.#held.values()) clearTimeout(timer);
    this.#held.clear();
    clearInterval(this.#ticking);
    this.#ticking = undefined;
  }

  close(): void {
    this.#closed = true;
    this.forget();
    this.#wake();
  }

  async #passOn(letter: Letter): Promise<void> {
    let consumers = await this.on.consumers();
    const returns = returnsOf(letter);
    const quick = returns < QUICK_OFFERS * consumers && consumers > 1;
    const late = consumers > 0 ? returns - OFFERS * consumers : 0;
    let delay = Math.min(FIRST_HOLD_MS * 4 ** Math.max(late, 0), LONGEST_HOLD_MS);
    for (;;) {
      if (!quick) {
        // Two that give back in step would for ever get their own again; memoryless delays break
        // every step.
        await this.#wait(letter, -Math.log(1 - Math.random()) * delay);
        consumers = await this.on.consumers();
      }
      if (!this.#held.has(letter)) return;
      const around = offeredAround(letter, consumers);
      if (letter.fleeting && around) {
        this.#take(letter);
        letter.delivery.ack();
        return;
      }
      if (this.#readers > 0 && around) {
        this.#wake();
        return;
      }
      if (late >= LATE_RETURNS || consumers === 1) return;
      if (consumers > 1) {
        this.#take(letter);
        letter.delivery.giveBack();
        return;
      }
      delay = Math.min(2 * delay, LONGEST_HOLD_MS);
    }
  }

  #wait(letter: Letter, ms: number): Promise<void> {
    return new Promise((resolve) => {
      const held = this.#held.get(letter);
      const timer = unheld(setTimeout(resolve, ms));
      if (held === undefined) resolve();
      else held.timer = timer;
    });
  }

  async #tick(): Promise<void> {
    // Who consumes the queue may have changed.
    if (this.#readers > 0) this.#wake();
    const before = Date.now() - HELD_FOR_MS;
    const old = [...this.#held].filter(([, held]) => held.since <= before).map(([letter]) => letter);
    if (old.length === 0) return;
    const needed = (): boolean => this.#readers > 0 || this.on.wanted();
    const resting = !needed() && (await this.on.rest(needed));
    const page = resting ? [...this.#held.keys()] : old.slice(0, PAGE);
    for (const letter of page) {
      if (!this.#held.has(letter)) continue;
      this.#take(letter);
      letter.delivery.giveBack();
    }
  }

  #take(letter: Letter): void {
    clearTimeout(this.#held.get(letter)?.timer);
    this.#held.delete(letter);
    if (this.#held.size > 0) return;
    clearInterval(this.#ticking);
    this.#ticking = undefined;
  }

  #wake(): void {
    for (const resolve of this.#changed.splice(0)) resolve();
  }
}

/** How often it went back to its queue: `x-delivery-count` before RabbitMQ 4.3. */
function returnsOf(letter: Letter): number {
  for (const name of ["x-acquired-count", "x-delivery-count"]) {
    const count = letter.delivery.headers[name];
    if (typeof count === "number") return Math.max(count, 0);
  }
  return 0;
}

function offeredAround(letter: Letter, consumers: number): boolean {
  return consumers === 1 || (consumers > 0 && returnsOf(letter) >= OFFERS * consumers);
}

/** A timer that does not keep the process. */
function unheld<T extends object>(timer: T): T {
  (timer as { unref?: () => void }).unref?.();
  return timer;
}
