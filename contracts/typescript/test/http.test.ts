/** The client over HTTP, with a gateway in memory. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";

import { toBase64, toHex, utf8 } from "../src/bytes.js";
import { DisbelievedError, RequestFailedError, UnavailableError } from "../src/errors.js";
import type { CertifiedKey, EpochBundle, Readiness } from "../src/generated/messages.js";
import { GatewayError, WarrenHttpClient, type HttpSettings } from "../src/http/client.js";
import { makeRequest, signRequest, type SignedRequest } from "../src/requests.js";
import { Office } from "./office.js";

const SESSION = "05".repeat(32);
const WISH = { curve: "ed25519", threshold: 2, partyCount: 3 } as const;

type Route = (path: string, init: RequestInit, calls: number) => Response | Promise<Response>;

interface Desk {
  readonly client: WarrenHttpClient;
  readonly calls: { readonly path: string; readonly init: RequestInit }[];
  readonly key: CertifiedKey;
  readonly signature: Readonly<Record<string, unknown>>;
  /** The result of a reshare that the gateway asks for in these words. */
  readonly reshared: (wish?: object) => Promise<Readonly<Record<string, unknown>>>;
  /** The same of a rehearsal, for which all are ready. */
  readonly rehearsed: (wish?: object) => Promise<Readonly<Record<string, unknown>>>;
}

async function desk(route: (desk: Desk) => Route, more: Partial<HttpSettings> = {}): Promise<Desk> {
  const office = await Office.opened();
  const ask = async (operation: "keygen" | "rehearse" | "reshare" | "sign", wish: object): Promise<SignedRequest> => {
    const owner = { clientId: "gateway", tenant: "shop" };
    const by = { owner, signer: office.client.publicKey, now: Date.now(), lifetimeMs: 1000 };
    return signRequest(makeRequest(operation, wish as never, by), office.client);
  };
  const asked = { key_id: "k1", curve: "ed25519", threshold: 2, party_count: 3 };
  const { key } = (await office.answerTo(await ask("keygen", asked))) as { key: CertifiedKey };
  const message = toHex(utf8("message"));
  const made = await office.answerTo(await ask("sign", { key_id: "k1", scheme: "ed25519", message }));
  const { public_key, signature, signers } = made;
  const calls: { path: string; init: RequestInit }[] = [];
  const client = new WarrenHttpClient({
    url: "http://gateway.example/behind",
    apiKey: "warren_secret",
    owner: { clientId: "gateway", tenant: "shop" },
    parties: Object.fromEntries([...office.parties].map(([name, each]) => [name, each.publicKey])),
    fetch: (async (input: URL, init: RequestInit) => {
      calls.push({ path: input.pathname + input.search, init });
      return answer(input.pathname.replace("/behind", ""), init, calls.length);
    }) as typeof fetch,
    ...more,
  });
  const shown = { key_id: "k1", scheme: "ed25519", message_hash: message, public_key, signature, signers };
  const { public_key: named, holders } = key.facts;
  const parties = holders.map(({ party_id }) => party_id);
  const usual = { key_id: "k1", public_key: named, from_epoch: 0, first_epoch: 1, threshold: 2, parties };
  const reshared = async (wish: object = {}): Promise<Record<string, unknown>> => {
    const bundle = await office.bundled(await ask("reshare", { ...usual, ...wish }), key);
    return { certified_key: bundle.key, bundle, signs_from: "2027-01-01T00:00:00.000Z" };
  };
  const rehearsed = async (wish: object = {}): Promise<Record<string, unknown>> => {
    const asked = await ask("rehearse", { ...usual, tries: 3, ...wish });
    const { answers } = (await office.rehearsedBy(asked, key)) as { answers: unknown };
    return { ready: true, request: toBase64(asked.body), answers };
  };
  const whole: Desk = { client, calls, key, signature: shown, reshared, rehearsed };
  const answer = route(whole);
  return whole;
}

function json(told: object, status = 200, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify(told), { status, headers });
}

function session(type: "keygen" | "reshare" | "sign", result: object, status = "completed"): Response {
  return json({ session_id: SESSION, session_type: type, status, result });
}

/** Of a desk where all is well. */
const good = ({ key, signature }: Desk): Route => (path) => {
  if (path.endsWith("/keygen")) return session("keygen", { certified_key: key });
  if (path.endsWith("/sign")) return session("sign", signature);
  return json({ certified_key: key });
};

test("a key and a signature are verified before they are handed out", async () => {
  const { client, calls } = await desk(good);
  const key = await client.createKey(WISH);
  assert.equal(key.keyId, "k1");
  const made = await client.sign({ keyId: "k1", scheme: "ed25519", message: utf8("message") });
  assert.deepEqual(made.publicKey, key.publicKey);
  assert.match(calls[0]?.path ?? "", /^\/behind\/api\/v1\/mpc\/keygen/);
  const headers = calls[1]?.init.headers as Record<string, string>;
  assert.equal(headers["X-API-Key"], "warren_secret");
  assert.match(headers["Idempotency-Key"] ?? "", /^[0-9a-f]{32}$/);
});

test("what is begun tells its parties, whichever way the gateway does", async () => {
  const begun = { session_id: SESSION, status: "waiting" };
  for (const told of [
    { join_tokens: { p1: "aa", p2: "bb" } },
    { parties: ["p1", "p2"] },
    { session_type: "keygen", participants: [{ party_id: "p1" }, { party_id: "p2" }] },
  ]) {
    const { client } = await desk(() => () => json({ ...begun, ...told }, 201));
    assert.deepEqual((await client.beginKey(WISH)).parties, ["p1", "p2"]);
  }
  const { client } = await desk(() => () => json(begun, 201));
  assert.deepEqual((await client.beginKey(WISH)).parties, []);
});

test("what does not verify is not handed out", async () => {
  for (const change of [
    { signature: "00".repeat(64) },
    { message_hash: "00" },
    { key_id: "k2" },
    { scheme: "ecdsa" },
    { public_key: "00".repeat(32) },
  ]) {
    const { client } = await desk((one) => (path, ...more) =>
      path.endsWith("/sign") ? session("sign", { ...one.signature, ...change }) : good(one)(path, ...more),
    );
    await assert.rejects(
      client.sign({ keyId: "k1", scheme: "ed25519", message: utf8("message") }),
      DisbelievedError,
    );
  }
});

test("a key of somebody else, or other than asked for, is not handed out", async () => {
  const other = await desk(good, { owner: { clientId: "gateway", tenant: "another" } });
  await assert.rejects(other.client.createKey(WISH), DisbelievedError);
  const { client } = await desk(good);
  await assert.rejects(client.createKey({ ...WISH, threshold: 3 }), DisbelievedError);
  await assert.rejects(client.createKey({ ...WISH, keyId: "mine" }), TypeError);
});

const MOVED = { keyId: "k1", parties: ["p2", "p3", "p4"], threshold: 3 };
const ASKED = { parties: MOVED.parties, threshold: MOVED.threshold };

/** A desk whose reshare comes to this. */
async function resharing(made: (one: Desk) => object | Promise<object>): Promise<Desk> {
  return desk((one) => async (path, ...more) =>
    path.endsWith("/reshare") ? session("reshare", await made(one)) : good(one)(path, ...more),
  );
}

function bodyOf(told: Desk["calls"][number] | undefined): unknown {
  return JSON.parse(told?.init.body as string);
}

test("a reshare says what changes, and its epoch is proven", async () => {
  const { client, calls, key } = await resharing((one) => one.reshared(ASKED));
  const made = await client.reshare({ ...MOVED, requestId: "r1" });
  assert.deepEqual([made.number, made.from, made.dealers], [1, 0, ["p1", "p2"]]);
  assert.deepEqual([made.key.parties, made.key.threshold], [MOVED.parties, 3]);
  assert.equal(toHex(made.key.publicKey), key.facts.public_key);
  assert.equal(made.signsFrom.getUTCFullYear(), 2027);
  assert.match(calls[1]?.path ?? "", /^\/behind\/api\/v1\/mpc\/reshare/);
  assert.equal((calls[1]?.init.headers as Record<string, string>)["Idempotency-Key"], "r1");
  const participants = MOVED.parties.map((party_id) => ({ party_id }));
  assert.deepEqual(bodyOf(calls[1]), { key_id: "k1", participants, threshold_n: 3, threshold_t: 3 });
});

test("a refresh says that nothing does, and whose shares are dealt", async () => {
  const plain = await resharing((one) => one.reshared());
  assert.deepEqual((await plain.client.refresh({ keyId: "k1" })).key.parties, ["p1", "p2", "p3"]);
  assert.deepEqual(bodyOf(plain.calls[1]), { key_id: "k1" });
  const dealers = ["p1", "p3"];
  const named = await resharing((one) => one.reshared({ dealers, first_epoch: 3 }));
  const made = await named.client.refresh({ keyId: "k1", dealers, firstEpoch: 3, tries: 2 });
  assert.deepEqual([made.number, made.dealers], [3, dealers]);
  assert.deepEqual(bodyOf(named.calls[1]), { key_id: "k1", dealers, first_epoch: 3, tries: 2 });
});

test("an epoch other than asked for, or without proof, is not handed out", async () => {
  const lies: ((one: Desk) => object | Promise<object>)[] = [
    (one) => one.reshared({ ...ASKED, threshold: 2 }),
    (one) => one.reshared({ ...ASKED, parties: ["p1", "p2", "p3"] }),
    (one) => one.reshared({ ...ASKED, dealers: ["p1", "p3"] }),
    (one) => one.reshared({ ...ASKED, first_epoch: 1 }),
    (one) => one.reshared({ ...ASKED, first_epoch: 2, delete_after: "certified" }),
    (one) => ({ certified_key: one.key }),
    async (one) => ({ ...(await one.reshared({ ...ASKED, first_epoch: 2 })), signs_from: "soon" }),
    async (one) => spoilt(await one.reshared({ ...ASKED, first_epoch: 2 })),
  ];
  for (const lie of lies) {
    const { client } = await resharing(lie);
    const wish = { ...MOVED, dealers: ["p1", "p2"], firstEpoch: 2 };
    await assert.rejects(client.reshare(wish), DisbelievedError, lie.toString());
  }
  const { client } = await resharing((one) => one.reshared({ ...ASKED, first_epoch: 2 }));
  await client.reshare({ ...MOVED, dealers: ["p1", "p2"], firstEpoch: 2 });
});

test("an epoch says when the former shares go, as it was asked", async () => {
  const hurried = await resharing((one) => one.reshared({ delete_after: "certified" }));
  assert.equal((await hurried.client.refresh({ keyId: "k1", deleteAfter: "certified" })).number, 1);
  assert.deepEqual(bodyOf(hurried.calls[1]), { key_id: "k1", delete_after: "certified" });
  const slow = await resharing((one) => one.reshared());
  await assert.rejects(slow.client.refresh({ keyId: "k1", deleteAfter: "certified" }), /delete_after/);
});

/** The gateway answers a rehearsal with this. */
async function rehearsing(told: (one: Desk) => object | Promise<object>): Promise<Desk> {
  return desk((one) => async (path, ...more) =>
    path.endsWith("/reshare") ? json(await told(one)) : good(one)(path, ...more),
  );
}

test("a rehearsal begins nothing, and its answers are verified", async () => {
  const { client, calls } = await rehearsing((one) => one.rehearsed(ASKED));
  const found = await client.rehearse(MOVED);
  assert.deepEqual([found.ready, found.dealers, found.silent], [true, ["p1", "p2", "p3"], []]);
  assert.deepEqual([found.receivers, found.keyId, found.from], [MOVED.parties, "k1", 0]);
  const participants = MOVED.parties.map((party_id) => ({ party_id }));
  assert.deepEqual(bodyOf(calls[1]), { key_id: "k1", participants, threshold_n: 3, threshold_t: 3, dry_run: true });
});

test("a rehearsal of something else than was asked for is none", async () => {
  const lies: ((one: Desk) => object | Promise<object>)[] = [
    (one) => one.rehearsed({ ...ASKED, threshold: 2 }),
    (one) => one.rehearsed({ ...ASKED, parties: ["p1", "p2", "p3"] }),
    (one) => one.rehearsed({ ...ASKED, dealers: ["p1", "p2"] }),
    (one) => one.rehearsed({ ...ASKED, first_epoch: 2 }),
    (one) => one.rehearsed({ ...ASKED, tries: 2 }),
    (one) => one.rehearsed({ ...ASKED, key_id: "k2" }),
    (one) => one.reshared(ASKED),
    async (one) => ({ ...(await one.rehearsed(ASKED)), request: toBase64(utf8("{}")) }),
    async (one) => ({ ...(await one.rehearsed(ASKED)), request: undefined }),
    async (one) => ({ ...(await one.rehearsed(ASKED)), answers: [{}] }),
  ];
  for (const lie of lies) {
    const { client } = await rehearsing(lie);
    await assert.rejects(client.rehearse(MOVED), DisbelievedError, lie.toString());
  }
});

test("an answer that the gateway makes up is none", async () => {
  const { client } = await rehearsing(async (one) => {
    const told = (await one.rehearsed(ASKED)) as { answers: Readiness[] };
    return { ...told, answers: told.answers.map((each) => ({ ...each, at: 8 })) };
  });
  const found = await client.rehearse(MOVED);
  assert.deepEqual([found.ready, found.silent], [false, ["p1", "p2", "p3", "p4"]]);
});

test("an epoch that was there before is no answer", async () => {
  let first: Readonly<Record<string, unknown>> = {};
  const { client } = await desk((one) => async (path, ...more) => {
    if (path.endsWith("/reshare")) {
      first = first["bundle"] === undefined ? await one.reshared() : first;
      return session("reshare", first);
    }
    return first["bundle"] === undefined ? good(one)(path, ...more) : json(first);
  });
  await client.refresh({ keyId: "k1" });
  await assert.rejects(client.refresh({ keyId: "k1" }), /another one than we know/);
  // But it is to who asks once more for the same.
  const again = await client.refresh({ keyId: "k1", requestId: "r1" });
  assert.deepEqual([again.number, again.from], [1, 0]);
});

function spoilt(result: Readonly<Record<string, unknown>>): object {
  const { bundle } = result as { bundle: EpochBundle };
  const dealt = { ...bundle.dealt, p1: toBase64(new Uint8Array(64)) };
  return { ...result, bundle: { ...bundle, dealt } };
}

test("a reshare's session is told as such, and its failure in its own word", async () => {
  const { client } = await desk((one) => async () => session("reshare", await one.reshared()));
  const told = await client.session({ sessionId: SESSION });
  assert.deepEqual([told.operation, told.key?.certified.facts.epoch], ["reshare", 1]);
  const problem = { code: "stale_epoch", detail: "not yet", retryable: true };
  const stale = await desk((one) => (path, ...more) =>
    path.endsWith("/reshare") ? json(problem, 409) : good(one)(path, ...more),
  );
  await assert.rejects(stale.client.reshare(MOVED), { code: "stale_epoch", retryable: true });
});

test("a gateway that is away is asked again, the same", async () => {
  const away = [
    new TypeError("fetch failed"),
    json({ code: "no_answer", detail: "not yet", retryable: true }, 504),
    json({ code: "overloaded", detail: "later", retryable: true }, 503, { "Retry-After": "0" }),
  ];
  const { client, calls } = await desk((one) => (path, init, count) => {
    const trouble = path.endsWith("/sign") ? away[count - 1] : undefined;
    if (trouble instanceof Error) throw trouble;
    return trouble ?? good(one)(path, init, count);
  });
  await client.sign({ keyId: "k1", scheme: "ed25519", message: utf8("message") });
  const asked = calls.filter(({ path }) => path.endsWith("/sign"));
  assert.equal(asked.length, 4);
  const told = asked.map(({ init }) => JSON.stringify([init.headers, init.body]));
  assert.equal(new Set(told).size, 1);
});

test("a session that is not over is waited for", async () => {
  const { client, calls } = await desk((one) => (path, init, count) => {
    if (path.endsWith("/sign")) return session("sign", {}, "in_progress");
    if (path.includes("/sessions/")) {
      return count < 3 ? session("sign", {}, "in_progress") : session("sign", one.signature);
    }
    return good(one)(path, init, count);
  });
  await client.sign({ keyId: "k1", scheme: "ed25519", message: utf8("message") });
  assert.match(calls[1]?.path ?? "", /wait=\d+/);
});

test("a session that failed says why, and a problem what to do", async () => {
  const failure = { code: "party_fault", message: "so", retryable: true, culprits: ["p2"], silent: [] };
  const failed = await desk(() => () =>
    json({ session_id: SESSION, session_type: "sign", status: "failed", failure }),
  );
  const sign = { keyId: "k1", scheme: "ed25519", message: utf8("message") } as const;
  await assert.rejects(failed.client.sign(sign), (error: RequestFailedError) => {
    assert.deepEqual([error.code, error.retryable, error.culprits], ["party_fault", true, ["p2"]]);
    return error.signatureMayExist;
  });
  const problem = { code: "scope_missing", detail: "it may not sign", retryable: false, remedy: "ask" };
  const refused = await desk(() => () => json({ ...problem, signature_may_exist: false }, 403));
  await assert.rejects(refused.client.sign(sign), (error: GatewayError) => {
    assert.deepEqual([error.code, error.problem, error.status], ["http", "scope_missing", 403]);
    return !error.signatureMayExist && error.remedy === "ask";
  });
});

test("a gateway that stays away is told at the deadline, without a secret", async () => {
  const { client } = await desk(() => () => {
    throw new TypeError("fetch failed");
  });
  const sign = { keyId: "k1", scheme: "ed25519", message: utf8("message"), timeoutMs: 300 } as const;
  await assert.rejects(client.sign(sign), (error: UnavailableError) => {
    assert.ok(["unavailable", "deadline"].includes(error.code));
    return error.signatureMayExist && !/warren_secret/.test(inspect(error, { depth: 9 }));
  });
  assert.doesNotMatch(inspect(client, { depth: 9, showHidden: true }), /warren_secret/);
  assert.doesNotMatch(JSON.stringify(client), /warren_secret/);
});

test("events come back where their stream breaks, and end", async () => {
  const parts = [
    'id: 1.1\nevent: session\ndata: {"session_id": "x", "session_type": "sign",\ndata: "status": "waiting"}\n\n: quiet\n\n',
    'id: 1.2\nevent: end\ndata: {"session_id": "x", "session_type": "sign", "status": "expired"}\n\n',
  ];
  const { client, calls } = await desk(() => (_, __, count) => new Response(parts[count - 1]));
  const seen: string[] = [];
  for await (const { status } of client.events({ sessionId: SESSION })) seen.push(status);
  assert.deepEqual(seen, ["waiting", "expired"]);
  assert.equal((calls[1]?.init.headers as Record<string, string>)["Last-Event-ID"], "1.1");
});

test("an answer without end is not read to its end", async () => {
  const { client } = await desk(() => () => {
    const endless = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new Uint8Array(65_536).fill(32)),
    });
    return new Response(endless);
  });
  await assert.rejects(client.key("k1"), DisbelievedError);
});

test("its close ends what waits", async () => {
  const { client } = await desk(() => (_, init) =>
    new Promise<Response>((_, reject) => {
      init.signal?.addEventListener("abort", () => reject(new Error("aborted")));
    }),
  );
  const waiting = assert.rejects(client.key("k1"), { code: "closed" });
  await client.close();
  await waiting;
  await assert.rejects(client.key("k1"), { code: "closed" });
});
