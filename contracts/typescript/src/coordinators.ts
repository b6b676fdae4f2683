/** Whose results are believed: identities of the coordinator, each in its time. */

import { fromBase64 } from "./bytes.js";
import { ContractError, SettingsError, UnauthenticatedError } from "./errors.js";
import { isSignature, PublicIdentity } from "./identity.js";

export const RESULT_TAG = "warren/result/v1";
const MAX_RESULT_BYTES = 2 * 2 ** 20;
const MAX_SIGNATURE_CHARACTERS = 96;

export interface CoordinatorPin {
  /** Base64 DER SubjectPublicKeyInfo. */
  readonly publicKey: string;
  /** From when and until when it counts; left out: always. */
  readonly validFrom?: Date | undefined;
  readonly validUntil?: Date | undefined;
}

interface Pin {
  readonly identity: PublicIdentity;
  readonly from: number;
  readonly until: number;
}

export class Coordinators {
  readonly #pins: readonly Pin[];

  /** Throws SettingsError where nobody is pinned, or not by a public key. */
  constructor(pins: readonly CoordinatorPin[]) {
    if (pins.length === 0) {
      throw new SettingsError(
        "no coordinators: without the coordinator's public key nothing that it says can be believed",
      );
    }
    this.#pins = pins.map((pin) => {
      try {
        return {
          identity: PublicIdentity.fromBase64(pin.publicKey),
          from: pin.validFrom?.getTime() ?? -Infinity,
          until: pin.validUntil?.getTime() ?? Infinity,
        };
      } catch (error) {
        if (!(error instanceof ContractError)) throw error;
        throw new SettingsError(`coordinators: publicKey: ${error.message}`);
      }
    });
  }

  /**
   * Throws UnauthenticatedError unless the coordinator says this to a client. What costs less to
   * find out is asked first.
   */
  async checkResult(
    body: Uint8Array,
    headers: Readonly<Record<string, unknown>>,
    now: number,
  ): Promise<void> {
    if (body.length > MAX_RESULT_BYTES) {
      throw new UnauthenticatedError(
        `${body.length} bytes; a result has at most ${MAX_RESULT_BYTES}`,
        "malformed",
      );
    }
    const signature = signatureOf(headers);
    // Those whose time it is first: the others only tell why it is refused.
    const valid = (pin: Pin): boolean => pin.from <= now && now < pin.until;
    for (const pin of [...this.#pins].sort((a, b) => Number(valid(b)) - Number(valid(a)))) {
      try {
        await pin.identity.verify(RESULT_TAG, body, signature);
      } catch (error) {
        if (error instanceof UnauthenticatedError) continue;
        throw error;
      }
      if (valid(pin)) return;
      throw new UnauthenticatedError(
        "signed by an identity of the coordinator's that is not valid now",
        "other_time",
      );
    }
    throw new UnauthenticatedError(
      "not signed by the coordinator, as far as our configuration knows it",
      "wrong_signature",
    );
  }
}

function signatureOf(headers: Readonly<Record<string, unknown>>): Uint8Array {
  const text = Object.hasOwn(headers, "signature") ? headers["signature"] : undefined;
  const wrong = (what: string): UnauthenticatedError =>
    new UnauthenticatedError(`header 'signature' ${what}`, "unsigned");
  if (typeof text !== "string") throw wrong("is missing: requests and results are signed");
  if (text.length > MAX_SIGNATURE_CHARACTERS) {
    throw wrong(`has ${text.length} characters: that is no signature`);
  }
  let signature: Uint8Array;
  try {
    signature = fromBase64(text);
  } catch {
    throw wrong("is not base64");
  }
  if (!isSignature(signature)) throw wrong("is no DER signature");
  return signature;
}
