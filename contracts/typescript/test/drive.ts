/**
 * Does what it is told: a line of JSON in, `{id, call, with}`, and a line out, `{id, value}` or
 * `{id, error}`. So tests in Python drive the client against a real stack, and break it meanwhile.
 */

import { createInterface } from "node:readline";
import { inspect } from "node:util";

import { fromHex, toHex } from "../src/bytes.js";
import {
  loadSettings,
  WarrenClient,
  WarrenError,
  WarrenHttpClient,
  type Begun,
  type Epoch,
  type HttpSettings,
  type Key,
  type Session,
  type Signature,
  type SignedRequest,
  type Warren,
} from "../src/index.js";

type Words = Record<string, any>;

const clients = new Map<string, Warren>();
const begun = new Map<string, Begun<Signature>>();
const reshares = new Map<string, Begun<Epoch>>();
const prepared = new Map<string, SignedRequest>();
const aborting = new Map<string, AbortController>();
const warnings: string[] = [];

const CALLS: Readonly<Record<string, (words: Words) => Promise<unknown>>> = {
  async connect({ name, config, ...more }) {
    const settings = await loadSettings(config as string, { environment: {} });
    const warn = (sentence: string): number => warnings.push(sentence);
    clients.set(name, await WarrenClient.connect({ ...settings, ...more, warn }));
  },
  async connectHttp({ name, ...settings }) {
    clients.set(name, new WarrenHttpClient(settings as HttpSettings));
    return Promise.resolve();
  },
  async actFor({ name, client, tenant }) {
    clients.set(name, amqp(client).actingFor(tenant as string));
    return Promise.resolve();
  },
  async close({ client }) {
    await of(client).close();
  },
  async createKey({ client, ...wish }) {
    return keyShown(await of(client).createKey({ ...given(wish) } as never));
  },
  async reshare({ client, ...wish }) {
    return epochShown(await of(client).reshare(given(wish) as never));
  },
  async refresh({ client, ...wish }) {
    return epochShown(await of(client).refresh(given(wish) as never));
  },
  async sign({ client, ...wish }) {
    return signatureShown(await of(client).sign({ ...given(wish) } as never));
  },
  async signMany({ client, messages, ...wish }) {
    const made = (messages as string[]).map((message) =>
      of(client).sign({ ...given({ ...wish, message }) } as never),
    );
    return (await Promise.all(made)).map(signatureShown);
  },
  async signAll({ client, keyId, items }) {
    const wish = { keyId, items: (items as Words[]).map(given) };
    return (await amqp(client).signAll(wish as never)).map(signatureShown);
  },
  async begin({ client, ...wish }) {
    const made = await of(client).beginSignature({ ...given(wish) } as never);
    begun.set(made.requestId, made);
    return { requestId: made.requestId, sessionId: made.sessionId };
  },
  async result({ requestId }) {
    return signatureShown((await begun.get(requestId)?.result()) as Signature);
  },
  async beginReshare({ client, ...wish }) {
    const made = await of(client).beginReshare(given(wish) as never);
    reshares.set(made.requestId, made);
    const { requestId, sessionId, parties } = made;
    return { requestId, sessionId, parties };
  },
  async rehearse({ client, ...wish }) {
    return of(client).rehearse(wish as never);
  },
  async epoch({ requestId }) {
    return epochShown((await reshares.get(requestId)?.result()) as Epoch);
  },
  async history({ client, key }) {
    const { keyId, facts, successions } = await amqp(client).history(key as string);
    return { keyId, facts, successions };
  },
  async key({ client, keyId }) {
    return keyShown(await of(client).key(keyId as string));
  },
  async keys({ client }) {
    const found: string[] = [];
    for await (const key of amqp(client).keys()) found.push(key.keyId);
    return found;
  },
  async session({ client, ...name }) {
    return sessionShown(await of(client).session(name as never));
  },
  async events({ client, ...name }) {
    const seen: unknown[] = [];
    for await (const session of of(client).events(name as never)) seen.push(sessionShown(session));
    return seen;
  },
  async cancel({ client, requestId, sessionId, ...options }) {
    return of(client).cancel(sessionId === undefined ? { requestId } : { sessionId }, options);
  },
  async accounts({ client }) {
    const { entries } = await of(client).accounts();
    return entries.map(({ accountId, userId, key }) => ({ accountId, userId, proven: key !== null }));
  },
  async configure({ client, accountId, signers }) {
    await of(client).configureAccount(accountId as string, signers as string[] | null);
  },
  async prepare({ client, operation, wish, ...options }) {
    const signed = await amqp(client).prepare(operation as "sign", wish as never, options);
    prepared.set(signed.request.request_id, signed);
    return { requestId: signed.request.request_id, body: toHex(signed.body) };
  },
  async submit({ client, requestId }) {
    return amqp(client).submit(prepared.get(requestId) as SignedRequest);
  },
  async abort({ name }) {
    aborting.get(name)?.abort(new Error("enough"));
    return Promise.resolve();
  },
  async results({ client, count }) {
    const found: unknown[] = [];
    for await (const { request_id, status } of amqp(client).results()) {
      found.push({ requestId: request_id, status });
      if (found.length === count) break;
    }
    return found;
  },
  async state({ client }) {
    const { connected, blocked, disbelieved } = amqp(client);
    const shown = inspect(of(client), { depth: 20, showHidden: true }) + JSON.stringify(of(client));
    return Promise.resolve({ connected, blocked, disbelieved: Object.fromEntries(disbelieved), shown, warnings });
  },
  async heap() {
    (globalThis as { gc?: () => void }).gc?.();
    return Promise.resolve(process.memoryUsage().heapUsed);
  },
};

function of(name: unknown): Warren {
  const client = clients.get(name as string);
  if (client === undefined) throw new TypeError(`no client ${String(name)}`);
  return client;
}

function amqp(name: unknown): WarrenClient {
  const client = of(name);
  if (!(client instanceof WarrenClient)) throw new TypeError("that one speaks HTTP");
  return client;
}

function given({ message, taprootMerkleRoot, abortBy, ...wish }: Words): Words {
  const made: Words = { ...wish };
  if (message !== undefined) made["message"] = fromHex(message as string);
  if (taprootMerkleRoot !== undefined) made["taprootMerkleRoot"] = fromHex(taprootMerkleRoot as string);
  if (abortBy !== undefined) {
    const controller = new AbortController();
    aborting.set(abortBy as string, controller);
    made["signal"] = controller.signal;
  }
  return made;
}

function keyShown({ keyId, curve, publicKey, parties, certified }: Key): unknown {
  return { keyId, curve, publicKey: toHex(publicKey), parties, certified };
}

function epochShown({ key, number, from, dealers, signsFrom, bundle }: Epoch): unknown {
  return { key: keyShown(key), number, from, dealers, signsFrom: signsFrom.getTime(), bundle };
}

function signatureShown(made: Signature): unknown {
  const { keyId, scheme, message, publicKey, signature, ecdsa, derivationPath, signers } = made;
  return {
    keyId,
    scheme,
    message: toHex(message),
    publicKey: toHex(publicKey),
    signature: toHex(signature),
    der: ecdsa === null ? null : toHex(ecdsa.der),
    derivationPath,
    signers,
  };
}

function sessionShown({ sessionId, status, over, key, signatures, events }: Session): unknown {
  return { sessionId, status, over, key: key?.keyId ?? null, signatures: signatures.map(signatureShown), events: events.length };
}

function errorShown(error: unknown): unknown {
  const told = { name: (error as Error).name, message: (error as Error).message };
  if (!(error instanceof WarrenError)) return told;
  const { code, retryable, final, signatureMayExist, requestId } = error;
  return { ...told, code, retryable, final, signatureMayExist, requestId, shown: inspect(error, { depth: 20 }) };
}

async function serve(line: string): Promise<void> {
  const { id, call, with: words } = JSON.parse(line) as { id: number; call: string; with: Words };
  let answer: unknown;
  try {
    const known = CALLS[call];
    if (known === undefined) throw new TypeError(`no call ${call}`);
    answer = { id, value: (await known(words)) ?? null };
  } catch (error) {
    answer = { id, error: errorShown(error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}

const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => void serve(line));
lines.on("close", () => {
  void Promise.all([...clients.values()].map((client) => client.close())).then(() => process.exit());
});
