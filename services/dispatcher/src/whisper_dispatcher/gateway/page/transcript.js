// A job's text, sentence by sentence, and the recording under it: a click on a sentence plays it.

import { element } from "./dom.js";
import { t } from "./i18n.js";

const ROUNDING_S = 0.02;
const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity };

let playing = null;

export class Transcript {
  #job;
  #shown = new Map();
  #segments = new WeakMap();
  #spoken = null;
  #audio = null;
  #wanted = null;

  constructor(job) {
    this.#job = job;
    this.text = element("div", { class: "text", role: "group", onclick: (event) => this.#click(event) });
    this.text.addEventListener("keydown", (event) => this.#walk(event));
    this.chooser = element("input", { type: "file", class: "unseen", accept: "audio/*,video/*", id: `file-${job.id}` });
    this.chooser.addEventListener("change", () => this.#choose());
    this.chooserLabel = element("label", { for: this.chooser.id, class: "button second" });
    this.sound = element("div", { class: "sound" }, this.chooser, this.chooserLabel);
    this.element = element("div", { class: "transcript" }, this.sound, this.text);
    if (job.file) this.#attach(job.file);
  }

  /** Adds what is new and leaves the rest, and with it focus and selection, alone. */
  render() {
    const { name, windows, phase } = this.#job;
    this.text.setAttribute("aria-label", t("textOf", { name }));
    this.#audio?.setAttribute("aria-label", t("playerOf", { name }));
    this.chooserLabel.textContent = t("listen");
    for (const index of windows.keys()) if (!this.#shown.has(index)) this.#add(index);
    const isSilent = phase === "completed" && !this.#sentences.length;
    this.text.dataset.empty = isSilent ? t("noSpeech") : "";
  }

  leave() {
    if (this.#audio) URL.revokeObjectURL(this.#audio.src);
  }

  get #sentences() {
    return [...this.text.querySelectorAll("button")];
  }

  #add(index) {
    const part = element("span");
    for (const segment of this.#job.windows.get(index)) {
      const sentence = element("button", { type: "button", class: "sentence", tabindex: "-1" }, segment.text);
      this.#segments.set(sentence, segment);
      part.append(sentence, " ");
    }
    this.#shown.set(index, part);
    const later = [...this.#shown.keys()].filter((other) => other > index);
    this.text.insertBefore(part, later.length ? this.#shown.get(Math.min(...later)) : null);
    this.#makeOneReachable();
  }

  /** One stop for the Tab key, however long the text is; arrow keys do the rest. */
  #makeOneReachable(wanted = null) {
    const target = wanted ?? this.text.querySelector('[tabindex="0"]') ?? this.text.querySelector("button");
    for (const each of this.text.querySelectorAll('[tabindex="0"]')) each.tabIndex = -1;
    if (target) target.tabIndex = 0;
  }

  #walk(event) {
    const step = STEPS[event.key];
    const sentences = this.#sentences;
    const here = sentences.indexOf(event.target);
    if (step === undefined || here < 0) return;
    event.preventDefault();
    const next = sentences[Math.min(Math.max(here + step, 0), sentences.length - 1)];
    this.#makeOneReachable(next);
    next.focus();
  }

  #click(event) {
    const segment = this.#segments.get(event.target);
    if (!segment) return;
    this.#makeOneReachable(event.target);
    if (this.#audio) return this.#playFrom(segment.start);
    this.#wanted = segment.start;
    this.chooser.click();
  }

  #choose() {
    const [file] = this.chooser.files;
    if (!file) return;
    this.#job.file = file;
    this.#attach(file);
    this.render();
    if (this.#wanted === null) this.#audio.focus();
    else this.#playFrom(this.#wanted);
  }

  #attach(file) {
    this.#audio = element("audio", { controls: true, preload: "metadata", src: URL.createObjectURL(file) });
    this.#audio.addEventListener("timeupdate", () => this.#mark());
    this.#audio.addEventListener("seeked", () => this.#mark());
    this.#audio.addEventListener("loadedmetadata", () => findLength(this.#audio), { once: true });
    this.#audio.addEventListener("play", () => {
      if (playing !== this.#audio) playing?.pause();
      playing = this.#audio;
    });
    this.sound.replaceChildren(this.#audio);
  }

  #playFrom(startS) {
    this.#audio.currentTime = startS;
    this.#audio.play().catch(() => {}); // the player's own controls show what it cannot play
  }

  #mark() {
    const now = this.#audio.currentTime + ROUNDING_S;
    const isSpoken = (sentence) => {
      const { start, end } = this.#segments.get(sentence);
      return start <= now && now < end;
    };
    const spoken = this.#sentences.find(isSpoken) ?? null;
    if (spoken === this.#spoken) return;
    this.#spoken?.removeAttribute("aria-current");
    spoken?.setAttribute("aria-current", "true");
    if (!this.#audio.paused) spoken?.scrollIntoView({ block: "nearest" });
    this.#spoken = spoken;
  }
}

/** A recording of the browser's own does not say how long it is until it has been read to its end. */
function findLength(audio) {
  if (audio.duration !== Infinity) return;
  audio.addEventListener("durationchange", () => (audio.currentTime = 0), { once: true });
  audio.currentTime = Number.MAX_SAFE_INTEGER;
}
