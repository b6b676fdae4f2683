/** What a client is configured with, and what it says when it cannot be. */

import assert from "node:assert/strict";
import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { inspect } from "node:util";

import { parseAddress } from "../src/amqp/address.js";
import { toBase64, utf8 } from "../src/bytes.js";
import { SettingsError } from "../src/errors.js";
import { PublicIdentity, signedBytes } from "../src/identity.js";
import { loadSettings } from "../src/settings-file.js";
import { settled } from "../src/settings.js";
import { callbackSigner, privateKeySigner, webCryptoSigner } from "../src/signer.js";
import { parseToml } from "../src/toml.js";
import { pairOf } from "./office.js";

describe("an address", () => {
  test("may name several hosts of a cluster", () => {
    const address = parseAddress("amqp://svcA:p%40ss@one,two:5673,[::1]:7/warren");
    assert.deepEqual(address.hosts.map(({ hostname, port }) => `${hostname} ${port}`), [
      "one 5672",
      "two 5673",
      "::1 7",
    ]);
    assert.deepEqual([address.user, address.password, address.vhost], ["svcA", "p@ss", "warren"]);
  });

  test("without a login is the certificate's, with TLS", () => {
    assert.equal(parseAddress("amqps://broker/warren").user, null);
    assert.equal(parseAddress("amqp://broker").user, "guest");
  });

  test("does not show its password, be it right or wrong", () => {
    const shown = inspect(parseAddress("amqp://u:secret@broker/v"), { depth: 9 });
    assert.doesNotMatch(shown, /secret/);
    for (const wrong of ["amqp://u:secret@", "http://u:secret@host", "amqp://u:se@secret@host:x"]) {
      assert.throws(() => parseAddress(wrong), (error: Error) => {
        assert.ok(error instanceof SettingsError);
        return !/secret/.test(error.message);
      });
    }
  });
});

describe("a file", () => {
  test("is read as the Python client reads it", async () => {
    const [own, coordinator, one, two] = await Promise.all([1, 2, 3, 4].map(() => keys()));
    const folder = await mkdtemp(join(tmpdir(), "warren-"));
    await writeFile(join(folder, "svcA.key"), `${own?.secret ?? ""}\n`);
    const lines = [
      "# A client.",
      "[client]",
      'client_id = "svcA"   # its own',
      'amqp_url = "amqp://svcA:pass@broker/warren"',
      'private_key_file = "svcA.key"',
      "liars = 1",
      "timeout_s = 2.5",
      "[[coordinators]]",
      `public_key = "${coordinator?.open ?? ""}"`,
      "valid_until = 2027-03-01T00:00:00Z",
    ];
    for (const [name, key] of Object.entries({ p1: one, p2: two })) {
      lines.push("[[parties]]", `party_id = "${name}"`, `public_key = "${key?.open ?? ""}"`, "index = 1");
    }
    const path = join(folder, "client.toml");
    await writeFile(path, lines.join("\n"));
    const settings = await loadSettings(path, { environment: {} });
    assert.equal(settings.signer.publicKey, own?.open);
    assert.deepEqual([settings.clientId, settings.liars, settings.timeoutMs], ["svcA", 1, 2500]);
    assert.deepEqual(settings.coordinators[0]?.validUntil, new Date("2027-03-01T00:00:00Z"));
    assert.deepEqual(Object.keys(settings.parties), ["p1", "p2"]);
    settled(settings);
  });

  test("that cannot be read is named, and no secret of it", async () => {
    const folder = await mkdtemp(join(tmpdir(), "warren-"));
    const path = join(folder, "client.toml");
    await assert.rejects(loadSettings(path), /client\.toml: ENOENT/);
    await writeFile(path, '[client]\nprivate_key = "secret" "secret"\n');
    await assert.rejects(loadSettings(path), /client\.toml: line 2 is none/);
    await writeFile(path, '[client]\namqp_url = "amqp://u:secret@b"\nprivate_key = "secret"\n');
    await assert.rejects(loadSettings(path, { environment: {} }), (error: Error) => {
      return error instanceof SettingsError && !/secret/.test(error.message);
    });
  });

  test("has no field twice, and nothing that is not known", () => {
    assert.deepEqual({ ...parseToml("a = 'x#y' # z\n[t]\nb = true\nc = \"\\u0041\"") }, {
      a: "x#y",
      t: { b: true, c: "A" },
    });
    for (const wrong of ["a = 1\na = 2", "[t]\n[t]", "a", "a = [1]", "[[t]", "a.b = 1", 'a = "x']) {
      assert.throws(() => parseToml(wrong), SyntaxError, wrong);
    }
  });
});

describe("a signer", () => {
  test("may be of SEC1 or PKCS8, in a file or elsewhere", async () => {
    const { secret, open } = await keys();
    const signer = await privateKeySigner(secret);
    assert.equal(signer.publicKey, open);
    const made = await signer.sign(signedBytes("tag", utf8("data")));
    await PublicIdentity.fromBase64(open).verify("tag", utf8("data"), made);
    assert.doesNotMatch(inspect(signer, { depth: 9, showHidden: true }), new RegExp(secret.slice(40, 60)));
    await assert.rejects(privateKeySigner(secret.slice(4)), SettingsError);
    await assert.rejects(privateKeySigner("no key"), SettingsError);
  });

  test("may be a key that cannot be exported", async () => {
    const signer = await webCryptoSigner(await pairOf(false));
    const made = await signer.sign(signedBytes("tag", utf8("data")));
    await PublicIdentity.fromBase64(signer.publicKey).verify("tag", utf8("data"), made);
  });

  test("may be a service, whose answers are looked at", async () => {
    const inner = await webCryptoSigner(await pairOf(false));
    const service = callbackSigner(inner.publicKey, (bytes) => inner.sign(bytes));
    const made = await service.sign(signedBytes("tag", utf8("data")));
    await PublicIdentity.fromBase64(inner.publicKey).verify("tag", utf8("data"), made);
    const wrong = callbackSigner(inner.publicKey, () => Promise.resolve(new Uint8Array(64)));
    await assert.rejects(wrong.sign(utf8("data")), SettingsError);
  });
});

test("settings that cannot be used are refused by name", async () => {
  const { open } = await keys();
  const signer = await webCryptoSigner(await pairOf(false));
  const good = {
    amqpUrl: "amqp://broker/warren",
    signer,
    coordinators: [{ publicKey: open }],
    parties: { p1: open, p2: signer.publicKey },
  };
  assert.equal(settled(good).clientId, null);
  for (const [wrong, named] of [
    [{ clientId: "a.b" }, /clientId/],
    [{ coordinators: [] }, /coordinators/],
    [{ coordinators: [{ publicKey: "AAAA" }] }, /coordinators/],
    [{ parties: { p1: open } }, /parties/],
    [{ parties: { p1: open, p2: "AAAA" } }, /parties: p2/],
    [{ timeoutMs: 700_000 }, /timeoutMs/],
    [{ signer: { ...signer, publicKey: "AAAA" } }, /signer/],
  ] as const) {
    assert.throws(() => settled({ ...good, ...wrong }), named);
  }
});

async function keys(): Promise<{ secret: string; open: string }> {
  const pair = await pairOf(true);
  const secret = await crypto.subtle.exportKey("pkcs8", pair.privateKey);
  const open = await crypto.subtle.exportKey("spki", pair.publicKey);
  return { secret: toBase64(new Uint8Array(secret)), open: toBase64(new Uint8Array(open)) };
}
