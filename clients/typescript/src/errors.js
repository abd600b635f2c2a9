// Errors of calls.

/** A call that has no answer. */
export class ClientError extends Error {
  constructor(message) {
    super(message);
    this.name = new.target.name;
  }
}

/** The engine cannot be reached: no connection, no answer in time, or a connection that broke. */
export class UnreachableError extends ClientError {}

/** The engine has refused a call. */
export class ApiError extends ClientError {
  constructor(status, problem, retryAfter) {
    const detail = problem.detail ?? problem.title ?? "no detail";
    super(`${status}: ${detail}`);
    this.status = status;
    this.detail = detail;
    this.errors = problem.errors ?? [];
    this.retryAfter = retryAfter;
  }

  get isTemporary() {
    return this.status === 429 || this.status >= 500;
  }
}
