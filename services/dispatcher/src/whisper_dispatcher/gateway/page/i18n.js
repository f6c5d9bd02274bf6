// The page's words in the language of the browser, or in the one that was chosen here.

import { english } from "./words_en.js";
import { russian } from "./words_ru.js";

export const CATALOGUES = { en: english, ru: russian };
const CHOICE = "whisperfleet.language";

let language = initialLanguage(localStorage.getItem(CHOICE), navigator.languages);

export function initialLanguage(chosen, preferred) {
  const wanted = [chosen, ...preferred].filter(Boolean).map((tag) => tag.slice(0, 2).toLowerCase());
  return wanted.find((tag) => tag in CATALOGUES) ?? "en";
}

export const currentLanguage = () => language;

/** The sentence of a key; {name} becomes values.name, and values.count chooses the plural. */
export function t(key, values = {}) {
  const entry = CATALOGUES[language][key];
  const text = typeof entry === "string" ? entry : entry[new Intl.PluralRules(language).select(values.count)];
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

/** What went wrong, in the page's language where it is known and in the service's words elsewhere. */
export function problemText({ code, message }) {
  return CATALOGUES[language][`error.${code}`] ?? message;
}

export function localize(root) {
  for (const each of root.querySelectorAll("[data-t]")) each.textContent = t(each.dataset.t);
}

export function chooseLanguage(chosen) {
  language = chosen;
  localStorage.setItem(CHOICE, chosen);
  showLanguage();
}

export function showLanguage() {
  document.documentElement.lang = language;
  localize(document);
  document.dispatchEvent(new Event("words"));
}

export const number = (value, options = {}) => new Intl.NumberFormat(locale(), options).format(value);

export const moment = (unixS) =>
  new Intl.DateTimeFormat(locale(), { dateStyle: "medium", timeStyle: "short" }).format(new Date(unixS * 1000));

/** Days and hours as the reader's country writes them. */
const locale = () => navigator.languages.find((tag) => tag.startsWith(language)) ?? language;

/** 3:07, or 1:02:03. */
export function clock(seconds) {
  const whole = Math.floor(seconds);
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const pad = (value) => String(value).padStart(2, "0");
  return h ? `${h}:${pad(m)}:${pad(s)}` : `${m}:${pad(s)}`;
}
