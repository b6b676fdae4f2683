/** What a caller may have to handle. All but impossible arguments (TypeError) is a `WarrenError`. */

import type { Failure, FailureCode, Status } from "./generated/messages.js";

/** What went wrong, in a word for programs: a failure's own code, or one of the client's. */
export type ErrorCode =
  | FailureCode
  | "closed"
  | "aborted"
  | "clock"
  | "deadline"
  | "settings"
  | "topology"
  | "unavailable"
  | "disbelieved"
  | "http";

export interface ErrorFacts {
  readonly code: ErrorCode;
  /** Whether the same wish, in a new request, may well succeed. */
  readonly retryable: boolean;
  /** Whether nothing can come of this request any more; only a settlement proves it. */
  readonly final?: boolean;
  /** Whether a signature may exist, now or later. False only where the request never left. */
  readonly signatureMayExist: boolean;
  readonly requestId?: string | undefined;
}

/** The root of what this client throws. */
export class WarrenError extends Error {
  readonly code: ErrorCode;
  readonly retryable: boolean;
  readonly final: boolean;
  readonly signatureMayExist: boolean;
  readonly requestId: string | undefined;

  constructor(message: string, facts: ErrorFacts) {
    super(message);
    this.name = new.target.name;
    this.code = facts.code;
    this.retryable = facts.retryable;
    this.final = facts.final ?? false;
    this.signatureMayExist = facts.signatureMayExist;
    this.requestId = facts.requestId;
  }
}

/**
 * The answer is no. It is the coordinator's word, and proves nothing of what the parties have done:
 * ask again for the same digest, or make the first payment worthless, before you pay in another way.
 */
export class RequestFailedError extends WarrenError {
  /** Parties that broke the protocol, as far as the coordinator tells. */
  readonly culprits: readonly string[];
  /** Parties that were waited for. */
  readonly silent: readonly string[];
  readonly sessionId: string | null;
  readonly status: Status;

  constructor(
    readonly failure: Failure,
    about: { requestId: string; sessionId: string | null; status: Status; code?: ErrorCode },
  ) {
    super(`${failure.code}: ${failure.message}`, {
      code: about.code ?? failure.code,
      retryable: failure.retryable && about.code === undefined,
      signatureMayExist: true,
      requestId: about.requestId,
    });
    this.culprits = failure.culprits;
    this.silent = failure.silent;
    this.sessionId = about.sessionId;
    this.status = about.status;
  }
}

/**
 * The coordinator calls the request expired while it still counts by this machine's clock. Nothing
 * came of it, and a new request would end the same way: set the clocks right.
 */
export class ClockError extends RequestFailedError {
  constructor(
    failure: Failure,
    about: { requestId: string; sessionId: string | null; status: Status },
    /** By how much this clock is behind the coordinator's, at least. */
    readonly behindMs: number,
  ) {
    super(failure, { ...about, code: "clock" });
  }
}

/** The deadline passed without a result, which proves nothing. */
export class DeadlineError extends WarrenError {
  constructor(
    requestId: string,
    /** Why results that claimed to be the answer were refused, oldest first. */
    readonly rejected: readonly string[],
    signatureMayExist: boolean,
  ) {
    const last = rejected.at(-1);
    super(
      `no result for request ${requestId} within its deadline` +
        (last === undefined ? "" : `; ${rejected.length} were refused, the last because ${last}`),
      { code: "deadline", retryable: true, signatureMayExist, requestId },
    );
  }
}

/** The caller's signal ended the wait. The session goes on: nobody is told. */
export class AbortedError extends WarrenError {
  constructor(requestId: string | undefined, signatureMayExist: boolean, cause?: unknown) {
    super(requestId === undefined ? "aborted" : `the wait for request ${requestId} was aborted`, {
      code: "aborted",
      retryable: false,
      signatureMayExist,
      requestId,
    });
    this.cause = cause;
  }
}

/** The client was closed while a call was waiting. */
export class ClosedError extends WarrenError {
  constructor(requestId?: string, signatureMayExist = true) {
    super("the client is closed", { code: "closed", retryable: false, signatureMayExist, requestId });
  }
}

/** An exchange, a queue or a permission is missing. The text says which, and the remedy. */
export class TopologyError extends WarrenError {
  constructor(message: string, requestId?: string) {
    super(message, { code: "topology", retryable: false, signatureMayExist: true, requestId });
  }
}

/** Broker or gateway could not be reached for as long as it made sense. Never shows an address. */
export class UnavailableError extends WarrenError {
  constructor(message: string, facts: { signatureMayExist?: boolean; requestId?: string } = {}) {
    super(message, {
      code: "unavailable",
      retryable: true,
      signatureMayExist: facts.signatureMayExist ?? true,
      requestId: facts.requestId,
    });
  }
}

/** The settings cannot be used; says which field, never a secret. */
export class SettingsError extends WarrenError {
  constructor(message: string) {
    super(message, { code: "settings", retryable: false, signatureMayExist: false });
  }
}

/** What was answered is not proven, and so it is not handed out. */
export class DisbelievedError extends WarrenError {
  constructor(message: string, requestId?: string) {
    super(message, { code: "disbelieved", retryable: false, signatureMayExist: true, requestId });
  }
}

/** Not a message of ours, or not to be believed: nothing comes of it. */
export class ContractError extends Error {
  override readonly name: string = "ContractError";
}

/** Nobody whom we know is shown to have sent it; counted by kind. */
export class UnauthenticatedError extends ContractError {
  override readonly name = "UnauthenticatedError";

  constructor(
    message: string,
    readonly kind: "malformed" | "unsigned" | "wrong_signature" | "other_time",
  ) {
    super(message);
  }
}
