// When a call is sent again.

const NOT_CARRIED_OUT = new Set([429, 503]);
const OPEN = new Set([500, 502, 504]);

export const DEFAULT_RETRIES = { attempts: 3, baseMs: 100, maxPauseMs: 2000, deadlineMs: 5000, chance: Math.random };

/** Returns the pause after an attempt: what the engine asks for, and a random part ("full jitter"). */
export function pauseMs(retries, attempt, retryAfter) {
  const jitter = retries.chance() * Math.min(retries.maxPauseMs, retries.baseMs * 2 ** attempt);
  return (retryAfter ?? 0) * 1000 + jitter;
}

/** Returns the pause before the next attempt, null if there is none. */
export function nextPauseMs(retries, attempt, retryAfter, elapsedMs) {
  if (attempt + 1 >= retries.attempts) return null;
  const pause = pauseMs(retries, attempt, retryAfter);
  return elapsedMs + pause < retries.deadlineMs ? pause : null;
}

/** Returns whether a call that was answered with a status is sent again. */
export function isRetried(status, isSafe) {
  return NOT_CARRIED_OUT.has(status) || (isSafe && OPEN.has(status));
}

/** Returns the seconds of a `Retry-After`, which is a number or a date; null for anything else. */
export function retryAfterSeconds(value, now = Date.now()) {
  if (value === null) return null;
  if (/^\s*\d+\s*$/.test(value)) return Number(value);
  const moment = Date.parse(value);
  return Number.isNaN(moment) ? null : Math.max(0, (moment - now) / 1000);
}

export function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
