// The client of the recsys recommendation engine, for browsers and Node 20.

import type { Calls, Event, FieldError } from "./types.js";

export * from "./types.js";

/** How often and when a call is sent again: pauses are random up to `baseMs * 2 ** n`, after any `Retry-After`. */
export interface Retries {
  /** Attempts of one call, the first one included; 3. */
  attempts?: number;
  /** The scale of the pauses; 100. */
  baseMs?: number;
  /** The longest pause; 2000. */
  maxPauseMs?: number;
  /** For all attempts and pauses of a call; 5000. */
  deadlineMs?: number;
  /** Returns a random number from 0 to 1. */
  chance?: () => number;
}

export interface ClientOptions {
  /** An API key; none if the engine requires none. */
  key?: string;
  /** For one attempt; 2000. */
  timeoutMs?: number;
  retries?: Retries;
  /** Item ids to list where the engine cannot make a list now: for all placements, or by placement ("": the others). */
  fallback?: string[] | Record<string, string[]>;
  /** Events of one call, at most 1000; 100. */
  batchSize?: number;
  /** How long an event waits for others; 1000. */
  flushMs?: number;
  /** Events that may wait while the engine is not reached; 10000. */
  queueSize?: number;
  /** How long `close` waits for the events that are left; 5000. */
  closeMs?: number;
  /** Gets each tracked event that the engine refuses, and the errors. */
  onRefused?: (event: Partial<Event>, errors: FieldError[]) => void;
  /** Instead of the global one. */
  fetch?: typeof fetch;
}

export interface CallOptions {
  /** For one attempt. */
  timeoutMs?: number;
  /** Whether the call goes on after its page is left. */
  keepalive?: boolean;
  /** Ends the call. */
  signal?: AbortSignal;
}

/** What became of the tracked events. */
export interface QueueCounts {
  /** Are stored by the engine. */
  accepted: number;
  /** Were sent and are not stored. */
  refused: number;
  /** Were never sent. */
  dropped: number;
}

/** A call that has no answer. */
export class ClientError extends Error {}

/** The engine cannot be reached: no connection, no answer in time, or a connection that broke. */
export class UnreachableError extends ClientError {}

/** The engine has refused a call. */
export class ApiError extends ClientError {
  readonly status: number;
  readonly detail: string;
  readonly errors: FieldError[];
  readonly retryAfter: number | null;
  /** Whether the engine may answer later. */
  readonly isTemporary: boolean;
}

export interface Client extends Calls {}

export class Client {
  constructor(url: string, options?: ClientOptions);
  readonly counts: QueueCounts;
  /** Queues an event, which is sent with others; false if it was dropped, as the queue is full. */
  track(event: Event): boolean;
  /** Sends the events that wait; resolves to false if some are left. */
  flush(): Promise<boolean>;
  /** Sends the events that wait, for a few seconds at most. */
  close(): Promise<void>;
}
