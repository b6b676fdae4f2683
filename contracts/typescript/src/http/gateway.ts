/** One gateway: questions that are asked until they are answered, and streams of events. */

import {
  AbortedError,
  ContractError,
  DeadlineError,
  UnavailableError,
  WarrenError,
} from "../errors.js";
import type { FailureCode } from "../generated/messages.js";
import { parseJson, type Json } from "../strict-json.js";

const MAX_ANSWER_BYTES = 4 * 2 ** 20;
const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 5_000;
/** How long a gateway waits for a session's end, at most. */
const LONGEST_WAIT_S = 60;
/** Beyond what the gateway was asked to wait. */
const PATIENCE_MS = 5_000;

/** What the gateway says when it refuses (RFC 9457). */
export class GatewayError extends WarrenError {
  constructor(
    message: string,
    readonly status: number,
    /** A word for programs, as the gateway says it. */
    readonly problem: string,
    /** What the caller is to do. */
    readonly remedy: string | null,
    facts: { code: FailureCode | "http"; retryable: boolean; signatureMayExist: boolean; requestId: string | undefined },
  ) {
    super(message, facts);
  }
}

export interface Question {
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  readonly path: string;
  readonly query?: Readonly<Record<string, string | undefined>>;
  readonly body?: Json;
  /** Under it the same question gives the same session, however often it is asked. */
  readonly idempotencyKey?: string;
  /** Unix milliseconds. */
  readonly deadline: number;
  readonly signal?: AbortSignal | undefined;
  /** Whether a session may come of it. */
  readonly begins?: boolean;
}

export type Answer = Readonly<Record<string, Json | undefined>>;

export interface GatewayEvent {
  readonly event: string;
  readonly data: Answer;
}

const CODES: Readonly<Record<FailureCode, true>> = {
  invalid_request: true,
  conflict: true,
  key_exists: true,
  unknown_key: true,
  unknown_request: true,
  unknown_party: true,
  too_few_parties: true,
  expired: true,
  cancelled: true,
  party_fault: true,
  party_refused: true,
  stale_epoch: true,
  key_busy: true,
  spoilt: true,
  unknown_account: true,
  token_refused: true,
  session_over: true,
  overloaded: true,
  internal: true,
};
/** Where the gateway, or what is behind it, is away for a while: the same question again. */
const AWAY: ReadonlySet<string> = new Set([
  "broker_unavailable",
  "stopping",
  "no_answer",
  "overloaded",
  "rate_exceeded",
  "too_many_in_flight",
  "keys_unknown",
]);

export class Gateway {
  readonly #base: URL;
  readonly #apiKey: string;
  readonly #fetch: typeof fetch;

  constructor(url: string, apiKey: string, fetching: typeof fetch) {
    this.#base = new URL(url);
    this.#apiKey = apiKey;
    this.#fetch = fetching;
  }

  /** Asked again, the same, while gateway or network are away; until the deadline. */
  async ask(question: Question): Promise<Answer> {
    let pause = FIRST_PAUSE_MS;
    let sent = false;
    for (;;) {
      let after = Math.random() * pause;
      try {
        sent = true;
        return await this.#once(question);
      } catch (error) {
        const last = Date.now() + after >= question.deadline;
        if (error instanceof GatewayError) {
          const { retryAfterMs } = error as { retryAfterMs?: number };
          after = Math.max(after, retryAfterMs ?? 0);
          if (!AWAY.has(error.problem) || Date.now() + after >= question.deadline) throw error;
        } else if (!(error instanceof UnavailableError) || last) {
          throw error;
        }
      }
      await this.pause(after, question, sent);
      pause = Math.min(2 * pause, LONGEST_PAUSE_MS);
    }
  }

  /** So many milliseconds, unless the caller's signal ends them. */
  async pause(ms: number, { signal, idempotencyKey }: Question, sent = true): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const abort = (): void => {
        clearTimeout(timer);
        reject(new AbortedError(idempotencyKey, sent, signal?.reason));
      };
      const timer = setTimeout(() => {
        signal?.removeEventListener("abort", abort);
        resolve();
      }, ms);
      if (signal?.aborted === true) abort();
      signal?.addEventListener("abort", abort, { once: true });
    });
  }

  /** Seconds to ask the gateway to wait: to the deadline, or as long as it does. */
  static waitFor(deadline: number): string {
    const left = Math.floor((deadline - Date.now()) / 1000);
    return String(Math.max(Math.min(left, LONGEST_WAIT_S), 2));
  }

  /** A session's events; comes back by itself where a stream breaks, until the last one. */
  async *events(sessionId: string, signal?: AbortSignal): AsyncGenerator<GatewayEvent, void, void> {
    let seen: string | undefined;
    let pause = FIRST_PAUSE_MS;
    for (;;) {
      const path = `/api/v1/sessions/${sessionId}/events`;
      const question: Question = { method: "GET", path, deadline: Infinity, signal };
      try {
        const response = await this.#send(question, seen === undefined ? {} : { "Last-Event-ID": seen });
        if (response.status === 204) return;
        if (!response.ok) throw await problemOf(response, question);
        for await (const { id, event, data } of lines(response)) {
          if (event === "problem") break;
          seen = id ?? seen;
          pause = FIRST_PAUSE_MS;
          yield { event, data: objectOf(data) };
          if (event === "end") return;
        }
      } catch (error) {
        if (signal?.aborted === true) throw new AbortedError(undefined, true, signal.reason);
        if (error instanceof GatewayError && !AWAY.has(error.problem)) throw error;
        if (error instanceof ContractError) throw error;
      }
      await this.pause(Math.random() * pause, question);
      pause = Math.min(2 * pause, LONGEST_PAUSE_MS);
    }
  }

  async #once(question: Question): Promise<Answer> {
    const response = await this.#send(question, {});
    if (!response.ok) throw await problemOf(response, question);
    try {
      return objectOf(await bodyOf(response));
    } catch (error) {
      if (error instanceof ContractError) throw error;
      throw this.#away(question, error);
    }
  }

  async #send(question: Question, more: Readonly<Record<string, string>>): Promise<Response> {
    const { method, path, query = {}, body, idempotencyKey, deadline, signal } = question;
    const url = new URL(this.#base.pathname.replace(/\/$/, "") + path, this.#base);
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined) url.searchParams.set(name, value);
    }
    const left = deadline - Date.now() + PATIENCE_MS;
    const limits = Number.isFinite(left) ? [AbortSignal.timeout(Math.max(left, 1))] : [];
    const signals = signal === undefined ? limits : [...limits, signal];
    try {
      return await this.#fetch(url, {
        method,
        redirect: "error",
        headers: {
          "X-API-Key": this.#apiKey,
          Accept: path.endsWith("/events") ? "text/event-stream" : "application/json",
          ...(body === undefined ? {} : { "Content-Type": "application/json" }),
          ...(idempotencyKey === undefined ? {} : { "Idempotency-Key": idempotencyKey }),
          ...more,
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        ...(signals.length === 0 ? {} : { signal: AbortSignal.any(signals) }),
      });
    } catch (error) {
      throw this.#away(question, error);
    }
  }

  #away({ signal, idempotencyKey, deadline, begins }: Question, error: unknown): WarrenError {
    const mayExist = begins ?? false;
    if (signal?.aborted === true) return new AbortedError(idempotencyKey, mayExist, signal.reason);
    if ((error as { name?: string } | null)?.name === "TimeoutError" || Date.now() >= deadline) {
      return new DeadlineError(idempotencyKey ?? "", [], mayExist);
    }
    return new UnavailableError("the gateway cannot be reached", {
      signatureMayExist: mayExist,
      ...(idempotencyKey === undefined ? {} : { requestId: idempotencyKey }),
    });
  }
}

async function problemOf(response: Response, question: Question): Promise<GatewayError> {
  let told: Answer = {};
  try {
    told = objectOf(await bodyOf(response));
  } catch {
    // A proxy's own words, or none.
  }
  const text = (name: string): string | null => {
    const found = told[name];
    return typeof found === "string" ? found : null;
  };
  const problem = text("code") ?? "gateway_error";
  const error = new GatewayError(
    `${problem}: ${text("detail") ?? text("title") ?? `status ${response.status}`}`,
    response.status,
    problem,
    text("remedy"),
    {
      code: Object.hasOwn(CODES, problem) ? (problem as FailureCode) : "http",
      retryable: told["retryable"] === true,
      signatureMayExist: (question.begins ?? false) && told["signature_may_exist"] !== false,
      requestId: question.idempotencyKey,
    },
  );
  const seconds = Number(response.headers.get("Retry-After") ?? "0");
  const retryAfterMs = Number.isFinite(seconds) ? 1000 * seconds : 0;
  return Object.defineProperty(error, "retryAfterMs", { value: retryAfterMs, enumerable: false });
}

async function bodyOf(response: Response): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of chunks(response)) {
    size += part.length;
    if (size > MAX_ANSWER_BYTES) throw new ContractError(`an answer of more than ${MAX_ANSWER_BYTES} bytes`);
    parts.push(part);
  }
  const whole = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

async function* chunks(response: Response): AsyncGenerator<Uint8Array, void, void> {
  const reader = response.body?.getReader();
  if (reader === undefined) return;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    reader.cancel().catch(() => undefined);
  }
}

interface Line {
  readonly id: string | undefined;
  readonly event: string;
  readonly data: Uint8Array;
}

/** Server-sent events, as the HTML standard reads them. */
async function* lines(response: Response): AsyncGenerator<Line, void, void> {
  const decoder = new TextDecoder();
  let rest = "";
  let [id, event, data]: [string | undefined, string, string[]] = [undefined, "message", []];
  for await (const part of chunks(response)) {
    rest += decoder.decode(part, { stream: true });
    if (rest.length > MAX_ANSWER_BYTES) throw new ContractError("an event without an end");
    const found = rest.split(/\r\n|\n|\r(?!$)/);
    rest = found.pop() ?? "";
    for (const line of found) {
      if (line === "") {
        if (data.length > 0) yield { id, event, data: new TextEncoder().encode(data.join("\n")) };
        [event, data] = ["message", []];
        continue;
      }
      const [, name = "", value = ""] = /^([^:]*):? ?(.*)$/.exec(line) ?? [];
      if (name === "id") id = value;
      else if (name === "event") event = value;
      else if (name === "data") data.push(value);
    }
  }
}

function objectOf(body: Uint8Array): Answer {
  const value = body.length === 0 ? {} : parseJson(body);
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new ContractError("the gateway answers with something else than an object");
  }
  return value as Answer;
}
