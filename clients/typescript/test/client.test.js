// The client against a real server, whose address is in ENGINE_URL, with failures in between.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, afterEach, before, beforeEach, test } from "node:test";

import { ApiError, Client, ClientError, UnreachableError } from "../src/index.js";
import { OPERATIONS } from "../src/operations.js";
import { nextPauseMs, pauseMs, retryAfterSeconds } from "../src/retries.js";
import { faultProxy } from "./faults.js";

const ENGINE = process.env.ENGINE_URL;
const USER = "u010";
const ITEM = "phone-1";
const QUICK = { baseMs: 10, deadlineMs: 4000 };
const EVENT = { event: "view_item", item_id: ITEM, user_id: USER };

let proxy;
let clients;

before(() => assert.ok(ENGINE, "ENGINE_URL is the address of a server"));
beforeEach(async () => {
  clients = [];
  proxy = await faultProxy(ENGINE);
});
afterEach(async () => {
  await Promise.all(clients.map((client) => client.close()));
  await proxy.close();
});

function connect(url = proxy.url, options = {}) {
  clients.push(new Client(url, { timeoutMs: 5000, retries: QUICK, ...options }));
  return clients.at(-1);
}

async function until(done) {
  for (let n = 0; n < 500 && !done(); n += 1) await new Promise((resolve) => setTimeout(resolve, 20));
  assert.ok(done());
}

test("lists of a user, an item, and with a body", async () => {
  const client = connect();
  const found = await client.recommendForUser({ user_id: USER, placement: "for_you", limit: 3, log: false });
  assert.deepEqual(found.items.map((item) => item.rank), [1, 2, 3]);
  const odd = await client.recommendForItem({ item_id: "纸巾/3层", placement: "bought_together", limit: 2 });
  assert.equal(odd.placement, "bought_together");
  const listed = await client.recommendItems({ placement: "for_you", user_id: USER, limit: 1, explain: true });
  assert.equal(listed.explanations.length, 1);
  const moment = await client.recommendForUser({ user_id: USER, as_of: new Date("2024-06-01T00:00:00Z") });
  assert.equal(moment.as_of, "2024-06-01T00:00:00Z");
  assert.equal((await client.ready()).model_version, found.model_version);
});

test("changes are sent with what is given alone", async () => {
  const client = connect();
  assert.equal((await client.patchItem({ item_id: ITEM, price: 99.5 })).kind, "item_patch");
  assert.equal((await client.patchItem({ item_id: ITEM, price: null })).key, ITEM);
  assert.equal((await client.mergeUser({ user_id: "u013", from: "browser-13" })).kind, "merge");
  assert.equal((await client.unmergeUser({ user_id: "u013", from: "browser-13" })).kind, "unmerge");
  const collected = await client.collect({ source: "segment", body: { type: "page", anonymousId: "v" } });
  assert.equal(collected.ignored, 1);
});

test("a refusal names the field", async () => {
  const client = connect(proxy.url, { fallback: ["a"] });
  const error = await client.recommendForUser({ user_id: USER, limit: 0 }).catch((found) => found);
  assert.ok(error instanceof ApiError && error instanceof ClientError);
  assert.deepEqual([error.status, error.errors[0].field, error.isTemporary], [422, "limit", false]);
  await assert.rejects(client.recommendForItem({ item_id: "nothing" }), { status: 404 });
});

for (const fault of ["503", "reset", "broken"]) {
  test(`a call that fails by ${fault} is sent again`, async () => {
    proxy.faults.push(fault, fault);
    assert.ok((await connect().recommendForUser({ user_id: USER, limit: 2 })).items.length > 0);
    assert.equal(proxy.times.length, 3);
  });

  test(`the fallback list is served while all calls fail by ${fault}`, async () => {
    const client = connect(proxy.url, { fallback: { popular: ["p"], "": [ITEM, "b", "b", "c"] } });
    proxy.faults.push(fault, fault, fault);
    const found = await client.recommendForItem({ item_id: ITEM, placement: "similar", limit: 2 });
    assert.deepEqual(found.items.map((item) => item.item_id), ["b", "c"]);
    assert.deepEqual([found.fallback_used, found.items[0].source], [true, "client_fallback"]);
    proxy.faults.push(fault, fault, fault);
    const popular = await client.recommendItems({ placement: "popular" });
    assert.deepEqual(popular.items.map((item) => item.item_id), ["p"]);
    proxy.faults.push(fault, fault, fault);
    await assert.rejects(client.ready(), ClientError);
    assert.ok((await client.recommendForItem({ item_id: ITEM, placement: "similar" })).model_version);
  });

  test(`events survive failures by ${fault} and are stored once`, async () => {
    proxy.faults.push(fault, fault, fault, fault, fault);
    const client = connect(proxy.url, { flushMs: 5 });
    client.track(EVENT);
    await until(() => client.counts.accepted === 1);
    assert.deepEqual(client.counts, { accepted: 1, refused: 0, dropped: 0 });
  });
}

test("a hanging call is sent again", async () => {
  proxy.faults.push("hang");
  assert.ok((await connect(proxy.url, { timeoutMs: 400 }).ready()).model_version);
  assert.equal(proxy.times.length, 2);
});

test("Retry-After is waited for, but not past the deadline", async () => {
  proxy.faults.push("503:1");
  await connect().ready();
  assert.ok(proxy.times[1] - proxy.times[0] >= 1000);
  proxy.faults.push("503:60");
  const started = Date.now();
  await assert.rejects(connect().ready(), { status: 503, retryAfter: 60 });
  assert.ok(Date.now() - started < 2000);
});

test("a change that may have been carried out is not repeated", async () => {
  proxy.faults.push("reset");
  await assert.rejects(connect().mergeUser({ user_id: "u014", from: "browser-14" }), UnreachableError);
  assert.equal(proxy.times.length, 1);
});

test("a caller can end a call", async () => {
  proxy.faults.push("hang");
  await assert.rejects(connect().ready({}, { signal: AbortSignal.timeout(50) }), { name: "TimeoutError" });
  assert.equal(proxy.times.length, 1);
});

test("nobody listens", async () => {
  await assert.rejects(connect("http://127.0.0.1:9").recommendForUser({ user_id: USER }), UnreachableError);
});

test("events are sent together", async () => {
  const client = connect(proxy.url, { flushMs: 60_000, batchSize: 5 });
  for (let n = 0; n < 10; n += 1) assert.equal(client.track(EVENT), true);
  await until(() => client.counts.accepted === 10);
  assert.equal(proxy.times.length, 2);
});

test("refused events are reported", async () => {
  const refused = [];
  const client = connect(proxy.url, { flushMs: 60_000, onRefused: (...found) => refused.push(found) });
  client.track({ ...EVENT, price: -1 });
  client.track(EVENT);
  assert.equal(await client.flush(), true);
  assert.equal(refused.length, 1);
  assert.deepEqual([refused[0][0].price, refused[0][1][0].field], [-1, "price"]);
  assert.deepEqual(client.counts, { accepted: 1, refused: 1, dropped: 0 });
});

test("the queue is bounded", async () => {
  const options = { queueSize: 3, closeMs: 100, flushMs: 60_000, retries: { ...QUICK, attempts: 1 } };
  const client = connect("http://127.0.0.1:9", options);
  assert.deepEqual([1, 2, 3, 4, 5].map(() => client.track(EVENT)), [true, true, true, false, false]);
  assert.equal(await client.flush(), false);
  await client.close();
  assert.equal(client.counts.dropped, 5);
  assert.throws(() => client.track(EVENT), ClientError);
});

test("events are flushed when the program ends", () => {
  const program = `import { Client } from "./src/index.js";
    const client = new Client(${JSON.stringify(ENGINE)}, { flushMs: 60_000 });
    client.track(${JSON.stringify(EVENT)});
    process.on("exit", () => console.log(JSON.stringify(client.counts)));`;
  const options = { cwd: new URL("..", import.meta.url), encoding: "utf8" };
  const output = execFileSync(process.execPath, ["--input-type=module", "-e", program], options);
  assert.deepEqual(JSON.parse(output), { accepted: 1, refused: 0, dropped: 0 });
});

test("events are flushed when a page is hidden", async () => {
  const listeners = {};
  const sent = [];
  globalThis.document = {
    visibilityState: "visible",
    addEventListener: (name, listener) => (listeners[name] = listener),
    removeEventListener: (name) => delete listeners[name],
  };
  after(() => delete globalThis.document);
  const send = (url, init) => sent.push(init.keepalive) && fetch(url, init);
  const client = connect(proxy.url, { flushMs: 60_000, fetch: send });
  client.track(EVENT);
  listeners.visibilitychange();
  assert.deepEqual(sent, []);
  globalThis.document.visibilityState = "hidden";
  listeners.visibilitychange();
  assert.deepEqual(sent, [true]);
  await until(() => client.counts.accepted === 1);
  await client.close();
  assert.deepEqual(listeners, {});
  delete globalThis.document;
});

test("the key is sent", async () => {
  let headers;
  const answer = async (url, init) => {
    headers = init.headers;
    return new Response('{"status": "live"}', { status: 200 });
  };
  assert.equal((await connect("http://engine/", { key: "recsys_k", fetch: answer }).live()).status, "live");
  assert.equal(headers.Authorization, "Bearer recsys_k");
});

test("pauses", () => {
  const retries = { attempts: 3, baseMs: 100, maxPauseMs: 150, deadlineMs: 5000, chance: () => 1 };
  assert.deepEqual([0, 1, 2].map((attempt) => pauseMs(retries, attempt, null)), [100, 150, 150]);
  assert.equal(pauseMs(retries, 0, 2), 2100);
  assert.equal(nextPauseMs(retries, 2, null, 0), null);
  assert.equal(nextPauseMs(retries, 0, null, 4950), null);
  assert.equal(retryAfterSeconds("3"), 3);
  assert.equal(retryAfterSeconds("Mon, 01 Jan 2024 00:00:10 GMT", Date.UTC(2024, 0, 1)), 10);
  assert.equal(retryAfterSeconds("soon"), null);
});

test("every call of the API is a method", () => {
  for (const name of Object.keys(OPERATIONS)) assert.equal(typeof Client.prototype[name], "function", name);
});
