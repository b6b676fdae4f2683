/** What callers are handed of a result that was checked, or thrown. */

import type { Result } from "./checks.js";
import { ClockError, DisbelievedError, RequestFailedError } from "./errors.js";
import type { KeygenResult, ReshareResult, SignResult } from "./generated/messages.js";
import { epochOf, keyOf, signaturesOf, type Epoch, type Key, type Signature } from "./outcomes.js";
import type { SignedRequest } from "./requests.js";

export function madeKey({ key }: Pick<KeygenResult, "key">): Key {
  return keyOf(present(key));
}

export function madeEpoch({ bundle, signs_from }: ReshareResult): Epoch {
  return epochOf(present(bundle), new Date(present(signs_from)));
}

export function firstOf(result: SignResult): Signature {
  return present(signaturesOf(result)[0] ?? null);
}

/** What the checks have made sure of. */
export function present<T>(value: T | null): T {
  if (value === null) throw new DisbelievedError("the result lacks what it must have");
  return value;
}

export function refusal(result: Result, { request }: SignedRequest): RequestFailedError {
  const { failure, session_id, status } = result;
  const about = { requestId: request.request_id, sessionId: session_id, status };
  const told = failure ?? { code: "internal", message: "", retryable: true } as never;
  const left = request.expires_at - Date.now();
  if (failure?.code === "expired" && session_id === null && left > 0) {
    return new ClockError(told, about, left);
  }
  return new RequestFailedError(told, about);
}
