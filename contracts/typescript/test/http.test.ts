/** The client over HTTP, with a gateway in memory. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";

import { toHex, utf8 } from "../src/bytes.js";
import { DisbelievedError, RequestFailedError, UnavailableError } from "../src/errors.js";
import type { CertifiedKey } from "../src/generated/messages.js";
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
}

async function desk(route: (desk: Desk) => Route, more: Partial<HttpSettings> = {}): Promise<Desk> {
  const office = await Office.opened();
  const ask = async (operation: "keygen" | "sign", wish: object): Promise<SignedRequest> => {
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
  const whole: Desk = { client, calls, key, signature: shown };
  const answer = route(whole);
  return whole;
}

function json(told: object, status = 200, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify(told), { status, headers });
}

function session(type: "keygen" | "sign", result: object, status = "completed"): Response {
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
