// Where recordings come in: dropped, chosen, or spoken; and what they are to be transcribed with.

import { announce, byId, element, setText } from "./dom.js";
import { clock, currentLanguage, t } from "./i18n.js";
import { WHISPER_LANGUAGES } from "./languages.js";
import { canRecord, Recorder } from "./recorder.js";

export class Intake {
  #onFiles;
  #recorder = new Recorder();
  #models = [];
  #isRefused = false;

  /** onFiles(files, options) is called with what is to be transcribed. */
  constructor(onFiles) {
    this.#onFiles = onFiles;
    byId("files").addEventListener("change", (event) => this.#choose(event.target));
    byId("record").addEventListener("click", () => this.#record());
    byId("model").addEventListener("change", () => this.#renderLanguages());
    this.#listenForDrops();
    setInterval(() => this.#recorder.isRunning && this.#renderRecorder(), 500);
    this.render();
  }

  setModels(models) {
    this.#models = models;
    const first = models.find((model) => model.default) ?? models[0];
    byId("model").replaceChildren(...models.map(({ id }) => element("option", { value: id }, id)));
    byId("model").value = first?.id ?? "";
    byId("model-field").hidden = models.length < 2;
    this.#renderLanguages();
  }

  get isRecording() {
    return this.#recorder.isRunning;
  }

  /** What is being recorded is not sent to anybody. */
  leave() {
    this.#recorder.stop();
    this.#renderRecorder();
  }

  render() {
    this.#renderRecorder();
    this.#renderLanguages();
  }

  #send(files) {
    if (files.length) this.#onFiles(files, { model: byId("model").value, language: byId("spoken").value });
  }

  #choose(input) {
    this.#send([...input.files]);
    input.value = ""; // so that the same file can be chosen again
  }

  /** Anywhere on the page: a file that misses its place must not be opened instead of the page. */
  #listenForDrops() {
    const mark = (isOver) => byId("drop").classList.toggle("over", isOver);
    document.addEventListener("dragover", (event) => {
      event.preventDefault();
      mark(true);
    });
    document.addEventListener("dragleave", (event) => event.relatedTarget === null && mark(false));
    document.addEventListener("drop", (event) => {
      event.preventDefault();
      mark(false);
      if (!byId("workspace").hidden) this.#send([...event.dataTransfer.files]);
    });
  }

  async #record() {
    if (this.#recorder.isRunning) {
      this.#send([await this.#recorder.stop()]);
    } else {
      try {
        await this.#recorder.start(() => this.#record());
        this.#isRefused = false;
        if (this.#recorder.isRunning) announce(t("recordingStarted"));
      } catch {
        this.#isRefused = true;
      }
    }
    this.#renderRecorder();
  }

  #renderRecorder() {
    const { isRunning, seconds } = this.#recorder;
    byId("record").disabled = !canRecord();
    byId("record").classList.toggle("running", isRunning);
    setText(byId("record"), isRunning ? t("stopRecording", { time: clock(seconds) }) : t("record"));
    setText(byId("record-hint"), canRecord() ? (this.#isRefused ? t("noMicrophone") : "") : t("cannotRecord"));
  }

  #renderLanguages() {
    const select = byId("spoken");
    const chosen = select.value;
    const model = this.#models.find(({ id }) => id === byId("model").value);
    const codes = model?.languages.length ? model.languages : WHISPER_LANGUAGES;
    const names = new Intl.DisplayNames(currentLanguage(), { type: "language" });
    const options = codes.map((code) => ({ code, name: names.of(code) }));
    options.sort((a, b) => a.name.localeCompare(b.name, currentLanguage()));
    const made = options.map(({ code, name }) => element("option", { value: code }, name));
    select.replaceChildren(element("option", { value: "" }, t("detect")), ...made);
    select.value = codes.includes(chosen) ? chosen : "";
  }
}
