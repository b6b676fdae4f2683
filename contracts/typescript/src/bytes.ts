/** Bytes, and how they are written: hex in lower case, standard base64, UTF-8. */

import { ContractError } from "./errors.js";

/** What the platform's cryptography takes: never over shared memory. */
export type Bytes = Uint8Array<ArrayBuffer>;

const TEXT = new TextEncoder();
const DIGITS = /^([0-9a-f]{2})*$/;
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

export function utf8(text: string): Bytes {
  return TEXT.encode(text);
}

export function concat(parts: readonly Uint8Array[]): Bytes {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

export function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => HEX[byte]).join("");
}

/**
 * The same text, for whoever keeps it. What is cut from a message would keep the whole message in
 * memory.
 */
export function copied(text: string): string {
  return new TextDecoder().decode(utf8(text));
}

export function fromHex(text: string): Bytes {
  if (!DIGITS.test(text)) throw new ContractError("not an even number of hex digits in lower case");
  const bytes = new Uint8Array(text.length / 2);
  for (let at = 0; at < bytes.length; at += 1) {
    bytes[at] = Number.parseInt(text.slice(2 * at, 2 * at + 2), 16);
  }
  return bytes;
}

export function toBase64(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

/** Throws ContractError unless it is standard base64 with padding. */
export function fromBase64(text: string): Bytes {
  if (!BASE64.test(text)) throw new ContractError("not base64");
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

/** A whole number, big-endian. */
export function bigEndian(value: number, size: number): Bytes {
  const bytes = new Uint8Array(size);
  for (let at = size - 1, rest = value; at >= 0; at -= 1, rest = Math.floor(rest / 256)) {
    bytes[at] = rest % 256;
  }
  return bytes;
}

export function toNumber(bytes: Uint8Array): bigint {
  return bytes.length === 0 ? 0n : BigInt(`0x${toHex(bytes)}`);
}

export function fromNumber(value: bigint, size: number): Bytes {
  return fromHex(value.toString(16).padStart(2 * size, "0"));
}

/** So many bytes that nobody can guess, in hex. */
export function randomHex(size: number): string {
  return toHex(crypto.getRandomValues(new Uint8Array(size)));
}
