/** A reshare that is only rehearsed: what is asked for, and whose answers count. The vectors have more. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { WarrenClient } from "../src/client.js";
import { RequestFailedError } from "../src/errors.js";
import type { Readiness, RoleAnswer } from "../src/generated/messages.js";
import type { RequestOf, SignedRequest } from "../src/requests.js";
import type { KeyWish, RehearseWish } from "../src/warren.js";
import { Office } from "./office.js";

const KEY: KeyWish = { keyId: "k1", curve: "ed25519", threshold: 2, partyCount: 3 };
const MOVED: RehearseWish = { keyId: "k1", parties: ["p2", "p3", "p4"] };
const LOST: RoleAnswer = { deals: true, receives: true, refused: "party_refused", message: "we have lost it" };
const RECEIVES: RoleAnswer = { deals: false, receives: true, refused: null, message: "" };

async function withKey(): Promise<{ office: Office; client: WarrenClient }> {
  const office = await Office.opened();
  const client = await office.connect({ timeoutMs: 10_000, queryTimeoutMs: 9_000 });
  await client.createKey(KEY);
  office.published.length = 0;
  return { office, client };
}

/** All else is answered as it should be. */
function told(office: Office, answers: (signed: SignedRequest) => Promise<readonly Readiness[]>): void {
  office.rule = async (signed) => {
    const isIt = signed.request.operation === "rehearse";
    await office.answer(signed, isIt ? { answers: await answers(signed) } : {});
  };
}

describe("a rehearsal", () => {
  test("asks for what a reshare would be asked for, and begins none", async () => {
    const { office, client } = await withKey();
    const wish = { ...MOVED, threshold: 3, dealers: ["p1", "p3"], firstEpoch: 4, tries: 2 };
    const found = await client.rehearse(wish);
    assert.deepEqual(office.published.map(({ request }) => request.operation), ["query_keys", "rehearse"]);
    const request = office.published[1]?.request as RequestOf<"rehearse">;
    assert.deepEqual([request.key_id, request.from_epoch, request.threshold], ["k1", 0, 3]);
    assert.deepEqual([request.parties, request.dealers], [MOVED.parties, ["p1", "p3"]]);
    assert.deepEqual([request.first_epoch, request.tries], [4, 2]);
    assert.equal(request.expires_at - request.issued_at, 9_000);
    assert.deepEqual([found.ready, found.lacking, found.silent, found.refusals], [true, null, [], []]);
    assert.deepEqual([found.dealers, found.receivers], [["p1", "p3"], MOVED.parties]);
    assert.deepEqual([found.keyId, found.from, found.dealersNeeded], ["k1", 0, 2]);
    assert.deepEqual(new Set(found.signed.map((each) => each.request_digest)), new Set([office.published[1]?.digest]));
  });

  test("is for the same parties and threshold unless others are named", async () => {
    const { office, client } = await withKey();
    assert.equal((await client.rehearse({ keyId: "k1" })).ready, true);
    const { parties, threshold, first_epoch, tries } = office.published[1]?.request as RequestOf<"rehearse">;
    assert.deepEqual([parties, threshold, first_epoch, tries], [["p1", "p2", "p3"], 2, 1, 3]);
  });

  test("says who refuses, who is silent, and what is lacking", async () => {
    const { office, client } = await withKey();
    told(office, async (signed) => [
      await office.readiness("p1", signed, [LOST, RECEIVES]),
      await office.readiness("p2", signed),
    ]);
    const found = await client.rehearse({ keyId: "k1" });
    assert.equal(found.ready, false);
    assert.equal(found.lacking, "p3 would not take a share; 1 would deal, and it takes 2");
    assert.deepEqual([found.dealers, found.receivers], [["p2"], ["p1", "p2"]]);
    assert.deepEqual([found.missing, found.silent], [["p3"], ["p3"]]);
    assert.deepEqual(found.refusals, [{ partyId: "p1", code: "party_refused", message: "we have lost it" }]);
  });

  test("counts no answer that its party has not signed, or not to this request", async () => {
    const { office, client } = await withKey();
    let before: SignedRequest | undefined;
    told(office, async (signed) => {
      const other = before ?? signed;
      before = signed;
      return [
        await office.readiness("p1", other),
        await office.readiness("p2", signed, [RECEIVES], office.parties.get("p1")),
        { ...(await office.readiness("p3", signed, [LOST])), roles: [RECEIVES] },
        await office.readiness("p9", signed, [RECEIVES], office.parties.get("p4")),
      ];
    });
    assert.deepEqual((await client.rehearse({ keyId: "k1" })).silent, ["p2", "p3"]);
    assert.deepEqual((await client.rehearse({ keyId: "k1" })).silent, ["p1", "p2", "p3"]);
  });

  test("that is asked again because there was too much to do counts answers to what was asked last", async () => {
    const { office, client } = await withKey();
    let digest = "";
    office.rule = async (signed) => {
      if (signed.request.operation !== "rehearse" || digest !== "") return office.answer(signed);
      digest = signed.digest;
      return office.fail(signed, "overloaded", { retryable: true, retry_after_ms: 1 });
    };
    const found = await client.rehearse({ keyId: "k1" });
    assert.equal(found.ready, true);
    assert.notEqual(found.signed[0]?.request_digest, digest);
  });

  test("fails where no party would be asked, and is none where no request can be", async () => {
    const { office, client } = await withKey();
    office.rule = (signed) =>
      signed.request.operation === "rehearse" ? office.fail(signed, "key_busy", { retryable: true }) : office.answer(signed);
    await assert.rejects(client.rehearse(MOVED), (error: RequestFailedError) => {
      assert.deepEqual([error.code, error.retryable], ["key_busy", true]);
      return error instanceof RequestFailedError;
    });
    await assert.rejects(client.rehearse({ keyId: "k1", threshold: 4 }), TypeError);
  });
});
