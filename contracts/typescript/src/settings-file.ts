/** `client.toml`, as the Python client and `warren` read it. Node only. */

import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";

import type { CoordinatorPin } from "./coordinators.js";
import { SettingsError } from "./errors.js";
import type { ClientSettings, TlsFiles } from "./settings.js";
import { privateKeySigner, type Signer } from "./signer.js";
import { parseToml, type Table, type Value } from "./toml.js";

type Environment = Readonly<Record<string, string | undefined>>;

/** A private key in a file, as `warren identity new` writes it. */
export async function fileSigner(path: string): Promise<Signer> {
  return privateKeySigner(await contentOf(path));
}

/**
 * `signer`: in place of the file's private key. Throws SettingsError, which says which file and
 * field, never a secret.
 */
export async function loadSettings(
  path: string,
  given: { signer?: Signer | undefined; environment?: Environment | undefined } = {},
): Promise<ClientSettings> {
  const environment = given.environment ?? process.env;
  const file = await tables(path);
  const client = table(file["client"], path, "client");
  const text = (name: string): string | undefined => words(client[name], path, name);
  const amqpUrl = text("amqp_url") ?? environment["WARREN_AMQP_URL"];
  if (amqpUrl === undefined) {
    throw new SettingsError(`${path}: no amqp_url: set it under [client], or WARREN_AMQP_URL`);
  }
  const near = (name: string | undefined): string | undefined =>
    name === undefined ? undefined : resolve(dirname(path), name);
  const pem = async (field: string, variable: string): Promise<string | undefined> => {
    const own = near(text(field)) ?? environment[variable];
    return own === undefined ? undefined : contentOf(own);
  };
  const tls: TlsFiles = {
    ca: await pem("amqp_ca_file", "WARREN_AMQP_CA_FILE"),
    certificate: await pem("amqp_certificate_file", "WARREN_AMQP_CERTIFICATE_FILE"),
    key: await pem("amqp_key_file", "WARREN_AMQP_KEY_FILE"),
  };
  const keyFile = near(text("private_key_file"));
  const key =
    text("private_key") ??
    (keyFile === undefined ? environment["WARREN_PRIVATE_KEY"] : await contentOf(keyFile));
  const signer = given.signer ?? (key === undefined ? undefined : await privateKeySigner(key));
  if (signer === undefined) {
    throw new SettingsError(
      `${path}: no private key: set private_key_file under [client], or WARREN_PRIVATE_KEY`,
    );
  }
  const seconds = client["timeout_s"];
  const liars = client["liars"];
  return {
    amqpUrl,
    tls,
    clientId: text("client_id") ?? null,
    signer,
    coordinators: list(file["coordinators"]).map((pin) => coordinator(pin, path)),
    parties: Object.fromEntries(
      list(file["parties"]).map((party) => [
        words(party["party_id"], path, "party_id") ?? "",
        words(party["public_key"], path, "public_key") ?? "",
      ]),
    ),
    timeoutMs: typeof seconds === "number" ? 1000 * seconds : undefined,
    liars: typeof liars === "number" ? liars : null,
  };
}

function coordinator(pin: Table, path: string): CoordinatorPin {
  const time = (name: string): Date | undefined => {
    const found = pin[name];
    if (found === undefined || found instanceof Date) return found;
    throw new SettingsError(`${path}: coordinators: ${name} is no time with its zone`);
  };
  return {
    publicKey: words(pin["public_key"], path, "public_key") ?? "",
    validFrom: time("valid_from"),
    validUntil: time("valid_until"),
  };
}

async function tables(path: string): Promise<Table> {
  try {
    return parseToml(await contentOf(path));
  } catch (error) {
    if (error instanceof SyntaxError) throw new SettingsError(`${path}: ${error.message}`);
    throw error;
  }
}

async function contentOf(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw new SettingsError(`${path}: ${(error as { code?: string }).code ?? "cannot be read"}`);
  }
}

function table(value: Value | undefined, path: string, name: string): Table {
  if (typeof value === "object" && !Array.isArray(value) && !(value instanceof Date)) return value;
  throw new SettingsError(`${path}: no [${name}]`);
}

function list(value: Value | undefined): Table[] {
  return Array.isArray(value) ? value : [];
}

function words(value: Value | undefined, path: string, name: string): string | undefined {
  if (value === undefined || typeof value === "string") return value;
  throw new SettingsError(`${path}: ${name} is no text`);
}
