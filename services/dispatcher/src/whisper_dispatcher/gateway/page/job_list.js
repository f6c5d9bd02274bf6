// The list of own jobs, newest first: those that the service knows and those that are on their way to it.

import { announce, byId } from "./dom.js";
import { problemText } from "./i18n.js";
import { Job } from "./job.js";
import { JobCard } from "./job_card.js";
import { travel } from "./journey.js";

export class JobList {
  #api;
  /** As they are shown. */
  #cards = [];
  #loading = Promise.resolve();

  constructor(api) {
    this.#api = api;
  }

  /** The next page of what the service knows. Raises ApiError. */
  load() {
    this.#loading = this.#load();
    return this.#loading;
  }

  async #load() {
    const page = await this.#nextPage();
    const known = new Set(this.#ids);
    const cards = page.data.filter((json) => !known.has(json.id)).map((json) => this.#card(Job.ofApi(json)));
    this.#cards.push(...cards);
    byId("jobs").append(...cards.map((card) => card.element));
    // The oldest is the next to be done.
    for (const { job } of [...cards].reverse()) if (!job.isFinal) this.#start(job, {});
    byId("more").hidden = !page.has_more;
    this.#renderNone();
    return cards;
  }

  /** What comes after the oldest job that is still there: any may have been erased elsewhere. */
  async #nextPage() {
    for (const id of this.#ids.reverse()) {
      try {
        return await this.#api.jobs(id);
      } catch (error) {
        if (error.status !== 404) throw error;
      }
    }
    return this.#api.jobs();
  }

  get #ids() {
    return this.#cards.map((card) => card.job.id).filter(Boolean);
  }

  async loadMore() {
    byId("problem").textContent = "";
    try {
      const [first] = await this.load();
      first?.title.focus();
    } catch (error) {
      byId("problem").textContent = problemText(error);
    }
  }

  /** options: form fields of the upload. */
  send(files, options) {
    for (const file of files) {
      const job = Job.ofFile(file);
      const card = this.#card(job);
      this.#cards.unshift(card);
      byId("jobs").prepend(card.element);
      // A list that is on its way could hold the job too, before anybody knows that the two are one.
      this.#loading.catch(() => {}).then(() => this.#start(job, options));
    }
    announce([...files].map((file) => file.name).join(", "));
    this.#renderNone();
  }

  get isSending() {
    return this.#cards.some(({ job }) => !job.isAccepted && !job.isFinal);
  }

  render() {
    for (const card of this.#cards) card.render();
  }

  leave() {
    for (const card of this.#cards) card.leave();
    byId("jobs").replaceChildren();
    byId("more").hidden = byId("none").hidden = true;
  }

  #start(job, options) {
    travel(this.#api, job, options).catch((error) => job.update({ problem: error }));
  }

  #card(job) {
    return new JobCard(this.#api, job, {
      onRemoved: (gone) => this.#remove(gone),
      onRestarted: ({ job: restarted }) => this.#start(restarted, {}),
    });
  }

  #remove(card) {
    const hasFocus = card.element.contains(document.activeElement);
    const next = card.element.nextElementSibling ?? card.element.previousElementSibling;
    card.leave();
    card.element.remove();
    this.#cards = this.#cards.filter((other) => other !== card);
    if (hasFocus) (next?.querySelector("h3") ?? byId("jobs-title")).focus();
    this.#renderNone();
  }

  #renderNone() {
    byId("none").hidden = this.#cards.length > 0 || !byId("more").hidden;
  }
}
