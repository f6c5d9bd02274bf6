// The service's HTTP API. Nothing else in the page sends a request.

import { readEvents } from "./sse.js";

const SILENCE_MS = 60_000;
const SHORTEST_WAIT_S = 1;
const ERASE_PAUSE_MS = 500;

export class ApiError extends Error {
  constructor({ code, message, status = 0, canRetry = false, retryAfterS = SHORTEST_WAIT_S }) {
    super(message);
    Object.assign(this, { code, status, canRetry, retryAfterS });
  }
}

export class Api {
  #key;
  #onWrongKey;

  constructor(key, onWrongKey) {
    this.#key = key;
    this.#onWrongKey = onWrongKey;
  }

  async jobs(after = "") {
    return this.#json(`/v1/jobs?limit=20${after && `&after=${encodeURIComponent(after)}`}`);
  }

  job = (id) => this.#json(`/v1/jobs/${id}`);

  models = async () => (await this.#json("/v1/models")).data;

  cancel = (id) => this.#json(`/v1/jobs/${id}/cancel`, { method: "POST" });

  requeue = async (id) => (await this.#json(`/v1/jobs/${id}/requeue`, { method: "POST" })).job;

  fleet = () => this.#json("/v1/fleet");

  deadLetters = async () => (await this.#json("/v1/dead-letters?limit=50")).data;

  /** 200 has only cancelled it: that gateway had not heard of the job's end yet. */
  async erase(id) {
    while ((await this.#send(`/v1/jobs/${id}`, { method: "DELETE" })).status !== 204) {
      await new Promise((resolve) => setTimeout(resolve, ERASE_PAUSE_MS));
    }
  }

  async result(id, format) {
    return (await this.#send(`/v1/jobs/${id}/result?format=${format}`)).blob();
  }

  /** Yields the events after lastId; yields none when there will be no more. */
  async *events(id, lastId, signal) {
    const headers = { Accept: "text/event-stream", "Last-Event-ID": lastId };
    const answer = await this.#send(`/v1/jobs/${id}/events?detail=true`, { headers, signal });
    if (answer.status === 204) return;
    try {
      yield* readEvents(answer.body, SILENCE_MS);
    } catch (error) {
      throw signal.aborted ? error : unreachable();
    }
  }

  /** The job of a new upload. The same idempotencyKey makes the same job, however often it is sent. */
  async upload(file, fields, idempotencyKey, { onProgress, signal }) {
    const form = new FormData();
    for (const [name, value] of Object.entries(fields)) if (value) form.append(name, value);
    form.append("file", file, file.name);
    const request = new XMLHttpRequest(); // fetch tells nothing of an upload's progress
    request.open("POST", "/v1/jobs");
    request.setRequestHeader("X-API-Key", this.#key);
    request.setRequestHeader("Idempotency-Key", idempotencyKey);
    request.upload.onprogress = (event) => onProgress(event.loaded / event.total);
    signal.addEventListener("abort", () => request.abort());
    await new Promise((resolve) => {
      request.onloadend = resolve;
      request.send(form);
    });
    signal.throwIfAborted();
    if (request.status === 202) return JSON.parse(request.responseText).job;
    if (request.status === 0) throw unreachable();
    throw this.#refusal(request.status, (name) => request.getResponseHeader(name), request.responseText);
  }

  async #json(path, options) {
    return (await this.#send(path, options)).json();
  }

  async #send(path, { headers = {}, ...options } = {}) {
    let answer;
    try {
      answer = await fetch(path, { ...options, headers: { ...headers, "X-API-Key": this.#key }, cache: "no-store" });
    } catch (error) {
      throw options.signal?.aborted ? error : unreachable();
    }
    if (answer.ok) return answer;
    throw this.#refusal(answer.status, (name) => answer.headers.get(name), await answer.text());
  }

  #refusal(status, header, body) {
    if (status === 401) this.#onWrongKey();
    const { code = "http", message = `The service answered ${status}.` } = errorOf(body);
    const retryAfterS = Math.max(SHORTEST_WAIT_S, Number(header("retry-after")) || 0);
    const hint = header("x-should-retry");
    const canRetry = hint === null ? status >= 500 : hint === "true";
    return new ApiError({ code, message, status, canRetry, retryAfterS });
  }
}

export const isPossibleKey = (key) => /^[\x21-\x7e]+$/.test(key);

function unreachable() {
  return new ApiError({ code: "network", message: "The service cannot be reached.", canRetry: true });
}

/** A proxy in front answers with whatever it likes. */
function errorOf(body) {
  try {
    return JSON.parse(body).error ?? {};
  } catch {
    return {};
  }
}
