// Events that wait to be sent: a bounded queue that sends them together.

import { ApiError } from "./errors.js";
import { pauseMs } from "./retries.js";

const MAX_BATCH = 1000;
const MAX_DOUBLINGS = 16;
const KEEPALIVE_BYTES = 60_000; // browsers send at most 64 KiB while a page is left

/** Queues events and sends them with `send(events, { keepalive })`, which resolves to the engine's results. */
export class EventQueue {
  constructor(send, { batchSize, flushMs, queueSize, retries, onRefused }) {
    this.send = send;
    this.batchSize = Math.min(batchSize, MAX_BATCH);
    this.flushMs = flushMs;
    this.queueSize = queueSize;
    this.retries = retries;
    this.onRefused = onRefused;
    this.waiting = [];
    this.timer = null;
    this.sending = null;
    this.failures = 0;
    this.counts = { accepted: 0, refused: 0, dropped: 0 };
  }

  /** Adds an event, with an id and the present time if it has none; false if the queue is full. */
  add(event) {
    if (this.waiting.length >= this.queueSize) {
      this.counts.dropped += 1;
      return false;
    }
    this.waiting.push({ event_id: newId(), timestamp: new Date().toISOString(), ...event });
    if (this.waiting.length >= this.batchSize && this.failures === 0) this.flush().catch(() => {});
    else this.schedule(this.flushMs);
    return true;
  }

  /** Sends the events that wait; resolves to false if some are left, as the engine cannot be reached. */
  async flush() {
    while (this.sending !== null) await this.sending;
    this.sending = this.sendAll();
    try {
      return await this.sending;
    } finally {
      this.sending = null;
    }
  }

  /** Sends what waits while a page is left: without waiting for an answer. */
  flushAtExit() {
    while (this.waiting.length > 0) {
      const events = this.take();
      this.send(events, { keepalive: true }).then(
        (results) => this.settle(events, results),
        () => {
          this.putBack(events);
          this.schedule(this.flushMs);
        },
      );
    }
  }

  close() {
    clearTimeout(this.timer);
    this.counts.dropped += this.waiting.length;
    this.waiting = [];
  }

  async sendAll() {
    clearTimeout(this.timer);
    this.timer = null;
    while (this.waiting.length > 0) {
      const events = this.take();
      try {
        this.settle(events, await this.send(events, {}));
        this.failures = 0;
      } catch (error) {
        if (error instanceof ApiError && !error.isTemporary) {
          this.counts.dropped += events.length;
          continue;
        }
        this.putBack(events);
        this.schedule(pauseMs(this.retries, this.failures, error.retryAfter));
        this.failures = Math.min(this.failures + 1, MAX_DOUBLINGS);
        return false;
      }
    }
    return true;
  }

  schedule(ms) {
    if (this.timer !== null) return;
    this.timer = setTimeout(() => {
      this.timer = null;
      this.flush().catch(() => {});
    }, ms);
    this.timer.unref?.(); // a program of Node may end while events wait: `close` sends them
  }

  take() {
    const events = [];
    let bytes = 0;
    while (events.length < this.batchSize && this.waiting.length > 0) {
      bytes += new TextEncoder().encode(JSON.stringify(this.waiting[0])).length;
      if (events.length > 0 && bytes > KEEPALIVE_BYTES) break;
      events.push(this.waiting.shift());
    }
    return events;
  }

  putBack(events) {
    const room = Math.max(0, this.queueSize - this.waiting.length);
    this.counts.dropped += Math.max(0, events.length - room);
    this.waiting.unshift(...events.slice(0, room));
  }

  settle(events, results) {
    this.counts.accepted += results.accepted;
    this.counts.refused += results.refused;
    results.results.forEach((result, n) => {
      if (result.errors.length > 0) this.onRefused?.(events[n], result.errors);
    });
  }
}

function newId() {
  if (typeof crypto.randomUUID === "function") return crypto.randomUUID();
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
