/**
 * The form of a message: as much of JSON Schema (2020-12) as the contract's schemas use. What may be
 * left out is filled in, so that whoever reads a message finds every field.
 */

import { ContractError } from "./errors.js";
import { DEFINITIONS, DELIVERED, REQUEST } from "./generated/schemas.js";
import type { Delivered, Request } from "./generated/messages.js";
import type { Json } from "./strict-json.js";

export interface Schema {
  readonly [word: string]: unknown;
}

type Fields = Readonly<Record<string, Json>>;
type Schemas = Readonly<Record<string, Schema>>;

const patterns = new Map<string, RegExp>();

/** A result, or the announcement of a session. Throws ContractError, which names the field. */
export function readDelivered(value: Json): Delivered {
  return read("result", DELIVERED, value) as unknown as Delivered;
}

/** A request as it was sent. */
export function readRequest(value: Json): Request {
  return read("operation", REQUEST, value) as unknown as Request;
}

/** A message of this form, by the name of its model. */
export function readAs(name: string, value: Json): Json {
  return checked(`#/$defs/${name}`, value);
}

function read(discriminator: string, members: Readonly<Record<string, string>>, value: Json): Json {
  if (!isObject(value)) throw new ContractError("not an object");
  const tag = value[discriminator];
  const name = typeof tag === "string" && Object.hasOwn(members, tag) ? members[tag] : undefined;
  if (name === undefined) {
    throw new ContractError(`${discriminator}: must be one of ${Object.keys(members).join(", ")}`);
  }
  return checked(`#/$defs/${name}`, value);
}

function checked(reference: string, value: Json): Json {
  const wrong = fault({ $ref: reference }, value);
  if (wrong !== null) throw new ContractError(wrong);
  return filled({ $ref: reference }, value);
}

/** Where it does not fit and why, without the value: that may be a secret. Null where it fits. */
function fault(schema: Schema, value: Json): string | null {
  const target = resolved(schema);
  for (const [word, rule] of Object.entries(target)) {
    const wrong = WORDS[word]?.(rule, value, target) ?? null;
    if (wrong !== null) return wrong;
  }
  return null;
}

function resolved(schema: Schema): Schema {
  const reference = schema["$ref"];
  if (typeof reference !== "string") return schema;
  const found = DEFINITIONS[reference.slice(reference.lastIndexOf("/") + 1)];
  if (found === undefined) throw new TypeError(`the schemas have no ${reference}`);
  return found;
}

type Rule = (rule: unknown, value: Json, schema: Schema) => string | null;

const WORDS: Readonly<Record<string, Rule>> = {
  type: (kind, value) => (isOfKind(kind as string, value) ? null : `must be ${String(kind)}`),
  const: (wanted, value) => (value === wanted ? null : `must be ${JSON.stringify(wanted)}`),
  enum: (values, value) =>
    (values as readonly Json[]).includes(value) ? null : "is none of what it may be",
  pattern: (pattern, value) =>
    typeof value !== "string" || compiled(pattern as string).test(value)
      ? null
      : "is not written as it must be",
  minLength: (least, value) =>
    typeof value !== "string" || Array.from(value).length >= (least as number) ? null : "is too short",
  maxLength: (most, value) =>
    typeof value !== "string" || Array.from(value).length <= (most as number) ? null : "is too long",
  contentEncoding: (_, value) =>
    typeof value !== "string" || BASE64.test(value) ? null : "is not base64",
  minimum: (least, value) =>
    typeof value !== "number" || value >= (least as number) ? null : "is too small",
  maximum: (most, value) =>
    typeof value !== "number" || value <= (most as number) ? null : "is too large",
  exclusiveMinimum: (least, value) =>
    typeof value !== "number" || value > (least as number) ? null : "is too small",
  exclusiveMaximum: (most, value) =>
    typeof value !== "number" || value < (most as number) ? null : "is too large",
  minItems: (least, value) =>
    !isArray(value) || value.length >= (least as number) ? null : "has too few entries",
  maxItems: (most, value) =>
    !isArray(value) || value.length <= (most as number) ? null : "has too many entries",
  uniqueItems: (_, value) =>
    !isArray(value) || new Set(value).size === value.length ? null : "has an entry twice",
  items: (schema, value) =>
    isArray(value) ? firstFault(value, (each) => fault(schema as Schema, each)) : null,
  required: (names, value) => {
    if (!isObject(value)) return null;
    const missing = (names as readonly string[]).find((name) => !Object.hasOwn(value, name));
    return missing === undefined ? null : `${missing} is missing`;
  },
  properties: (schemas, value) => {
    if (!isObject(value)) return null;
    for (const [name, schema] of Object.entries(schemas as Schemas)) {
      const found = value[name];
      const wrong = found === undefined ? null : fault(schema, found);
      if (wrong !== null) return `${name}: ${wrong}`;
    }
    return null;
  },
  patternProperties: (schemas, value) => {
    if (!isObject(value)) return null;
    for (const [name, found] of Object.entries(value)) {
      for (const [pattern, schema] of Object.entries(schemas as Schemas)) {
        if (!compiled(pattern).test(name)) return "has a field of a name that it cannot have";
        const wrong = fault(schema, found);
        if (wrong !== null) return `${name}: ${wrong}`;
      }
    }
    return null;
  },
  additionalProperties: (allowed, value, schema) => {
    if (allowed !== false || !isObject(value)) return null;
    const known = (schema["properties"] ?? {}) as Schemas;
    const more = Object.keys(value).find((name) => !Object.hasOwn(known, name));
    return more === undefined ? null : `has a field that is none of ours: ${more.slice(0, 64)}`;
  },
  anyOf: (members, value) => {
    const faults = (members as readonly Schema[]).map((member) => fault(member, value));
    return faults.includes(null) ? null : (faults[0] ?? null);
  },
  oneOf: (members, value) => {
    const fitting = (members as readonly Schema[]).filter((one) => fault(one, value) === null);
    return fitting.length === 1 ? null : "does not have exactly one of the forms that it may have";
  },
  allOf: (members, value) =>
    firstFault(members as readonly Schema[], (member) => fault(member, value)),
  not: (schema, value) => (fault(schema as Schema, value) === null ? "must be something else" : null),
  if: (condition, value, schema) => {
    const chosen = schema[fault(condition as Schema, value) === null ? "then" : "else"];
    return chosen === undefined ? null : fault(chosen as Schema, value);
  },
};

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** The same, with what was left out and has a default. */
function filled(schema: Schema, value: Json): Json {
  const target = resolved(schema);
  const forms = (target["anyOf"] ?? target["oneOf"]) as readonly Schema[] | undefined;
  if (forms !== undefined && target["properties"] === undefined) {
    const own = forms.find((form) => fault(form, value) === null);
    return own === undefined ? value : filled(own, value);
  }
  if (isArray(value)) {
    const items = target["items"] as Schema | undefined;
    return items === undefined ? value : value.map((each) => filled(items, each));
  }
  if (!isObject(value) || target["properties"] === undefined) return value;
  const whole: Record<string, Json> = {};
  for (const [name, own] of Object.entries(target["properties"] as Schemas)) {
    const found = value[name];
    if (found !== undefined) whole[name] = filled(own, found);
    else if (Object.hasOwn(own, "default")) whole[name] = own["default"] as Json;
    else if (resolved(own)["type"] === "array") whole[name] = [];
    else if (resolved(own)["type"] === "object") whole[name] = {};
  }
  return whole;
}

function firstFault<T>(all: readonly T[], of: (each: T) => string | null): string | null {
  for (const [at, each] of all.entries()) {
    const wrong = of(each);
    if (wrong !== null) return all.length > 1 ? `${at}: ${wrong}` : wrong;
  }
  return null;
}

function isOfKind(kind: string, value: Json): boolean {
  switch (kind) {
    case "null":
      return value === null;
    case "array":
      return isArray(value);
    case "object":
      return isObject(value);
    case "integer":
      return Number.isInteger(value);
    default:
      return typeof value === kind;
  }
}

function isObject(value: Json): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isArray(value: unknown): value is readonly Json[] {
  return Array.isArray(value);
}

function compiled(pattern: string): RegExp {
  const known = patterns.get(pattern) ?? new RegExp(pattern, "u");
  patterns.set(pattern, known);
  return known;
}
