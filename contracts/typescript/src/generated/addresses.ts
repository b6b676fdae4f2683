// Written by `warren docs`, from the contract. Change the models in Python, not this.

/** The exchange that takes requests. */
export const REQUESTS = "warren.requests";

/** The queue that all producers without a client id share. */
export const LEGACY_RESULTS = "warren.legacy-results";

/** A client's own queue begins so, and ends with its id. */
export const RESULTS = "warren.results.";

/** Operation -> routing key on `REQUESTS`. */
export const REQUEST_KEYS = {
  "keygen": "mpc.keygen_request",
  "reshare": "mpc.reshare_request",
  "sign": "mpc.signing_request",
  "cancel": "mpc.cancel_request",
  "rehearse": "mpc.query_request",
  "query_keys": "mpc.query_request",
  "query_session": "mpc.query_request",
  "query_key_history": "mpc.query_request",
  "join_session": "mpc.join_request",
  "query_accounts": "mpc.query_request",
  "configure_account": "mpc.account_request",
  "put_api_key": "mpc.api_key_request",
  "revoke_api_key": "mpc.api_key_request",
  "query_api_keys": "mpc.query_request"
} as const;

/** Operation -> the second word of its result's routing key. */
export const RESULT_WORDS = {
  "keygen": "mpc_keygen_result",
  "reshare": "mpc_reshare_result",
  "sign": "mpc_signing_result",
  "cancel": "mpc_cancel_result",
  "rehearse": "mpc_query_result",
  "query_keys": "mpc_query_result",
  "query_session": "mpc_query_result",
  "query_key_history": "mpc_query_result",
  "join_session": "mpc_join_result",
  "query_accounts": "mpc_query_result",
  "configure_account": "mpc_account_result",
  "put_api_key": "mpc_api_key_result",
  "revoke_api_key": "mpc_api_key_result",
  "query_api_keys": "mpc_query_result"
} as const;
