/** Over HTTP through a gateway: what also runs in a browser. */

export { GatewayError, WarrenHttpClient, type HttpSettings } from "./http/client.js";
export {
  AbortedError,
  ClockError,
  ClosedError,
  DeadlineError,
  DisbelievedError,
  RequestFailedError,
  SettingsError,
  TopologyError,
  UnavailableError,
  WarrenError,
  type ErrorCode,
} from "./errors.js";
export { callbackSigner, privateKeySigner, webCryptoSigner, type Signer } from "./signer.js";
export type { CoordinatorPin } from "./coordinators.js";
export type { Settlement } from "./settlement.js";
export type { Refusal, Rehearsal } from "./rehearsals.js";
export type { Account, Ecdsa, Epoch, Key, Page, Session, Signature } from "./outcomes.js";
export type {
  Begun,
  CallOptions,
  CancelOptions,
  KeyWish,
  RefreshWish,
  RehearseWish,
  ReshareWish,
  SessionName,
  SignItemWish,
  SignListWish,
  SignWish,
  Warren,
  Watching,
} from "./warren.js";
export type { CertifiedKey, Curve, DeleteAfter, EpochBundle, Failure, FailureCode, KeyFacts, Readiness, Retirement, Scheme, Status } from "./generated/messages.js";
