// Server-sent events out of a fetched body: EventSource can send no key.
// https://html.spec.whatwg.org/multipage/server-sent-events.html

export class EventParser {
  #unread = "";
  #fields = {};

  /** The events that this piece of text completes, each {id, name, data}; comments and unknown fields are skipped. */
  push(text) {
    const lines = (this.#unread + text).split(/\r\n|\n|\r(?!$)/);
    this.#unread = lines.pop();
    return lines.map((line) => this.#line(line)).filter(Boolean);
  }

  #line(line) {
    if (line === "") return this.#end();
    const colon = line.indexOf(":");
    if (colon === 0) return null;
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    this.#fields[name] = name === "data" && "data" in this.#fields ? `${this.#fields.data}\n${value}` : value;
    return null;
  }

  #end() {
    const { id = null, event = "message", data } = this.#fields;
    this.#fields = {};
    return data === undefined ? null : { id, name: event, data: JSON.parse(data) };
  }
}

/** Yields each event of a response's body. Throws when nothing, not even a comment, came for so long. */
export async function* readEvents(body, silenceMs) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  const parser = new EventParser();
  try {
    for (;;) {
      const { done, value } = await within(silenceMs, reader.read());
      if (done) return;
      yield* parser.push(value);
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

async function within(limitMs, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new TypeError("the stream is silent")), limitMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
