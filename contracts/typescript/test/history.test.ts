/** A key's epochs, and who has said that its shares are deleted: what is asked, what is believed. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { WarrenClient } from "../src/client.js";
import { DeadlineError, DisbelievedError, RequestFailedError } from "../src/errors.js";
import type { Retirement } from "../src/generated/messages.js";
import type { RequestOf } from "../src/requests.js";
import type { KeyWish } from "../src/warren.js";
import { Office, type Answer } from "./office.js";

const KEY: KeyWish = { keyId: "k1", curve: "ed25519", threshold: 2, partyCount: 3 };
const SESSION = "05".repeat(32);

/** 2 of p1, p2, p3; then 2 of p2, p3, p4 in epoch 1; then in epoch 4 all three of them. */
async function withEpochs(): Promise<{ office: Office; client: WarrenClient }> {
  const office = await Office.opened();
  const client = await office.connect({ timeoutMs: 10_000, queryTimeoutMs: 10_000 });
  await client.createKey(KEY);
  await client.reshare({ keyId: "k1", parties: ["p2", "p3", "p4"] });
  await client.reshare({ keyId: "k1", threshold: 3, firstEpoch: 4 });
  office.published.length = 0;
  office.settled.length = 0;
  return { office, client };
}

function asked(office: Office): RequestOf<"query_key_history">[] {
  return office.published.map(({ request }) => request).filter((each) => each.operation === "query_key_history");
}

/** The history is told so. */
function tells(office: Office, changes: Answer): void {
  office.rule = (signed) => office.answer(signed, changes);
}

describe("a history", () => {
  test("has a key's epochs, the newest first, and who has told what", async () => {
    const { office, client } = await withEpochs();
    const said = await office.retirement("p1", 1, { backed_up_at: 5 });
    tells(office, { epochs: office.viewsOf("k1", [await office.retirement("p4", 4)], [said]) });
    const history = await client.history("k1");
    assert.deepEqual([history.keyId, history.facts], ["k1", office.keyOf("k1").facts]);
    const shown = history.successions.map((each) => [each.number, each.from, each.stillToDelete, each.deleters]);
    assert.deepEqual(shown, [
      [4, 1, ["p2", "p3"], 2],
      [1, 0, ["p2", "p3"], 2],
    ]);
    const [newest, older] = history.successions;
    assert.deepEqual(newest?.before, older?.facts);
    assert.ok((newest?.signsFrom?.getTime() ?? 0) > (newest?.madeAt?.getTime() ?? Infinity));
    const [word] = older?.retired ?? [];
    assert.deepEqual(word, {
      partyId: "p1",
      below: 1,
      retiredAt: new Date(7),
      backedUpAt: new Date(5),
      signed: said,
    });
    assert.deepEqual(newest?.retired.map(({ partyId, backedUpAt }) => [partyId, backedUpAt]), [["p4", null]]);
    assert.deepEqual(asked(office).map(({ key_id, before }) => [key_id, before]), [["k1", null]]);
  });

  test("of a key with its first shares has no successions", async () => {
    const office = await Office.opened();
    const client = await office.connect();
    const key = await client.createKey(KEY);
    assert.deepEqual(await client.history("k1"), { keyId: "k1", facts: key.certified.facts, successions: [] });
  });

  test("comes in pages", async () => {
    const { office, client } = await withEpochs();
    const whole = await client.history("k1");
    office.published.length = 0;
    office.epochsOnPage = 1;
    assert.deepEqual(await client.history("k1"), whole);
    assert.deepEqual(asked(office).map(({ before }) => before), [null, 4, 1]);
  });

  test("of anybody's key is asked for by its session", async () => {
    const { office, client } = await withEpochs();
    const history = await client.history({ keySession: SESSION });
    assert.equal(history.successions.length, 2);
    assert.deepEqual(asked(office).map(({ key_id, key_session }) => [key_id, key_session]), [[null, SESSION]]);
  });

  test("of a key that nobody knows says so", async () => {
    const { office, client } = await withEpochs();
    office.rule = (signed) => office.fail(signed, "unknown_key");
    await assert.rejects(client.history("k9"), (error: RequestFailedError) => {
      assert.deepEqual([error.code, error.retryable], ["unknown_key", false]);
      return error instanceof RequestFailedError;
    });
  });

  test("of a key whose name none can have is not asked for", async () => {
    const { office, client } = await withEpochs();
    await assert.rejects(client.history("k.1"), TypeError);
    await assert.rejects(client.history({ keySession: "05" }), TypeError);
    assert.deepEqual(office.published, []);
  });
});

describe("a word", () => {
  const FORGED: Readonly<Record<string, (office: Office) => Promise<Retirement>>> = {
    "that is invented": (office) => office.retirement("p1", 1, {}, office.client),
    "of another party in its name": (office) => office.retirement("p1", 1, {}, office.parties.get("p2")),
    "that was changed": async (office) => ({ ...(await office.retirement("p1", 1)), retired_at: 8 }),
    "under another's name": async (office) => ({ ...(await office.retirement("p1", 1)), party_id: "p2" }),
    "of another key": (office) => office.retirement("p1", 1, { key_session: "0c".repeat(32) }),
    "of one who held no share": (office) => office.retirement("p4", 1),
  };

  for (const [what, forged] of Object.entries(FORGED)) {
    test(`${what} counts as not told`, async () => {
      const { office, client } = await withEpochs();
      const words = [await forged(office), await office.retirement("p3", 1)];
      tells(office, { epochs: office.viewsOf("k1", [], words) });
      const [, older] = (await client.history("k1")).successions;
      assert.ok(older);
      assert.deepEqual(older.retired.map(({ partyId }) => partyId), ["p3"]);
      assert.deepEqual(older.stillToDelete, ["p1", "p2"]);
    });
  }

  test("on an earlier epoch is none on a later one", async () => {
    const { office, client } = await withEpochs();
    const words = [await office.retirement("p2", 3), await office.retirement("p3", 4)];
    tells(office, { epochs: office.viewsOf("k1", words) });
    const [newest] = (await client.history("k1")).successions;
    assert.deepEqual(newest?.stillToDelete, ["p2", "p4"]);
  });
});

describe("what does not lead to the key", () => {
  const LIES: Readonly<Record<string, [(office: Office) => Answer, RegExp]>> = {
    "without the newest epoch": [(office) => ({ epochs: office.viewsOf("k1").slice(1) }), /newest epoch is not/],
    "without one between": [
      (office) => ({ epochs: office.viewsOf("k1").filter(({ facts }) => facts.epoch !== 1) }),
      /epoch 4 was not made from what is told of 0/,
    ],
    "without the first": [(office) => ({ epochs: office.viewsOf("k1").slice(0, 2) }), /ends before the first/],
    "with more behind it": [() => ({ more: true }), /goes on behind it/],
    "without certificates": [
      (office) => ({ key: { ...office.keyOf("k1"), certificates: {} } }),
      /no certificate of party p2/,
    ],
    "without its key": [() => ({ key: null }), /has no key/],
  };

  for (const [lie, [changes, reason]] of Object.entries(LIES)) {
    test(`${lie} is not handed out`, async () => {
      const { office } = await withEpochs();
      const client = await office.connect({ queryTimeoutMs: 400 });
      tells(office, changes(office));
      await assert.rejects(client.history("k1"), (error: DeadlineError) => {
        assert.match(error.message, reason);
        return error instanceof DeadlineError;
      });
      assert.equal(office.settled.at(-1), "rejected");
    });
  }

  test("is refused where pages do not fit together", async () => {
    const { office, client } = await withEpochs();
    office.epochsOnPage = 1;
    for (const [epochs, reason] of [
      [office.viewsOf("k1").slice(2), /epoch 4 was not made from what is told of 0/],
      [[], /the history ends behind epoch 4/],
    ] as const) {
      office.rule = (signed) =>
        office.answer(signed, "before" in signed.request && signed.request.before != null ? { epochs, more: false } : {});
      await assert.rejects(client.history("k1"), (error: DisbelievedError) => {
        assert.match(error.message, reason);
        return error instanceof DisbelievedError;
      });
    }
  });
});
