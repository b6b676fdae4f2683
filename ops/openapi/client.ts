/**
 * What a caller writes who has generated a client from the document: makes an account, signs with
 * it, looks at both, and is refused. The compiler holds every line to the document; the gateway at
 * GATEWAY with the key API_KEY holds it to what happens. Prints one JSON object.
 */
import createClient from "openapi-fetch";
import type { components, paths } from "./generated/gateway.js";

type Problem = components["schemas"]["ProblemDetails"];

const { GATEWAY: baseUrl, API_KEY: secret } = process.env;
if (baseUrl === undefined || secret === undefined) {
  throw new Error("set GATEWAY to a gateway's URL and API_KEY to what opens it");
}
const gateway = createClient<paths>({ baseUrl, headers: { "X-API-Key": secret } });
const wait = 30;

function told<T>(answer: { data?: T; error?: Problem }): T {
  if (answer.data === undefined) {
    throw new Error(`${answer.error?.code}: ${answer.error?.detail}`);
  }
  return answer.data;
}

const made = await gateway.POST("/api/v1/accounts", {
  params: { query: { wait }, header: { "Idempotency-Key": "account of the generated client" } },
  body: { user_id: "typescript" },
});
const account = told(made);
const id = account.account_id;

const signed = told(
  await gateway.POST("/api/v1/accounts/{id}/sign", {
    params: { path: { id }, query: { wait } },
    body: { message: "aGVsbG8=" },
  }),
);
const result = signed.result;
if (result === undefined || !("signature" in result)) {
  throw new Error(`no signature, but ${signed.status}: ${signed.failure?.message}`);
}

const session = told(
  await gateway.GET("/api/v1/sessions/{id}", { params: { path: { id: signed.session_id } } }),
);
const keygen = told(
  await gateway.POST("/api/v1/sessions", {
    body: { session_type: "keygen", threshold_n: 3, threshold_t: 2, curve: "ed25519" },
  }),
);
const listed = told(
  await gateway.GET("/api/v1/accounts", { params: { query: { user_id: "typescript" } } }),
);

const digest = "e5a51ef01472ad2ee8ea092abdfacc50d0b61aea627a76baba60884eebe63d82";
const refused = await gateway.POST("/api/v1/mpc/sign", { body: { key_id: id, message: digest } });
const problem: Problem | undefined = refused.error;
const code: Problem["code"] | undefined = problem?.code;
if (code !== "invalid_request") {
  throw new Error(`a digest in hex was not refused as it should be: ${JSON.stringify(refused)}`);
}
const unknown = await gateway.GET("/api/v1/keys/{id}", { params: { path: { id: "nobody" } } });

// What two fields of exclude each other is told by the compiler, as is what is missing or unknown.
type Body<P extends keyof paths> = paths[P] extends {
  post: { requestBody: { content: { "application/json": infer B } } };
}
  ? B
  : never;
export const wrong: unknown[] = [
  // @ts-expect-error -- a key and an account
  { key_id: id, account_id: id, message: "aGVsbG8=" } satisfies Body<"/api/v1/mpc/sign">,
  // @ts-expect-error -- a message and a digest
  { key_id: id, message: "aGVsbG8=", message_hash: digest } satisfies Body<"/api/v1/mpc/sign">,
  // @ts-expect-error -- neither
  { key_id: id } satisfies Body<"/api/v1/mpc/sign">,
  // @ts-expect-error -- no user
  { curve: "ed25519" } satisfies Body<"/api/v1/accounts">,
  // @ts-expect-error -- no such curve
  { user_id: "u", curve: "p256" } satisfies Body<"/api/v1/accounts">,
  // @ts-expect-error -- no such field
  { user_id: "u", threshold: 2 } satisfies Body<"/api/v1/accounts">,
];

console.log(
  JSON.stringify({
    account,
    result,
    status: session.status,
    joinToken: keygen.join_token,
    accounts: listed.accounts.length,
    refused: { code, status: refused.response.status, errors: problem?.errors },
    unknown: unknown.error?.code,
    location: made.response.headers.get("Location"),
  }),
);
