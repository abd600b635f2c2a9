// The client of the recsys recommendation engine, for browsers and Node 20.

import { ApiError, ClientError, UnreachableError } from "./errors.js";
import { EventQueue } from "./event_queue.js";
import { OPERATIONS } from "./operations.js";
import { DEFAULT_RETRIES, isRetried, nextPauseMs, retryAfterSeconds, sleep } from "./retries.js";

export { ApiError, ClientError, UnreachableError };

const DEFAULT_LIMIT = 20;

export class Client {
  /**
   * @param {string} url of the engine
   * @param {import("./index.js").ClientOptions} [options]
   */
  constructor(url, options = {}) {
    this.url = url.replace(/\/+$/, "");
    this.key = options.key ?? null;
    this.timeoutMs = options.timeoutMs ?? 2000;
    this.retries = { ...DEFAULT_RETRIES, ...options.retries };
    this.fallback = options.fallback ?? null;
    this.fetch = options.fetch ?? globalThis.fetch.bind(globalThis);
    this.isClosed = false;
    this.queue = new EventQueue((events, more) => this.takeEvents({ events }, more), {
      batchSize: options.batchSize ?? 100,
      flushMs: options.flushMs ?? 1000,
      queueSize: options.queueSize ?? 10_000,
      retries: this.retries,
      onRefused: options.onRefused,
    });
    this.closeMs = options.closeMs ?? 5000;
    this.onHide = () => {
      if (globalThis.document?.visibilityState === "hidden") this.queue.flushAtExit();
    };
    globalThis.document?.addEventListener("visibilitychange", this.onHide);
    this.onEnd = () => this.close();
    globalThis.process?.once?.("beforeExit", this.onEnd);
  }

  get counts() {
    return { ...this.queue.counts };
  }

  /** Queues an event, which is sent with others; false if it was dropped, as the queue is full. */
  track(event) {
    if (this.isClosed) throw new ClientError("the client is closed: its events cannot be sent");
    return this.queue.add(event);
  }

  /** Sends the events that wait; resolves to false if some are left. */
  flush() {
    return this.queue.flush();
  }

  /** Sends the events that wait, for a few seconds at most. */
  async close() {
    if (this.isClosed) return;
    this.isClosed = true;
    globalThis.document?.removeEventListener("visibilitychange", this.onHide);
    globalThis.process?.removeListener?.("beforeExit", this.onEnd);
    const endsAt = Date.now() + this.closeMs;
    while (!(await this.queue.flush()) && Date.now() + this.retries.baseMs < endsAt) await sleep(this.retries.baseMs);
    this.queue.close();
  }

  /** Sends a call, again if that helps, and resolves to its answer, else to the fallback list. */
  async call(operation, given = {}, options = {}) {
    const started = Date.now();
    for (let attempt = 0; ; attempt += 1) {
      const found = await this.attempt(operation, given, options);
      if (!("failure" in found)) return found.answer;
      const pause = found.isRetried
        ? nextPauseMs(this.retries, attempt, found.retryAfter, Date.now() - started)
        : null;
      if (pause === null) return this.fallbackAnswer(operation, given, found.failure);
      await sleep(pause);
    }
  }

  async attempt(operation, given, { timeoutMs = this.timeoutMs, keepalive = false, signal } = {}) {
    const timeout = AbortSignal.timeout(timeoutMs);
    let response;
    let text;
    try {
      response = await this.fetch(this.url + address(operation, given), {
        method: operation.method,
        headers: this.headers(operation),
        body: operation.hasBody ? JSON.stringify(body(operation, given)) : undefined,
        keepalive,
        signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
      });
      text = await response.text();
    } catch (error) {
      if (signal?.aborted) throw error;
      const reason = `${operation.method} ${operation.path}: ${error.cause?.code ?? error.name}: ${error.message}`;
      return { failure: new UnreachableError(reason), isRetried: operation.isSafe || wasNotSent(error) };
    }
    return this.read(operation, response, text);
  }

  read(operation, response, text) {
    const content = parse(text);
    if (response.status === 200 && content !== null) return { answer: content };
    if (response.status === 200) {
      return { failure: new ClientError(`the answer of ${operation.path} is not JSON`), isRetried: false };
    }
    const retryAfter = retryAfterSeconds(response.headers.get("retry-after"));
    const failure = new ApiError(response.status, content ?? { detail: text.slice(0, 200) }, retryAfter);
    return { failure, retryAfter, isRetried: isRetried(response.status, operation.isSafe) };
  }

  headers(operation) {
    const headers = { Accept: "application/json" };
    if (operation.hasBody) headers["Content-Type"] = "application/json";
    if (this.key !== null) headers.Authorization = `Bearer ${this.key}`;
    return headers;
  }

  fallbackAnswer(operation, given, error) {
    const isTemporary = error instanceof UnreachableError || (error instanceof ApiError && error.isTemporary);
    if (this.fallback === null || !operation.isList || !isTemporary) throw error;
    const placement = given.placement ?? "";
    const chosen = Array.isArray(this.fallback) ? this.fallback : (this.fallback[placement] ?? this.fallback[""] ?? []);
    const known = new Set([given.item_id, ...(given.item_ids ?? [])]);
    const itemIds = [...new Set(chosen)].filter((id) => !known.has(id)).slice(0, given.limit ?? DEFAULT_LIMIT);
    return fallbackList(placement, itemIds);
  }
}

for (const [name, operation] of Object.entries(OPERATIONS)) {
  Object.defineProperty(Client.prototype, name, {
    value(given, options) {
      return this.call(operation, given, options);
    },
  });
}

function address(operation, given) {
  const path = operation.path.replace(/{(\w+)}/g, (_, name) => encodeURIComponent(given[name]));
  const query = new URLSearchParams();
  for (const name of operation.query) {
    if (given[name] !== undefined && given[name] !== null) query.set(name, text(given[name]));
  }
  return query.size > 0 ? `${path}?${query}` : path;
}

function body(operation, given) {
  if (operation.isOpen) return given.body;
  const inPath = Array.from(operation.path.matchAll(/{(\w+)}/g), (match) => match[1]);
  const used = new Set([...operation.query, ...inPath]);
  return Object.fromEntries(Object.entries(given).filter(([name]) => !used.has(name)));
}

function text(value) {
  return value instanceof Date ? value.toISOString() : String(value);
}

function parse(content) {
  try {
    const found = JSON.parse(content);
    return typeof found === "object" ? found : null;
  } catch {
    return null;
  }
}

function wasNotSent(error) {
  return ["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "UND_ERR_CONNECT_TIMEOUT"].includes(error.cause?.code);
}

function fallbackList(placement, itemIds) {
  const items = itemIds.map((item_id, n) => ({
    item_id,
    score: 0,
    rank: n + 1,
    source: "client_fallback",
    reasons: [],
    propensity: 1,
  }));
  return {
    recommendation_id: "",
    as_of: new Date().toISOString(),
    next_page_token: null,
    placement,
    model_version: "",
    items,
    fallback_used: true,
    missing_ids: [],
    head_share: 0,
    local_hour: 0,
    timezone: "UTC",
  };
}
