// The list of own jobs, newest first: those that the service knows and those that are on their way to it.

import { announce, byId } from "./dom.js";
import { problemText } from "./i18n.js";
import { Job } from "./job.js";
import { JobCard } from "./job_card.js";
import { travel } from "./journey.js";

export class JobList {
  #api;
  #cards = new Map();
  #oldest = "";
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
    const page = await this.#api.jobs(this.#oldest);
    this.#oldest = page.data.at(-1)?.id ?? this.#oldest;
    const known = new Set([...this.#cards.keys()].map((job) => job.id));
    const jobs = page.data.filter((json) => !known.has(json.id)).map(Job.ofApi);
    for (const job of jobs) byId("jobs").append(this.#card(job).element);
    // The oldest is the next to be done.
    for (const job of jobs.reverse()) if (!job.isFinal) this.#start(job, {});
    byId("more").hidden = !page.has_more;
    this.#renderNone();
  }

  async loadMore() {
    const before = byId("jobs").children.length;
    try {
      await this.load();
    } catch (error) {
      byId("problem").textContent = problemText(error);
    }
    byId("jobs").children[before]?.querySelector("h3").focus();
  }

  /** options: form fields of the upload. */
  send(files, options) {
    for (const file of files) {
      const job = Job.ofFile(file);
      byId("jobs").prepend(this.#card(job).element);
      // A list that is on its way could hold the job too, before anybody knows that the two are one.
      this.#loading.catch(() => {}).then(() => this.#start(job, options));
    }
    announce([...files].map((file) => file.name).join(", "));
    this.#renderNone();
  }

  render() {
    for (const card of this.#cards.values()) card.render();
  }

  leave() {
    for (const card of this.#cards.values()) card.leave();
    byId("jobs").replaceChildren();
    byId("more").hidden = byId("none").hidden = true;
  }

  #start(job, options) {
    travel(this.#api, job, options).catch((error) => job.update({ problem: error }));
  }

  #card(job) {
    const card = new JobCard(this.#api, job, {
      onRemoved: (gone) => this.#remove(gone),
      onRestarted: ({ job: restarted }) => this.#start(restarted, {}),
    });
    this.#cards.set(job, card);
    return card;
  }

  #remove(card) {
    const next = card.element.nextElementSibling ?? card.element.previousElementSibling;
    card.leave();
    card.element.remove();
    this.#cards.delete(card.job);
    (next?.querySelector("h3") ?? byId("jobs-title")).focus();
    this.#renderNone();
  }

  #renderNone() {
    byId("none").hidden = this.#cards.size > 0;
  }
}
