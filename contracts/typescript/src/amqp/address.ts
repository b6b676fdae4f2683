/** Where the broker is: one address, which may name several hosts of one cluster. */

import { SettingsError } from "../errors.js";

export interface Host {
  readonly encrypted: boolean;
  readonly hostname: string;
  readonly port: number;
}

export interface Address {
  readonly hosts: readonly Host[];
  readonly vhost: string;
  /** Null where the certificate is the login. */
  readonly user: string | null;
  /** Not enumerable: nothing that lists the fields shows it. */
  readonly password: string;
}

const ADDRESS = /^(amqps?):\/\/(?:([^/?#@:]*)(?::([^/?#@]*))?@)?([^/?#@]+)(?:\/([^/?#]*))?$/;
const HOST = /^(\[[0-9a-fA-F:.]+\]|[^\s:[\]]+)(?::([0-9]+))?$/;

/** Throws SettingsError, which does not say what was given: it may hold a password. */
export function parseAddress(url: string): Address {
  const found = ADDRESS.exec(url);
  if (found === null) {
    throw new SettingsError(
      "amqpUrl is not like amqps://user:password@host1,host2/vhost; a character of @ : / ? # [ ] % " +
        "in user or password is written as % and two digits",
    );
  }
  const [, scheme, user, password, hosts = "", vhost] = found;
  const encrypted = scheme === "amqps";
  const certificate = user === undefined && encrypted;
  return hidden(
    {
    hosts: hosts.split(",").map((text) => hostOf(text, encrypted)),
    vhost: vhost === undefined || vhost === "" ? "/" : decoded(vhost),
    user: certificate ? null : decoded(user ?? "guest"),
    },
    decoded(password ?? "guest"),
  );
}

function hidden(shown: Omit<Address, "password">, password: string): Address {
  return Object.defineProperty({ ...shown, password }, "password", { enumerable: false });
}

function hostOf(text: string, encrypted: boolean): Host {
  const found = HOST.exec(text);
  if (found === null) throw new SettingsError("amqpUrl names a host that is none");
  const hostname = (found[1] ?? "").replace(/^\[|\]$/g, "");
  return { encrypted, hostname, port: Number(found[2] ?? (encrypted ? 5671 : 5672)) };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new SettingsError("amqpUrl has a % that no two digits follow");
  }
}
