// The parts of the widget that need no browser: `node --test`.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

const settings = new Map();
globalThis.document = {
  baseURI: "https://shop.example/products/",
  querySelector: (selector) => {
    const name = /data-rec-(\w+)/.exec(selector)[1];
    return settings.has(name) ? { getAttribute: (asked) => (asked === `data-rec-${name}` ? settings.get(name) : null) } : null;
  },
};
globalThis.location = new URL("https://shop.example/products/");
globalThis.localStorage = {};

const { addressOf, forget, ids, idsIn, money, namesIn, pageBody, seenList, setting, textOf, track } = await import(
  "../../../serving/web/rec-list.js"
);

const item = {
  item_id: "纸巾/3层",
  rank: 1,
  reasons: [{ text: "bought together", text_zh: "一起买" }],
  fields: { title: "<b>T</b>", price: 2, list_price: 3, currency: "USD", tags: ["a", "b"], link: "https://shop.example/x", evil: "javascript:alert(1)", none: null },
};

beforeEach(() => {
  settings.clear();
  for (const name of Object.keys(localStorage)) delete localStorage[name];
});

test("addresses are percent-encoded, and nothing but the web", () => {
  const at = (template) => addressOf(template, item);
  assert.equal(at("/p/{item_id}"), "https://shop.example/p/%E7%BA%B8%E5%B7%BE%2F3%E5%B1%82");
  assert.equal(at("?q={title}"), "https://shop.example/products/?q=%3Cb%3ET%3C%2Fb%3E");
  assert.equal(at("{link}"), "https://shop.example/x");
  for (const template of ["{evil}", "javascript:{title}", "data:text/html,{title}", "{none}", "{missing}", "", null, undefined, "http://["]) {
    assert.equal(at(template), undefined, template);
  }
  assert.equal(addressOf("{item_id}", { item_id: "javascript:alert(1)" }), "https://shop.example/products/javascript%3Aalert(1)");
  assert.deepEqual(namesIn("/{a}/{b c}?{标题}"), ["a", "b c", "标题"]);
  assert.deepEqual(namesIn(null), []);
});

test("prices are written as the language does", () => {
  assert.equal(money(1234.5, "USD", "en"), "$1,234.50");
  assert.equal(money(8, "CNY", "zh"), "¥8.00");
  assert.equal(money(8, undefined, "en"), "8");
  assert.equal(money(8, "points", "en"), "8 points");
  assert.equal(money(null, "USD", "en"), "");
  assert.equal(money(0, "USD", "en"), "$0.00");
});

test("texts are those of the catalog, or of the reason", () => {
  const of = (name, language = "en") => textOf(item, name, language);
  assert.equal(of("title"), "<b>T</b>");
  assert.equal(textOf({ item_id: "i", fields: { title: null } }, "title", "en"), "i");
  assert.equal(of("list_price"), "$3.00");
  assert.equal(textOf({ fields: { price: 3, list_price: 3 } }, "list_price", "en"), "");
  assert.equal(of("reason"), "bought together");
  assert.equal(of("reason", "zh-CN"), "一起买");
  assert.equal(textOf({ reasons: [] }, "reason", "en"), "");
  assert.equal(of("tags"), "a, b");
  assert.equal(of("rank"), "1");
  assert.equal(of("missing"), "");
});

test("ids are texts, whatever a page writes", () => {
  assert.deepEqual(idsIn('["42", "a,b"]'), ["42", "a,b"]);
  assert.deepEqual(idsIn("[42, 7]"), ["42", "7"]);
  assert.deepEqual(idsIn("42"), ["42"]);
  assert.deepEqual(idsIn("a b"), ["a b"]);
  assert.deepEqual(idsIn(null), []);
  assert.deepEqual(idsIn(""), []);
});

test("a setting is the page's", () => {
  settings.set("region", "north");
  assert.equal(setting("region"), "north");
  assert.equal(setting("store"), undefined);
});

test("without consent nothing names the visitor, and nothing is stored or sent", async () => {
  let calls = 0;
  globalThis.fetch = () => void calls++;
  for (const consent of [undefined, "", "denied", "true", "GRANTED"]) {
    settings.clear();
    settings.set("user", "u1");
    if (consent !== undefined) settings.set("consent", consent);
    assert.deepEqual(ids(), {});
    assert.equal(await track("view_item", "x"), false);
  }
  assert.equal(calls, 0);
  assert.deepEqual(localStorage, {});
});

test("with consent a browser keeps its id, a user has their own, and it can be forgotten", () => {
  settings.set("consent", "granted");
  const first = ids().visitor_id;
  assert.match(first, /^\d+(-\d+){3}$/);
  assert.equal(ids().visitor_id, first);
  forget();
  assert.notEqual(ids().visitor_id, first);
  settings.set("visitor", "v-77");
  assert.equal(ids().visitor_id, "v-77");
  settings.set("user", "u1");
  settings.set("session", "s1");
  assert.deepEqual(ids(), { user_id: "u1", session_id: "s1" });
});

test("one body asks for all lists, each column once, and is not counted as shown", () => {
  settings.set("store", "s 1");
  const list = (placement, ...fields) => ({ wish: () => ({ placement }), fields: () => fields });
  assert.deepEqual(JSON.parse(JSON.stringify(pageBody([list("a", "title", "price"), list("b", "price", "x")]))), {
    shelves: [{ placement: "a" }, { placement: "b" }],
    fields: ["title", "price", "x"],
    context: { store: "s 1" },
    log: false,
  });
});

test("a report has what was seen, as it was listed", () => {
  const shown = (id, rank) => ({ item_id: id, rank, score: 0.5, propensity: 1, reasons: [], fields: {} });
  const shelf = { recommendation_id: "r", placement: "p", model_version: "m", fallback_used: true, titles: {}, items: [shown("a", 1), shown("b", 2), shown("c", 3)] };
  const report = JSON.parse(JSON.stringify(seenList(shelf, new Set(["c", "a"]))));
  assert.deepEqual(report.items.map(({ item_id, rank }) => [item_id, rank]), [["a", 1], ["c", 3]]);
  assert.deepEqual(Object.keys(report).sort(), ["fallback_used", "items", "model_version", "placement", "recommendation_id"]);
  assert.deepEqual(Object.keys(report.items[0]), ["item_id", "rank", "score", "propensity"]);
});

test("an event is sent with the key, and counts if it is stored", async () => {
  settings.set("consent", "granted");
  settings.set("key", "recsys_x");
  settings.set("endpoint", "/recs/");
  let sent;
  const answer = (refused) => ({ ok: true, json: async () => ({ refused }) });
  globalThis.fetch = async (url, options) => ((sent = { url: url.href, ...options }), answer(0));
  assert.equal(await track("add_to_cart", "42", { quantity: 2 }), true);
  assert.equal(sent.url, "https://shop.example/recs/v1/events");
  assert.equal(sent.headers.authorization, "Bearer recsys_x");
  const [event] = JSON.parse(sent.body).events;
  assert.deepEqual([event.event, event.item_id, event.quantity], ["add_to_cart", "42", 2]);
  assert.ok(event.event_id && event.visitor_id);
  globalThis.fetch = async () => answer(1);
  assert.equal(await track("add_to_cart", "42"), false);
  globalThis.fetch = async () => { throw new TypeError("offline"); };
  assert.equal(await track("add_to_cart", "42"), false);
});
