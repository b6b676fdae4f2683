/** Waits that the caller's signal ends. */

import { AbortedError } from "./errors.js";

/** Throws AbortedError when the signal says so first. */
export async function whileNot<T>(
  signal: AbortSignal | undefined,
  promise: Promise<T>,
  requestId?: string,
): Promise<T> {
  if (signal === undefined) return promise;
  let aborted = (): void => undefined;
  const abortion = new Promise<never>((_, reject) => {
    aborted = () => reject(new AbortedError(requestId, true, signal.reason));
    if (signal.aborted) aborted();
    signal.addEventListener("abort", aborted, { once: true });
  });
  try {
    return await Promise.race([promise, abortion]);
  } finally {
    signal.removeEventListener("abort", aborted);
  }
}

/** So many milliseconds, unless the signal ends them. */
export async function pause(ms: number, signal?: AbortSignal): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const over = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  try {
    await whileNot(signal, over);
  } finally {
    clearTimeout(timer);
  }
}
