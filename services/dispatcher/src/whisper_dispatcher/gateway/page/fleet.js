// What an operator's key may see: what each server does, how much waits, over the last hour, and the failed jobs of
// every client.

import { byId, element, setText } from "./dom.js";
import { currentLanguage, moment, number, problemText, t } from "./i18n.js";
import { workerItem } from "./workers.js";

const REFRESH_MS = 5_000;
const WIDTH = 600;
const HEIGHT = 120;

export class Fleet {
  #api;
  #timer;
  #seen = null;
  #shownLetters = "";

  constructor(api) {
    this.#api = api;
  }

  /** Shows itself if the key is an operator's. */
  async start() {
    if (!(await this.#isAllowed())) return;
    byId("fleet").hidden = false;
    byId("fleet").ontoggle = () => this.#refresh();
    this.#timer = setInterval(() => this.#refresh(), REFRESH_MS);
    await this.#refresh();
  }

  leave() {
    clearInterval(this.#timer);
    Object.assign(byId("fleet"), { hidden: true, open: false, ontoggle: null });
    for (const list of ["workers", "letters"]) byId(list).replaceChildren();
  }

  render() {
    if (!this.#seen) return;
    const [{ at, now, workers, history }, letters] = this.#seen;
    const deepest = Math.max(...history.map(({ windows }) => windows));
    byId("fleet-now").textContent = t("fleetNow", { ...now });
    byId("fleet-plot").setAttribute("aria-label", t("fleetPlot", { now: now.windows, most: number(deepest) }));
    byId("fleet-line").setAttribute("points", points(history, deepest));
    byId("fleet-most").textContent = t("fleetMost", { most: number(deepest) });
    byId("workers").replaceChildren(...workers.map((worker) => workerItem(worker, at)));
    byId("no-workers").hidden = workers.length > 0;
    this.#renderLetters(letters);
  }

  /** Rows that say the same are left alone, and with them the focus. */
  #renderLetters(letters) {
    const wanted = JSON.stringify([currentLanguage(), letters]);
    if (wanted === this.#shownLetters) return;
    this.#shownLetters = wanted;
    byId("letters").replaceChildren(...letters.map((letter) => this.#row(letter)));
    byId("no-letters").hidden = letters.length > 0;
  }

  async #isAllowed() {
    try {
      await this.#api.fleet();
      return true;
    } catch {
      return false;
    }
  }

  async #refresh() {
    if (!byId("fleet").open || document.hidden) return;
    try {
      this.#seen = await Promise.all([this.#api.fleet(), this.#api.deadLetters()]);
      byId("fleet-problem").textContent = "";
      this.render();
    } catch (error) {
      // Once: an alert is read out each time it is set.
      setText(byId("fleet-problem"), problemText(error));
    }
  }

  #row(letter) {
    const name = letter.filename || letter.job;
    const again = element("button", { type: "button", class: "second" }, t("tryAgain"));
    again.setAttribute("aria-label", `${t("tryAgain")}: ${name}`);
    again.addEventListener("click", () => this.#requeue(letter));
    const why = problemText({ code: letter.reason, message: letter.message });
    const what = element("p", {}, element("strong", {}, name), ` · ${moment(letter.at)}`);
    return element("li", {}, element("div", {}, what, element("p", { class: "meta" }, why)), again);
  }

  async #requeue(letter) {
    await this.#api.requeue(letter.job).catch((error) => (byId("fleet-problem").textContent = problemText(error)));
    await this.#refresh();
    byId("fleet-title").focus();
  }
}

/** The line of a plot from the first sample to the last; nothing at all runs along the bottom. */
export function points(history, deepest) {
  if (!history.length) return "";
  const [first, last] = [history[0].at, history.at(-1).at];
  const x = ({ at }) => (last > first ? ((at - first) / (last - first)) * WIDTH : 0);
  const y = ({ windows }) => HEIGHT - (deepest ? (windows / deepest) * HEIGHT : 0);
  return history.map((sample) => `${x(sample).toFixed(1)},${y(sample).toFixed(1)}`).join(" ");
}
