/** Lists of recommendations in a page, all filled by one call: see docs/widget.md. */

const SEEN_SHARE = 0.5; // of an item's area, for SEEN_MS: then it is seen
const SEEN_MS = 1000;
const TIMEOUT_MS = 3000;
const LIMIT = 8;
const MAX_LIMIT = 100;
const STORED_AS = "rec-visitor";
const SHOWN = ["title", "price", "list_price", "currency"];
const NAME = /\{([^{}]+)\}/g;

const STYLE = `
:host { display: block }
:host([hidden]), [hidden] { display: none }
:host([state=hollow]) { visibility: hidden }
h2 { margin: 0 0 .5rem; min-height: 1.3em; font-size: 1.25rem; line-height: 1.3 }
ul { display: grid; grid: auto / auto-flow var(--rec-card-width, 10rem); gap: var(--rec-gap, 1rem);
  overflow-x: auto; scrollbar-width: thin; margin: 0; padding: .25rem; list-style: none }
li { min-width: 0 }
a { display: block; height: 100%; color: inherit; text-decoration: none; border-radius: var(--rec-radius, .5rem) }
a:focus-visible { outline: 2px solid }
[part=picture] { display: block; overflow: hidden; aspect-ratio: var(--rec-image-ratio, 1); margin-bottom: .5rem;
  border-radius: var(--rec-radius, .5rem); background: color-mix(in srgb, currentColor 8%, transparent) }
img { width: 100%; height: 100%; object-fit: cover }
[part=title], [part=reason] { display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 2; overflow: hidden;
  height: 2.6em; line-height: 1.3; overflow-wrap: anywhere }
[part=prices] { display: block; overflow: hidden; height: 1.5em; line-height: 1.5; white-space: nowrap }
[part=price] { font-weight: 600; color: var(--rec-accent, inherit) }
s, [part=reason] { opacity: .75; font-size: .875em }
[part=skeleton] ::slotted(*) { visibility: hidden }`;

/** A setting of the page: `data-rec-…` of any element, or an attribute of any list. */
export function setting(name) {
  const element = document.querySelector(`[data-rec-${name}], rec-list[${name}]`);
  return element?.getAttribute(`data-rec-${name}`) ?? element?.getAttribute(name) ?? undefined;
}

const newId = () => crypto.getRandomValues(new Uint32Array(4)).join("-");

let unstored;

/** The id of this browser. */
function visitor() {
  try {
    return (localStorage[STORED_AS] ??= newId());
  } catch {
    return (unstored ??= newId()); // storage is closed to this page
  }
}

/** Forget the id of this browser. */
export function forget() {
  unstored = undefined;
  try {
    delete localStorage[STORED_AS];
  } catch {
    // nothing is stored
  }
}

const isGranted = () => setting("consent") === "granted";

/** The ids of the visitor; none without consent. */
export function ids() {
  if (!isGranted()) return {};
  const user = setting("user");
  const known = user ? { user_id: user } : { visitor_id: setting("visitor") ?? visitor() };
  return { ...known, session_id: setting("session") };
}

/** The columns that a text with `{names}` needs. */
export const namesIn = (text) => Array.from((text ?? "").matchAll(NAME), ([, name]) => name);

/** The web address that `/p/{item_id}` makes of an item, if any. */
export function addressOf(template, item, base = document.baseURI) {
  const values = { ...item.fields, item_id: item.item_id };
  const names = namesIn(template);
  if (!template || names.some((name) => values[name] == null)) return undefined;
  const isWhole = template === `{${names[0]}}` && names[0] !== "item_id"; // a column of addresses
  try {
    const url = new URL(template.replace(NAME, (_, name) => (isWhole ? values[name] : encodeURIComponent(values[name]))), base);
    return /^https?:$/.test(url.protocol) ? url.href : undefined;
  } catch {
    return undefined;
  }
}

/** A price as people of a language write it. */
export function money(price, currency, language) {
  if (price == null) return "";
  try {
    return new Intl.NumberFormat(language, currency ? { style: "currency", currency } : {}).format(price);
  } catch {
    return `${price} ${currency}`; // no code of ISO 4217
  }
}

/** The text of a column of an item, or of its `reason`. */
export function textOf(item, name, language, currency) {
  const fields = item.fields ?? {};
  if (name === "title") return fields.title ?? item.item_id;
  if (name === "list_price" && !(fields.list_price > fields.price)) return "";
  if (/price$/.test(name)) return money(fields[name], fields.currency ?? currency, language);
  if (name === "reason") return item.reasons[0]?.[/^zh/.test(language) ? "text_zh" : "text"] ?? "";
  const value = name in fields ? fields[name] : item[name];
  return Array.isArray(value) ? value.join(", ") : `${value ?? ""}`;
}

/** The ids of a JSON array. */
export function idsIn(text) {
  try {
    return [JSON.parse(text || "[]")].flat().map(String);
  } catch {
    return [text];
  }
}

/** The call that fills several lists. */
export const pageBody = (lists) => ({
  shelves: lists.map((list) => list.wish()),
  fields: [...new Set(lists.flatMap((list) => list.fields()))],
  context: Object.fromEntries(["region", "store", "channel"].map((name) => [name, setting(name)])),
  log: false, // what is seen is reported, not what is sent
  ...ids(),
});

/** The report of a list of which some items were seen. */
export const seenList = ({ items, recommendation_id, placement, model_version, fallback_used, experiments }, seen) => ({
  ...{ recommendation_id, placement, model_version, fallback_used, experiments },
  items: items
    .filter((item) => seen.has(item.item_id))
    .map(({ item_id, rank, score, propensity }) => ({ item_id, rank, score, propensity })),
  ...ids(),
});

const urlOf = (path) => {
  const home = setting("endpoint") ?? new URL("..", import.meta.url).href;
  return new URL(home.replace(/\/$/, "") + path, document.baseURI);
};

function post(path, body, options) {
  const key = setting("key");
  const headers = { "content-type": "application/json", ...(key && { authorization: `Bearer ${key}` }) };
  return fetch(urlOf(path), { method: "POST", headers, body: JSON.stringify(body), ...options });
}

/** Send what outlives the page; a beacon has no key. */
function sendOff(path, body) {
  const data = new Blob([JSON.stringify(body)], { type: "application/json" });
  const isOwn = !setting("key") && urlOf(path).origin === location.origin;
  if (!isOwn || !navigator.sendBeacon(urlOf(path), data)) post(path, body, { keepalive: true }).catch(() => {});
}

const eventOf = (event, item_id, details) => ({ events: [{ event, item_id, event_id: newId(), ...ids(), ...details }] });

/** Report an event; returns whether it is stored. */
export async function track(event, itemId, details) {
  if (!isGranted()) return false;
  try {
    const answer = await post("/v1/events", eventOf(event, itemId, details), { keepalive: true });
    return answer.ok && (await answer.json()).refused === 0;
  } catch {
    return false;
  }
}

/** Fill all lists again. */
export const refresh = () => Promise.all([...document.querySelectorAll("rec-list")].map((list) => list.load()));

let waiting;

/** Fill a list together with all others that ask at the same time. */
function join(list) {
  waiting ??= { lists: new Set(), filled: Promise.resolve().then(fillWaiting) };
  waiting.lists.add(list);
  return waiting.filled;
}

function fillWaiting() {
  const lists = [...waiting.lists].filter((list) => list.isConnected);
  waiting = undefined;
  return lists.length && fill(lists);
}

async function fill(lists) {
  const turns = new Map(lists.map((list) => [list, list.turn]));
  const isLatest = (list) => list.turn === turns.get(list);
  const fail = (those, why) => those.filter(isLatest).forEach((list) => list.fail(why));
  try {
    const signal = AbortSignal.timeout(setting("timeout") ?? TIMEOUT_MS);
    const answer = await post("/v1/pages", pageBody(lists), { signal });
    const body = await answer.json();
    if (answer.ok) return lists.forEach((list, n) => isLatest(list) && list.show(body.shelves[n]));
    const refused = new Set((body.errors ?? []).map(({ field }) => lists[/^shelves\[(\d+)/.exec(field)?.[1]]));
    const others = lists.filter((list) => !refused.has(list));
    if (refused.has(undefined) || !refused.size || !others.length) return fail(lists, body);
    fail([...refused], body);
    return fill(others); // one misspelled list does not empty the page
  } catch (error) {
    return fail(lists, error);
  }
}

const onPage = new Set();

/** Report what was seen of each list, once; it waits for consent. */
function report(lists = onPage) {
  const seen = [...lists].filter((list) => list.seen.size && !list.isReported);
  if (!seen.length || !isGranted()) return;
  seen.forEach((list) => (list.isReported = true));
  sendOff("/v1/impressions", { impressions: seen.map((list) => seenList(list.shelf, list.seen)) });
}

function make(name, part, { dataset, ...rest } = {}, ...children) {
  const element = Object.assign(document.createElement(name), rest);
  if (part) element.setAttribute("part", part);
  Object.assign(element.dataset, dataset);
  element.append(...children);
  return element;
}

/** The card of a list without a template. */
function plainCard(list) {
  const text = (name, part, field) => make(name, part, { dataset: { text: field } });
  const [href, src] = ["href", "image"].map((name) => list.getAttribute(name));
  const card = make("a", "card", { dataset: href ? { href } : {} });
  if (src) card.append(make("span", "picture", {}, make("img", "image", { alt: "", loading: "lazy", dataset: { src } })));
  const prices = make("span", "prices", {}, text("span", "price", "price"), " ", text("s", "list-price", "list_price"));
  card.append(text("span", "title", "title"), prices);
  if (list.hasAttribute("reasons")) card.append(text("span", "reason", "reason"));
  return card;
}

const partsOf = (card) => [card, ...card.querySelectorAll("*")];

/** A copy of a card, filled with an item. */
function filled(card, item, list) {
  const copy = card.cloneNode(true);
  for (const part of partsOf(copy)) {
    const { text, ...addresses } = part.dataset;
    if (text) part.textContent = textOf(item, text, list.language, setting("currency")); // never as HTML
    for (const name of ["href", "src"]) {
      const address = addressOf(addresses[name], item);
      if (address) part.setAttribute(name, address);
    }
  }
  return copy;
}

const NOTHING = { fields: { title: "\u00a0" }, reasons: [] };

const observer = globalThis.IntersectionObserver && new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    clearTimeout(target.timer);
    if (isIntersecting) target.timer = setTimeout(() => see(target), SEEN_MS);
  }
}, { threshold: SEEN_SHARE });

function see({ list, item }) {
  if (document.visibilityState === "visible") list.seen.add(item.item_id);
}

let style;

export class RecList extends (globalThis.HTMLElement ?? Object) {
  static observedAttributes = ["placement", "item", "items", "filter", "limit"];

  shelf; // what is shown
  turn = 0; // of the latest call
  seen = new Set(); // ids of its items
  #clicked = new Set();
  #card;
  #list = make("ul", "list", { role: "list" });
  #slot = make("slot", "", { hidden: true });

  get language() {
    return this.closest("[lang]")?.lang || navigator.language;
  }

  get limit() {
    return Math.min(Math.max(parseInt(this.getAttribute("limit")) || LIMIT, 1), MAX_LIMIT);
  }

  connectedCallback() {
    onPage.add(this);
    if (!this.shadowRoot) this.#build();
    if (!this.shelf) this.load();
  }

  disconnectedCallback() {
    report([this]);
    onPage.delete(this);
  }

  attributeChangedCallback() {
    if (this.isConnected && this.shadowRoot) this.load();
  }

  load() {
    this.turn++;
    this.ariaBusy = "true";
    return join(this);
  }

  wish() {
    const [placement, item, items, filter] = ["placement", "item", "items", "filter"].map((name) => this.getAttribute(name));
    return { placement, limit: this.limit, item_ids: item ? [item] : idsIn(items), ...(filter && { filter }) };
  }

  fields() {
    const named = partsOf(this.#card).flatMap(({ dataset: { text, href, src } }) => [text, ...namesIn(href), ...namesIn(src)]);
    return [...SHOWN, ...named].filter((name) => name && !/^(item_id|reason|rank)$/.test(name));
  }

  show(shelf) {
    report([this]);
    Object.assign(this, { shelf, seen: new Set(), isReported: false });
    this.#clicked.clear();
    if (!shelf.items.length) return this.fail(shelf);
    const headline = this.shadowRoot.querySelector("h2");
    if (headline) headline.textContent ||= shelf.titles[this.language.slice(0, 2)];
    this.#fill(shelf.items);
    return this.#end("ready", "rec-load", shelf);
  }

  /** Show what is inside, unless a list is shown; nothing moves. */
  fail(why) {
    if (this.getAttribute("state") === "ready" && this.shelf.items.length) return this.#end("ready", "rec-error", why);
    this.style.minHeight = `${this.offsetHeight}px`;
    this.hidden = this.getBoundingClientRect().top >= innerHeight && !this.#hasOwn();
    this.#list.hidden = true;
    this.#slot.hidden = false;
    return this.#end(this.#hasOwn() ? "fallback" : "hollow", "rec-error", why);
  }

  #hasOwn = () => [...this.childNodes].some((node) => !node.slot && node.nodeName !== "TEMPLATE" && node.textContent.trim());

  #end(state, name, detail) {
    this.ariaBusy = null;
    this.setAttribute("state", state);
    this.dispatchEvent(new CustomEvent(name, { bubbles: true, detail }));
  }

  #build() {
    const root = this.attachShadow({ mode: "open" });
    if (!style) (style = new CSSStyleSheet()).replaceSync(STYLE);
    root.adoptedStyleSheets = [style]; // a strict content security policy allows it
    const heading = make("slot", "", { name: "heading", id: "heading" });
    if (this.hasAttribute("heading")) heading.append(make("h2", "headline", {}, this.getAttribute("heading")));
    this.#list.setAttribute("aria-labelledby", "heading");
    root.append(heading, this.#list, this.#slot);
    this.#card = this.querySelector(":scope > template")?.content.firstElementChild ?? plainCard(this);
    this.#fill(Array(this.limit).fill(NOTHING));
    this.setAttribute("state", "loading");
    for (const kind of ["click", "auxclick"]) this.addEventListener(kind, (event) => this.#click(event));
  }

  #fill(items) {
    this.#list.style.minHeight = `${this.#list.offsetHeight}px`; // fewer items take the same height
    this.hidden = this.#list.hidden = false;
    this.#slot.hidden = true;
    for (const { timer } of this.#list.children) clearTimeout(timer);
    this.querySelectorAll(":scope > [slot^=card]").forEach((card) => card.remove());
    const entries = items.map((item, n) => {
      let card = filled(this.#card, item, this);
      if (this.#card.getRootNode() !== this.#card) { // the page's own: it keeps the page's styles
        this.append(Object.assign(card, { slot: `card${n}` }));
        card = make("slot", "", { name: `card${n}` });
      }
      if (item === NOTHING) return make("li", "skeleton", { inert: true }, card);
      const entry = make("li", "item", { item, list: this }, card);
      observer?.observe(entry);
      return entry;
    });
    this.#list.replaceChildren(...entries);
  }

  #click(event) {
    const path = event.composedPath();
    const { item } = path.find((node) => node.list === this) ?? {};
    if (!item || event.button === 2 || !path.some((node) => /^(A|BUTTON)$/.test(node.nodeName))) return;
    this.seen.add(item.item_id);
    if (this.#clicked.has(item) || !isGranted()) return;
    this.#clicked.add(item);
    const { recommendation_id, placement } = this.shelf;
    sendOff("/v1/events", eventOf("select_item", item.item_id, { recommendation_id, placement, position: item.rank }));
  }
}

if (globalThis.customElements && !customElements.get("rec-list")) {
  customElements.define("rec-list", RecList);
  document.addEventListener("visibilitychange", () => document.visibilityState === "hidden" && report());
  addEventListener("pagehide", () => report());
}
