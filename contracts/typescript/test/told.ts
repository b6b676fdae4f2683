/** The vectors, which the Python client is held to as well. */

import { readFileSync } from "node:fs";

import { ContractError } from "../src/errors.js";
import { PublicIdentity } from "../src/identity.js";

const FOLDER = new URL("../../../vectors/", import.meta.url);

export function read(name: string): any {
  return JSON.parse(readFileSync(new URL(`${name}.json`, FOLDER), "utf8"));
}

export function pinned(keys: Readonly<Record<string, string>>): Map<string, PublicIdentity> {
  return new Map(Object.entries(keys).map(([name, key]) => [name, PublicIdentity.fromBase64(key)]));
}

/** Null where it refuses nothing. */
export async function reasonOf(check: () => unknown): Promise<string | null> {
  try {
    await check();
  } catch (error) {
    if (error instanceof ContractError) return error.message;
    throw error;
  }
  return null;
}
