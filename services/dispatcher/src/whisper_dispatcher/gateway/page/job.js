// One recording on its way to text: what is known of it, and how each event changes that.

const FINAL = new Set(["completed", "failed", "cancelled", "refused"]);

export class Job extends EventTarget {
  id = null;
  name = "";
  /** waiting, uploading, queued, running, completed, failed, cancelled, or refused: never accepted. */
  phase = "waiting";
  /** Between 0 and 1. */
  sent = 0;
  /** Jobs before it. */
  position = 0;
  done = 0;
  total = null;
  createdAt = Date.now() / 1000;
  durationS = null;
  problem = null;
  retryInS = null;
  isOffline = false;
  lastEventId = "0";
  /** The recording, if it was chosen in this tab. */
  file = null;
  /** Windows by their index, each a list of {start, end, text}. */
  windows = new Map();
  leaving = new AbortController();

  static ofFile(file) {
    return Object.assign(new Job(), { file, name: file.name });
  }

  static ofApi(json) {
    return Object.assign(new Job(), fieldsOf(json));
  }

  get isFinal() {
    return FINAL.has(this.phase);
  }

  get isAccepted() {
    return this.id !== null;
  }

  update(fields) {
    Object.assign(this, fields);
    this.dispatchEvent(new Event("change"));
  }

  takeApi(json) {
    this.update(fieldsOf(json));
  }

  takeEvent({ id, name, data }) {
    if (id) this.lastEventId = id;
    this.update({ isOffline: false, ...this.#changes(name, data) });
  }

  #changes(name, data) {
    switch (name) {
      case "queue":
        return { position: data.position };
      case "planned":
        return { phase: "running", total: data.total, durationS: data.duration_s };
      case "window":
        if (data.segments) this.windows.set(data.window, data.segments);
        return { phase: "running", done: data.done, total: data.total };
      case "requeued":
        return { phase: this.total === null ? "queued" : "running", problem: null };
      case "completed":
        return { phase: "completed" };
      case "failed":
      case "cancelled":
        return { phase: name, problem: problemOf(data) };
      default:
        return {};
    }
  }
}

function fieldsOf(json) {
  return {
    id: json.id,
    phase: json.state,
    position: json.queue_position ?? 0,
    done: json.windows?.done ?? 0,
    total: json.windows?.total ?? null,
    durationS: json.duration_s ?? null,
    problem: problemOf(json),
    ...(json.filename ? { name: json.filename } : {}),
    ...(json.created_at ? { createdAt: json.created_at } : {}),
  };
}

function problemOf({ reason, message }) {
  return reason ? { code: reason, message: message ?? reason } : null;
}
