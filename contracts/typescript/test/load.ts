/**
 * Signs so many times, so many at once, and prints one JSON object: seconds, and the heap after a
 * collection each 500 signatures. `node --expose-gc load.js client.toml KEY_ID COUNT CONCURRENCY`
 */

import { loadSettings, WarrenClient } from "../src/index.js";

const WARMUP = 50;
const SAMPLED_EVERY = 500;

const [config = "", keyId = "", count = "300", concurrency = "24"] = process.argv.slice(2);
await using client = await WarrenClient.connect(await loadSettings(config));
const heap: number[] = [];

async function work(total: number, sampled: boolean): Promise<number> {
  let [begun, done] = [0, 0];
  const started = performance.now();
  const worker = async (): Promise<void> => {
    while (begun < total) {
      const message = new TextEncoder().encode(`message ${String((begun += 1))}`);
      await client.sign({ keyId, scheme: "ed25519", message });
      done += 1;
      if (!sampled || done % SAMPLED_EVERY !== 0) continue;
      (globalThis as { gc?: () => void }).gc?.();
      heap.push(process.memoryUsage().heapUsed);
    }
  };
  await Promise.all(Array.from({ length: Number(concurrency) }, worker));
  return (performance.now() - started) / 1000;
}

await work(WARMUP, false);
const seconds = await work(Number(count), true);
process.stdout.write(`${JSON.stringify({ seconds, heap })}\n`);
