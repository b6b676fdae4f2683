/** The core is held to the vectors that the Python client is held to. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { fromBase64, fromHex, toHex, utf8 } from "../src/bytes.js";
import { checkAnnounced, same } from "../src/checks.js";
import { Coordinators } from "../src/coordinators.js";
import { checkPoint, checkSignature, ecdsaForms, verifyingKey } from "../src/curves.js";
import { derive, parsePath } from "../src/derivation.js";
import { ContractError, UnauthenticatedError } from "../src/errors.js";
import type {
  CancelResult,
  CertifiedKey,
  Curve,
  EcdsaForms,
  EpochView,
  KeyFacts,
  KeygenRequest,
  QueryKeyHistoryResult,
  Readiness,
  ReshareTerms,
  Retirement,
  Scheme,
  SessionTerms,
} from "../src/generated/messages.js";
import { signedBytes } from "../src/identity.js";
import { checkJoined, successionsOf } from "../src/histories.js";
import { certificateTag, checkKey, keyStatement } from "../src/keys.js";
import { digest, optional, pack, sha256Of, unpack } from "../src/packing.js";
import { checkReadiness, READINESS_TAG, readinessContent } from "../src/readiness.js";
import { rehearsalOf } from "../src/rehearsals.js";
import {
  checkedRequest,
  headersOf,
  reopen,
  requestKey,
  resultKey,
  resultsQueue,
  signRequest,
  type RequestOf,
} from "../src/requests.js";
import { checkRetirement, RETIREMENT_TAG, retirementContent } from "../src/retirements.js";
import { readAs, readDelivered } from "../src/schema.js";
import { groupOfKey, groupOfNewKey, settle, statementContent } from "../src/settlement.js";
import { privateKeySigner } from "../src/signer.js";
import { parseJson, type Json } from "../src/strict-json.js";
import { sessionIdOf } from "../src/terms.js";
import { Trust } from "../src/trust.js";
import { pinned, read, reasonOf } from "./told.js";

test("packing", async () => {
  const told = read("packing");
  for (const { parts, packed } of told.packed) {
    assert.equal(toHex(pack(parts.map(fromHex))), packed);
    assert.deepEqual(unpack(fromHex(packed), parts.length).map(toHex), parts);
  }
  for (const { packed, count, reason } of told.refused) {
    assert.equal(await reasonOf(() => unpack(fromHex(packed), count)), reason);
  }
  for (const { name, packed } of told.optional) assert.equal(toHex(optional(name)), packed);
  for (const { tag, parts, digest: made } of told.digests) {
    assert.equal(toHex(digest(tag, ...parts.map(fromHex))), made);
  }
});

test("JSON that is read, and JSON that is not", async () => {
  for (const { name, bytes, read: isRead } of read("strict_json").cases) {
    assert.equal((await reasonOf(() => parseJson(fromHex(bytes)))) === null, isRead, name);
  }
});

test("requests", async () => {
  const { identity, asked, tag } = read("requests");
  const signer = await privateKeySigner(identity.private_key);
  assert.equal(signer.publicKey, identity.public_key);
  for (const one of asked) {
    const body = utf8(one.body);
    const opened = await reopen(body, fromBase64(one.signature), identity.public_key);
    const { request } = opened;
    assert.equal(toHex(signedBytes(tag, body)), one.signed, one.name);
    assert.equal(opened.digest, one.digest, one.name);
    assert.deepEqual(headersOf(opened), one.headers, one.name);
    assert.equal(requestKey(request.operation, request.client_id), one.routing_key, one.name);
    assert.equal(resultsQueue(request.client_id), one.results_queue, one.name);
    const keyId = "key_id" in request ? request.key_id ?? undefined : undefined;
    const { operation, client_id, request_id } = request;
    assert.equal(resultKey(operation, client_id, request_id, keyId), request.reply_to, one.name);
    const again = await signRequest(request, signer);
    await reopen(again.body, again.signature, identity.public_key);
  }
});

test("requests that are none", async () => {
  for (const { name, body } of read("requests").refused) {
    assert.notEqual(await reasonOf(() => checkedRequest(parseJson(utf8(body)))), null, name);
  }
});

test("coordinators", async () => {
  const { body, now, cases } = read("coordinators");
  for (const { name, coordinators, headers, refused } of cases) {
    const pins = coordinators.map(
      (pin: { public_key: string; valid_from: number | null; valid_until: number | null }) => ({
        publicKey: pin.public_key,
        validFrom: pin.valid_from === null ? undefined : new Date(pin.valid_from),
        validUntil: pin.valid_until === null ? undefined : new Date(pin.valid_until),
      }),
    );
    try {
      await new Coordinators(pins).checkResult(utf8(body), headers, now);
      assert.equal(refused, null, name);
    } catch (error) {
      if (!(error instanceof UnauthenticatedError)) throw error;
      assert.deepEqual({ kind: error.kind, reason: error.message }, refused, name);
    }
  }
});

test("sessions", () => {
  for (const { name, terms, session_id } of read("sessions").cases) {
    const form = "predecessor" in terms ? "ReshareTerms" : "SessionTerms";
    const filled = readAs(form, terms) as unknown as SessionTerms | ReshareTerms;
    assert.equal(sessionIdOf(filled), session_id, name);
  }
});

test("children", async () => {
  const { public_key, chain_code, children, refused } = read("children");
  for (const child of children) {
    const made = derive(fromHex(public_key), fromHex(chain_code), parsePath(child.path));
    assert.equal(toHex(made.publicKey), child.public_key, child.path);
    assert.equal(toHex(made.chainCode), child.chain_code, child.path);
    assert.equal(toHex(made.tweak), child.tweak, child.path);
  }
  for (const { path, reason } of refused) {
    assert.equal(await reasonOf(() => parsePath(path)), reason);
  }
});

test("certificates and points", async () => {
  const { parties, client_id, tenant, cases, points } = read("certificates");
  const trusted = { parties: pinned(parties), clientId: client_id, tenant };
  for (const { name, key, statement, tag, reason } of cases) {
    const read = readAs("CertifiedKey", key) as unknown as CertifiedKey;
    assert.equal(toHex(keyStatement(read.facts)), statement, name);
    assert.equal(certificateTag(read.facts), tag, name);
    assert.equal(await reasonOf(() => checkKey(read, trusted)), reason, name);
  }
  for (const { name, curve, point, reason } of points) {
    assert.equal(await reasonOf(() => checkPoint(curve as Curve, fromHex(point))), reason, name);
  }
});

test("signatures", async () => {
  const { cases, ecdsa_forms } = read("signatures");
  for (const one of cases) {
    const scheme = one.scheme as Scheme;
    const named = `${scheme}: ${one.name}`;
    const [publicKey, signature] = [fromHex(one.public_key), fromHex(one.signature)];
    if (one.name !== "a key of small order") {
      const root = one.taproot_merkle_root === null ? null : fromHex(one.taproot_merkle_root);
      assert.equal(toHex(verifyingKey(fromHex(one.key), scheme, root)), one.public_key, named);
    }
    const check = (): void => checkSignature(scheme, publicKey, fromHex(one.message), signature);
    assert.equal(await reasonOf(check), one.reason, named);
    if (one.ecdsa !== null) assert.deepEqual(ecdsaForms(signature), one.ecdsa, named);
  }
  for (const forms of ecdsa_forms as readonly EcdsaForms[]) {
    const whole = fromHex(forms.compact + forms.recovery_id.toString(16).padStart(2, "0"));
    assert.deepEqual(ecdsaForms(whole), forms);
  }
});

test("statements", async () => {
  const told = read("statements");
  const parties = pinned(told.parties);
  const owner = { clientId: told.owner.client_id, tenant: told.owner.tenant };
  for (const one of told.cases) {
    let group = null;
    const result = readDelivered(one.result) as CancelResult;
    if (one.key !== null) {
      const facts = readAs("KeyFacts", one.key) as unknown as KeyFacts;
      group = groupOfKey(facts, parties, result.epochs);
    } else if (one.keygen !== null) {
      group = groupOfNewKey(checkedRequest(one.keygen) as KeygenRequest, parties);
    }
    const about = { owner, issuedAt: told.issued_at, liars: one.liars };
    const settled = await settle(result, group, about);
    assert.deepEqual(settled.stated, one.counted, one.name);
    assert.deepEqual(settled.alreadySigned, one.already_signed, one.name);
    assert.deepEqual(settled.silent, one.silent, one.name);
    assert.equal(settled.liarsTolerated, one.liars_tolerated, one.name);
    assert.equal(settled.final, one.final, one.name);
  }
  for (const { statement, content } of told.contents) {
    assert.equal(toHex(statementContent(statement as never, owner, told.target)), content);
  }
});

test("retirements", async () => {
  const { tag, parties, words } = read("retirements");
  assert.equal(tag, RETIREMENT_TAG);
  const known = pinned(parties);
  for (const { name, retirement, content, party_id, key_session, epoch, reason } of words) {
    const said = readAs("Retirement", retirement) as unknown as Retirement;
    assert.equal(toHex(retirementContent(said)), content, name);
    const identity = known.get(party_id);
    assert.ok(identity);
    const of = { partyId: party_id, keySession: key_session, epoch };
    assert.equal(await reasonOf(() => checkRetirement(said, identity, of)), reason, name);
  }
});

test("readiness", async () => {
  const { tag, parties, words } = read("rehearsals");
  assert.equal(tag, READINESS_TAG);
  const known = pinned(parties);
  for (const { name, readiness, content, party_id, request_digest, reason } of words) {
    const said = readAs("Readiness", readiness) as unknown as Readiness;
    assert.equal(toHex(readinessContent(said)), content, name);
    const identity = known.get(party_id);
    assert.ok(identity);
    assert.equal(await reasonOf(() => checkReadiness(said, identity, request_digest)), reason, name);
  }
});

test("rehearsals", async () => {
  const { parties, before, rehearsals } = read("rehearsals");
  const facts = readAs("KeyFacts", before) as unknown as KeyFacts;
  for (const one of rehearsals) {
    const body = utf8(one.request);
    const request = checkedRequest(parseJson(body)) as RequestOf<"rehearse">;
    const answers = one.answers.map((each: Json) => readAs("Readiness", each)) as Readiness[];
    const found = await rehearsalOf(request, toHex(sha256Of(body)), facts, answers, pinned(parties));
    assert.deepEqual(found.signed, one.counted, one.name);
    assert.deepEqual([found.ready, found.lacking], [one.ready, one.lacking], one.name);
    assert.deepEqual([found.dealers, found.receivers], [one.dealers, one.receivers], one.name);
    assert.deepEqual([found.missing, found.silent], [one.missing, one.silent], one.name);
    const refusals = found.refusals.map(({ partyId, code, message }) => ({ party_id: partyId, code, message }));
    assert.deepEqual(refusals, one.refusals, one.name);
  }
});

test("whose word counts in a key's history", async () => {
  const { parties, histories } = read("retirements");
  for (const { name, epochs, successions } of histories) {
    const views = epochs.map((each: Json) => readAs("EpochView", each)) as EpochView[];
    const made = await successionsOf(views, pinned(parties));
    const shown = made.map((each) => ({
      epoch: each.number,
      from_epoch: each.from,
      made_at: each.madeAt?.getTime() ?? null,
      signs_from: each.signsFrom?.getTime() ?? null,
      retired: each.retired.map(({ signed }) => signed),
      still_to_delete: each.stillToDelete,
      deleters: each.deleters,
    }));
    assert.deepEqual(shown, successions, name);
  }
});

test("pages of a key's history", async () => {
  for (const { name, last, result, reason } of read("retirements").pages) {
    const facts = readAs("KeyFacts", last) as unknown as KeyFacts;
    const page = readDelivered(result) as QueryKeyHistoryResult;
    assert.equal(await reasonOf(() => checkJoined(facts, page)), reason, name);
  }
});

interface Case {
  readonly name: string;
  readonly request: string;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
  readonly refused: string | null;
  readonly reason: string | null;
}

const results = read("results");

for (const one of results.cases as readonly Case[]) {
  test(`results: ${one.name}`, async () => {
    const [refused, reason] = await verdict(one);
    assert.equal(refused, one.refused);
    if (refused !== "malformed") assert.equal(reason, one.reason);
  });
}

async function verdict(one: Case): Promise<[string | null, string | null]> {
  const coordinators = new Coordinators([{ publicKey: results.coordinator }]);
  const body = utf8(one.body);
  const unsigned = await reasonOf(() => coordinators.checkResult(body, one.headers, results.now));
  if (unsigned !== null) return ["unauthenticated", unsigned];
  let content;
  try {
    content = readDelivered(parseJson(body));
  } catch (error) {
    if (!(error instanceof ContractError)) throw error;
    return ["malformed", error.message];
  }
  const asked = utf8(one.request);
  const request = checkedRequest(parseJson(asked));
  const signed = {
    request,
    body: asked,
    signature: new Uint8Array(),
    digest: toHex(new Uint8Array(await crypto.subtle.digest("SHA-256", asked))),
  };
  const trust = new Trust({
    clientId: results.client_id,
    parties: pinned(results.parties),
    owner: results.signer,
    fetchKey: () => Promise.resolve(),
  });
  for (const key of results.known_keys as readonly Json[]) {
    await trust.accept(null, readAs("CertifiedKey", key) as unknown as CertifiedKey);
  }
  const wrong = await reasonOf(async () => {
    if (content.result === "session_announced") {
      same("client_id", content.client_id, results.client_id);
      checkAnnounced(signed.digest, content);
    } else {
      await trust.check(content, signed);
    }
  });
  return wrong === null ? [null, null] : ["disbelieved", wrong];
}
