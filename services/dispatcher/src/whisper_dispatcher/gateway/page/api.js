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
  #left = new AbortController();

  constructor(key, onWrongKey) {
    this.#key = key;
    this.#onWrongKey = onWrongKey;
  }

  /** Signed out: nothing that was asked is answered any more. A job's own signal ends what it sends and hears. */
  leave() {
    // Nobody is there to read a message.
    this.#left.abort(new ApiError({ code: "signed_out", message: "" }));
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

  /** 200 has only cancelled it: that gateway had not heard of the job's end yet. 404: it is erased already. */
  async erase(id) {
    try {
      while ((await this.#send(`/v1/jobs/${id}`, { method: "DELETE" })).status !== 204) {
        await new Promise((resolve) => setTimeout(resolve, ERASE_PAUSE_MS));
      }
    } catch (error) {
      if (error.status !== 404) throw error;
    }
  }

  result = (id, format) => this.#send(`/v1/jobs/${id}/result?format=${format}`, {}, (answer) => answer.blob());

  /** As people write it: what is shown is cut into sentences, and only the service knows where no space belongs. */
  text = async (id) => (await this.#json(`/v1/jobs/${id}/result`)).text;

  /** What yields the events after lastId; null when there will be no more. */
  async events(id, lastId, signal) {
    const headers = { Accept: "text/event-stream", "Last-Event-ID": lastId };
    const answer = await this.#send(`/v1/jobs/${id}/events?detail=true`, { headers, signal });
    return answer.status === 204 ? null : eventsOf(answer, signal);
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
    if (request.status === 0) throw (await isReadable(file)) ? unreachable() : unreadable();
    throw this.#refusal(request.status, (name) => request.getResponseHeader(name), request.responseText);
  }

  #json = (path, options) => this.#send(path, options, (answer) => answer.json());

  async #send(path, { headers = {}, signal = this.#left.signal, ...options } = {}, read = (answer) => answer) {
    let answer, body;
    try {
      const sent = { ...headers, "X-API-Key": this.#key };
      answer = await fetch(path, { ...options, signal, headers: sent, cache: "no-store" });
      body = await (answer.ok ? read(answer) : answer.text());
    } catch {
      throw signal.aborted ? signal.reason : unreachable();
    }
    if (answer.ok) return body;
    throw this.#refusal(answer.status, (name) => answer.headers.get(name), body);
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

async function* eventsOf(answer, signal) {
  try {
    yield* readEvents(answer.body, SILENCE_MS);
  } catch (error) {
    throw signal.aborted ? error : unreachable();
  }
}

/** Not a folder, nor a file that was moved or changed since it was chosen. */
async function isReadable(file) {
  const reader = file.stream().getReader();
  try {
    await reader.read();
    return true;
  } catch {
    return false;
  } finally {
    reader.cancel().catch(() => {});
  }
}

function unreadable() {
  return new ApiError({ code: "unreadable_file", message: "The file cannot be read." });
}

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
