// The microphone: one recording at a time, which becomes a file like any other.

const KINDS = [
  ["audio/webm;codecs=opus", "webm"],
  ["audio/mp4", "m4a"],
  ["audio/ogg;codecs=opus", "ogg"],
];

export const canRecord = () => Boolean(navigator.mediaDevices?.getUserMedia && window.MediaRecorder);

export class Recorder {
  #asked = null;
  #media = null;
  #data = null;
  #startedAt = 0;

  get isRunning() {
    return this.#media !== null;
  }

  get seconds() {
    return (performance.now() - this.#startedAt) / 1000;
  }

  /**
   * Rejects when the microphone is missing or not allowed; nothing runs when it was stopped before that was known. When
   * the microphone goes away, onLost is called: there is no more to come.
   */
  async start(onLost) {
    const asked = navigator.mediaDevices.getUserMedia({ audio: true });
    this.#asked = asked;
    const stream = await asked;
    if (this.#asked !== asked) return letGo(stream);
    const [mimeType] = KINDS.find(([kind]) => MediaRecorder.isTypeSupported(kind)) ?? [];
    const media = new MediaRecorder(stream, { mimeType });
    this.#media = media;
    this.#data = dataOf(media);
    this.#data.then(() => this.#media === media && onLost());
    this.#startedAt = performance.now();
    media.start();
  }

  /** The recording, or null when there is none; the microphone is let go of. */
  async stop() {
    this.#asked = null;
    const media = this.#media;
    if (media === null) return null;
    this.#media = null;
    if (media.state !== "inactive") media.stop();
    letGo(media.stream);
    return asFile(await this.#data);
  }
}

function letGo(stream) {
  for (const track of stream.getTracks()) track.stop();
}

/** What was recorded, once it has stopped: asked to, or by itself. */
function dataOf(media) {
  const pieces = [];
  media.ondataavailable = (event) => pieces.push(event.data);
  return new Promise((resolve) => {
    media.onstop = () => resolve(new Blob(pieces, { type: media.mimeType }));
  });
}

function asFile(blob) {
  const kind = blob.type.split(";")[0];
  const [, ending] = KINDS.find(([known]) => known.startsWith(kind)) ?? KINDS[0];
  const stamp = new Date().toISOString().slice(0, 19).replace("T", "-").replaceAll(":", "");
  return new File([blob], `recording-${stamp}.${ending}`, { type: kind });
}
