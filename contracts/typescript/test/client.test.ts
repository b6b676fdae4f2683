/** The client over AMQP, with a post office in memory: what becomes of requests and results. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { inspect } from "node:util";

import { utf8 } from "../src/bytes.js";
import type { WarrenClient } from "../src/client.js";
import {
  AbortedError,
  ClockError,
  ClosedError,
  DeadlineError,
  RequestFailedError,
  WarrenError,
} from "../src/errors.js";
import type { Key } from "../src/outcomes.js";
import type { SignedRequest } from "../src/requests.js";
import type { KeyWish, SignWish } from "../src/warren.js";
import { Office } from "./office.js";

const KEY: KeyWish = { keyId: "k1", curve: "ed25519", threshold: 2, partyCount: 3 };
const SIGN: SignWish = { keyId: "k1", scheme: "ed25519", message: utf8("message") };

async function withKey(more = {}): Promise<{ office: Office; client: WarrenClient; key: Key }> {
  const office = await Office.opened();
  const client = await office.connect(more);
  const key = await client.createKey(KEY);
  office.published.length = 0;
  office.settled.length = 0;
  return { office, client, key };
}

async function thrown(made: Promise<unknown>): Promise<WarrenError> {
  try {
    await made;
  } catch (error) {
    assert.ok(error instanceof WarrenError, String(error));
    return error;
  }
  throw new assert.AssertionError({ message: "nothing was thrown" });
}

async function soon(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 20));
}

/** On a busy machine everything takes its time. */
async function until(so: () => boolean): Promise<void> {
  for (let tries = 0; tries < 500 && !so(); tries += 1) await soon();
  assert.ok(so());
}

describe("a client", () => {
  test("makes a key and signs with it", async () => {
    const { client, key, office } = await withKey();
    const made = await client.sign(SIGN);
    assert.deepEqual(made.publicKey, key.publicKey);
    assert.deepEqual(made.message, SIGN.message);
    assert.deepEqual(office.settled, ["acked"]);
    await client.close();
  });

  test("asks for the key that it does not know", async () => {
    const { office } = await withKey();
    const other = await office.connect();
    await other.sign(SIGN);
    assert.deepEqual(office.published.map(({ request }) => request.operation), ["sign", "query_keys"]);
  });

  test("has an id or none", async () => {
    const office = await Office.opened();
    const legacy = await office.connect({ clientId: undefined });
    await legacy.createKey(KEY);
    const [asked] = office.published;
    assert.equal(asked?.request.client_id, null);
    assert.equal(asked.request.reply_to, "mpc.mpc_keygen_result.k1");
  });

  test("asks for tenants, each of whom has keys of their own", async () => {
    const { client, office } = await withKey();
    const made = await client.actingFor("alice").createKey({ ...KEY, keyId: "k2" });
    assert.equal(made.certified.facts.tenant, "alice");
    const [asked] = office.published;
    assert.equal(asked?.request.tenant, "alice");
  });

  test("shows no secret", async () => {
    const { client } = await withKey();
    const shown = inspect(client, { depth: 20, showHidden: true }) + JSON.stringify(client);
    assert.doesNotMatch(shown, /secret-of-the-test|amqp:/);
  });
});

describe("a request", () => {
  test("is published again, in the same bytes, when its confirm is lost", async () => {
    const { client, office } = await withKey();
    office.confirm = (tries) => (tries < 3 ? Office.lost() : undefined);
    office.rule = (signed, tries) => (tries === 3 ? office.answer(signed) : undefined);
    await client.sign(SIGN);
    assert.equal(office.published.length, 3);
    assert.equal(new Set(office.published.map(({ digest }) => digest)).size, 1);
  });

  test("is published again, in the same bytes, when its result stays away", async () => {
    const { client, office } = await withKey({ askAgainMs: 30 });
    office.rule = (signed, tries) => (tries === 3 ? office.answer(signed) : undefined);
    await client.sign(SIGN);
    assert.equal(new Set(office.published.map(({ digest }) => digest)).size, 1);
    assert.ok(office.published.length >= 3);
  });

  test("that is refused for now is made anew under the same id", async () => {
    const { client, office } = await withKey();
    let first: SignedRequest | null = null;
    office.rule = (signed) => {
      if (first !== null) return office.answer(signed);
      first = signed;
      return office.fail(signed, "overloaded", { retry_after_ms: 10 });
    };
    await client.sign(SIGN);
    const [one, other] = office.published;
    assert.equal(one?.request.request_id, other?.request.request_id);
    assert.notEqual(one?.digest, other?.digest);
    assert.equal(one?.request.expires_at, other?.request.expires_at);
  });

  test("that failed says why, and what it means", async () => {
    const { client, office } = await withKey();
    office.rule = (signed) => office.fail(signed, "party_fault", { culprits: ["p2"] });
    const error = await thrown(client.sign(SIGN));
    assert.ok(error instanceof RequestFailedError);
    assert.deepEqual(error.culprits, ["p2"]);
    assert.deepEqual(
      [error.code, error.retryable, error.final, error.signatureMayExist],
      ["party_fault", false, false, true],
    );
  });

  test("that is called expired before its time tells of the clock", async () => {
    const { client, office } = await withKey();
    office.rule = async (signed) => {
      const failure = { code: "expired", message: "late", retryable: true };
      const told = await office.answerTo(signed);
      await office.deliver({ ...told, status: "expired", session_id: null, failure, ...nothing });
    };
    const error = await thrown(client.sign(SIGN));
    assert.ok(error instanceof ClockError);
    assert.deepEqual([error.code, error.retryable], ["clock", false]);
    assert.ok(error.behindMs > 50_000);
  });

  test("without a result ends at its deadline", async () => {
    const { client, office } = await withKey();
    office.rule = () => undefined;
    const error = await thrown(client.sign({ ...SIGN, timeoutMs: 50 }));
    assert.ok(error instanceof DeadlineError);
    assert.deepEqual([error.code, error.signatureMayExist], ["deadline", true]);
  });

  test("that never left proves that no signature exists", async () => {
    const { client, office } = await withKey();
    office.publish = () => new Promise(() => undefined);
    const error = await thrown(client.sign({ ...SIGN, timeoutMs: 50 }));
    assert.deepEqual([error.code, error.signatureMayExist], ["deadline", false]);
  });

  test("is waited for until its signal", async () => {
    const { client, office } = await withKey();
    office.rule = () => undefined;
    const controller = new AbortController();
    const made = thrown(client.sign({ ...SIGN, signal: controller.signal, requestId: "r7" }));
    await until(() => office.published.length > 0);
    controller.abort();
    const error = await made;
    assert.ok(error instanceof AbortedError);
    assert.deepEqual([error.code, error.signatureMayExist, error.requestId], ["aborted", true, "r7"]);
  });

  test("ends with its client", async () => {
    const { client, office } = await withKey();
    office.rule = () => undefined;
    const made = thrown(client.sign(SIGN));
    await until(() => office.published.length > 0);
    await client.close();
    assert.ok((await made) instanceof ClosedError);
    assert.equal((await thrown(client.sign(SIGN))).code, "closed");
  });

  test("that no request can be is refused before it is sent", async () => {
    const { client, office } = await withKey();
    for (const wrong of [
      client.createKey({ ...KEY, threshold: 4 }),
      client.createKey({ ...KEY, keyId: "a.b" }),
      client.createKey({ ...KEY, schemes: ["ecdsa"] }),
      client.sign({ ...SIGN, message: new Uint8Array() }),
      client.sign({ ...SIGN, scheme: "ecdsa" }),
      client.sign({ ...SIGN, derivationPath: "m/0" }),
      client.sign({ ...SIGN, timeoutMs: 600_001 }),
    ]) {
      await assert.rejects(wrong, TypeError);
    }
    assert.equal(office.published.length, 0);
  });

  test("can be kept, and submitted again by whoever has its bytes", async () => {
    const { client, office } = await withKey();
    const kept = await client.prepare("sign", { key_id: "k1", scheme: "ed25519", message: "00" });
    const first = await client.submit(kept);
    const again = await client.submit(kept);
    assert.equal(first.status, "completed");
    assert.deepEqual(again, { ...first, finished_at: again.finished_at });
    assert.equal(office.published.length, 2);
  });
});

describe("results", () => {
  test("that come twice, and in another order, reach whom they are for", async () => {
    const { client, office } = await withKey();
    const held: SignedRequest[] = [];
    office.rule = async (signed) => {
      held.push(signed);
      if (held.length < 8) return;
      for (const each of held.reverse()) {
        const told = await office.answerTo(each);
        await office.deliver(told);
        await office.deliver(told);
      }
    };
    const messages = Array.from({ length: 8 }, (_, at) => utf8(`message ${at}`));
    const made = await Promise.all(messages.map((message) => client.sign({ ...SIGN, message })));
    assert.deepEqual(made.map(({ message }) => message), messages);
    await until(() => office.settled.length === 16);
    assert.deepEqual(office.settled, Array.from({ length: 16 }, () => "acked"));
  });

  test("of a lying coordinator are refused, and the true one is handed out", async () => {
    const { client, office } = await withKey();
    office.rule = async (signed) => {
      // Signers that are not the key's may be those of a later epoch: the key is asked for again.
      if (signed.request.operation !== "sign") return office.answer(signed);
      await office.answer(signed, { signature: "00".repeat(64) });
      await office.answer(signed, { message: "00" });
      await office.answer(signed, { signers: ["p1"] });
      await office.answer(signed);
    };
    await client.sign(SIGN);
    await until(() => office.settled.length === 5);
    assert.deepEqual(office.settled.sort(), ["acked", "acked", "rejected", "rejected", "rejected"]);
  });

  test("of a coordinator that only lies say at the deadline why they were refused", async () => {
    const { client, office } = await withKey();
    office.rule = (signed) => office.answer(signed, { public_key: "00".repeat(32) });
    const error = await thrown(client.sign({ ...SIGN, timeoutMs: 1_500 }));
    assert.ok(error instanceof DeadlineError);
    assert.equal(error.rejected.length, 1);
    assert.match(error.message, /public_key is not what was asked for/);
  });

  test("that somebody else signed change nothing, and are counted", async () => {
    const { client, office } = await withKey();
    office.rule = async (signed) => {
      await office.deliver(await office.answerTo(signed), office.client);
      await office.deliver({ any: "thing" }, office.coordinator, { signature: "AAAA" });
      await office.answer(signed);
    };
    await client.sign(SIGN);
    await until(() => client.disbelieved.size === 2);
    assert.deepEqual(Object.fromEntries(client.disbelieved), { wrong_signature: 1, unsigned: 1 });
  });

  test("that nobody waits for are given back where others consume the queue", async () => {
    const { client, office } = await withKey();
    office.rule = () => undefined;
    office.consumers = 2;
    const other = await client.prepare("sign", { key_id: "k1", scheme: "ed25519", message: "00" });
    await office.answer(other);
    await until(() => office.settled.length > 0);
    assert.deepEqual(office.settled, ["returned"]);
  });

  test("that nobody waits for are held by who is alone, until somebody reads them", async () => {
    const { client, office } = await withKey();
    const other = await client.prepare("sign", { key_id: "k1", scheme: "ed25519", message: "00" });
    await office.answer(other);
    await soon();
    assert.deepEqual(office.settled, []);
    for await (const result of client.results()) {
      assert.equal(result.request_id, other.request.request_id);
      assert.deepEqual(office.settled, []);
      await client.close();
    }
    assert.deepEqual(office.settled, ["acked"]);
  });

  test("that a reader leaves go back", async () => {
    const { client, office } = await withKey();
    const other = await client.prepare("sign", { key_id: "k1", scheme: "ed25519", message: "00" });
    await office.answer(other);
    for await (const result of client.results()) {
      assert.equal(result.status, "completed");
      break;
    }
    assert.deepEqual(office.settled, ["returned"]);
  });
});

test("a cancel without statements is not final", async () => {
  const { client, office } = await withKey();
  office.rule = (signed) =>
    signed.request.operation === "sign" ? undefined : office.answer(signed);
  const made = thrown(client.sign({ ...SIGN, requestId: "r9", timeoutMs: 200 }));
  const settlement = await client.cancel({ requestId: "r9" });
  assert.deepEqual([settlement.final, settlement.signatureMayExist], [false, true]);
  assert.equal(settlement.liarsTolerated, -2);
  await made;
});

/** What a failed result does not have. */
const nothing = {
  scheme: null,
  message: null,
  public_key: null,
  signature: null,
  signers: [],
};
