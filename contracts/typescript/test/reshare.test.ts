/** Other shares of a key: what is asked for over AMQP, and what is believed of the answer. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { toHex, utf8 } from "../src/bytes.js";
import type { WarrenClient } from "../src/client.js";
import { factsDigest } from "../src/epochs.js";
import { AbortedError, DeadlineError, RequestFailedError } from "../src/errors.js";
import type { CertifiedKey, EpochBundle, KeyFacts, Resharing } from "../src/generated/messages.js";
import type { Key } from "../src/outcomes.js";
import type { RequestOf, SignedRequest, Wish } from "../src/requests.js";
import type { KeyWish, ReshareWish, SignWish } from "../src/warren.js";
import { Office, type Rule } from "./office.js";

const KEY: KeyWish = { keyId: "k1", curve: "ed25519", threshold: 2, partyCount: 3 };
const SIGN: SignWish = { keyId: "k1", scheme: "ed25519", message: utf8("message") };
const MOVED: ReshareWish = { keyId: "k1", parties: ["p2", "p3", "p4"] };
const SESSION = "05".repeat(32);
const OTHER = "08".repeat(32);

interface Made {
  readonly office: Office;
  readonly client: WarrenClient;
  readonly key: Key;
}

async function withKey(): Promise<Made> {
  const office = await Office.opened();
  const client = await office.connect({ timeoutMs: 10_000 });
  const key = await client.createKey(KEY);
  office.published.length = 0;
  office.settled.length = 0;
  return { office, client, key };
}

/** What there is to say of new shares for the same parties. */
function same({ publicKey, threshold, parties }: Key): Wish<"reshare"> {
  const public_key = toHex(publicKey);
  return { key_id: "k1", public_key, from_epoch: 0, first_epoch: 1, threshold, parties };
}

/** The one request for other shares that was sent. */
function asked(office: Office): RequestOf<"reshare"> {
  const found = office.published.map(({ request }) => request).filter((each) => each.operation === "reshare");
  assert.equal(found.length, 1);
  return found[0] as RequestOf<"reshare">;
}

function sent(office: Office): string[] {
  return office.published.map(({ request }) => request.operation);
}

describe("a reshare", () => {
  test("is of the epoch that signs, for the same parties and threshold unless others are named", async () => {
    const { office, client, key } = await withKey();
    const made = await client.refresh({ keyId: "k1" });
    const request = asked(office);
    assert.deepEqual(
      [request.key_id, request.public_key, request.threshold, request.parties, request.dealers],
      ["k1", toHex(key.publicKey), 2, ["p1", "p2", "p3"], null],
    );
    assert.deepEqual([request.from_epoch, request.first_epoch, request.tries], [0, 1, 3]);
    assert.deepEqual([made.number, made.from, made.dealers], [1, 0, ["p1", "p2"]]);
    assert.deepEqual([made.key.publicKey, made.key.parties], [key.publicKey, key.parties]);
    assert.ok(made.signsFrom.getTime() > Date.now());
    assert.equal(made.bundle.predecessor.facts.epoch, 0);
  });

  test("names whom and how many the caller says, and what it takes to make them", async () => {
    const { office, client } = await withKey();
    const wish = { ...MOVED, threshold: 3, dealers: ["p1", "p3"], firstEpoch: 4, tries: 2 };
    const made = await client.reshare({ ...wish, timeoutMs: 9_000, requestId: "r1" });
    const request = asked(office);
    assert.deepEqual([request.parties, request.threshold], [["p2", "p3", "p4"], 3]);
    assert.deepEqual([request.dealers, request.first_epoch, request.tries], [["p1", "p3"], 4, 2]);
    assert.deepEqual([request.request_id, request.expires_at - request.issued_at], ["r1", 9_000]);
    assert.deepEqual([made.number, made.dealers], [4, ["p1", "p3"]]);
    assert.deepEqual([made.key.parties, made.key.threshold], [["p2", "p3", "p4"], 3]);
  });

  test("as a refresh changes neither parties nor threshold, whatever else it is given", async () => {
    const { office, client } = await withKey();
    await client.refresh({ ...MOVED, threshold: 3 } as ReshareWish);
    const request = asked(office);
    assert.deepEqual([request.parties, request.threshold], [["p1", "p2", "p3"], 2]);
  });

  test("says when the former shares go, if that is to be at once", async () => {
    const { office, client } = await withKey();
    await client.refresh({ keyId: "k1", deleteAfter: "certified" });
    assert.equal(asked(office).delete_after, "certified");
    office.published.length = 0;
    const begun = await client.beginReshare({ ...MOVED, deleteAfter: "certified" });
    assert.equal((await begun.result()).number, 2);
    assert.equal(asked(office).delete_after, "certified");
    office.published.length = 0;
    await client.refresh({ keyId: "k1" });
    assert.equal(asked(office).delete_after, "backed_up");
  });

  test("that no request can be is refused before it is sent", async () => {
    const { office, client } = await withKey();
    for (const wrong of [
      { threshold: 1 },
      { threshold: 4 },
      { parties: ["p1"] },
      { parties: ["p1", "p1", "p2"] },
      { parties: ["p1", "p.2"] },
      { dealers: ["p1", "p1"] },
      { firstEpoch: 0 },
      { firstEpoch: 65, tries: 1 },
      { firstEpoch: 63, tries: 3 },
      { tries: 0 },
      { tries: 9 },
      { deleteAfter: "later" as "certified" },
      { timeoutMs: 600_001 },
    ]) {
      await assert.rejects(client.reshare({ keyId: "k1", ...wrong }), TypeError, JSON.stringify(wrong));
    }
    assert.deepEqual(new Set(sent(office)), new Set(["query_keys"]));
  });

  test("may come twice, in the same bytes, and makes one epoch", async () => {
    const { office, client, key } = await withKey();
    const kept = await client.prepare("reshare", same(key));
    const first = await client.submit(kept);
    const again = await client.submit(kept);
    assert.equal(first.status, "completed");
    assert.deepEqual(again, first);
    assert.deepEqual(office.settled, ["acked", "acked"]);
  });

  test("whose party knows another epoch says so, and may be asked again", async () => {
    const { office, client } = await withKey();
    office.rule = reshares(office, (signed) => office.fail(signed, "stale_epoch", { retryable: true }));
    await assert.rejects(client.reshare(MOVED), (error: RequestFailedError) => {
      assert.deepEqual([error.code, error.retryable, error.final], ["stale_epoch", true, false]);
      return error instanceof RequestFailedError;
    });
    office.rule = (signed) => office.answer(signed);
    assert.equal((await client.reshare(MOVED)).number, 1);
  });

  test("for a party that is none says so", async () => {
    const { office, client } = await withKey();
    office.rule = reshares(office, (signed) => office.fail(signed, "unknown_party"));
    await assert.rejects(client.reshare({ keyId: "k1", parties: ["p1", "p9"] }), {
      code: "unknown_party",
      retryable: false,
    });
  });

  test("is waited for until its signal", async () => {
    const { office, client } = await withKey();
    const controller = new AbortController();
    office.rule = reshares(office, () => controller.abort());
    const { signal } = controller;
    await assert.rejects(client.reshare({ ...MOVED, signal, requestId: "r7" }), (error: AbortedError) => {
      assert.equal(error.requestId, "r7");
      return error instanceof AbortedError;
    });
  });
});

describe("a reshare that is begun", () => {
  test("is there with its session, and its epoch when that is made", async () => {
    const { office, client, key } = await withKey();
    let announced = "";
    office.rule = reshares(office, async (signed) => {
      announced = await office.announce(signed);
    });
    const begun = await client.beginReshare({ ...MOVED, tries: 2, requestId: "r1" });
    const request = asked(office);
    assert.deepEqual([request.announce, request.parties, request.tries], [true, MOVED.parties, 2]);
    assert.deepEqual([begun.requestId, begun.sessionId], ["r1", announced]);
    assert.deepEqual(begun.parties, MOVED.parties);
    // It is a later try that makes it, in a session of its own.
    const made = office.answer(office.published.at(-1) as SignedRequest, { session_id: OTHER });
    const epoch = await begun.result();
    await made;
    assert.deepEqual([epoch.number, epoch.from, epoch.key.parties], [1, 0, MOVED.parties]);
    assert.deepEqual(epoch.key.publicKey, key.publicKey);
    assert.deepEqual((await begun.result()).bundle, epoch.bundle);
  });

  test("is there with its epoch where that comes first", async () => {
    const { client } = await withKey();
    const begun = await client.beginReshare(MOVED);
    assert.deepEqual([begun.sessionId, begun.parties], [null, []]);
    assert.equal((await begun.result()).number, 1);
  });

  test("has no session of another request", async () => {
    const { office, client } = await withKey();
    office.rule = reshares(office, async (signed) => {
      await office.announce(signed, { request_digest: OTHER });
      await office.answer(signed);
    });
    const begun = await client.beginReshare(MOVED);
    assert.equal(begun.sessionId, null);
    assert.deepEqual(office.settled.slice(-2).sort(), ["acked", "rejected"]);
  });

  test("fails at once where there is no session, and will be none", async () => {
    const { office, client } = await withKey();
    office.rule = reshares(office, (signed) =>
      office.fail(signed, "stale_epoch", { retryable: true }, { session_id: null }),
    );
    await assert.rejects(client.beginReshare(MOVED), { code: "stale_epoch", retryable: true });
  });

  test("fails at its result where the session does", async () => {
    const { office, client } = await withKey();
    office.rule = reshares(office, async (signed) => {
      await office.announce(signed);
      await office.fail(signed, "party_fault", { culprits: ["p2"] });
    });
    const begun = await client.beginReshare(MOVED);
    await assert.rejects(begun.result(), (error: RequestFailedError) => {
      assert.deepEqual([error.code, error.culprits], ["party_fault", ["p2"]]);
      return error instanceof RequestFailedError;
    });
  });

  test("that no request can be is refused before it is sent", async () => {
    const { office, client } = await withKey();
    await assert.rejects(client.beginReshare({ keyId: "k1", threshold: 4 }), TypeError);
    assert.deepEqual(sent(office), ["query_keys"]);
  });
});

describe("an epoch", () => {
  /** In which holders and dealers agree, and what the client says of it. The vectors have more. */
  const LIES: Readonly<Record<string, [(key: CertifiedKey) => Partial<KeyFacts>, RegExp]>> = {
    "with another threshold": [() => ({ threshold: 3 }), /threshold is not what its owner/],
    "for other parties": [({ facts }) => ({ holders: facts.holders }), /parties is not what its owner/],
    "of another predecessor": [(key) => came(key, { predecessor: OTHER }), /name another predecessor/],
    "dealt by others than asked": [(key) => came(key, { dealers: ["p1", "p3"] }), /dealers are not those/],
  };

  for (const [lie, [changes, reason]] of Object.entries(LIES)) {
    test(`${lie} is not handed out`, async () => {
      const { office, client } = await withKey();
      office.rule = reshares(office, async (signed) => {
        const key = office.keyOf("k1");
        const bundle = await office.bundled(signed, key, changes(key));
        await office.answer(signed, { bundle });
      });
      const wish = { ...MOVED, dealers: ["p1", "p2"], timeoutMs: 400 };
      await assert.rejects(client.reshare(wish), (error: DeadlineError) => {
        assert.match(error.message, reason);
        return error instanceof DeadlineError;
      });
      assert.equal(office.settled.at(-1), "rejected");
    });
  }

  test("comes after what was said of it was refused", async () => {
    const { office, client } = await withKey();
    office.rule = reshares(office, async (signed) => {
      const bundle = ((await office.answerTo(signed)) as { bundle: EpochBundle }).bundle;
      await office.answer(signed, { bundle: { ...bundle, dealt: { ...bundle.dealt, p2: "AAAA" } } });
      await office.answer(signed);
    });
    assert.equal((await client.reshare(MOVED)).number, 1);
    assert.deepEqual(office.settled.slice(-2).sort(), ["acked", "rejected"]);
  });

  test("is what the client knows from then on: those of before and those of now may sign", async () => {
    const { office, client, key } = await withKey();
    const { key: now } = await client.reshare(MOVED);
    office.published.length = 0;
    for (const signers of [["p1", "p2"], ["p4", "p2"]]) {
      office.rule = (signed) => office.answer(signed, { signers });
      const made = await client.sign(SIGN);
      assert.deepEqual([made.publicKey, made.signers], [now.publicKey, signers]);
    }
    assert.deepEqual(sent(office), ["sign", "sign"]);
    // A coordinator that shows the epoch of before takes nothing back.
    const before = { keys: [key.certified], signers: ["p4", "p3"] };
    office.rule = (signed) =>
      office.answer(signed, signed.request.operation === "sign" ? { signers: before.signers } : { keys: before.keys });
    assert.equal((await client.key("k1")).certified.facts.epoch, 0);
    assert.deepEqual((await client.sign(SIGN)).signers, ["p4", "p3"]);
    assert.deepEqual(sent(office).slice(2), ["query_keys", "sign"]);
  });

  test("is asked for by who has not heard of it, when somebody else has signed", async () => {
    const { office, client, key } = await withKey();
    await office.answerTo(await client.prepare("reshare", { ...same(key), parties: ["p2", "p3", "p4"] }));
    office.rule = (signed) =>
      office.answer(signed, signed.request.operation === "sign" ? { signers: ["p4", "p2"] } : {});
    assert.deepEqual((await client.sign(SIGN)).signers, ["p4", "p2"]);
    assert.deepEqual(sent(office), ["sign", "query_keys"]);
  });
});

/** What facts say of where they came from. */
function came(key: CertifiedKey, changes: Partial<Resharing>): Pick<KeyFacts, "reshared"> {
  const truly = { session_id: SESSION, predecessor: factsDigest(key.facts), dealers: ["p1", "p2"] };
  return { reshared: { ...truly, ...changes } };
}

/** All else is answered as it should be. */
function reshares(office: Office, rule: Rule): Rule {
  return (signed, tries) =>
    signed.request.operation === "reshare" ? rule(signed, tries) : office.answer(signed);
}
