/** What stands in a gateway's answers. */

import { ContractError, RequestFailedError } from "../errors.js";
import type { Failure, Status } from "../generated/messages.js";
import type { Json } from "../strict-json.js";
import type { Answer } from "./gateway.js";

export function textOf(told: Answer, name: string): string {
  const found = told[name];
  if (typeof found !== "string") throw new ContractError(`the answer has no ${name}`);
  return found;
}

/** Completed, and the result is still to be asked for. */
export function lacks(told: Answer): boolean {
  return told["status"] === "completed" && told["result"] === undefined;
}

export function failureOf(told: Answer, requestId: string, sessionId: string): RequestFailedError {
  const failure = told["failure"];
  const given = isObject(failure) ? failure : {};
  const status = told["status"] as Status;
  const whole = {
    code: "internal",
    message: `the session ended as ${status}`,
    retryable: false,
    culprits: [],
    silent: [],
    round: null,
    retry_after_ms: null,
    ...given,
  };
  return new RequestFailedError(whole as unknown as Failure, { requestId, sessionId, status });
}

/** Who is to take part in what was begun, by the names that the gateway has for them. */
export function partiesOf(begun: Answer): readonly string[] {
  const { participants, parties, join_tokens: tokens } = begun;
  if (participants !== undefined) return participantsOf(begun);
  // An account says who they are, and other sessions whom one may join.
  return parties === undefined && isObject(tokens) ? Object.keys(tokens) : arrayOf(parties).map(String);
}

export function participantsOf(session: Answer): readonly string[] {
  return arrayOf(session["participants"]).flatMap((each) =>
    isObject(each) && typeof each["party_id"] === "string" ? [each["party_id"]] : [],
  );
}

export function isObject(value: Json | undefined): value is { readonly [name: string]: Json } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function arrayOf(value: Json | undefined): readonly Json[] {
  return Array.isArray(value) ? (value as readonly Json[]) : [];
}
