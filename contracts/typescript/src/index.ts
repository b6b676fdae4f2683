/**
 * Asks Warren for threshold signatures over RabbitMQ, and believes no result that does not verify.
 *
 *     await using client = await WarrenClient.connect(await loadSettings("client.toml"));
 *     const key = await client.createKey({ curve: "ed25519", threshold: 2, partyCount: 3 });
 */

export { WarrenClient } from "./client.js";
export { fileSigner, loadSettings } from "./settings-file.js";
export type { KeyHistory, Retired, Succession } from "./histories.js";
export type { ClientSettings, TlsFiles } from "./settings.js";
export type { SignedRequest, Operation, Wish } from "./requests.js";
export type { Result } from "./checks.js";
export * from "./http.js";
