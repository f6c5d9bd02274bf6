// A job as a card of the list: state, progress, text, and what can be done with it.

import { announce, element, setText } from "./dom.js";
import { clock, moment, number, problemText, t } from "./i18n.js";
import { copyText, DOWNLOADS, saveFile } from "./saving.js";
import { Transcript } from "./transcript.js";

const ACTIVE = new Set(["waiting", "uploading", "queued", "running"]);
let made = 0;

export class JobCard {
  #api;
  #job;
  #transcript = null;
  #isOpen = false;
  #announced;
  /** What went wrong with the button pressed last. */
  #fault = null;

  /** onRemoved is called when the job is no longer anywhere, onRestarted when a job that was over is under way again. */
  constructor(api, job, { onRemoved, onRestarted }) {
    this.#api = api;
    this.#job = job;
    this.#announced = job.phase;
    this.onRemoved = onRemoved;
    this.onRestarted = onRestarted;
    this.#build();
    job.addEventListener("change", () => this.render());
    job.addEventListener("gone", () => onRemoved(this));
    this.render();
  }

  get job() {
    return this.#job;
  }

  #build() {
    this.title = element("h3", { id: `job-${++made}`, tabindex: "-1" });
    this.meta = element("p", { class: "meta" });
    this.state = element("p", { class: "state" });
    this.progress = element("progress", { max: "1" });
    this.problem = element("p", { class: "problem" });
    this.show = this.#button(() => this.#toggle(), "second");
    this.copy = this.#button(() => this.#copy(), "second");
    this.downloads = DOWNLOADS.map((download) => this.#button(() => this.#save(download), "second"));
    this.cancel = this.#button(() => this.#cancel(), "second");
    this.tryAgain = this.#button(() => this.#requeue(), "second");
    this.erase = this.#button(() => this.#erase(), "danger");
    const actions = [this.show, this.copy, ...this.downloads, this.cancel, this.tryAgain, this.erase];
    this.body = element("div", { class: "body", id: `${this.title.id}-text`, hidden: true });
    this.show.setAttribute("aria-controls", this.body.id);
    const head = element("div", { class: "head" }, this.title, this.meta);
    const row = element("div", { class: "row" }, ...actions);
    const parts = [head, this.state, this.progress, this.problem, row, this.body];
    this.element = element("li", { class: "card job", "aria-labelledby": this.title.id }, ...parts);
  }

  #button(act, kind) {
    const run = async () => {
      this.#showFault(null);
      try {
        await act();
      } catch (error) {
        this.#showFault(error);
        announce(problemText(error));
      }
    };
    return element("button", { type: "button", class: kind, "aria-describedby": this.title.id, onclick: run });
  }

  #showFault(fault) {
    this.#fault = fault;
    this.render();
  }

  render() {
    const job = this.#job;
    const problem = this.#fault ?? (job.phase === "cancelled" ? null : job.problem);
    this.element.dataset.phase = job.phase;
    setText(this.title, job.name || t("recording"));
    const length = job.durationS === null ? [] : [clock(job.durationS)];
    setText(this.meta, [moment(job.createdAt), ...length].join(" · "));
    setText(this.state, job.isOffline && !job.isFinal ? t("offline") : stateText(job));
    setText(this.problem, problem ? problemText(problem) : "");
    this.#renderProgress();
    this.#renderActions();
    if (job.windows.size && !this.#transcript) this.#open();
    this.#transcript?.render();
    this.#announce();
  }

  #renderProgress() {
    const { phase, sent, done, total, name } = this.#job;
    this.progress.hidden = !ACTIVE.has(phase);
    this.progress.setAttribute("aria-label", t("progress", { name }));
    this.progress.value = phase === "uploading" ? sent : total ? done / total : 0;
  }

  #renderActions() {
    const { phase, isAccepted } = this.#job;
    const isDone = phase === "completed";
    this.show.hidden = !isDone && !this.#transcript;
    setText(this.show, t(this.#isOpen ? "hide" : "show"));
    this.show.setAttribute("aria-expanded", String(this.#isOpen));
    this.copy.hidden = !isDone;
    if (!this.copy.dataset.done) setText(this.copy, t("copy"));
    this.downloads.forEach((button, i) => {
      const { label } = DOWNLOADS[i];
      button.hidden = !isDone;
      setText(button, label);
      button.setAttribute("aria-label", t("downloadAs", { format: label }));
    });
    this.cancel.hidden = !ACTIVE.has(phase);
    setText(this.cancel, t("cancel"));
    this.tryAgain.hidden = phase !== "failed" || !isAccepted;
    setText(this.tryAgain, t("tryAgain"));
    this.erase.hidden = ACTIVE.has(phase);
    setText(this.erase, t("erase"));
  }

  /** The steps that somebody waits for; not each window. */
  #announce() {
    const { phase, name, problem } = this.#job;
    if (phase === this.#announced) return;
    this.#announced = phase;
    if (phase === "waiting" || phase === "uploading") return;
    announce([`${name}: ${stateText(this.#job)}`, problem ? problemText(problem) : ""].filter(Boolean).join(". "));
  }

  #open() {
    this.#transcript ??= new Transcript(this.#job);
    this.body.replaceChildren(this.#transcript.element);
    this.#setOpen(true);
  }

  #setOpen(isOpen) {
    this.#isOpen = isOpen;
    this.body.hidden = !isOpen;
    this.#renderActions();
  }

  async #toggle() {
    if (this.#transcript) return this.#setOpen(!this.#isOpen);
    await this.#load();
    this.#open();
    this.#transcript.render();
  }

  async #load() {
    const job = this.#job;
    if (job.windows.size) return;
    const { segments } = JSON.parse(await (await this.#api.result(job.id, "verbose_json")).text());
    job.windows.set(0, segments.map(({ start, end, text }) => ({ start, end, text: text.trim() })));
  }

  async #copy() {
    await copyText(this.#api.text(this.#job.id));
    this.copy.dataset.done = "true";
    setText(this.copy, t("copied"));
    announce(t("copied"));
    setTimeout(() => {
      delete this.copy.dataset.done;
      setText(this.copy, t("copy"));
    }, 2000);
  }

  async #save({ format, ending }) {
    saveFile(await this.#api.result(this.#job.id, format), this.#job.name, ending);
  }

  async #cancel() {
    const job = this.#job;
    if (job.isAccepted) {
      const told = await this.#api.cancel(job.id);
      // One that was done before is told by its events, with the rest of its text.
      if (told.state !== "completed") job.takeApi(told);
    } else {
      job.leaving.abort();
      job.update({ phase: "cancelled", retryInS: null });
    }
    this.title.focus();
  }

  async #requeue() {
    this.#job.takeApi(await this.#api.requeue(this.#job.id));
    this.onRestarted(this);
    this.title.focus();
  }

  async #erase() {
    const job = this.#job;
    if (job.isAccepted) {
      if (!confirm(t("eraseQuestion", { name: job.name }))) return;
      await this.#api.erase(job.id);
    }
    this.onRemoved(this);
    announce(t("erased", { name: job.name }));
  }

  leave() {
    this.#job.leaving.abort();
    this.#transcript?.leave();
  }
}

function stateText({ phase, sent, position, done, total, retryInS }) {
  if (retryInS !== null && phase === "uploading") return t("again", { seconds: retryInS });
  if (phase === "uploading") return t("uploading", { percent: number(sent, { style: "percent" }) });
  const isWaiting = phase === "queued" || (phase === "running" && done === 0);
  if (isWaiting && position > 0) return t("queued", { count: position });
  if (phase === "queued") return t("next");
  return t(phase, { done, total });
}
