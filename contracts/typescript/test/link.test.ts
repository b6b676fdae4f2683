/** What the broker's answers mean. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { isMissing } from "../src/amqp/link.js";

const refused = (said: string, code = 404) =>
  Object.assign(new Error(`Operation failed: QueueDeclare; ${code} with message "${said}"`), { code });

test("a queue that cannot be reached for now is not missing", () => {
  const queue = "queue 'warren.results.svcA' in vhost 'warren'";
  assert.ok(isMissing(refused(`NOT_FOUND - no ${queue}`)));
  for (const said of [
    `home node 'rabbit@one' of durable ${queue} is down or inaccessible`,
    `failed to perform operation on ${queue} due to timeout`,
  ]) {
    assert.ok(!isMissing(refused(`NOT_FOUND - ${said}`)));
  }
  assert.ok(!isMissing(refused(`NOT_FOUND - no ${queue}`, 403)));
  assert.ok(!isMissing(null));
});
