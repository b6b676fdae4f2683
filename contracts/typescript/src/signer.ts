/**
 * Who signs requests: a key in this process, or one that never leaves its service. What is signed
 * are bytes; a signature is DER ECDSA-P256-SHA256.
 */

import { concat, equal, fromBase64, fromHex, type Bytes } from "./bytes.js";
import { SettingsError } from "./errors.js";
import { isSignature, P256, P256_SHA256, PublicIdentity, toDer } from "./identity.js";

export interface Signer {
  /** DER SubjectPublicKeyInfo in base64: what operators enter for this client. */
  readonly publicKey: string;
  /** ECDSA-P256-SHA256 over these bytes, in DER. May take as long as it takes. */
  sign(bytes: Uint8Array): Promise<Uint8Array>;
}

/** A pair of WebCrypto's, which may be one whose private half cannot be exported. */
export async function webCryptoSigner(pair: CryptoKeyPair): Promise<Signer> {
  const der = await crypto.subtle.exportKey("spki", pair.publicKey);
  return new KeySigner(PublicIdentity.fromDer(new Uint8Array(der)), pair.privateKey);
}

/**
 * A key of a key management service: `sign` is handed the bytes and gives back DER. Where the service
 * wants the SHA-256 only, take it in there. What comes back is looked at before it is sent.
 */
export function callbackSigner(
  publicKey: string,
  sign: (bytes: Uint8Array) => Promise<Uint8Array>,
): Signer {
  return {
    publicKey: PublicIdentity.fromBase64(publicKey).base64,
    async sign(bytes) {
      const made = await sign(bytes);
      if (!isSignature(made)) throw new SettingsError("the signer gave back no DER signature");
      return made;
    },
  };
}

/** A private key in base64 around DER, PKCS8 or SEC1, as `warren identity new` writes it. */
export async function privateKeySigner(text: string): Promise<Signer> {
  // Nothing of what was given stands in an error.
  try {
    const pkcs8 = asPkcs8(fromBase64(text.trim()));
    const usable = await crypto.subtle.importKey("pkcs8", pkcs8, P256, true, ["sign"]);
    const { kty, crv, x, y } = await crypto.subtle.exportKey("jwk", usable);
    const half = { kty, crv, x, y } as JsonWebKey;
    const open = await crypto.subtle.importKey("jwk", half, P256, true, ["verify"]);
    const kept = await crypto.subtle.importKey("pkcs8", pkcs8, P256, false, ["sign"]);
    const der = await crypto.subtle.exportKey("spki", open);
    return new KeySigner(PublicIdentity.fromDer(new Uint8Array(der)), kept);
  } catch {
    throw new SettingsError("the private key is no P-256 key in base64 DER (SEC1 or PKCS8)");
  }
}

class KeySigner implements Signer {
  readonly publicKey: string;
  readonly #key: CryptoKey;

  constructor(identity: PublicIdentity, key: CryptoKey) {
    this.publicKey = identity.base64;
    this.#key = key;
  }

  async sign(bytes: Uint8Array): Promise<Bytes> {
    const made = await crypto.subtle.sign(P256_SHA256, this.#key, new Uint8Array(bytes));
    return toDer(new Uint8Array(made));
  }
}

const VERSION_0 = fromHex("020100");
const VERSION_1 = fromHex("020101");
const ALGORITHM = fromHex("301306072a8648ce3d020106082a8648ce3d030107");

/** SEC1's ECPrivateKey begins with version 1, PKCS8 with version 0 and has the other inside. */
function asPkcs8(der: Bytes): Bytes {
  const inside = der[1] === 0x81 ? 3 : 2;
  if (!equal(der.subarray(inside, inside + 3), VERSION_1)) return der;
  return sequence(0x30, concat([VERSION_0, ALGORITHM, sequence(0x04, der)]));
}

function sequence(tag: number, inside: Bytes): Bytes {
  const size = inside.length < 0x80 ? [inside.length] : [0x81, inside.length];
  return concat([Uint8Array.of(tag, ...size), inside]);
}
