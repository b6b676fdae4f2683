/**
 * As much of TOML as `client.toml` has: tables, arrays of tables, and on one line each strings,
 * whole and broken numbers, truth values and times. Whatever else stands there is an error.
 */

export type Table = { [name: string]: Value };
export type Value = string | number | boolean | Date | Table | Table[];

const HEADER = /^\[(\[)?\s*([A-Za-z0-9_-]+)\s*\](\])?$/;
const PAIR = /^([A-Za-z0-9_-]+)\s*=\s*(.*)$/;
const BASIC = /^"((?:[^"\\]|\\.)*)"$/;
const LITERAL = /^'([^']*)'$/;
const TIME = /^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:[Zz]|[+-]\d{2}:\d{2})$/;
const NUMBER = /^[+-]?\d+(?:\.\d+)?$/;
const COMMENT = /^((?:[^#"']|"(?:[^"\\]|\\.)*"|'[^']*')*)#.*$/;

/** Throws SyntaxError, which names the line and not what stands there: it may be a secret. */
export function parseToml(text: string): Table {
  const whole: Table = {};
  let table = whole;
  for (const [at, raw] of text.split(/\r?\n/).entries()) {
    const line = raw.replace(COMMENT, "$1").trim();
    if (line === "") continue;
    const header = HEADER.exec(line);
    const pair = PAIR.exec(line);
    if (header !== null && (header[1] === undefined) === (header[3] === undefined)) {
      table = opened(whole, header[2] ?? "", header[1] !== undefined, at);
    } else if (pair !== null && !Object.hasOwn(table, pair[1] ?? "")) {
      table[pair[1] ?? ""] = value(pair[2] ?? "", at);
    } else {
      throw wrong(at);
    }
  }
  return whole;
}

function opened(whole: Table, name: string, several: boolean, at: number): Table {
  const table: Table = {};
  const before = Object.hasOwn(whole, name) ? whole[name] : undefined;
  if (several) {
    if (before !== undefined && !Array.isArray(before)) throw wrong(at);
    whole[name] = [...(before ?? []), table];
  } else {
    if (before !== undefined) throw wrong(at);
    whole[name] = table;
  }
  return table;
}

function value(text: string, at: number): Value {
  const literal = LITERAL.exec(text);
  if (literal !== null) return literal[1] ?? "";
  if (BASIC.test(text)) {
    try {
      return JSON.parse(text) as string;
    } catch {
      throw wrong(at);
    }
  }
  if (text === "true" || text === "false") return text === "true";
  if (TIME.test(text)) return new Date(text.replace(" ", "T"));
  if (NUMBER.test(text)) return Number(text);
  throw wrong(at);
}

function wrong(at: number): SyntaxError {
  return new SyntaxError(`line ${at + 1} is none that a client's file has`);
}
