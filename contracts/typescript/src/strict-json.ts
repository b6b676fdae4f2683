/**
 * JSON in which no object names a field twice. RFC 8259 leaves open what such an object means, and
 * `JSON.parse` takes the last value: whoever reads the other one approves something else.
 */

import { ContractError } from "./errors.js";

export type Json =
  null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

const MAX_DEPTH = 200;
const SHOWN_CHARACTERS = 64;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const PLAIN = /[^"\\\u0000-\u001f]*/y;
const SPACE = /[ \t\n\r]*/y;
const LONE_SURROGATE = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;
const ESCAPES: Readonly<Record<string, string>> = {
  '"': '"',
  "\\": "\\",
  "/": "/",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
};

/**
 * What the bytes say. Throws ContractError where they are no JSON: not UTF-8, cut short, nested too
 * deeply, half of a surrogate pair; or where an object names a field twice.
 */
export function parseJson(body: Uint8Array): Json {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body);
  } catch {
    throw new ContractError("not JSON: not UTF-8");
  }
  return new Reader(text).whole();
}

class Reader {
  #at = 0;

  constructor(private readonly text: string) {}

  whole(): Json {
    const value = this.#value(0);
    this.#space();
    if (this.#at !== this.text.length) throw this.#wrong();
    return value;
  }

  #value(depth: number): Json {
    if (depth > MAX_DEPTH) throw new ContractError("not JSON: nested too deeply");
    this.#space();
    const first = this.text[this.#at];
    if (first === "{") return this.#object(depth);
    if (first === "[") return this.#array(depth);
    if (first === '"') return this.#string();
    for (const [word, value] of [
      ["null", null],
      ["true", true],
      ["false", false],
    ] as const) {
      if (this.text.startsWith(word, this.#at)) {
        this.#at += word.length;
        return value;
      }
    }
    const digits = this.#match(NUMBER);
    if (digits === "") throw this.#wrong();
    const value = Number(digits);
    if (!Number.isFinite(value)) throw new ContractError("not JSON: a number is too large");
    return value;
  }

  #object(depth: number): Json {
    const fields = new Map<string, Json>();
    this.#at += 1;
    if (!this.#takes("}")) {
      do {
        this.#space();
        if (this.text[this.#at] !== '"') throw this.#wrong();
        const name = this.#string();
        if (fields.has(name)) {
          const shown = name.slice(0, SHOWN_CHARACTERS);
          throw new ContractError(`field '${shown}' stands twice in one object`);
        }
        if (!this.#takes(":")) throw this.#wrong();
        fields.set(name, this.#value(depth + 1));
      } while (this.#takes(","));
      if (!this.#takes("}")) throw this.#wrong();
    }
    // Without a prototype: a field called __proto__ is one like any other.
    const made = Object.create(null) as Record<string, Json>;
    for (const [name, value] of fields) made[name] = value;
    return made;
  }

  #array(depth: number): Json {
    const values: Json[] = [];
    this.#at += 1;
    if (this.#takes("]")) return values;
    do values.push(this.#value(depth + 1));
    while (this.#takes(","));
    if (!this.#takes("]")) throw this.#wrong();
    return values;
  }

  #string(): string {
    let made = "";
    this.#at += 1;
    for (;;) {
      made += this.#match(PLAIN);
      const next = this.text[this.#at];
      if (next === '"') break;
      if (next !== "\\") throw this.#wrong();
      made += this.#escape();
    }
    this.#at += 1;
    if (LONE_SURROGATE.test(made)) throw new ContractError("not JSON: half a surrogate pair");
    return made;
  }

  #escape(): string {
    const kind = this.text[this.#at + 1] ?? "";
    if (kind === "u") {
      const digits = this.text.slice(this.#at + 2, this.#at + 6);
      if (!/^[0-9a-fA-F]{4}$/.test(digits)) throw this.#wrong();
      this.#at += 6;
      return String.fromCharCode(Number.parseInt(digits, 16));
    }
    const plain = ESCAPES[kind];
    if (plain === undefined) throw this.#wrong();
    this.#at += 2;
    return plain;
  }

  #takes(character: string): boolean {
    this.#space();
    if (this.text[this.#at] !== character) return false;
    this.#at += 1;
    return true;
  }

  #space(): void {
    this.#match(SPACE);
  }

  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.text)?.[0] ?? "";
    this.#at += found.length;
    return found;
  }

  #wrong(): ContractError {
    return new ContractError(`not JSON: something else stands at character ${this.#at}`);
  }
}
