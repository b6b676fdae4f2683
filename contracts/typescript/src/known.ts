/** What became of request ids: who could have answered them, for whoever cancels. */

import type { KeygenRequest, ReshareRequest } from "./generated/messages.js";
import type { SignedRequest } from "./requests.js";
import { holdersOf } from "./settlement.js";

/** Requests of which it is known what they were. */
const REMEMBERED = 10_000;

/** What a request id stands for: enough to know who could have answered it. */
export interface Known {
  readonly issuedAt: number | null;
  readonly made: KeygenRequest | ReshareRequest | null;
  readonly keyId: string | null;
}

export class KnownRequests {
  readonly #known = new Map<string, Known>();

  of(tenant: string | null, requestId: string): Known | undefined {
    return this.#known.get(nameOf(tenant, requestId));
  }

  /** What is stated of an id that two requests have had must hold for both. */
  remember(tenant: string | null, request: SignedRequest["request"]): void {
    const wish = knownOf(request);
    if (wish === null) return;
    const name = nameOf(tenant, request.request_id);
    const before = this.#known.get(name);
    this.#known.set(name, before === undefined ? wish : beside(wish, before));
    if (this.#known.size > REMEMBERED) this.#known.delete(this.#known.keys().next().value ?? "");
  }
}

function nameOf(tenant: string | null, requestId: string): string {
  return `${tenant ?? ""}/${requestId}`;
}

export function knownOf(request: SignedRequest["request"]): Known | null {
  if (request.operation === "keygen" || request.operation === "reshare") {
    return { issuedAt: request.issued_at, made: request, keyId: null };
  }
  if (request.operation === "sign") {
    return { issuedAt: request.issued_at, made: null, keyId: request.key_id };
  }
  return null;
}

function beside(one: Known, other: Known): Known {
  const group = ({ made, keyId }: Known): string =>
    JSON.stringify(made === null ? keyId : [made.parties ?? null, holdersOf(made), made.threshold]);
  if (one.issuedAt === null || other.issuedAt === null || group(one) !== group(other)) {
    return { issuedAt: null, made: null, keyId: null };
  }
  return { ...one, issuedAt: Math.min(one.issuedAt, other.issuedAt) };
}
