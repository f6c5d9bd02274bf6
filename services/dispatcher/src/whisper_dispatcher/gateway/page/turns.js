// Waiting, and waiting for one's turn.

/** At most `limit` run at once: a browser opens six connections to a host, and some are needed for other requests. */
export class Turns {
  #free;
  #waiting = [];

  constructor(limit) {
    this.#free = limit;
  }

  /** Somebody waits for a turn. */
  get areWanted() {
    return this.#waiting.length > 0;
  }

  async run(work) {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise((resolve) => this.#waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free += 1;
    }
  }
}

/** Ends early, without an error, when the signal is aborted. */
export function pause(seconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
