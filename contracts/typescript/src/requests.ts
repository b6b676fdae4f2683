/** Requests as they are sent: their fields, their address, their signature. */

import { fromBase64, randomHex, toBase64, toHex, utf8, type Bytes } from "./bytes.js";
import { parsePath } from "./derivation.js";
import { ContractError, SettingsError } from "./errors.js";
import { LEGACY_RESULTS, REQUEST_KEYS, RESULT_WORDS, RESULTS } from "./generated/addresses.js";
import type { Request } from "./generated/messages.js";
import { PublicIdentity, signedBytes } from "./identity.js";
import { sha256Of } from "./packing.js";
import { readRequest } from "./schema.js";
import type { Signer } from "./signer.js";
import { parseJson, type Json } from "./strict-json.js";

export const REQUEST_TAG = "warren/request/v1";
/** From `issued_at` to `expires_at`, at most. */
export const MAX_LIFETIME_MS = 600_000;
const MAX_MESSAGE_BYTES = 65_536;
const MAX_BODY_BYTES = 262_144;
const MAX_EPOCHS_AHEAD = 64;

export type Operation = Request["operation"];
export type RequestOf<O extends Operation> = Extract<Request, { readonly operation: O }>;

/** What a caller says of an operation; the rest is said by whoever sends it. */
export type Wish<O extends Operation> = Omit<
  RequestOf<O>,
  | "version"
  | "operation"
  | "request_id"
  | "client_id"
  | "signer"
  | "issued_at"
  | "expires_at"
  | "reply_to"
  | "tenant"
  | "salt"
>;

/** Whose keys and sessions these are. */
export interface Owner {
  readonly clientId: string | null;
  readonly tenant: string | null;
}

/** A request with the bytes that were signed: sent again, they are the same request. */
export interface SignedRequest {
  readonly request: Request;
  readonly body: Bytes;
  readonly signature: Bytes;
  /** SHA-256 of the body, in hex: what makes two requests the same one. */
  readonly digest: string;
}

/** Throws TypeError where no request can have these fields. */
export function makeRequest<O extends Operation>(
  operation: O,
  wish: Wish<O>,
  by: {
    owner: Owner;
    signer: string;
    now: number;
    lifetimeMs: number;
    requestId?: string | undefined;
  },
): RequestOf<O> {
  const requestId = by.requestId ?? randomHex(16);
  const { clientId, tenant } = by.owner;
  const keyId = (wish as { key_id?: string }).key_id;
  const given = {
    version: 1,
    request_id: requestId,
    client_id: clientId,
    signer: by.signer,
    issued_at: by.now,
    expires_at: by.now + Math.round(by.lifetimeMs),
    reply_to: resultKey(operation, clientId, requestId, keyId),
    tenant,
    salt: randomHex(8),
    operation,
    ...wish,
  };
  try {
    return checkedRequest(JSON.parse(JSON.stringify(given)) as Json) as RequestOf<O>;
  } catch (error) {
    if (error instanceof ContractError) throw new TypeError(error.message);
    throw error;
  }
}

/** The same wish until the same deadline, in other bytes. */
export function anew<R extends Request>(request: R, now: number): R {
  return { ...request, issued_at: Math.min(now, request.expires_at - 1), salt: randomHex(8) };
}

export async function signRequest(request: Request, signer: Signer): Promise<SignedRequest> {
  if (request.signer !== signer.publicKey) throw new TypeError("the request names another signer");
  const body = utf8(JSON.stringify(request));
  if (body.length > MAX_BODY_BYTES) {
    throw new TypeError(`a request has at most ${MAX_BODY_BYTES} bytes, this one ${body.length}`);
  }
  const made = await signer.sign(signedBytes(REQUEST_TAG, body));
  return signed(request, body, new Uint8Array(made));
}

/** What the owner of this key has signed before, whoever kept the bytes. Throws ContractError. */
export async function reopen(
  body: Bytes,
  signature: Bytes,
  publicKey: string,
): Promise<SignedRequest> {
  await PublicIdentity.fromBase64(publicKey).verify(REQUEST_TAG, body, signature);
  return signed(checkedRequest(parseJson(body)), body, signature);
}

function signed(request: Request, body: Bytes, signature: Bytes): SignedRequest {
  return { request, body, signature, digest: toHex(sha256Of(body)) };
}

/** For people and tracing, but for the signature. */
export function headersOf(signed: SignedRequest): Record<string, string> {
  const { operation, request_id, client_id } = signed.request;
  return {
    signature: toBase64(signed.signature),
    operation,
    request_id,
    ...(client_id === null ? {} : { client_id }),
  };
}

/** The form, and what JSON Schema has no words for. Throws ContractError. */
export function checkedRequest(value: Json): Request {
  const request = readRequest(value);
  const lifetime = request.expires_at - request.issued_at;
  if (lifetime <= 0 || lifetime > MAX_LIFETIME_MS) {
    throw new ContractError(
      `expires_at must be later than issued_at by at most ${MAX_LIFETIME_MS} ms`,
    );
  }
  switch (request.operation) {
    case "keygen": {
      const { threshold, party_count, parties, schemes } = request;
      if (threshold > party_count) {
        throw new ContractError(`threshold ${threshold} is more than party_count ${party_count}`);
      }
      if (parties && parties.length !== party_count) {
        throw new ContractError(`parties names ${parties.length} of party_count ${party_count}`);
      }
      if (schemes && !isOrdered(schemes)) {
        throw new ContractError(
          "schemes must be at least one, each once, in alphabetical order",
        );
      }
      break;
    }
    case "rehearse":
    case "reshare": {
      const { threshold, parties, from_epoch, first_epoch, tries } = request;
      if (threshold > parties.length) {
        throw new ContractError(`threshold ${threshold} is more than ${parties.length} parties`);
      }
      if (first_epoch <= from_epoch) {
        throw new ContractError("first_epoch must be later than from_epoch");
      }
      if (first_epoch + (tries ?? 1) - 1 - from_epoch > MAX_EPOCHS_AHEAD) {
        throw new ContractError(
          `epochs may be at most ${MAX_EPOCHS_AHEAD} later than from_epoch`,
        );
      }
      break;
    }
    case "sign":
      for (const item of request.items ?? [request]) {
        const size = (item.message ?? "").length / 2;
        if (size < 1 || size > MAX_MESSAGE_BYTES) {
          throw new ContractError(
            `a message has 1 to ${MAX_MESSAGE_BYTES} bytes, this one ${size}`,
          );
        }
        if (item.derivation_path) parsePath(item.derivation_path);
      }
      break;
    case "cancel":
      if ((request.target_issued_at ?? 0) > request.issued_at) {
        throw new ContractError(
          "target_issued_at is later than issued_at: statements do not cover it",
        );
      }
      break;
    default:
  }
  return request;
}

function isOrdered(names: readonly string[]): boolean {
  return names.every((name, at) => at === 0 || (names[at - 1] ?? "") < name);
}

/** The routing key that leads to the client's own queue, or to everybody's. */
export function requestKey(operation: Operation, clientId: string | null): string {
  const key = REQUEST_KEYS[operation];
  return clientId === null ? key : `${key}.${clientId}`;
}

/** The routing key under which the answer is published. */
export function resultKey(
  operation: Operation,
  clientId: string | null,
  requestId: string,
  keyId: string | undefined,
): string {
  const subject =
    operation === "sign" ? "complete" : operation === "keygen" ? (keyId ?? requestId) : requestId;
  const words = ["mpc", RESULT_WORDS[operation], ...(clientId === null ? [] : [clientId]), subject];
  return words.join(".");
}

/** The queue of a client's results; without an id, the one that old producers share. */
export function resultsQueue(clientId: string | null): string {
  return clientId === null ? LEGACY_RESULTS : `${RESULTS}${clientId}`;
}

/** The public key of whoever is to sign, as operators have entered it. Throws SettingsError. */
export function checkSigner(signer: Signer): void {
  try {
    PublicIdentity.fromDer(fromBase64(signer.publicKey));
  } catch {
    throw new SettingsError("signer: publicKey is no P-256 key in base64 DER");
  }
}
