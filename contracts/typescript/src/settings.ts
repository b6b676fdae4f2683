/** What a client needs to know: where the broker is, who it is itself, whom it trusts. */

import { Coordinators, type CoordinatorPin } from "./coordinators.js";
import { ContractError, SettingsError } from "./errors.js";
import { PublicIdentity } from "./identity.js";
import type { Parties } from "./keys.js";
import { checkSigner, MAX_LIFETIME_MS } from "./requests.js";
import type { Signer } from "./signer.js";

export interface ClientSettings {
  /** `amqps://user:password@host1,host2/vhost`. May hold a password; shown nowhere. */
  readonly amqpUrl: string;
  /** PEM, for `amqps://`. Without user and password in the address the certificate is the login. */
  readonly tls?: TlsFiles | undefined;
  /** Left out or null: a producer of the old kind, on the queue that those share. */
  readonly clientId?: string | null | undefined;
  readonly signer: Signer;
  /** Whose results are believed. */
  readonly coordinators: readonly CoordinatorPin[];
  /** Party id -> public key in base64: whose certificates are believed. */
  readonly parties: Readonly<Record<string, string>>;
  /** Lifetime of requests that begin a session, unless the call says otherwise. */
  readonly timeoutMs?: number | undefined;
  /** Lifetime of all others. */
  readonly queryTimeoutMs?: number | undefined;
  /** After so long without a result the same bytes are published again; then after twice as long. */
  readonly askAgainMs?: number | undefined;
  readonly confirmTimeoutMs?: number | undefined;
  /** How much longer than the deadline a call waits: the coordinator's last word comes after it. */
  readonly marginMs?: number | undefined;
  readonly heartbeatS?: number | undefined;
  /** How many parties that state that they have not signed may lie; left out: threshold - 1. */
  readonly liars?: number | null | undefined;
  /** Told of what somebody should look at; never of a secret. Left out: nothing is written. */
  readonly warn?: ((sentence: string) => void) | undefined;
}

export interface TlsFiles {
  readonly ca?: string | Uint8Array | undefined;
  readonly certificate?: string | Uint8Array | undefined;
  readonly key?: string | Uint8Array | undefined;
}

/** The same, looked at. */
export interface Settled {
  readonly amqpUrl: string;
  readonly tls: TlsFiles;
  readonly clientId: string | null;
  readonly signer: Signer;
  readonly coordinators: Coordinators;
  readonly parties: Parties;
  readonly timeoutMs: number;
  readonly queryTimeoutMs: number;
  readonly askAgainMs: number;
  readonly confirmTimeoutMs: number;
  readonly marginMs: number;
  readonly heartbeatS: number;
  readonly liars: number | null;
  readonly warn: (sentence: string) => void;
}

const ID = /^[A-Za-z0-9_-]{1,64}$/;

/** Throws SettingsError. */
export function settled(settings: ClientSettings): Settled {
  const clientId = settings.clientId ?? null;
  if (clientId !== null && !ID.test(clientId)) throw new SettingsError("clientId is no id");
  checkSigner(settings.signer);
  const timeoutMs = settings.timeoutMs ?? 60_000;
  if (!(timeoutMs > 0 && timeoutMs <= MAX_LIFETIME_MS)) {
    throw new SettingsError(`timeoutMs must be above 0 and at most ${MAX_LIFETIME_MS}`);
  }
  return {
    amqpUrl: settings.amqpUrl,
    tls: settings.tls ?? {},
    clientId,
    signer: settings.signer,
    coordinators: new Coordinators(settings.coordinators),
    parties: pinnedParties(settings.parties),
    timeoutMs,
    queryTimeoutMs: settings.queryTimeoutMs ?? 15_000,
    askAgainMs: settings.askAgainMs ?? 5_000,
    confirmTimeoutMs: settings.confirmTimeoutMs ?? 10_000,
    marginMs: settings.marginMs ?? 5_000,
    heartbeatS: settings.heartbeatS ?? 8,
    liars: settings.liars ?? null,
    warn: settings.warn ?? (() => undefined),
  };
}

/** Throws SettingsError. */
export function pinnedParties(keys: Readonly<Record<string, string>>): Parties {
  const parties = new Map<string, PublicIdentity>();
  for (const [name, key] of Object.entries(keys)) {
    try {
      parties.set(name, PublicIdentity.fromBase64(key));
    } catch (error) {
      if (!(error instanceof ContractError)) throw error;
      throw new SettingsError(`parties: ${name}: ${error.message}`);
    }
  }
  if (parties.size < 2) throw new SettingsError("parties: at least two have to be pinned");
  return parties;
}
